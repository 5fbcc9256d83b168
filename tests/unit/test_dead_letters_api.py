"""The dead letters of a company over HTTP: who may, what is listed, tried again, discarded."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from actors.channels.message import Message
from actors.clock import SystemIds
from actors.conversation.events import (
    Discarded,
    MessageReceived,
    Revived,
    SetAside,
    TurnFailed,
    TurnStarted,
    decode,
    encode,
)
from actors.journal.entries import Write
from actors.journal.keys import Key
from actors.web import dead_letters, refusals
from actors.web.access import Access
from actors.web.ingress import Ingress
from actors.wiring import Parts
from tests.fakes import START_MS, MemoryJournal, MemorySpending, VirtualClock
from tests.unit.test_people_api import Companies, Mail

KEY = Key("desk", "77")
PATH = "/api/companies/desk/dead-letters"
LETTER = f"{PATH}/77/4"
TOKEN = "a-token"


def started(covers: tuple[int, ...]) -> TurnStarted:
    return TurnStarted(
        at_ms=START_MS,
        turn="desk:77:1",
        covers=covers,
        attempt=1,
        reason="",
        how="single",
        join_reason="",
    )


class Desk:
    """The API over a journal in memory."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.mail = Mail()
        clock = VirtualClock()
        parts = cast(
            Parts,
            SimpleNamespace(
                journal=self.journal,
                dead_letters=self.journal,
                redis=SimpleNamespace(register_script=lambda _: None),
                spending=MemorySpending(),
                clock=clock,
                directory=Companies(),
                settings=SimpleNamespace(requests_per_replica_max=10),
            ),
        )
        access = Access(cast(Redis, None), clock, SystemIds())
        ingress = Ingress(parts, cast(Any, self.mail))
        self.app = FastAPI()
        refusals.install(self.app)
        self.app.include_router(dead_letters.routes(parts, cast(Any, self.mail), ingress, access))

    async def call(self, method: str, path: str, token: str = TOKEN) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.request(method, path, headers={"Authorization": f"Bearer {token}"})

    async def dies(self, key: Key = KEY) -> None:
        """A message whose turn failed and was set aside: the letter is event 4."""
        message = Message("m1", "one", "api")
        raw = encode(MessageReceived(at_ms=START_MS, message=message))
        await self.journal.append(key, "api:m1", raw, at_ms=START_MS, largest_batch=20)
        taken = await self.journal.activate(key)
        failed = TurnFailed(
            at_ms=START_MS, turn="desk:77:1", attempt=1, error="503", retry_at_ms=START_MS
        )
        aside = SetAside(
            at_ms=START_MS, seqs=(1,), reason="the model failed", error="503", attempts=2
        )
        events = (encode(started((1,))), encode(failed), encode(aside))
        write = Write(taken.epoch, 1, events, settled=(1,), dead=(3,), at_ms=START_MS)
        await self.journal.record(key, write)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    await made.dies()
    yield made


async def test_a_letter_is_listed_with_its_messages_and_every_attempt(desk: Desk) -> None:
    answer = (await desk.call("GET", PATH)).json()
    assert answer == {
        "company_id": "desk",
        "count": 1,
        "letters": [
            {
                "conversation_id": "77",
                "seq": 4,
                "at_ms": START_MS,
                "reason": "the model failed",
                "error": "503",
                "attempts": 2,
                "tried": [{"at_ms": START_MS, "of": "model", "error": "503"}],
                "messages": [{"seq": 1, "message_id": "m1", "text": "one"}],
            }
        ],
    }
    assert (await desk.call("GET", f"{PATH}?skip=1")).json()["letters"] == []


async def test_a_letter_is_tried_again_once_and_its_actor_is_told(desk: Desk) -> None:
    answer = await desk.call("POST", f"{LETTER}/retry")
    assert (answer.status_code, answer.json()["status"], answer.json()["seq"]) == (202, "queued", 5)
    event = decode(desk.journal.raw_events(KEY)[-1])
    assert isinstance(event, Revived)
    assert [revival.message.text for revival in event.messages] == ["one"]
    assert desk.mail.sent == [(KEY, 5, encode(event))]
    again = await desk.call("POST", f"{LETTER}/retry")
    assert again.status_code == 404
    assert "no dead letter 4 in conversation 77" in again.json()["detail"]


async def test_a_letter_is_discarded(desk: Desk) -> None:
    answer = await desk.call("DELETE", LETTER)
    assert (answer.status_code, answer.json()["status"]) == (200, "discarded")
    assert isinstance(decode(desk.journal.raw_events(KEY)[-1]), Discarded)
    assert (await desk.call("GET", PATH)).json()["count"] == 0


async def test_many_are_tried_again_and_what_cannot_be_says_why(desk: Desk) -> None:
    trimmed = Key("desk", "78")
    await desk.dies(trimmed)
    del desk.journal._entries[trimmed][0]
    answer = (await desk.call("POST", f"{PATH}/retry")).json()
    assert (answer["tried"], answer["left"]) == (1, 1)
    told = {result["conversation_id"]: result for result in answer["results"]}
    assert told["77"]["seq"] == 5
    assert "does not reach back" in told["78"]["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("POST", f"{PATH}/retry"), ("POST", f"{LETTER}/retry"), ("DELETE", LETTER)],
)
@pytest.mark.parametrize("token", ["", "wrong"])
async def test_nobody_but_the_company(desk: Desk, method: str, path: str, token: str) -> None:
    assert (await desk.call(method, path, token)).status_code == 401
    assert len(desk.journal.raw_events(KEY)) == 4


@pytest.mark.parametrize("path", [f"{PATH}/77/0/retry", f"{PATH}/77/x/retry", f"{PATH}?limit=51"])
async def test_what_makes_no_sense_is_named(desk: Desk, path: str) -> None:
    method = "POST" if path.endswith("retry") else "GET"
    assert (await desk.call(method, path)).status_code == 422
