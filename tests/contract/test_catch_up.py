"""The catch-up over real Redis servers and a Chatwoot in memory: once, and only where it may."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from actors.channels.chatwoot_archive import Archive
from actors.channels.chatwoot_people import MARKER
from actors.channels.inboxes import CONNECTED_MS, INBOXES_MAX, NOTED_MS, Inbox, Inboxes, account_key
from actors.channels.message import Message
from actors.companies.company import Company, UnknownCompany
from actors.companies.making import company_of
from actors.conversation.events import (
    Event,
    MessageMissed,
    MessageReceived,
    PersonReplied,
    ReplyCommitted,
    StandingSeen,
    Unknown,
    decode,
    encode,
)
from actors.journal.entries import Appended, Write
from actors.journal.keys import SLOTS, Key
from actors.journal.stream import Journal
from actors.maintenance.catch_up import CatchUp, CaughtUp, as_text
from actors.maintenance.progress import ProgressStore
from actors.maintenance.search import Found
from actors.settings import Settings
from actors.tables import CompanySettings
from actors.web import catch_up as catch_up_api
from actors.web import refusals
from actors.web.access import Access
from actors.wiring import Parts
from tests.fakes import VirtualClock
from tests.peers import CONVERSATIONS_PAGE, Peers, application

HOUR_S = 3_600
CHATWOOT = {"base_url": "http://chat.example", "account_id": 1, "api_key": "k"}
WAITING_MAX = 5


def company(company_id: str = "acme", **table: Any) -> Company:
    written = {"chatwoot": CHATWOOT, "api_token": "a-token", "waiting_max": 1_000} | table
    return company_of(company_id, CompanySettings.model_validate(written), Settings())


class SlowArchive(Archive):
    """Every call takes its time, on the virtual clock."""

    clock: VirtualClock
    call_s = 0.0

    async def _get(self, url: str, params: dict[str, str], what: str) -> dict[str, Any]:
        await self.clock.advance(self.call_s)
        return await super()._get(url, params, what)


class World:
    """A Chatwoot, a Redis, and the companies that are caught up."""

    def __init__(self, redis: Redis, *companies: Company) -> None:
        self.redis = redis
        self.clock = VirtualClock()
        self.journal = Journal(redis, waiting_max=WAITING_MAX)
        self.peers = Peers()
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(application(self.peers)))
        self.delivered: list[tuple[Key, int]] = []
        self.companies = {each.company_id: each for each in companies}
        self.call_s = 0.0
        numbers = itertools.count()
        directory = SimpleNamespace(company=self._company)
        self.parts = cast(
            Parts,
            SimpleNamespace(
                redis=redis,
                clock=self.clock,
                journal=self.journal,
                ids=SimpleNamespace(new=lambda: f"id-{next(numbers)}"),
                directory=_Iterable(self, directory),
                personas=SimpleNamespace(archive=self._archive),
                settings=SimpleNamespace(admin_token=None),
            ),
        )
        self.catch_up = CatchUp(self.parts, lambda key, seq, _: self._deliver(key, seq))

    def _deliver(self, key: Key, seq: int) -> None:
        self.delivered.append((key, seq))

    def _company(self, company_id: str) -> Company:
        try:
            return self.companies[company_id]
        except KeyError:
            raise UnknownCompany(f"company {company_id!r} is not known") from None

    def _archive(self, company: Company) -> Archive | None:
        if company.chatwoot is None:
            return None
        archive = SlowArchive(self.http, company.chatwoot)
        archive.clock, archive.call_s = self.clock, self.call_s
        return archive

    @property
    def now_s(self) -> int:
        return self.clock.now_ms() // 1_000

    def wrote(self, conversation: int, ago_s: int = 60, **fields: Any) -> int:
        """A customer wrote, and no webhook told of it. The message's id."""
        fields = {"content": "hi", "created_at": self.now_s - ago_s, **fields}
        number: int = self.peers.write(str(conversation), **fields)["id"]
        return number

    def answered(self, conversation: int, ago_s: int = 50, **fields: Any) -> int:
        fields = {"content": "I am here", "created_at": self.now_s - ago_s, **fields}
        number: int = self.peers.answer(str(conversation), **fields)["id"]
        return number

    async def connect(self, *inboxes: int, company_id: str = "acme", ago_s: int = 86_400) -> None:
        """Webhooks came from these inboxes, for the first time so long ago and just now."""
        account = self.companies[company_id].chatwoot
        assert account is not None
        key, now_ms = account_key(company_id, account), self.clock.now_ms()
        memory = Inboxes(self.redis, self.clock)
        for inbox in inboxes:
            for at_ms in (now_ms - ago_s * 1_000, now_ms):
                await memory.note(key, str(inbox), at_ms)

    async def webhook(self, conversation: int, number: int, company_id: str = "acme") -> bool:
        """The webhook of a message comes; whether it was news."""
        event = MessageReceived(
            at_ms=self.clock.now_ms(), message=Message(str(number), "hi", "chatwoot")
        )
        appended = await self.journal.append(
            Key(company_id, str(conversation)),
            f"chatwoot:{number}",
            encode(event),
            at_ms=event.at_ms,
            largest_batch=20,
        )
        assert isinstance(appended, Appended)
        return appended.fresh

    async def search(self, company_id: str = "acme", seconds: float = 60) -> Found:
        return await self.catch_up.search(self.companies[company_id], seconds)

    async def events(self, conversation: int, company_id: str = "acme") -> list[Event | Unknown]:
        entries = await self.journal.read(Key(company_id, str(conversation)), after=0)
        return [decode(entry.raw) for entry in entries]

    async def told(self, conversation: int, company_id: str = "acme") -> list[str]:
        """The journal, a word an event."""
        return [word(event) for event in await self.events(conversation, company_id)]

    async def unanswered(self) -> int:
        return sum((await self.journal.loads(range(SLOTS))).values())


