"""What people do through the API and the webhooks: who may, what is noted, who is told."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request

from actors.channels.inboxes import NOTED_MS
from actors.channels.message import FromPerson, Message, Standing
from actors.companies.company import Company, UnknownCompany
from actors.companies.making import company_of
from actors.conversation.events import (
    CustomerTyping,
    Event,
    HandedOver,
    MessageAmended,
    MessageReceived,
    Paused,
    PersonReplied,
    Resumed,
    StandingSeen,
    TurnStarted,
    decode,
    encode,
)
from actors.journal.entries import Entry, Replay
from actors.journal.keys import Key
from actors.settings import Settings
from actors.tables import CompanySettings
from actors.web import people, refusals, webhooks
from actors.web.access import Access
from actors.web.ingress import Ingress
from actors.web.views import event_view, memory_view, state_of, unanswered_view
from actors.wiring import Parts
from tests.fakes import START_MS, MemoryJournal, MemorySpending, VirtualClock, settle

PREFIX = "/api/companies/{company_id}/conversations/{conversation_id}"
KEY = Key("desk", "77")
TOKEN = {"Authorization": "Bearer a-token"}


def company(company_id: str, **table: Any) -> Company:
    settings = Settings.model_validate({"redis_url": "redis://127.0.0.1:1/0"})
    written = {"api_token": "a-token"} | table
    return company_of(company_id, CompanySettings.model_validate(written), settings)


CHATWOOT = {"base_url": "http://chat.example", "account_id": 1, "api_key": "k"}
COMPANIES = {
    made.company_id: made
    for made in (
        company("desk"),
        company("acme", chatwoot=CHATWOOT),
        company("shop", webchat=True),
        company("demo", webchat=True, webchat_agent=True),
    )
}


class Companies:
    """The companies by id."""

    def company(self, company_id: str) -> Company:
        try:
            return COMPANIES[company_id]
        except KeyError:
            raise UnknownCompany(f"company {company_id!r} is not known") from None


class CountedJournal(MemoryJournal):
    """The journal in memory, as the ingress asks it."""

    async def counters(self, key: Key) -> tuple[int, int] | None:
        entries = await self.read(key, 0)
        return (entries[-1].seq, 0) if entries else None


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


class Mail:
    """What the router was asked to deliver."""

    def __init__(self) -> None:
        self.sent: list[tuple[Key, int, bytes | None]] = []

    def deliver(self, key: Key, seq: int, raw: bytes | None) -> None:
        self.sent.append((key, seq, raw))


class Doors(Access):
    """The browser `ana` holds every web chat; tokens are as ever."""

    def __init__(self) -> None:
        """Without a Redis."""

    async def check(self, request: Request, company: Company, conversation_id: str) -> str:
        if company.webchat and request.headers.get("x-browser") == "ana":
            return "webchat"
        if company.owns_token(request.headers.get("authorization", "").removeprefix("Bearer ")):
            return "api"
        raise refusals.Refused(401, "the bearer token is missing")


class Desk:
    """The API over a journal in memory."""

    def __init__(self) -> None:
        self.journal = CountedJournal()
        self.clock = VirtualClock()
        self.mail = Mail()
        self.noted_inboxes: list[tuple[str, str]] = []
        ids = SimpleNamespace(new=lambda: "an-id")
        settings = SimpleNamespace(requests_per_replica_max=10)
        parts = cast(
            Parts,
            SimpleNamespace(
                journal=self.journal,
                clock=self.clock,
                ids=ids,
                directory=Companies(),
                settings=settings,
                redis=SimpleNamespace(register_script=lambda _: self.script),
                spending=MemorySpending(),
            ),
        )
        self.ingress = Ingress(parts, cast(Any, self.mail))
        self.app = FastAPI()
        refusals.install(self.app)
        below = APIRouter(prefix=PREFIX)
        below.include_router(people.routes(parts, self.ingress, Doors()))
        self.app.include_router(below)
        self.app.include_router(webhooks.routes(cast(Any, Companies()), self.ingress, self.clock))
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://turnwise"
        )

    async def script(self, *, keys: list[str], args: list[Any]) -> None:
        self.noted_inboxes.append((keys[0].split(":")[2], args[0]))

    async def customer_writes(self, key: Key = KEY) -> None:
        message = Message("m1", "hi", "api")
        raw = encode(MessageReceived(at_ms=START_MS, message=message))
        await self.journal.append(key, "api:m1", raw, at_ms=START_MS, largest_batch=20)

    async def post(self, action: str, body: Any = None, **options: Any) -> httpx.Response:
        company_id = options.pop("company", "desk")
        headers = options.pop("headers", TOKEN)
        path = f"/api/companies/{company_id}/conversations/77/{action}"
        return await self.http.post(path, json=body, headers=headers)

    async def noted(self, key: Key = KEY) -> list[Event]:
        """The events after the customer's message."""
        found = [decode(entry.raw) for entry in await self.journal.read(key, 0)]
        return [cast(Event, event) for event in found if not isinstance(event, MessageReceived)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    await made.http.aclose()


async def test_a_person_answers_for_the_bot(desk: Desk) -> None:
    await desk.customer_writes()
    answer = await desk.post("replies", {"text": "I am here", "name": "Bia"})
    assert answer.status_code == 202
    assert answer.json() == {
        "status": "noted",
        "company_id": "desk",
        "conversation_id": "77",
        "seq": 2,
    }
    replied = PersonReplied(at_ms=START_MS, person=FromPerson("an-id", "I am here", "api", "Bia"))
    assert await desk.noted() == [replied]
    assert desk.mail.sent == [(KEY, 2, encode(replied))], "the actor is told at once"


async def test_the_same_reply_is_one_and_a_reason_to_look(desk: Desk) -> None:
    for _ in range(2):
        answer = await desk.post("replies", {"text": "x", "message_id": "r1"})
    assert answer.json() == {
        "status": "left out",
        "company_id": "desk",
        "conversation_id": "77",
        "seq": None,
    }
    assert len(await desk.noted()) == 1
    assert [(seq, raw is None) for _, seq, raw in desk.mail.sent] == [(1, False), (1, True)]


async def test_a_customers_message_and_a_reply_of_the_same_id_are_two(desk: Desk) -> None:
    await desk.customer_writes()
    assert (await desk.post("replies", {"text": "x", "message_id": "m1"})).json()["seq"] == 2


@pytest.mark.parametrize(
    ("body", "until_ms", "reason"),
    [
        (None, None, "by hand"),
        ({}, None, "by hand"),
        ({"seconds": None, "reason": "lunch"}, None, "lunch"),
        ({"seconds": 1.5}, START_MS + 1_500, "by hand"),
    ],
)
async def test_a_pause_and_its_end(
    desk: Desk, body: Any, until_ms: int | None, reason: str
) -> None:
    await desk.customer_writes()
    assert (await desk.post("pause", body)).status_code == 202
    assert (await desk.post("resume")).status_code == 202
    assert await desk.noted() == [
        Paused(at_ms=START_MS, by="api", reason=reason, until_ms=until_ms),
        Resumed(at_ms=START_MS, by="api"),
    ]


async def test_typing_is_noted_while_something_waits_and_not_too_often(desk: Desk) -> None:
    assert (await desk.post("typing", {"on": True})).json()["status"] == "left out"
    await desk.customer_writes()
    statuses = [(await desk.post("typing", {"on": True})).json()["status"] for _ in range(3)]
    assert statuses == ["noted", "left out", "left out"]
    await desk.clock.advance(2)
    assert (await desk.post("typing", {"on": False})).json()["status"] == "noted"
    assert [event.on for event in await desk.noted() if isinstance(event, CustomerTyping)] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("company_id", "action", "body", "headers", "status", "says"),
    [
        ("desk", "replies", {"text": "x"}, {}, 401, "bearer token"),
        ("desk", "pause", {}, {}, 401, "bearer token"),
        ("desk", "resume", None, {}, 401, "bearer token"),
        ("desk", "typing", {"on": True}, {}, 401, "bearer token"),
        ("shop", "typing", {"on": True}, {"x-browser": "ana"}, 202, ""),
        ("shop", "replies", {"text": "x"}, {"x-browser": "ana"}, 403, "webchat_agent = true"),
        ("shop", "pause", {}, {"x-browser": "ana"}, 403, "webchat_agent = true"),
        ("shop", "resume", None, {"x-browser": "ana"}, 403, "webchat_agent = true"),
        ("shop", "replies", {"text": "x"}, TOKEN, 202, ""),
        ("demo", "replies", {"text": "x"}, {"x-browser": "ana"}, 202, ""),
        ("acme", "replies", {"text": "x"}, TOKEN, 409, "answers in Chatwoot"),
        ("acme", "replies", {"text": "x"}, {}, 401, "bearer token"),
        ("desk", "pause", {}, TOKEN, 404, "company desk has no conversation 77"),
        ("desk", "resume", None, TOKEN, 404, "company desk has no conversation 77"),
        ("desk", "pause", {"seconds": 0}, TOKEN, 422, "seconds: Input should be greater than 0"),
        ("desk", "pause", {"seconds": 1e12}, TOKEN, 422, "seconds: Input should be less than"),
        ("desk", "pause", {"reason": ""}, TOKEN, 422, "reason: String should have at least 1"),
        ("desk", "replies", {"text": ""}, TOKEN, 422, "text: String should have at least 1"),
        ("desk", "replies", None, TOKEN, 422, "text: Field required"),
        ("desk", "replies", {"text": "x", "message_id": "a b"}, TOKEN, 422, "message_id: String"),
        ("desk", "typing", {}, TOKEN, 422, "on: Field required"),
        ("desk", "typing", {"on": 1}, TOKEN, 422, "on: Input should be a valid boolean"),
        ("nobody", "pause", {}, TOKEN, 404, "'nobody'"),
    ],
)
async def test_who_may_do_what(
    desk: Desk,
    company_id: str,
    action: str,
    body: Any,
    headers: dict[str, str],
    status: int,
    says: str,
) -> None:
    answer = await desk.post(action, body, company=company_id, headers=headers)
    assert answer.status_code == status, answer.text
    assert says in answer.json().get("detail", "")


