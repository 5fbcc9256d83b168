"""Analytics on a real Redis: processes add up, nothing counts twice, the API shows it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from actors.analytics.counters import Count
from actors.analytics.days import local_day
from actors.analytics.tallies import ANALYTICS_DAYS, FLUSH_S, Day, Tallies, day_key
from actors.channels.message import Message
from actors.clock import SystemIds
from actors.companies.company import Company, UnknownCompany
from actors.companies.making import company_of
from actors.conversation.counting import Counting
from actors.conversation.events import Event, MessageReceived, ReplyCommitted, ReplySent
from actors.conversation.lead import Leads
from actors.conversation.state import State, apply
from actors.errors import Retryable
from actors.settings import Settings
from actors.tables import CompanySettings
from actors.web import analytics, refusals
from actors.web.access import Access
from tests.fakes import START_MS, VirtualClock

ACME = replace(
    company_of("acme", CompanySettings(api_token=SecretStr("acme-token")), Settings()),
    zone="America/Bogota",
    draft_early=True,
    early_waste_tokens_max=100,
)
TODAY = local_day(START_MS, ACME.zone)
YESTERDAY = TODAY - timedelta(days=1)


def client_of(url: str) -> Redis:
    """A client that repeats nothing by itself, as wiring makes it."""
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = client_of(redis_url)
    yield client
    await client.config_set("maxmemory", 0)
    await client.aclose()


async def counts(redis: Redis, day: date = TODAY, company_id: str = "acme") -> dict[str, int]:
    found = await Tallies(redis).read(company_id, day, day)
    return found[0].counts if found else {}


async def test_what_processes_count_adds_up(redis: Redis) -> None:
    for times in (1, 2):
        process = Tallies(redis)
        for _ in range(times):
            process.add("acme", TODAY, {"messages": 1, "tokens_in": 100})
        process.add("acme", YESTERDAY, {"messages": 5})
        process.add("other", TODAY, {"messages": 7})
        await process.flush()
        await process.flush()
    assert await Tallies(redis).read("acme", YESTERDAY, TODAY) == [
        Day(YESTERDAY, {"messages": 10}),
        Day(TODAY, {"messages": 3, "tokens_in": 300}),
    ]
    assert await counts(redis, company_id="other") == {"messages": 14}
    left_s = await redis.ttl(day_key("acme", TODAY))
    assert 0 < left_s <= ANALYTICS_DAYS * 24 * 3_600


async def test_many_days_are_read_in_pages(redis: Redis) -> None:
    process, first = Tallies(redis), TODAY - timedelta(days=ANALYTICS_DAYS - 1)
    for day in (first, TODAY - timedelta(days=200), TODAY):
        process.add("acme", day, {"messages": 1})
    await process.flush()
    found = await process.read("acme", first, TODAY)
    assert [day.day for day in found] == [first, TODAY - timedelta(days=200), TODAY]


# Failures.


class Line:
    """A wire to Redis that can be cut at the k-th transaction, before it arrives or after."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self.cut_at: int | None = None
        self.arrives = False
        self._transactions = 0
        self._ends: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_redis = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends += [writer, to_redis]
        answers = asyncio.create_task(self._answers(there, writer))
        while data := await reader.read(1 << 16):
            self._transactions += data.count(b"$4\r\nEXEC\r\n")
            if self._transactions == self.cut_at:
                writer.close()  # whatever Redis answers is not heard
                self.cut_at = None
                if self.arrives:
                    to_redis.write(data)
                    await to_redis.drain()
                    await there.read(1)
                break
            to_redis.write(data)
        to_redis.close()
        await asyncio.gather(answers, return_exceptions=True)

    async def _answers(self, there: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while not to.is_closing() and (data := await there.read(1 << 16)):
            to.write(data)

    def hang_up(self) -> None:
        for end in self._ends:
            end.close()


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[Line, Redis]]:
    line = Line(url)
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = client_of(f"redis://127.0.0.1:{port}/0")
    try:
        yield line, client
    finally:
        await client.aclose()
        line.hang_up()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_flush_that_breaks_in_the_middle_never_counts_twice(
    redis: Redis, redis_url: str, *, arrives: bool
) -> None:
    """Of three companies the second one's writing is in doubt: it is not repeated; the third one's
    is not begun: it is kept."""
    async with line_to(redis_url) as (line, client):
        process = Tallies(client)
        for company_id in ("a", "b", "c"):
            process.add(company_id, TODAY, {"messages": 1, "replies": 1})
        line.cut_at, line.arrives = 2, arrives
        with pytest.raises(Retryable) as error:
            await process.flush()
        assert error.value.doubtful
        process.add("b", TODAY, {"messages": 1, "replies": 1})
        await process.flush()
    whole = {"messages": 1, "replies": 1}
    twice = {"messages": 2, "replies": 2}
    assert await counts(redis, company_id="a") == whole
    assert await counts(redis, company_id="b") == (twice if arrives else whole)
    assert await counts(redis, company_id="c") == whole