class _Iterable:
    """The directory: asked for one company, or gone through."""

    def __init__(self, world: World, directory: SimpleNamespace) -> None:
        self._world = world
        self.company = directory.company

    def __iter__(self) -> Any:
        return iter(self._world.companies.values())


def word(event: Event | Unknown) -> str:
    match event:
        case MessageReceived(message=message, how=how):
            return f"{message.message_id} {how}"
        case MessageMissed(message=message, reason=reason):
            return f"{message.message_id} missed: {reason}"
        case PersonReplied(person=person):
            return f"{person.message_id} person"
        case StandingSeen(standing=standing, how=how):
            return f"{standing.status} {how}"
    return type(event).__name__


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def world(redis: Redis) -> AsyncIterator[World]:
    made = World(redis, company())
    yield made
    await made.http.aclose()


# What is found.


async def test_what_no_webhook_told_of_is_taken_once_and_its_actor_told(world: World) -> None:
    await world.connect(5)
    first, second = world.wrote(321, 120), world.wrote(321, 60)
    found = await world.search()
    assert found == Found("acme", inboxes=("5",), conversations=1, to_answer=2, calls=found.calls)
    assert await world.told(321) == [f"{first} caught up", f"{second} caught up"]
    assert world.delivered == [(Key("acme", "321"), 2)], "at once, when all of it is there"
    event = (await world.events(321))[0]
    assert isinstance(event, MessageReceived) and event.message.standing is not None
    assert event.message.standing.status == "pending"
    assert event.message.via == "Channel::Whatsapp"
    assert event.written_ms == (world.now_s - 120) * 1_000
    assert (await world.search()).to_answer == 0
    assert not await world.webhook(321, first), "a webhook that comes later is no news"
    assert await world.unanswered() == 2


async def test_a_webhook_that_came_before_is_no_find(world: World) -> None:
    await world.connect(5)
    number = world.wrote(321)
    assert await world.webhook(321, number)
    assert (await world.search()).to_answer == 0
    assert await world.told(321) == [f"{number} delivered"]


async def test_a_conversation_is_looked_into_whenever_somebody_wrote(world: World) -> None:
    await world.connect(5)
    numbers = []
    for _ in range(3):
        numbers.append(world.wrote(321))
        assert (await world.search()).to_answer == 1
        again = await world.search()
        assert (again.conversations, again.to_answer) == (0, 0), "nothing is new there"
        await world.clock.advance(180)
    assert await world.told(321) == [f"{number} caught up" for number in numbers]