async def test_webhooks_are_noted_ignored_or_queued(desk: Desk) -> None:
    url = "/webhook/chatwoot/acme"
    agent = {"id": 9, "name": "Bia", "type": "user"}
    message = {"event": "message_created", "id": 1, "conversation": {"id": 77}, "content": "hi"}
    outgoing = message | {"message_type": "outgoing", "sender": agent}
    report = {"event": "conversation_updated", "id": 78, "status": "open", "updated_at": 5.5}
    answers = [
        (await desk.http.post(url, json=payload)).json()
        for payload in (outgoing, outgoing, report, {"event": "inbox_created"})
    ]
    assert answers == [
        {"status": "noted", "company_id": "acme", "conversation_id": "77", "seq": 1},
        {"status": "ignored", "reason": "it stands in the journal already"},
        {
            "status": "ignored",
            "reason": "nobody has written in this conversation yet, or it stands in the journal "
            "already",
        },
        {"status": "ignored", "reason": "event inbox_created is not answered"},
    ]
    (replied,) = await desk.noted(Key("acme", "77"))
    assert isinstance(replied, PersonReplied)
    assert replied.person == FromPerson("1", "hi", "user", "Bia")
    assert desk.mail.sent[0] == (Key("acme", "77"), 1, encode(replied))


async def test_an_inbox_is_known_by_its_customers_messages_alone(desk: Desk) -> None:
    url = "/webhook/chatwoot/acme"
    agent = {"id": 9, "name": "Bia", "type": "user"}
    message = {"event": "message_created", "id": 1, "conversation": {"id": 77}, "content": "hi"}
    for payload in (
        message | {"message_type": "outgoing", "sender": agent, "inbox": {"id": 8}},
        {"event": "conversation_updated", "id": 77, "status": "open", "inbox_id": 7},
        message | {"id": 2, "message_type": "incoming", "inbox": {"id": 5}},
        message | {"id": 3, "message_type": "incoming", "inbox": {"id": 5}},
        message | {"id": 4, "message_type": "incoming", "inbox": {"id": "x"}},
    ):
        assert (await desk.http.post(url, json=payload)).status_code == 202
    await settle()
    assert desk.noted_inboxes == [("{acme}", "5")], "once in a while"
    await desk.clock.advance(NOTED_MS / 1_000)
    again = message | {"id": 5, "message_type": "incoming", "inbox": {"id": 5}}
    await desk.http.post(url, json=again)
    await settle()
    assert len(desk.noted_inboxes) == 2