async def test_counts_wait_for_a_redis_that_is_away(redis: Redis) -> None:
    nowhere = client_of("redis://127.0.0.1:1/0")
    process = Tallies(nowhere)
    process.add("acme", TODAY, {"messages": 1})
    for _ in range(3):
        assert not await process.run_once()
        process.add("acme", TODAY, {"messages": 1})
    await process.aclose()
    process._redis = redis
    assert await process.run_once()
    assert await counts(redis) == {"messages": 4}
    await nowhere.aclose()


async def test_counts_wait_for_a_redis_that_is_full(redis: Redis) -> None:
    process = Tallies(redis)
    process.add("acme", TODAY, {"messages": 1, "replies": 2})
    await redis.config_set("maxmemory", 1)
    with pytest.raises(Retryable) as error:
        await process.flush()
    assert not error.value.doubtful
    await redis.config_set("maxmemory", 0)
    process.add("acme", TODAY, {"messages": 1})
    await process.flush()
    assert await counts(redis) == {"messages": 2, "replies": 2}


async def test_a_days_key_that_is_no_hash_stops_nobody_else(redis: Redis) -> None:
    await redis.set(day_key("broken", TODAY), "a string")
    process = Tallies(redis)
    process.watch("broken", TODAY, "messages")
    process.watch("acme", TODAY, "messages")
    process.add("broken", TODAY, {"messages": 1})
    process.add("acme", TODAY, {"messages": 1})
    assert await process.run_once()
    assert await counts(redis) == {"messages": 1}
    assert process.watch("broken", TODAY, "messages") is None
    assert process.watch("acme", TODAY, "messages") == 1


async def test_a_flush_that_is_cancelled_keeps_what_it_has_not_begun(
    redis: Redis, redis_url: str
) -> None:
    async with line_to(redis_url) as (_, client):
        process = Tallies(client)
        for number in range(200):
            process.add(f"company-{number}", TODAY, {"messages": 1})
        flushing = asyncio.create_task(process.flush())
        while not await redis.exists(day_key("company-3", TODAY)):
            pass
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        await process.aclose()
    keys = await redis.keys("turnwise:analytics:*")
    assert len(keys) >= 199, "at most the one under way is in doubt"
    assert {await redis.hget(key, "messages") for key in keys} == {b"1"}


# Following.


