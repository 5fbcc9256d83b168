"""The other ways in: somebody's Ray cluster, `serve run`, a Ray job, dedicated actors."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from actors import embedded
from tests.conftest import ended
from tests.places import SECRET, Place, free_ports, message_created, running, until

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PLAIN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("RAY_", "OPENAI_", "CHATWOOT_", "REDIS_", "TURNWISE_"))
}


@pytest.fixture(scope="module")
def somebodys_ray() -> Iterator[str]:
    """A Ray head that ran before. Ended by its process."""
    gcs, dashboard, client = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as directory:
        head = subprocess.Popen(
            [
                *(str(BIN / "ray"), "start", "--head", "--block", f"--port={gcs}"),
                *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
                *(f"--ray-client-server-port={client}", f"--temp-dir={directory}"),
                "--object-store-memory=80000000",
            ],
            env=PLAIN | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(
                "the dashboard",
                lambda: httpx.get(f"http://127.0.0.1:{dashboard}/api/version").is_success,
                60,
            )
            yield f"127.0.0.1:{gcs}"
        finally:
            own = psutil.Process(head.pid).children(recursive=True)
            ended(head)
            embedded.end(own)  # they write below the directory for a moment longer


def is_answered(place: Place, company: str = "acme") -> None:
    conversation = place.conversation()
    event = message_created(conversation, "hello", account=None)
    assert place.webhook(company, event).status_code == 202
    posted = until("the reply", lambda: place.posted(conversation))
    assert posted[0]["content"] == "You said: hello"


LIST = """
import json, sys, ray
ray.init(address=sys.argv[1], logging_level="ERROR")
print(json.dumps([actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]))
"""


def names(address: str) -> set[str]:
    """The names of the actors in a cluster."""
    done = subprocess.run(
        [sys.executable, "-c", LIST, address],
        env=PLAIN | {"RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_with_ray_address_it_joins_that_cluster_and_leaves_it_running(
    somebodys_ray: str, peers: str, tmp_path: Path
) -> None:
    environment = {"RAY_ADDRESS": somebodys_ray, "RAY_AUTH_MODE": "disabled"}
    with running(Place(tmp_path, peers, **environment)) as place:
        is_answered(place)
        assert {"conversations-00", "conversations-01"} <= names(somebodys_ray)
    assert not {name for name in names(somebodys_ray) if "conversations" in name}


def test_serve_run_gives_the_same_service(
    somebodys_ray: str, peers: str, tmp_path: Path, redis_6: str
) -> None:
    place = Place(tmp_path, peers)
    environment = PLAIN | {
        **{name: place.environment[name] for name in ("COMPANIES_FILE", "OPENAI_BASE_URL")},
        "OPENAI_API_KEY": "a-test-key",
        "RAY_ADDRESS": somebodys_ray,
        "RAY_AUTH_MODE": "disabled",
        "REDIS_URL": redis_6,
    }
    # `serve run` alone would take port 8000, which may be somebody's.
    subprocess.run(
        [str(BIN / "serve"), "start", "--http-host=127.0.0.1", f"--http-port={place.port}"],
        env=environment,
        check=True,
        capture_output=True,
    )
    log = (tmp_path / "serve.log").open("wb")
    serving = subprocess.Popen(
        [str(BIN / "serve"), "run", "serve_app:app"],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=log,
    )
    try:
        until("readiness", place.ready, 90)
        is_answered(place)
    finally:
        serving.send_signal(2)
        serving.wait(60)
        place.http.close()
        log.close()


def test_the_scheduler_runs_as_a_ray_job_and_stands_by(place: Place) -> None:
    """With the dashboard's address alone, as the README says."""
    api = place.settings()["RAY_API_SERVER_ADDRESS"]

    def job(*arguments: str) -> str:
        done = subprocess.run(
            [str(BIN / "ray"), "job", *arguments],
            cwd=ROOT,
            env=PLAIN | {"RAY_API_SERVER_ADDRESS": api},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    named = "a-second-scheduler"
    job(
        *("submit", "--submission-id", named, "--working-dir", ".", "--no-wait"),
        *("--", "python", "scheduler.py"),
    )
    until("the job runs", lambda: "RUNNING" in job("status", named), 60)
    ticks = place.log.read_text().count("sweep: Swept")
    until("a tick", lambda: place.log.read_text().count("sweep: Swept") > ticks, 60)
    assert "sweep" not in job("logs", named), "one scheduler at a time"
    job("stop", named)
    until("the job has ended", lambda: "RUNNING" not in job("status", named), 60)


def test_a_plain_start_from_the_environment_with_dedicated_actors(
    peers: str, tmp_path: Path
) -> None:
    """The variables that the README names for one company, and nothing else but the placement."""
    environment = {
        "COMPANIES_FILE": "",
        "CHATWOOT_BASE_URL": peers,
        "CHATWOOT_API_KEY": "a-test-key",
        "ACCOUNT_ID": "1",
        "CHATWOOT_WEBHOOK_SECRET": f"another-secret,{SECRET}",
        "QUIET_WINDOW_S": "1",
        "PLACEMENT": "dedicated",
        "DEDICATED_MAX": "2",
    }
    with running(Place(tmp_path, peers, **environment)) as place:
        conversation = place.conversation()
        unsigned = place.webhook("default", message_created(conversation, "x"), secret="no")
        assert unsigned.status_code == 401
        place.webhook("default", message_created(conversation, "hello"))
        until("the reply", lambda: place.posted(conversation))
        ready = until("readiness", place.ready)
        (host,) = ready["hosts"]
        assert host["name"] == f"conversation:default:{conversation}"
        second = place.conversation()
        place.webhook("default", message_created(second, "again"))
        os.kill(host["pid"], 9)
        place.webhook("default", message_created(conversation, "and again"))
        until("the second reply of the killed one", lambda: len(place.posted(conversation)) == 2)
        until("the reply of the other", lambda: place.posted(second))