# How it is shown


STANDING = Standing("open", "user", ("vip",))
MESSAGE = Message("9", "hi", "chatwoot", via="Channel::Whatsapp", standing=STANDING)


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            MessageAmended(at_ms=5, message=MESSAGE),
            {"type": "message_amended", "message_id": "9", "text": "hi", "attachments": []},
        ),
        (
            StandingSeen(at_ms=5, standing=STANDING),
            {
                "type": "standing_seen",
                "status": "open",
                "assignee": "user",
                "labels": ["vip"],
                "blocked": False,
                "can_reply": True,
                "how": "webhook",
            },
        ),
        (
            PersonReplied(at_ms=5, person=FromPerson("3", "me", "phone app")),
            {"type": "person_replied", "text": "me", "how": "phone app", "name": ""},
        ),
        (CustomerTyping(at_ms=5, on=False), {"type": "customer_typing", "on": False}),
        (
            Paused(at_ms=5, by="api", reason="lunch"),
            {"type": "paused", "by": "api", "reason": "lunch", "until_ms": None},
        ),
        (
            HandedOver(at_ms=5, reply_id="r", answers=(1,), reason="asked"),
            {"type": "handed_over", "answers": [1], "reason": "asked"},
        ),
        (
            TurnStarted(
                at_ms=5,
                turn="t",
                covers=(1,),
                attempt=1,
                reason="quiet",
                how="single",
                join_reason="one text",
            ),
            {
                "type": "turn_started",
                "reason": "quiet",
                "early": False,
                "join": {"joined": False, "how": "single", "reason": "one text"},
            },
        ),
    ],
)
def test_an_event_is_shown_flat_and_whole(event: Event, shown: dict[str, Any]) -> None:
    view = as_json(event_view(Entry(7, encode(event))))
    assert (view["seq"], view["at_ms"]) == (7, 5)
    assert {name: view[name] for name in shown} == shown


