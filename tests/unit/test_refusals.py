"""How the service says no, and what it says of its own errors: a sentence, never a trace."""

import io
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Query
from fastapi.responses import StreamingResponse

from actors.companies.company import BrokenCompany, UnknownCompany
from actors.conditions import FULL, Outage
from actors.telemetry import configure_logging
from actors.web import refusals
from actors.web.refusals import BUG, Refused

ERRORS = {
    "bug": ValueError("Authorization: Bearer hunter2-hunter2"),
    "deep": RecursionError("password=hunter2"),
    "refused": Refused(429, "later", retry_after_s=3),
    "stranger": Refused(401, "who are you"),
    "unknown": UnknownCompany("nobody"),
    "broken": BrokenCompany("companies.acme.prompt: password=hunter2"),
    "away": Outage(FULL),
}


async def broken_stream() -> AsyncIterator[str]:
    yield "first"
    raise ValueError("password=hunter2")


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI()
    refusals.install(made)

    @made.get("/raise/{name}")
    async def fail(name: str, number: int = Query(1)) -> None:
        raise ERRORS[name]

    @made.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(broken_stream())

    return made


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    ours = logging.getLogger("turnwise")
    before = ours.handlers[:], ours.propagate, ours.level
    configure_logging("INFO")
    (handler,) = ours.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written := io.StringIO())
    yield written
    ours.handlers[:], ours.propagate = before[:2]
    ours.setLevel(before[2])


async def asked(app: FastAPI, target: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        return await http.get(target)


@pytest.mark.parametrize(
    ("name", "status", "detail"),
    [
        ("bug", 500, BUG),
        ("deep", 500, BUG),
        ("refused", 429, "later"),
        ("stranger", 401, "who are you"),
        ("unknown", 404, "nobody"),
        ("broken", 500, "companies.acme.prompt: password=***"),
        ("away", 500, f"redis full: {FULL.says}"),
    ],
)
async def test_an_error_is_a_status_and_a_sentence(
    name: str, status: int, detail: str, app: FastAPI, log: io.StringIO
) -> None:
    answer = await asked(app, f"/raise/{name}")
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})
    assert "hunter2" not in log.getvalue()
    assert ("Traceback" in log.getvalue()) == (detail == BUG)
    assert (status == 500) == ("ERROR" in log.getvalue())


async def test_a_value_that_cannot_be_read_is_not_quoted(app: FastAPI) -> None:
    answer = await asked(app, "/raise/bug?number=hunter2")
    assert answer.status_code == 422 and answer.json()["detail"].startswith("number: ")
    assert "hunter2" not in answer.text


async def test_a_query_is_ascii(app: FastAPI) -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/raise/bug/",
        "query_string": b"\x80",
        "headers": [],
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    await app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_a_stream_that_fails_is_cut_off_and_logged(app: FastAPI, log: io.StringIO) -> None:
    with pytest.raises(ValueError, match="password"):
        await asked(app, "/stream")
    assert "answered 500" not in log.getvalue() and "hunter2" not in log.getvalue()
    assert "cut off: GET '/stream'" in log.getvalue()
