"""The deployment files fit the code: names, versions, settings. Reads files, starts nothing."""

import ast
import importlib
import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from actors.layers import Layer
from actors.settings import (
    ChatwootSettings,
    CompanySettings,
    Settings,
    ToolSettings,
    TwilioSettings,
    WhatsAppSettings,
    company_settings,
)

ROOT = Path(__file__).parents[2]
yaml: Any = importlib.import_module("yaml")  # comes with ray, without types

SCHEMA_KEYS = ("type", "required", "properties")
"""Of a tool's parameters in the example."""

NOT_OURS = {"PYTHONUNBUFFERED", "REDISCLI_AUTH"}
"""Read by Python and by redis-cli; Ray's own variables begin with RAY_."""


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def documents() -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text_of("ray-cluster.yaml")) if document]


def document(kind: str, name: str) -> dict[str, Any]:
    (found,) = (d for d in documents() if d["kind"] == kind and d["metadata"]["name"] == name)
    return found


def cluster() -> dict[str, Any]:
    config: dict[str, Any] = document("RayService", "turnwise")["spec"]["rayClusterConfig"]
    return config


def ray_pods() -> list[dict[str, Any]]:
    groups = [cluster()["headGroupSpec"], *cluster()["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def pods() -> list[dict[str, Any]]:
    stateful = [d["spec"]["template"]["spec"] for d in documents() if d["kind"] == "StatefulSet"]
    return ray_pods() + stateful


def containers() -> list[dict[str, Any]]:
    return [container for pod in pods() for container in pod["containers"]]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments."""
    lines = [line for line in text_of("Dockerfile").splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    split = (line.split(None, 1) for line in whole.splitlines() if line.strip())
    return [(word, arguments) for word, arguments in split]


def last(instruction: str) -> str:
    return [arguments for word, arguments in instructions() if word == instruction][-1]


def variables_of_the_cluster() -> dict[str, str | None]:
    """Every variable that ray-cluster.yaml sets, with its value where the file has it."""
    found: dict[str, str | None] = {}
    for container in containers():
        found |= {entry["name"]: entry.get("value") for entry in container.get("env", [])}
        for source in container.get("envFrom", []):
            for kind, reference in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if reference in source:
                    content = document(kind, source[reference]["name"])
                    found |= content.get("data") or content["stringData"]
    return found


def variables_of_compose() -> dict[str, str | None]:
    entries = yaml.safe_load(text_of("compose.yaml"))["services"]["turnwise"]["environment"]
    pairs = (entry.partition("=") for entry in entries)
    return {name: value if equals else None for name, equals, value in pairs}


def variables_of_the_image() -> dict[str, str | None]:
    return dict(re.findall(r"(\w+)=(\S+)", last("ENV")))


@pytest.mark.parametrize(
    "variables",
    [variables_of_the_cluster(), variables_of_compose(), variables_of_the_image()],
    ids=["ray-cluster.yaml", "compose.yaml", "Dockerfile"],
)
def test_every_variable_is_a_setting_and_its_value_fits(variables: dict[str, str | None]) -> None:
    assert variables
    fields = set(Settings.model_fields)
    ours = {
        name: value
        for name, value in variables.items()
        if name not in NOT_OURS and (name.lower() in fields or not name.startswith("RAY_"))
    }
    assert {name.lower() for name in ours} <= fields
    Settings.model_validate({name.lower(): v for name, v in ours.items() if v is not None})


def test_the_values_of_the_config_map_are_strings() -> None:
    for found in documents():
        values = {**found.get("data", {}), **found.get("stringData", {})}.values()
        assert all(isinstance(value, str) for value in values), found["metadata"]["name"]


def test_the_service_imports_the_builder_of_serve_app() -> None:
    config = yaml.safe_load(document("RayService", "turnwise")["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    assert application["import_path"] == "serve_app:app"
    assert (application["name"], application["route_prefix"]) == ("default", "/")
    module = ast.parse(text_of("serve_app.py"))
    builders = [n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == "app"]
    # Serve calls a builder with the arguments of the configuration: exactly one parameter.
    assert [len(builder.args.args) for builder in builders] == [1]
    (named,) = re.findall(r'serve\.deployment\(\s*name="(\w+)"', text_of("serve_app.py"))
    assert [deployment["name"] for deployment in application["deployments"]] == [named]


def test_the_scheduler_is_a_module_that_the_image_has() -> None:
    (scheduler,) = (c for c in containers() if c["name"] == "scheduler")
    assert "exec python -m scheduler" in scheduler["command"][-1]
    modules = tomllib.loads(text_of("pyproject.toml"))["tool"]["setuptools"]["py-modules"]
    assert set(modules) == {"serve_app", "scheduler"}


def test_a_driver_beside_the_head_sees_the_raylet() -> None:
    head = ray_pods()[0]
    assert head["shareProcessNamespace"] is True
    mounts = [{m["mountPath"]: m["name"] for m in c["volumeMounts"]} for c in head["containers"]]
    assert len({mount["/tmp/ray"] for mount in mounts}) == 1


def test_ray_has_the_version_the_tests_ran_with() -> None:
    (pinned,) = re.findall(r"^ray==(\S+)$", text_of("constraints.txt"), re.MULTILINE)
    assert cluster()["rayVersion"] == pinned


def test_all_processes_of_turnwise_run_one_image() -> None:
    images = {container["image"] for pod in ray_pods() for container in pod["containers"]}
    services = yaml.safe_load(text_of("compose.yaml"))["services"]
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert images == {services["turnwise"]["image"]} == {f"turnwise:{version}"}


def test_ray_and_the_messages_have_a_redis_each() -> None:
    journal = document("Secret", "turnwise-secrets")["stringData"]["REDIS_URL"]
    gcs = cluster()["gcsFaultToleranceOptions"]
    assert "externalStorageNamespace" not in gcs  # two clusters of an upgrade would share it
    hosts = {journal.rpartition("@")[2].partition(":")[0], gcs["redisAddress"].partition(":")[0]}
    assert hosts == {d["metadata"]["name"] for d in documents() if d["kind"] == "StatefulSet"}
    assert hosts == {d["metadata"]["name"] for d in documents() if d["kind"] == "Service"}
    for host in hosts:
        conf = document("ConfigMap", host)["data"]["redis.conf"].splitlines()
        assert {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"} <= {*conf}
        (claim,) = document("StatefulSet", host)["spec"]["volumeClaimTemplates"]
        assert claim["spec"]["resources"]["requests"]["storage"]


def test_a_lost_node_is_noticed_well_within_30_s() -> None:
    data = document("ConfigMap", "turnwise-settings")["data"]
    name = "RAY_health_check_{}".format
    once_ms = int(data[name("timeout_ms")]) + int(data[name("period_ms")])
    noticed_ms = once_ms * int(data[name("failure_threshold")])
    assert noticed_ms + int(data[name("initial_delay_ms")]) <= 20_000


def test_secrets_hold_no_credentials() -> None:
    for secret in (d for d in documents() if d["kind"] == "Secret"):
        for name, value in secret["stringData"].items():
            assert "replace-me" in value, name
    assert not re.search(r"\bsk-\w", text_of("compose.yaml") + text_of("companies.example.toml"))


def test_every_secret_map_and_volume_that_is_named_exists() -> None:
    there = {(d["kind"], d["metadata"]["name"]) for d in documents()}
    text = json.dumps(documents())
    for reference in re.findall(r'"secretKeyRef": \{"name": "([\w-]+)"', text):
        assert ("Secret", reference) in there
    assert ("Secret", cluster()["authOptions"]["secretName"]) in there
    for spec in pods():
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for volume in volumes.values():
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in there
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
        mounted = {m["name"] for c in spec["containers"] for m in c.get("volumeMounts", [])}
        assert mounted - {"data"} <= set(volumes)  # `data` is the claim of a stateful set


def test_the_companies_of_the_cluster_lie_where_the_setting_says() -> None:
    path = document("ConfigMap", "turnwise-settings")["data"]["COMPANIES_FILE"]
    files = document("Secret", "turnwise-companies")["stringData"]
    for container in (container for pod in ray_pods() for container in pod["containers"]):
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert path in {f"{mounts['companies']}/{name}" for name in files}


def test_pods_have_limits_a_user_and_probes_that_do_not_replace_those_of_kuberay() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["terminationGracePeriodSeconds"] >= 20
        for container in pod["containers"]:
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}
            assert "memory" in resources["limits"]
    for container in (container for pod in ray_pods() for container in pod["containers"]):
        assert not {"livenessProbe", "readinessProbe", "startupProbe"} & container.keys()


def test_the_image_runs_turnwise_as_an_ordinary_user_that_gets_the_signals() -> None:
    words = [word for word, _ in instructions()]
    user = last("USER")
    assert user.isdecimal() and int(user) > 0  # a number: runAsNonRoot cannot judge a name
    assert words[-1] == "ENTRYPOINT"
    entrypoint = json.loads(last("ENTRYPOINT"))  # the shell form, which keeps signals, is no JSON
    assert entrypoint[-2:] == ["turnwise", "run"]
    assert last("STOPSIGNAL") == "SIGTERM"
    assert last("VOLUME") == variables_of_the_image()["DATA_DIR"] == "/data"
    assert all(pod["securityContext"]["runAsUser"] == int(user) for pod in ray_pods())


def test_the_image_is_built_with_the_pinned_versions_and_from_what_it_may_see() -> None:
    installs = [arguments for word, arguments in instructions() if "pip install" in arguments]
    assert all("--constraint constraints.txt" in i or "--no-deps" in i for i in installs)
    assert not re.search(r"index-url|://(?!127\.0\.0\.1)", text_of("Dockerfile"))
    ignored = text_of(".dockerignore").splitlines()
    assert "*" in ignored
    local = [a for word, a in instructions() if word == "COPY" and "--from" not in a]
    for source in (source for arguments in local for source in arguments.split()[:-1]):
        assert f"!{source}" in ignored


def test_compose_asks_for_readiness_and_publishes_on_this_machine_alone() -> None:
    services = yaml.safe_load(text_of("compose.yaml"))["services"]
    assert "/readyz" in services["turnwise"]["healthcheck"]["test"][-1]
    assert services["turnwise"]["ports"] == [
        "${PUBLISH_ADDRESS:-127.0.0.1}:${PUBLISH_PORT:-8000}:8000"
    ]
    assert "ports" not in services["redis"]
    assert "noeviction" in services["redis"]["command"]
    health = text_of("actors/web/health.py")
    assert '"/readyz"' in health and '"/healthz"' in health


def test_ray_takes_no_code_from_outside_the_cluster() -> None:
    assert cluster()["authOptions"] == {"mode": "token", "secretName": "turnwise-ray-token"}
    assert cluster()["headGroupSpec"]["serviceType"] == "ClusterIP"
    rules = document("NetworkPolicy", "turnwise")["spec"]["ingress"]
    assert [rule["ports"] for rule in rules if "from" not in rule] == [[{"port": 8000}]]
    published = yaml.safe_load(text_of("compose.yaml"))["services"]["turnwise"]["ports"]
    assert not [port for port in published if "8265" in port or "6380" in port]
    assert last("EXPOSE") == "8000"
    assert 'dashboard_host="127.0.0.1"' in text_of("actors/embedded.py")


def test_the_example_companies_load_and_show_every_key() -> None:
    companies = Settings(companies_file=ROOT / "companies.example.toml").companies()
    assert len(companies) == 2
    for company in companies.values():
        assert company.chatwoot is not None
        chatwoot = company.chatwoot
        credentials = (*company.api_token, chatwoot.api_key, *chatwoot.webhook_secret)
        assert all("replace-me" in c.get_secret_value() for c in credentials)
        assert company.twilio or company.whatsapp
    acme = example_with_everything()["companies"]["acme"]
    assert acme.keys() | {"twilio"} == CompanySettings.model_fields.keys()
    assert acme["chatwoot"].keys() == ChatwootSettings.model_fields.keys()
    assert acme["whatsapp"].keys() == WhatsAppSettings.model_fields.keys()
    assert acme["tools"]["stock"].keys() == ToolSettings.model_fields.keys()
    bolt = example_with_everything()["companies"]["bolt"]
    assert bolt["twilio"].keys() == TwilioSettings.model_fields.keys()


def example_with_everything() -> dict[str, Any]:
    """The example with what is commented out in it, because it needs code of the reader's own."""
    keys = "|".join((*CompanySettings.model_fields, *ToolSettings.model_fields, *SCHEMA_KEYS))
    text = text_of("companies.example.toml")
    return tomllib.loads(re.sub(rf"^# (?=\[companies|(?:{keys}) = )", "", text, flags=re.MULTILINE))


def test_the_code_in_the_example_fits() -> None:
    table = example_with_everything()["companies"]["acme"]
    acme = company_settings("acme", (*Settings().foundation(), Layer("file", table)))
    assert acme.responder == "acme_bot:answer"
    assert acme.tools["stock"].parameters["required"] == ["article"]


def test_the_companies_of_the_cluster_load(tmp_path: Path) -> None:
    path = tmp_path / "companies.toml"
    path.write_text(document("Secret", "turnwise-companies")["stringData"]["companies.toml"])
    assert list(Settings(companies_file=path).companies()) == ["acme"]