async def test_a_hole_between_messages_that_came_is_filled(world: World) -> None:
    await world.connect(5)
    numbers = [world.wrote(321) for _ in range(3)]
    await world.webhook(321, numbers[0])
    await world.webhook(321, numbers[2])
    assert (await world.search()).to_answer == 1
    assert (await world.told(321))[2] == f"{numbers[1]} caught up"


async def test_what_is_younger_is_left_to_its_webhook_and_found_the_next_time(
    world: World,
) -> None:
    await world.connect(5)
    number = world.wrote(321, ago_s=1)
    assert (await world.search()).young == 1
    assert await world.told(321) == []
    await world.clock.advance(30)
    assert (await world.search()).to_answer == 1
    assert await world.told(321) == [f"{number} caught up"]


async def test_long_conversations_are_read_page_by_page(world: World) -> None:
    await world.connect(5)
    numbers = [world.wrote(321, 600 - place) for place in range(45)]
    for number in numbers[5:]:
        world.journal = Journal(world.redis, waiting_max=100)
        await world.webhook(321, number)
    found = await world.search()
    assert found.to_answer == 0 and found.state == "full"
    epoch = (await world.journal.activate(Key("acme", "321"), "me")).epoch
    await world.journal.record(
        Key("acme", "321"), Write(epoch, 1, (b"{}",), settled=tuple(range(1, 41)))
    )
    found = await world.search()
    assert (found.state, found.to_answer) == ("complete", 5)
    assert (await world.told(321))[-5:] == [f"{number} caught up" for number in numbers[:5]]


# Who answered it.


async def test_what_a_person_answered_is_not_answered_again(world: World) -> None:
    await world.connect(5)
    first, reply = world.wrote(321, 120), world.answered(321, 100)
    world.peers.conversations["321"]["status"] = "open"
    found = await world.search()
    assert (found.missed, found.people, found.to_answer) == (1, 1, 0)
    assert await world.told(321) == [
        f"{first} missed: Bia had answered",
        f"{reply} person",
        "open caught up",
    ]
    assert await world.unanswered() == 0
    assert not await world.webhook(321, first), "nor when its webhook comes late"
    assert await world.unanswered() == 0


async def test_what_is_written_after_a_person_waits_for_the_rules(world: World) -> None:
    await world.connect(5)
    first, reply, second = world.wrote(321, 120), world.answered(321, 100), world.wrote(321, 80)
    await world.search()
    assert await world.told(321) == [
        f"{first} missed: Bia had answered",
        f"{reply} person",
        f"{second} caught up",
    ]
    replied = (await world.events(321))[1]
    assert replied.at_ms == (world.now_s - 100) * 1_000  # type: ignore[union-attr]


async def test_another_bots_answer_is_one(world: World) -> None:
    await world.connect(5)
    first = world.wrote(321)
    world.answered(321, sender={"id": 8, "name": "Other", "type": "agent_bot"})
    assert (await world.search()).to_answer == 0
    assert await world.told(321) == [
        f"{first} missed: another bot had answered",
        "pending caught up",
    ]


@pytest.mark.parametrize("lost", [False, True])
async def test_our_own_answer_counts_where_the_journal_has_lost_it(
    world: World, *, lost: bool
) -> None:
    await world.connect(5)
    hole, known = world.wrote(321), world.wrote(321)
    world.answered(321, content_attributes={MARKER: "r1"})
    if not lost:
        key = Key("acme", "321")
        await world.webhook(321, known)
        committed = ReplyCommitted(
            at_ms=5,
            reply_id="r1",
            turn="t",
            answers=(1,),
            text="x",
            channel="chatwoot",
            after_message_id=str(known),
        )
        epoch = (await world.journal.activate(key, "me")).epoch
        await world.journal.record(key, Write(epoch, 1, (encode(committed),), settled=(1,)))
    found = await world.search()
    assert (found.to_answer, found.missed) == ((0, 2) if lost else (1, 0))
    assert (f"{hole} caught up" in await world.told(321)) != lost


async def test_what_is_too_old_is_noted_beside_what_is_not(world: World) -> None:
    await world.connect(5)
    await world.search()
    await world.clock.advance(9 * HOUR_S)
    old, young = world.wrote(321, 8 * HOUR_S), world.wrote(321)
    world.wrote(322, 8 * HOUR_S)
    found = await world.search()
    assert (found.to_answer, found.missed) == (1, 1)
    assert await world.told(321) == [
        f"{old} missed: it was written 8.0 h ago, the limit is 6 h",
        f"{young} caught up",
    ]
    assert await world.told(322) == [], "a conversation that rests for so long is left alone"


