"""A company floods, through the real ingress and hosts: it is slowed, the others are not."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from actors.channels.message import Message
from actors.companies.company import BrokenCompany, Company, UnknownCompany
from actors.companies.making import company_of
from actors.conversation.host import Delivery, Host
from actors.conversation.ports import Persona, Ports
from actors.errors import Permanent, Retryable
from actors.journal.ages import Oldest, oldest_by_company
from actors.journal.entries import Unanswered
from actors.journal.keys import SLOTS, Key
from actors.maintenance.chores import OVERDUE_TOLD_MAX, Sweep
from actors.settings import Settings
from actors.tables import CompanySettings
from actors.web import refusals, status
from actors.web.access import Access
from actors.web.ingress import Accepted, Ingress
from actors.web.refusals import Refused
from actors.wiring import Parts
from tests.fakes import START_MS, MemoryChannel, ScriptedModel, World


def company(company_id: str, **table: Any) -> Company:
    settings = Settings.model_validate({"redis_url": "redis://127.0.0.1:1/0"})
    return company_of(company_id, CompanySettings.model_validate(table), settings)


class Town:
    """Several companies behind one ingress and one host; each has a model of its own, all share the
    process. Time is virtual."""

    def __init__(self, *companies: Company) -> None:
        self.world = World()
        self.clock = self.world.clock
        self.journal = self.world.journal
        self.spending = self.world.spending
        self.companies = {company.company_id: company for company in companies}
        self.channels = {company.company_id: MemoryChannel() for company in companies}
        self.models = {company.company_id: ScriptedModel(self.clock) for company in companies}
        self.broken: set[str] = set()
        ports = self.world.ports
        shared = ports.personas.persona("")
        self.personas = {
            company.company_id: Persona(
                pace=shared.pace,
                manners=shared.manners,
                voice=shared.voice,
                responder=self.models[company.company_id],
                channels={"chatwoot": self.channels[company.company_id]},
                reader=shared.reader,
                lead=shared.lead,
                line=self.world.lines.of(company),
                part_chars=shared.part_chars,
            )
            for company in companies
        }
        self.host = Host(
            Ports(self.journal, self, self.clock, ports.dice, ports.tally, ports.history_tokens),
            range(SLOTS),
        )
        parts = SimpleNamespace(
            journal=self.journal,
            dead_letters=self.journal,
            clock=self.clock,
            spending=self.spending,
            redis=SimpleNamespace(register_script=lambda _: None),
            directory=self,
            settings=SimpleNamespace(requests_per_replica_max=10),
        )
        self.parts = cast(Parts, parts)
        self.ingress = Ingress(self.parts, cast(Any, self))
        self.number = 0

    # It stands for the directory, the personas and the router.

    def company(self, company_id: str) -> Company:
        if company_id in self.broken:
            raise BrokenCompany(f"companies.{company_id}: is wrong")
        try:
            return self.companies[company_id]
        except KeyError:
            raise UnknownCompany(f"company {company_id!r} is not known") from None

    def ids(self) -> list[str]:
        return sorted(self.companies)

    def persona(self, company_id: str) -> Persona:
        try:
            return self.personas[company_id]
        except KeyError:
            raise Permanent(f"company {company_id!r} is not known") from None

    def deliver(self, key: Key, seq: int, raw: bytes | None) -> None:
        self.host.deliver([Delivery(key, seq, raw)])

    async def turns(self) -> tuple[dict[str, tuple[int, int]], list[str]]:
        counts = {name: (runs, waits) for name, runs, waits in self.world.lines.counts()}
        return counts, []

    async def writes(self, company_id: str, conversation: int, name: str = "") -> Accepted:
        self.number += 1
        name = name or str(self.number)
        message = Message(name, "hello", "chatwoot")
        with self.ingress.counted(company_id):
            return await self.ingress.accept(
                self.companies[company_id], str(conversation), message, f"chatwoot:{name}"
            )

    def waits_s(self, company_id: str) -> list[float]:
        """From the arrival of each answered message to its answer, in the order of answers."""
        posts = self._posts(company_id)
        return [(answered_ms - arrived_ms) / 1_000 for answered_ms, arrived_ms in posts]

    def _posts(self, company_id: str) -> list[tuple[int, int]]:
        found = []
        for key, entries in self.journal._entries.items():
            if key.company_id != company_id:
                continue
            events = [json.loads(entry.raw) for entry in entries]
            arrived = [event["at_ms"] for event in events if event["type"] == "message_received"]
            sent = [event["at_ms"] for event in events if event["type"] == "reply_sent"]
            found += list(zip(sent, arrived, strict=False))
        return sorted(found)


LIMITS = {"turns_at_once_max": 5, "messages_per_minute_max": 120, "tokens_per_minute_max": 3_000}


async def quiet_company(town: Town, *, flood: bool) -> tuple[list[float], int]:
    """What `calm`'s customers wait while `loud` floods, or not; and how often `loud` was refused.

    One message of `calm` every 2 s for a minute; 20 of `loud` between two of them.
    """
    refused = conversation = 0
    for place in range(30):
        await town.writes("calm", place)
        for _ in range(20 if flood else 0):
            conversation += 1
            try:
                await town.writes("loud", 1_000 + conversation)
            except Refused as error:
                assert error.status == 429 and int(error.headers["Retry-After"]) >= 1
                assert "messages_per_minute_max" in error.detail
                refused += 1
        await town.clock.advance(2)
    await town.clock.advance(60)
    return town.waits_s("calm"), refused


async def test_a_flood_is_slowed_and_nobody_else_is() -> None:
    alone, refused = await quiet_company(
        Town(company("loud", **LIMITS), company("calm")), flood=False
    )
    assert refused == 0 and len(alone) == 30
    town = Town(company("loud", **LIMITS), company("calm"))
    beside, refused = await quiet_company(town, flood=True)
    assert beside == alone == [12.0] * 30, "the window and the model, to the millisecond"
    assert 600 - 120 - 120 <= refused <= 600 - 120 - 110, "a minute's worth, and what drained"
    assert town.models["loud"].most_running == 5
    await town.clock.advance(600)
    assert len(town.waits_s("loud")) == 600 - refused, "what was taken in is answered"
    assert max(town.waits_s("loud")) > 30


async def test_without_limits_a_hanging_model_leaves_half_a_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.conversation.line.TURNS_MAX", 6)
    monkeypatch.setattr("actors.conversation.line.TURNS_PER_COMPANY_MAX", 3)
    town = Town(company("loud"), company("calm"))
    town.models["loud"].delay_s = 1_000
    for conversation in range(50):
        await town.writes("loud", conversation)
    await town.clock.advance(20)
    await town.writes("calm", 1)
    await town.clock.advance(13)
    assert town.waits_s("calm") == [12.0]
    assert await town.turns() == ({"loud": (3, 47)}, [])


# The ingress.


async def test_a_duplicate_is_no_message_of_the_minute() -> None:
    town = Town(company("acme", messages_per_minute_max=2))
    first = await town.writes("acme", 1, "m1")
    for _ in range(5):
        again = await town.writes("acme", 1, "m1")
        assert (again.status, again.seq) == ("duplicate", first.seq)
    assert (await town.writes("acme", 1, "m2")).status == "queued"
    with pytest.raises(Refused) as refused:
        await town.writes("acme", 1, "m3")
    assert refused.value.detail == (
        "company acme sends more than 2 messages a minute, MESSAGES_PER_MINUTE_MAX (or "
        "messages_per_minute_max, in its table) allows no more"
    )
    assert refused.value.headers == {"Retry-After": "30"}
    assert (await town.writes("acme", 1, "m2")).status == "duplicate", "it stands in the journal"
    await town.clock.advance(30)
    assert (await town.writes("acme", 1, "m3")).status == "queued"


async def test_a_duplicate_is_taken_where_too_many_wait() -> None:
    town = Town(company("acme", waiting_max=1))
    await town.writes("acme", 1, "m1")
    with pytest.raises(Refused, match="1 unanswered messages"):
        await town.writes("acme", 1, "m2")
    assert (await town.writes("acme", 1, "m1")).status == "duplicate"


async def test_a_full_conversation_costs_nothing_of_the_minute() -> None:
    town = Town(company("acme", messages_per_minute_max=150))
    for place in range(100):
        await town.writes("acme", 1, f"m{place}")
    for _ in range(60):
        with pytest.raises(Refused, match="WAITING_PER_CONVERSATION_MAX"):
            await town.writes("acme", 1)
    assert (await town.writes("acme", 2)).status == "queued"


async def test_without_a_limit_nothing_is_counted() -> None:
    town = Town(company("acme"))
    for place in range(50):
        await town.writes("acme", place)
    assert town.spending.levels == {}


async def test_while_redis_is_away_a_message_is_charged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    town = Town(company("acme", messages_per_minute_max=1))
    town.spending.faults = [Retryable("Redis is away", doubtful=True)] * 3
    append, failures = town.journal.append, 3

    async def fails_at_first(*args: Any, **named: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Retryable("Redis is away", doubtful=True)
        return await append(*args, **named)

    monkeypatch.setattr(town.journal, "append", fails_at_first)
    task = asyncio.create_task(town.writes("acme", 1))
    await town.clock.advance(1)
    assert (await task).status == "queued"
    assert town.spending.charged == [1]


# The headline figure.


def test_the_oldest_of_each_company() -> None:
    owing = [
        Unanswered(Key("a", "1"), 50),
        Unanswered(Key("b", "9"), 40),
        Unanswered(Key("a", "2"), 30),
        Unanswered(Key("a", "3"), 60),
    ]
    assert oldest_by_company(owing) == {"a": Oldest("2", 30, 3), "b": Oldest("9", 40, 1)}
    assert oldest_by_company([]) == {}


class Web:
    """The status over HTTP."""

    def __init__(self, town: Town) -> None:
        app = FastAPI()
        refusals.install(app)
        admin = Settings.model_validate({"admin_token": "the-operator-token"}).admin_token
        access = Access(cast(Any, None), town.clock, cast(Any, None), admin)
        app.include_router(status.routes(town.parts, town, access))
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://turnwise"
        )

    async def get(self, path: str, token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.get(f"/api/{path}", headers=headers)


async def test_the_status_of_companies() -> None:
    town = Town(
        company("loud", api_token="loud-token", turns_at_once_max=1),
        company("calm", api_token="calm-token"),
    )
    web = Web(town)
    for conversation in range(3):
        await town.writes("loud", conversation)
        await town.clock.advance(1)
    await town.clock.advance(8)
    found = await web.get("companies/loud/status", "loud-token")
    assert found.status_code == 200
    assert found.json() == {
        "company_id": "loud",
        "oldest_unanswered_age_s": 11.0,
        "oldest_unanswered_in": "0",
        "unanswered_conversations": 3,
        "unanswered_messages": 3,
        "turns_running": 1,
        "turns_in_line": 1,
        "dead_letters": 0,
        "limits": {
            "turns_at_once_max": 1,
            "messages_per_minute_max": None,
            "tokens_per_minute_max": None,
            "waiting_max": 10_000,
        },
        "at_ms": START_MS + 11_000,
        "hosts_silent": [],
        "is_whole": True,
    }
    calm = (await web.get("companies/calm/status", "calm-token")).json()
    assert (calm["oldest_unanswered_age_s"], calm["turns_running"]) == (None, 0)
    everybody = (await web.get("status", "the-operator-token")).json()
    assert everybody["oldest_unanswered_age_s"] == 11.0
    assert [each["company_id"] for each in everybody["companies"]] == ["loud", "calm"]
    await town.clock.advance(1)
    assert (await web.get("status", "the-operator-token")).json() == everybody, "for a moment"
    await town.clock.advance(60)
    later = (await web.get("status", "the-operator-token")).json()
    assert later["oldest_unanswered_age_s"] is None
    await web.http.aclose()


async def test_whose_status_who_may_see() -> None:
    town = Town(company("loud", api_token="loud-token"), company("calm", api_token="calm-token"))
    web = Web(town)
    town.broken.add("calm")
    asked = [
        ("companies/loud/status", "loud-token", 200),
        ("companies/loud/status", "the-operator-token", 200),
        ("companies/loud/status", "calm-token", 401),
        ("companies/loud/status", "", 401),
        ("companies/calm/status", "the-operator-token", 200),
        ("companies/calm/status", "calm-token", 401),
        ("companies/none/status", "the-operator-token", 404),
        ("status", "the-operator-token", 200),
        ("status", "loud-token", 401),
        ("status", "", 401),
    ]
    for path, token, expected in asked:
        assert (await web.get(path, token)).status_code == expected, (path, token)
    await web.http.aclose()


async def test_the_status_is_read_once_for_many_who_ask() -> None:
    town = Town(company("loud"))
    reads = 0

    def interrupt(call: str) -> None:
        nonlocal reads
        reads += call == "unanswered"

    town.journal.interrupt = interrupt
    web = Web(town)
    for _ in range(20):
        assert (await web.get("status", "the-operator-token")).status_code == 200
    assert reads == 1
    await web.http.aclose()


class Owners:
    """Nobody is at rest."""

    async def look(self, keys: Any) -> int:
        return len(list(keys)) * 0

    async def passivate(self) -> int:
        return 0


async def test_the_sweep_tells_of_customers_who_wait_too_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    town = Town(company("slow", longest_wait_s=60), company("late", longest_wait_s=20))
    sweep = Sweep(town.journal, cast(Any, town), Owners(), town.clock, lambda: None)  # type: ignore[arg-type]
    for name in ("slow", "late", "late"):
        key = Key(name, str(town.number))
        town.number += 1
        await town.journal.append(key, "m", b"{}", at_ms=town.clock.now_ms(), largest_batch=20)
    gone = Key("gone", "7")
    await town.journal.append(gone, "m", b"{}", at_ms=START_MS - 1_000, largest_batch=20)
    told: list[list[str]] = []
    for at_s in (30, 31, 71):
        await town.clock.advance_to(START_MS + at_s * 1_000)
        with caplog.at_level("WARNING"):
            swept = await sweep.run_once()
        assert swept.oldest_s == at_s + 1
        told.append([record.getMessage() for record in caplog.records])
        caplog.clear()
    first, second, third = told
    assert [line.split(":")[0] for line in first] == ["company gone"]
    assert second[1] == (
        "company late: the oldest unanswered message has waited 31 s, in conversation 1; "
        "2 conversations wait"
    )
    assert [line.split(":")[0] for line in third] == [
        "company gone",
        "company slow",
        "company late",
    ]
    assert OVERDUE_TOLD_MAX == 20
