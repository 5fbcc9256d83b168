"""What the operator sets: good values taken, bad ones refused with the key and what is allowed."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from actors.errors import Misconfigured
from actors.fields import SCHEMA_CHARS_MAX, key_bytes, opening_hours
from actors.layers import Layer, leaves, merged, patched, source_of
from actors.placement.names import release_of
from actors.settings import (
    Behaviour,
    CompanySettings,
    Settings,
    company_settings,
    read_settings,
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def company(table: dict[str, Any], **variables: Any) -> CompanySettings:
    layers = (*Settings(**variables).foundation(), Layer("file", table))
    return company_settings("acme", layers)


def why(table: dict[str, Any], **variables: Any) -> str:
    with pytest.raises(Misconfigured) as refused:
        company(table, **variables)
    return str(refused.value)


@pytest.mark.parametrize("name", sorted(Behaviour.model_fields))
def test_every_behaviour_is_a_variable_and_a_key(name: str) -> None:
    assert name in Settings.model_fields and name in CompanySettings.model_fields


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ALLOWED_STATUSES", "open, resolved", ("open", "resolved")),
        ("STOP_LABELS", "no-bot,vip ,", ("no-bot", "vip")),
        (
            "ATTACHMENT_HOSTS",
            ".acme.example, files.example:8443",
            (".acme.example", "files.example:8443"),
        ),
        ("FIRST_WINDOW_S", "4.5", 4.5),
        ("FIRST_WINDOW_S", "", None),
        ("LEARNED_PACE", "true", True),
        ("RESUME_AFTER_S", "3600", 3_600),
        ("TIME_ZONE", "Europe/Madrid", "Europe/Madrid"),
    ],
)
def test_a_variable_is_every_companys_default(
    name: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(company_settings("acme", Settings().foundation()), name.lower()) == value


def test_a_company_goes_before_the_environment() -> None:
    taken = company({"quiet_window_s": 4, "stop_labels": ["a, b"]}, quiet_window_s=7, max_batch=9)
    assert (taken.quiet_window_s, taken.max_batch) == (4, 9)
    assert taken.stop_labels == ("a, b",), "in a list a comma is only a comma"


def test_the_variables_of_another_name_are_defaults_too() -> None:
    taken = company({}, system_prompt="Hi", model_name="m", waiting_per_company_max=5)
    assert (taken.prompt, taken.model, taken.waiting_max) == ("Hi", "m", 5)


CHATWOOT = {"base_url": "http://chat.example", "account_id": 1, "api_key": "k"}
TOOL = {"call": "a:b", "description": "d"}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"longest_wait_s": 5},
            "companies.acme.longest_wait_s (5) is below quiet_window_s (10); "
            "make it at least as long",
        ),
        ({"first_window_s": 31}, "companies.acme.longest_wait_s (30) is below first_window_s (31)"),
        (
            {"learned_pace": True, "longest_wait_s": 12},
            "companies.acme.longest_wait_s (12) is below window_max_s (20)",
        ),
        (
            {"window_min_s": 21},
            "companies.acme.window_min_s (21) is above window_max_s (20); make it at most as long",
        ),
        (
            {"time_zone": "America/Bogta"},
            "companies.acme.time_zone: 'America/Bogta' is no time zone",
        ),
        ({"time_zone": "../etc/passwd"}, "is no time zone; use a name of the IANA database"),
        ({"time_zone": ""}, "companies.acme.time_zone: '' is no time zone"),
        ({"hours": {"mon": "8-18"}}, "companies.acme.hours.mon: '8-18' are no hours; write"),
        ({"hours": {"someday": "closed"}}, "companies.acme.hours.someday: Input should be 'mon',"),
        (
            {"quiet": 1},
            "companies.acme.quiet: Extra inputs are not permitted; the keys here are quiet_window",
        ),
        ({"{x}": 1}, "companies.acme.{x}: Extra inputs are not permitted"),
        (
            {"chatwoot": {**CHATWOOT, "token": "x"}},
            "companies.acme.chatwoot.token: Extra inputs are not permitted; the keys here are "
            "base_url, account_id, api_key, webhook_secret",
        ),
        ({"chatwoot": {"account_id": 1}}, "companies.acme.chatwoot.base_url: Field required"),
        (
            {"allowed_statuses": ["open", "closed"]},
            "companies.acme.allowed_statuses.1: Input should be 'pending', 'open', 'resolved' or "
            "'snoozed'",
        ),
        ({"allowed_statuses": []}, "companies.acme.allowed_statuses: Value should have at least 1"),
        (
            {"supersede_max": 11},
            "companies.acme.supersede_max: Input should be less than or equal to 10",
        ),
        (
            {"reply_part_chars": 100},
            "companies.acme.reply_part_chars: Input should be greater than",
        ),
        (
            {"responder": "acme_bot.answer"},
            "companies.acme.responder: 'acme_bot.answer' is no place of code; write module:",
        ),
        ({"tools": {"a b": TOOL}}, "companies.acme.tools.a b: "),
        ({"tools": {"a": {"call": "a:b"}}}, "companies.acme.tools.a.description: Field required"),
        (
            {"tools": {"a": {**TOOL, "parameters": {"type": "string"}}}},
            "companies.acme.tools.a.parameters: a JSON schema of an object is needed",
        ),
        ({"twilio": {"account_sid": "AC1"}}, "companies.acme.twilio.auth_token: Field required"),
        ({"whatsapp": {"phone_number_id": "x", "access_token": "t"}}, "whatsapp.phone_number_id: "),
        ({"attachment_hosts": ["http://x"]}, "companies.acme.attachment_hosts.0: "),
        ({"quiet_window_s": float("nan")}, "companies.acme.quiet_window_s: "),
    ],
)
def test_what_is_wrong_is_said_with_the_keys_path(table: dict[str, Any], says: str) -> None:
    assert says in why(table)


def test_a_schema_has_a_bound_and_is_json() -> None:
    deep = {"type": "object", "description": "x" * SCHEMA_CHARS_MAX}
    assert "are allowed" in why({"tools": {"a": {**TOOL, "parameters": deep}}})
    strange = {"type": "object", "default": {1, 2}}
    assert "this is no JSON" in why({"tools": {"a": {**TOOL, "parameters": strange}}})


def test_no_sentence_tells_a_secret() -> None:
    secret = "the-secret-itself"
    for table in (
        {"api_token": {"a": secret}},
        {"api_token": f"sha256:{secret}"},
        {"api_token": [f"sha256:{secret}"]},
        {"chatwoot": {**CHATWOOT, "api_key": {"a": secret}}},
        {"chatwoot": {**CHATWOOT, "webhook_secret": {"a": secret}}},
        {"twilio": {"account_sid": "AC1", "auth_token": [secret]}},
        {"whatsapp": {"phone_number_id": 1, "access_token": [secret]}},
    ):
        assert secret not in why(table)


@pytest.mark.parametrize("company_id", ["A", "a b", "", "a" * 65, "-a", "a:b"])
def test_an_id_that_does_not_fit(company_id: str) -> None:
    with pytest.raises(Misconfigured, match=r"^companies\.[^:]*:? ?.*should match pattern"):
        company_settings(company_id, Settings().foundation())


def test_a_company_that_is_no_table() -> None:
    with pytest.raises(Misconfigured, match=r"companies\.acme: .*dict"):
        company_settings("acme", (Layer("file", 3),))  # type: ignore[arg-type]


UNORDERED = (
    "18:00-08:00",
    "08:00-08:00",
    "08:00-24:30",
    "08:00-12:00,11:00-13:00",
    "14:00-18:00, 08:00-12:00",
    "08:00-12:00,",
    "closed, 08:00-09:00",
)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("closed", ()),
        ("08:00-18:00", ((480, 1_080),)),
        ("08:00-12:00, 14:00 - 18:00", ((480, 720), (840, 1_080))),
        ("00:00-24:00", ((0, 1_440),)),
    ],
)
def test_hours(text: str, spans: tuple[tuple[int, int], ...]) -> None:
    assert opening_hours(text) == spans


@pytest.mark.parametrize("text", ["", "open", "08:00", "8:00-9:00", "08:00-25:00", *UNORDERED])
def test_hours_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="are no hours; write"):
        opening_hours(text)


@pytest.mark.parametrize(
    "given",
    [
        base64.urlsafe_b64encode(bytes(range(32))).decode(),
        base64.urlsafe_b64encode(b"\xff" * 32).decode().rstrip("="),
        "a passphrase of a good length",
        f"another passphrase here,{base64.urlsafe_b64encode(bytes(32)).decode()}",
    ],
)
def test_a_key_for_the_secrets(given: str) -> None:
    assert Settings(secrets_key=SecretStr(given)).secrets_key is not None


@pytest.mark.parametrize("given", ["short", ",", "a passphrase of a good length,short"])
def test_a_key_that_is_too_short(given: str) -> None:
    with pytest.raises(ValidationError, match="32 bytes in urlsafe base64, or a passphrase"):
        Settings(secrets_key=SecretStr(given))


def test_only_32_bytes_are_a_key_and_all_else_a_passphrase() -> None:
    key = bytes(range(32))
    assert key_bytes(base64.urlsafe_b64encode(key).decode()) == key
    assert key_bytes(base64.urlsafe_b64encode(key[:31]).decode()) is None
    assert key_bytes("ñ" * 43) is None


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"QUIET_WINDOW_S": "40"}, "LONGEST_WAIT_S (30) is below QUIET_WINDOW_S (40); make it"),
        ({"WINDOW_MIN_S": "25"}, "WINDOW_MIN_S (25) is above WINDOW_MAX_S (20)"),
        ({"TIME_ZONE": "Mars/Olympus"}, "TIME_ZONE: 'Mars/Olympus' is no time zone"),
        ({"ALLOWED_STATUSES": "open,done"}, "ALLOWED_STATUSES.1: Input should be 'pending'"),
        ({"ADMIN_TOKEN": "short"}, "ADMIN_TOKEN: "),
        ({"SECRETS_KEY": "short"}, "SECRETS_KEY: a key is 32 bytes"),
        (
            {"TWILIO_ACCOUNT_SID": "-", "TWILIO_AUTH_TOKEN": "t"},
            "TWILIO_ACCOUNT_SID: String should match",
        ),
        ({"TWILIO_ACCOUNT_SID": "AC1"}, "Twilio is set up by half: set TWILIO_AUTH_TOKEN too"),
        (
            {"CHATWOOT_API_KEY": "x"},
            "Chatwoot is set up by half: set CHATWOOT_BASE_URL, ACCOUNT_ID",
        ),
        (
            {"COMPANIES_FILE": "/nowhere/companies.toml"},
            "COMPANIES_FILE /nowhere/companies.toml cannot",
        ),
    ],
)
def test_a_start_that_is_refused(
    variables: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=re.escape(says)):
        read_settings()


def test_the_demo_shows_what_there_is() -> None:
    demo = Settings().companies()["demo"]
    assert demo.webchat and demo.webchat_agent and demo.learned_pace and demo.draft_early


def test_the_environment_changes_the_demo_too() -> None:
    short = Settings(longest_wait_s=12, quiet_window_s=2, learned_pace=False).companies()["demo"]
    assert (short.longest_wait_s, short.window_max_s, short.learned_pace) == (12, 12, False)
    assert Settings(longest_wait_s=2, quiet_window_s=1).companies()["demo"].window_min_s == 2
    with pytest.raises(Misconfigured, match=r"LONGEST_WAIT_S \(12\) is below WINDOW_MAX_S \(15\)"):
        Settings(longest_wait_s=12, window_max_s=15).companies()


def test_one_company_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "COMPANY_ID": "acme",
        "CHATWOOT_BASE_URL": "https://chat.example",
        "CHATWOOT_API_KEY": "k",
        "ACCOUNT_ID": "7",
        "CHATWOOT_WEBHOOK_SECRET": "one, two",
        "TWILIO_ACCOUNT_SID": "AC1",
        "TWILIO_AUTH_TOKEN": "t",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    ((company_id, acme),) = read_settings().companies().items()
    assert company_id == "acme"
    assert acme.chatwoot is not None and acme.twilio is not None
    assert [s.get_secret_value() for s in acme.chatwoot.webhook_secret] == ["one", "two"]
    assert not acme.webchat and not acme.learned_pace


def companies_file(directory: Path, text: str) -> Settings:
    path = directory / "companies.toml"
    path.write_text(text)
    return Settings(companies_file=path)


def test_a_bad_company_leaves_the_good_ones(tmp_path: Path) -> None:
    settings = companies_file(tmp_path, "[companies.bad]\nquiet = 1\n[companies.good]\n")
    assert list(settings.companies()) == ["good"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[companies", "is not TOML"),
        ("", "companies: Field required"),
        ("companies = 3", "companies: Field required"),
        ("[companies]", "companies: Field required"),
        ("quiet_window_s = 3\n[companies.acme]", "quiet_window_s: Extra inputs are not permitted"),
        ("[companies.acme]\nquiet = 1", "companies.acme.quiet: Extra inputs are not permitted"),
        ("[companies.acme]\nquiet_window_s = 60", "companies.acme.longest_wait_s (30) is below"),
    ],
)
def test_a_file_without_a_good_company(tmp_path: Path, text: str, says: str) -> None:
    settings = companies_file(tmp_path, text)
    with pytest.raises(Misconfigured) as refused:
        settings.companies()
    assert str(refused.value).startswith(f"COMPANIES_FILE {settings.companies_file}")
    assert says in str(refused.value)


def test_the_release_is_that_of_the_environment_and_not_of_the_file(tmp_path: Path) -> None:
    settings = companies_file(tmp_path, "[companies.acme]")
    before = release_of(settings)
    companies_file(tmp_path, "[companies.bolt]\nquiet_window_s = 2")
    assert release_of(settings) == before
    assert release_of(settings.model_copy(update={"quiet_window_s": 9})) != before
    with_key = settings.model_copy(update={"openai_api_key": SecretStr("a")})
    assert release_of(with_key) != release_of(settings)


def test_layers_lie_over_one_another() -> None:
    file = Layer(
        "file", {"chatwoot": {"base_url": "a", "api_key": "b"}, "tools": {"x": {"call": 1}}}
    )
    api = Layer("api", {"chatwoot": {"base_url": "c"}, "tools": {"y": {"parameters": {"a": {}}}}})
    whole = merged((file, api))
    assert whole["chatwoot"] == {"base_url": "c", "api_key": "b"}
    assert whole["tools"] == {"x": {"call": 1}, "y": {"parameters": {"a": {}}}}
    assert file.table["chatwoot"] == {"base_url": "a", "api_key": "b"}, "no layer is changed"
    assert source_of(("chatwoot", "base_url"), (file, api)) == "api"
    assert source_of(("chatwoot", "api_key"), (file, api)) == "file"
    assert source_of(("chatwoot", "account_id"), (file, api)) == "default"


def test_a_schema_replaces_another_as_a_whole() -> None:
    below = Layer("file", {"tools": {"x": {"parameters": {"properties": {"a": {}}}}}})
    over = Layer("api", {"tools": {"x": {"parameters": {"properties": {"b": {}}}}}})
    assert merged((below, over))["tools"]["x"]["parameters"] == {"properties": {"b": {}}}
    assert list(leaves(over.table)) == [("tools", "x", "parameters")]


def test_a_patch_sets_and_removes() -> None:
    table = {"a": 1, "t": {"x": 1, "y": 2}, "u": {"z": 1}}
    patch = {"a": None, "b": 2, "t": {"x": None, "w": 3}, "u": {"z": None}, "v": {"q": None}}
    assert patched(table, patch) == {"b": 2, "t": {"y": 2, "w": 3}}
    assert table["t"] == {"x": 1, "y": 2}


def test_a_layer_does_not_show_its_secrets() -> None:
    assert "hush" not in repr(Layer("api", {"api_token": "hush"}))