# Where it looks.


async def test_only_connected_inboxes_are_searched(world: World) -> None:
    await world.connect(5)
    world.wrote(321)
    world.peers.conversations["322"]["inbox_id"] = 6
    world.wrote(322)
    found = await world.search()
    assert (found.inboxes, found.to_answer) == (("5",), 1)
    assert await world.told(322) == []
    world.companies["acme"] = company(catch_up_inboxes=["6", "007"])
    found = await world.search()
    assert (found.inboxes, found.to_answer) == (("5", "6", "7"), 1)
    assert len(await world.told(322)) == 1


async def test_a_chatwoot_that_lists_every_inbox_changes_nothing(world: World) -> None:
    class Careless(Peers):
        def page(self, account: int, query: dict[str, str]) -> list[dict[str, Any]]:
            return super().page(account, {**query, "inbox_id": "6"})

    world.peers = Careless()
    await world.http.aclose()
    world.http = httpx.AsyncClient(transport=httpx.ASGITransport(application(world.peers)))
    await world.connect(5)
    world.peers.conversations["322"]["inbox_id"] = 6
    world.wrote(322)
    assert (await world.search()).to_answer == 0
    assert await world.told(322) == []


async def test_what_was_written_before_the_inbox_was_connected_is_left_alone(
    world: World,
) -> None:
    await world.connect(5, ago_s=100)
    world.wrote(321, 200)
    after = world.wrote(321, 50)
    world.wrote(322, 200)
    assert (await world.search()).to_answer == 1
    assert await world.told(321) == [f"{after} caught up"]
    world.companies["acme"] = company(catch_up_inboxes=[5])
    assert (await world.search()).to_answer == 1, "unless it is named"
    assert len(await world.told(322)) == 1


async def test_without_an_inbox_nothing_is_asked(world: World) -> None:
    world.wrote(321)
    found = await world.search()
    assert (found.state, found.calls, found.inboxes) == ("no inbox", 0, ())
    assert "catch_up_inboxes" in found.reason


async def test_an_inbox_that_fell_silent_is_not_searched_any_more(world: World) -> None:
    await world.connect(5)
    await world.search()
    await world.clock.advance(CONNECTED_MS / 1_000 + 60)
    world.wrote(321)
    assert (await world.search()).to_answer == 1, "we were down so long: no webhook could come"
    world.wrote(321)
    assert (await world.search()).state == "no inbox"


async def test_another_accounts_inboxes_are_others(world: World) -> None:
    await world.connect(5)
    world.companies["acme"] = company(chatwoot=CHATWOOT | {"account_id": 2})
    world.wrote(321, account=2)
    assert (await world.search()).state == "no inbox"


# Bounds, refusals, two at once.


async def test_a_bots_token_says_so_and_does_nothing(world: World) -> None:
    await world.connect(5)
    world.wrote(321)
    world.peers.bot_token = True
    found = await world.search()
    assert (found.state, found.to_answer) == ("refused", 0)
    assert "agent bot's" in found.reason and "user's" in found.reason
    with pytest.raises(Exception, match="company acme: the token"):
        as_text(found)
    world.peers.bot_token = False
    assert (await world.search()).to_answer == 1


async def test_it_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.connect(5)
    world.peers.bot_token = True
    caplog.set_level("WARNING")
    for _ in range(3):
        assert (await world.catch_up.run_once()).unfinished == 1
    assert [r.message for r in caplog.records if "agent bot's" in r.message][1:] == []
    assert caplog.text.count("agent bot's") == 1


@pytest.mark.parametrize(("headers", "wait_s"), [({}, 60), ({"Retry-After": "90"}, 90)])
async def test_a_chatwoot_that_asks_for_peace_has_it(
    world: World, headers: dict[str, str], wait_s: int
) -> None:
    await world.connect(5)
    world.wrote(321)
    world.peers.faults["conversations"].append({"status": 429, "headers": headers})
    found = await world.search()
    assert (found.state, found.calls) == ("waiting", 1)
    await world.clock.advance(wait_s - 1)
    found = await world.search()
    assert (found.state, found.calls) == ("waiting", 0)
    await world.clock.advance(1)
    assert (await world.search()).to_answer == 1