class TellingTallies(Tallies):
    """Tells when it has flushed and looked."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._looked = asyncio.Event()

    async def run_once(self) -> bool:
        done = await super().run_once()
        self._looked.set()
        return done

    async def after(self, clock: VirtualClock) -> None:
        """Returns when it has, because its time came."""
        self._looked.clear()
        await clock.advance(FLUSH_S)
        await self._looked.wait()


async def test_following_flushes_and_looks_every_few_seconds(redis: Redis) -> None:
    clock, process, another = VirtualClock(), TellingTallies(redis), Tallies(redis)
    following = asyncio.create_task(process.follow(clock))
    assert process.watch("acme", TODAY, Count.WASTED_EARLY) is None
    process.add("acme", TODAY, {Count.WASTED_EARLY: 10})
    another.add("acme", TODAY, {Count.WASTED_EARLY: 30})
    await another.flush()
    await process.after(clock)
    assert process.watch("acme", TODAY, Count.WASTED_EARLY) == 40
    process.add("acme", TODAY, {Count.WASTED_EARLY: 2})
    process.add("acme", YESTERDAY, {Count.WASTED_EARLY: 500})
    process.add("other", TODAY, {Count.WASTED_EARLY: 500})
    assert process.watch("acme", TODAY, Count.WASTED_EARLY) == 42, "at once, not at the next look"
    tomorrow = TODAY + timedelta(days=1)
    assert process.watch("acme", tomorrow, Count.WASTED_EARLY) is None
    await process.after(clock)
    assert process.watch("acme", tomorrow, Count.WASTED_EARLY) == 0
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    process.add("acme", TODAY, {Count.WASTED_EARLY: 1})
    await process.aclose()
    assert await counts(redis) == {Count.WASTED_EARLY: 43}


async def test_early_drafts_stop_when_all_processes_have_used_the_budget(redis: Redis) -> None:
    clock, process, another = VirtualClock(), Tallies(redis), Tallies(redis)
    lead = Leads(process, clock).of(ACME)
    for _ in range(3):
        lead.took(2_000)
    assert (lead.lead_ms(), "looked up" in lead.why()) == (0, True)
    await process.run_once()
    assert lead.lead_ms() == 2_000
    another.add("acme", TODAY, {Count.WASTED_EARLY: 60})
    await another.flush()
    process.add("acme", TODAY, {Count.WASTED_EARLY: 30})
    await process.run_once()
    assert lead.lead_ms() == 2_000
    process.add("acme", TODAY, {Count.WASTED_EARLY: 10})
    assert (lead.lead_ms(), "wasted 100 of 100" in lead.why()) == (0, True)
    await clock.advance(24 * 3_600)
    assert lead.lead_ms() == 0
    await process.run_once()
    assert lead.lead_ms() == 2_000, "a new day, a new budget"


# The API.


def find(company_id: str) -> Company:
    if company_id != "acme":
        raise UnknownCompany(f"company {company_id!r} is not known here")
    return ACME


@pytest.fixture
async def http(redis: Redis) -> AsyncIterator[httpx.AsyncClient]:
    clock = VirtualClock()
    access = Access(redis, clock, SystemIds(), SecretStr("operators-token"))
    app = FastAPI()
    refusals.install(app)
    app.include_router(analytics.routes(find, Tallies(redis), clock, access))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://turnwise") as client:
        yield client


async def ask(
    http: httpx.AsyncClient, token: str = "acme-token", company_id: str = "acme", **query: str
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    path = f"/api/companies/{company_id}/analytics"
    return await http.get(path, params=query, headers=headers)


def tell(redis: Redis, at_ms: int) -> Tallies:
    """Three messages, one answer, counted as they happen."""
    process = Tallies(redis)
    counting, state = Counting(process, find), State()
    messages = [
        MessageReceived(at_ms=at_ms + 4_000 * place, message=Message(str(place), "hello", "api"))
        for place in range(3)
    ]
    answer: list[Event] = [
        ReplyCommitted(
            at_ms=at_ms + 18_000,
            reply_id="r",
            turn="t",
            answers=(1, 2, 3),
            text="hi",
            channel="api",
            after_message_id="2",
            tokens_in=306,
            tokens_out=94,
        ),
        ReplySent(
            at_ms=at_ms + 19_000,
            reply_id="r",
            answers=(1, 2, 3),
            channel_message_id="9",
            how="sent",
        ),
    ]
    for seq, event in enumerate([*messages, *answer], start=1):
        counting.count("acme", state, event)
        state = apply(state, seq, event)
    return process


async def test_the_api_shows_each_day_and_all_together(
    redis: Redis, http: httpx.AsyncClient
) -> None:
    await tell(redis, START_MS).flush()
    await tell(redis, START_MS - 24 * 3_600_000).flush()
    await tell(redis, START_MS - 8 * 24 * 3_600_000).flush()
    said: dict[str, Any] = (await ask(http)).json()
    assert said["company_id"] == "acme"
    assert said["zone"] == "America/Bogota"
    assert (said["from"], said["to"]) == (str(TODAY - timedelta(days=6)), str(TODAY))
    assert [day["day"] for day in said["days"]] == [str(YESTERDAY), str(TODAY)]
    today, total = said["days"][1], said["total"]
    assert today["messages"]["count"] == 3
    assert today["intervals"]["mean_ms"] == 4_000
    assert {"le": 4_000, "count": 2} in today["intervals"]["buckets_ms"]
    assert today["waits"]["from_last_message"]["mean_ms"] == 11_000
    assert today["waits"]["from_first_message"]["mean_ms"] == 19_000
    assert today["batches"]["success"] == 1
    assert today["batches"]["mean_size"] == 3
    # 300 of the prompt are not the messages': read twice more; 'hello' (2 tokens) twice and once.
    assert today["tokens"]["saved_by_joining"] == 2 * 300 + 2 * 2 + 2
    assert total["tokens"]["used"] == 800
    assert total["messages"]["count"] == 6


async def test_the_operator_may_look_too(http: httpx.AsyncClient) -> None:
    for token in ("acme-token", "operators-token"):
        answer = await ask(http, token, **{"from": "2024-09-05", "to": str(TODAY)})
        assert (answer.status_code, answer.json()["days"]) == (200, [])


@pytest.mark.parametrize("token", ["", "another-token"])
async def test_a_stranger_may_not(http: httpx.AsyncClient, token: str) -> None:
    answer = await ask(http, token)
    assert answer.status_code == 401
    assert "bearer token" in answer.json()["detail"]


async def test_what_is_wrong_is_named(http: httpx.AsyncClient) -> None:
    wrong = await ask(http, **{"from": "last week"})
    assert wrong.status_code == 422
    assert wrong.json()["detail"] == "from: a day written YYYY-MM-DD, not 'last week'"
    assert (await ask(http, to="2025-13-01")).status_code == 422
    assert (await ask(http, company_id="nobody")).status_code == 404