async def test_the_memory_says_who_has_the_word_and_why_the_bot_is_silent() -> None:
    person = FromPerson("3", "me", "user", "Bia")
    events: list[Event] = [
        MessageReceived(at_ms=1, message=MESSAGE),
        PersonReplied(at_ms=2, person=person),
        Paused(at_ms=3, by="api", reason="lunch", until_ms=9),
    ]
    entries = tuple(Entry(seq, encode(event)) for seq, event in enumerate(events, 1))
    state = state_of(Replay(3, b"", entries))
    shown = memory_view(state.memory, COMPANIES["desk"], now_ms=5)
    assert shown["standing"]["assignee"] == "user"
    assert shown["taken"] == {"at_ms": 2, "reason": "Bia answered"}
    assert shown["pause"] == {"reason": "lunch", "until_ms": 9}
    assert shown["silence"] == {"reason": "paused: lunch", "until_ms": 9}
    later = memory_view(state.memory, COMPANIES["desk"], now_ms=9)
    assert later["silence"] == {
        "reason": "the conversation is assigned to a person",
        "until_ms": None,
    }
    assert [row["text"] for row in unanswered_view(state, 5)["unanswered"]] == ["hi"]
    nothing = memory_view(state_of(Replay(0, b"", ())).memory, COMPANIES["desk"], 5)
    assert as_json(nothing) == {
        "standing": {
            "status": "",
            "assignee": "",
            "labels": [],
            "blocked": False,
            "can_reply": True,
            "changed_ms": 0,
        },
        "taken": None,
        "pause": None,
        "silence": None,
        "customer_typing": False,
    }