@pytest.mark.parametrize("kind", ["conversations", "list"])
async def test_a_chatwoot_that_fails_is_asked_again_the_next_time(world: World, kind: str) -> None:
    await world.connect(5)
    world.wrote(321)
    world.peers.faults[kind].append({"status": 502})
    found = await world.search()
    assert (found.state, found.to_answer) == ("waiting", 0)
    assert (await world.search()).to_answer == 1


async def test_a_conversation_that_cannot_be_read_stops_no_other(world: World) -> None:
    await world.connect(5)
    world.wrote(321)
    world.wrote(322)
    world.peers.faults["list"].append({"status": 404})
    found = await world.search()
    assert (found.state, found.to_answer) == ("complete", 1)


async def test_a_run_that_reaches_its_bound_is_gone_on_with(world: World) -> None:
    """Sixty conversations, and a second a call: no run sees them all, and none is seen twice."""
    await world.connect(5)
    conversations = range(1_000, 1_000 + 2 * CONVERSATIONS_PAGE + 10)
    for place, conversation in enumerate(conversations):
        world.wrote(conversation, 300 - place)
    world.call_s = 1
    states, taken = [], 0
    for _ in range(20):
        found = await world.search(seconds=15)
        states.append(found.state)
        taken += found.to_answer
        assert found.calls <= 15
        if found.state == "complete":
            break
        # Somebody writes meanwhile: the list moves.
        world.wrote(1_000 + len(states), 30)
    assert states[0] == "goes on" and states[-1] == "complete"
    pages = [int(query["page"]) for query in world.peers.queries]
    assert (3, 2) in itertools.pairwise(pages), "a run goes on a page before the last one's"
    assert taken == await world.unanswered() == len(conversations) + len(states) - 1
    assert len(set(world.delivered)) == len(world.delivered)


async def test_messages_of_a_search_in_progress_wait_for_the_next_one_only(world: World) -> None:
    await world.connect(5)
    for conversation in range(1_000, 1_000 + CONVERSATIONS_PAGE):
        world.wrote(conversation, 200)
    world.call_s = 1
    assert (await world.search(seconds=20)).state == "goes on"
    late = world.wrote(2_000, 30)
    assert (await world.search(seconds=60)).state == "complete"
    assert await world.told(2_000) == [f"{late} caught up"]


async def test_a_full_company_takes_no_more_and_goes_on_later(world: World) -> None:
    world.companies["acme"] = company(waiting_max=2)
    await world.connect(5)
    for conversation in (321, 322, 323):
        world.wrote(conversation)
    found = await world.search()
    assert (found.state, found.to_answer) == ("full", 2)
    assert "WAITING_PER_COMPANY_MAX" in found.reason
    world.companies["acme"] = company()
    found = await world.search()
    assert (found.state, found.to_answer) == ("complete", 1)


async def test_a_full_conversation_is_told_of_what_it_has(world: World) -> None:
    await world.connect(5)
    for _ in range(WAITING_MAX + 1):
        world.wrote(321)
    found = await world.search()
    assert (found.state, found.to_answer) == ("full", WAITING_MAX)
    assert "WAITING_PER_CONVERSATION_MAX" in found.reason
    assert world.delivered == [(Key("acme", "321"), WAITING_MAX)]


async def test_two_runs_at_once_are_one(world: World) -> None:
    await world.connect(5)
    for conversation in range(1_000, 1_010):
        world.wrote(conversation)
    found = await asyncio.gather(*(world.search() for _ in range(3)))
    assert sorted(one.state for one in found) == ["busy", "busy", "complete"]
    assert sum(one.to_answer for one in found) == await world.unanswered() == 10


async def test_two_runs_whose_lock_was_lost_do_no_harm(world: World) -> None:
    await world.connect(5)
    for conversation in range(1_000, 1_010):
        world.wrote(conversation)

    class Unlocked(ProgressStore):
        async def read(self, key: str) -> Any:
            await world.redis.delete(f"{key}:lock")
            return await super().read(key)

    world.catch_up._store = Unlocked(world.redis)
    found = await asyncio.gather(*(world.search() for _ in range(3)))
    assert sum(one.to_answer for one in found) == await world.unanswered() == 10


async def test_every_company_has_its_turn(world: World) -> None:
    for name in ("acme", "bolt", "off"):
        world.companies[name] = company(name, catch_up=name != "off")
        await world.connect(5, company_id=name)
    world.companies["none"] = company("none", chatwoot=None)
    world.wrote(321)
    assert await world.catch_up.run_once() == CaughtUp(2, 0, 2, 0, 0)
    assert len(await world.told(321, "bolt")) == 1
    assert await world.told(321, "off") == []
    assert (await world.search("off")).to_answer == 1, "by hand it can be in any case"


# Which inboxes are known.


async def test_an_inbox_is_known_since_its_first_message(redis: Redis) -> None:
    memory = Inboxes(redis, VirtualClock())
    await memory.note("k", "5", 1_000)
    await memory.note("k", "5", 9_000)
    assert await memory.known("k") == {"5": Inbox(1_000, 9_000)}
    then_ms = 9_000 + CONNECTED_MS
    await memory.note("k", "5", then_ms)
    assert (await memory.known("k"))["5"].since_ms == 1_000
    await memory.note("k", "5", then_ms + CONNECTED_MS + 1)
    assert (await memory.known("k"))["5"].since_ms == then_ms + CONNECTED_MS + 1, "as a new one"


async def test_those_silent_for_longest_make_room(redis: Redis) -> None:
    memory = Inboxes(redis, VirtualClock())
    for number in range(INBOXES_MAX + 3):
        await memory.note("k", str(number), 1_000 + number)
    assert set(await memory.known("k")) == {str(n) for n in range(3, INBOXES_MAX + 3)}


async def test_webhooks_are_noted_without_waiting(world: World) -> None:
    memory, account = Inboxes(world.redis, world.clock), world.companies["acme"].chatwoot
    assert account is not None
    key = account_key("acme", account)
    memory.heard("acme", account, "5")
    memory.heard("acme", account, "not a number")
    await asyncio.gather(*memory._under_way)
    assert set(await memory.known(key)) == {"5"}
    memory.heard("acme", account, "5")
    assert not memory._under_way, "not with every message"
    await world.clock.advance(NOTED_MS / 1_000)
    memory.heard("acme", account, "5")
    await asyncio.gather(*memory._under_way)
    assert (await memory.known(key))["5"].last_ms == world.clock.now_ms()


# By hand.


async def call(world: World, company_id: str = "acme", token: str = "a-token") -> httpx.Response:
    app = FastAPI()
    refusals.install(app)
    access = Access(world.redis, world.clock, world.parts.ids)
    router = cast(Any, SimpleNamespace(deliver=lambda key, seq, _: world._deliver(key, seq)))
    app.include_router(catch_up_api.routes(world.parts, router, access))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        headers = {"Authorization": f"Bearer {token}"}
        return await http.post(f"/api/companies/{company_id}/catch-up", headers=headers)


async def test_the_api_answers_what_was_found(world: World) -> None:
    await world.connect(5)
    number = world.wrote(321)
    answer = await call(world)
    assert answer.status_code == 200
    said = answer.json()
    assert (said["state"], said["to_answer"], said["inboxes"]) == ("complete", 1, ["5"])
    assert await world.told(321) == [f"{number} caught up"]
    assert len(world.delivered) == 1
    world.peers.bot_token = True
    said = (await call(world)).json()
    assert said["state"] == "refused" and "agent bot's" in said["reason"]


@pytest.mark.parametrize(
    ("company_id", "token", "status", "says"),
    [
        ("acme", "wrong", 401, "bearer token"),
        ("nobody", "a-token", 404, "'nobody'"),
        ("none", "a-token", 404, "has no Chatwoot"),
    ],
)
async def test_the_api_refuses_with_a_reason(
    world: World, company_id: str, token: str, status: int, says: str
) -> None:
    world.companies["none"] = company("none", chatwoot=None)
    answer = await call(world, company_id, token)
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True)


def test_what_was_found_is_told_in_words() -> None:
    text = as_text(Found("acme", "goes on", "the time of one run is over", ("5",), to_answer=3))
    assert text.startswith("acme: goes on: the time of one run is over\n")
    assert "to be answered        3" in text
