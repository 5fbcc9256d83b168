"""What an older release left in Redis is taken up by this one: tests/contract/releases holds the
keys as its scripts wrote them, with conversations at several moments of their work."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from actors.channels.message import Message
from actors.clock import SystemClock
from actors.conversation.events import (
    Event,
    MessageReceived,
    Unknown,
    decode,
    encode,
)
from actors.conversation.host import Host
from actors.conversation.pace import Pace
from actors.conversation.state import settled_by
from actors.journal.keys import SLOTS, Key
from actors.journal.stream import EVENTS_KEPT_MAX, Journal
from actors.llm.prompt import Prompt
from actors.llm.responder import Answer
from tests.fakes import World

RELEASES = sorted(Path(__file__).with_name("releases").glob("*.json"))
WAIT_S = 30


class Echo:
    async def answer(self, prompt: Prompt) -> Answer:
        return Answer(f"re: {prompt.question}", "echo", 1, 1)


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
async def redis(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    await _restore(client, json.loads(request.param.read_text()))
    yield client
    await client.aclose()


async def _restore(client: Redis, keys: dict[str, Any]) -> None:
    for name, kept in keys.items():
        value: Any = kept["value"]
        if kept["type"] == "hash":
            await client.hset(name, mapping=value)
        elif kept["type"] == "zset":
            await client.zadd(name, dict(value))
        else:
            for entry_id, fields in value:
                await client.xadd(name, fields, id=entry_id)


async def _events(journal: Journal, name: str) -> list[Event | Unknown]:
    entries = await journal.read(Key("acme", name), 0, EVENTS_KEPT_MAX)
    return [decode(entry.raw) for entry in entries]


async def test_its_conversations_are_read_and_answered(redis: Redis) -> None:
    journal = Journal(redis, waiting_max=100)
    before = {name: await _events(journal, name) for name in ("waiting", "promised", "silent")}
    assert not [e for events in before.values() for e in events if isinstance(e, Unknown)]

    world = World(Pace(quiet_window_ms=20, longest_wait_ms=100))
    persona = msgspec.structs.replace(world.ports.personas.persona("acme"), responder=Echo())
    clock = _Hasty()
    ports = msgspec.structs.replace(
        world.ports, log=journal, clock=clock, personas=_Always(persona)
    )
    host = Host(ports, range(SLOTS), "a newer release")
    await journal.append(
        Key("acme", "silent"),
        "2000",
        encode(MessageReceived(at_ms=clock.now_ms(), message=Message("2000", "hello", "chatwoot"))),
        at_ms=clock.now_ms(),
        largest_batch=20,
    )
    living = asyncio.create_task(host.live())
    async with asyncio.timeout(WAIT_S):
        # Nothing of the host tells when all are answered; the journal does.
        while await journal.unanswered(range(SLOTS), clock.now_ms()) or host.busy:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    living.cancel()
    texts = sorted(reply.text for reply in world.channel.posted)
    assert texts == [
        "re: Hi I want a lamp",
        "re: Is it green?",
        "re: Is it new?",
        "re: Where is it?",
        "re: better words",
    ], "the person of `silent` still has the word"
    for name in ("waiting", "drafting", "promised", "failed", "answered", "silent", "amended"):
        events = await _events(journal, name)
        received = [seq for seq, e in enumerate(events, 1) if isinstance(e, MessageReceived)]
        outcomes = [seq for e in events if not isinstance(e, Unknown) for seq in settled_by(e)]
        assert sorted(outcomes) == received, name


class _Always:
    def __init__(self, persona: Any) -> None:
        self._persona = persona

    def persona(self, _: str) -> Any:
        return self._persona


class _Hasty(SystemClock):
    """A clock on which the grace before a look passes at once: a hundred times as fast."""

    def __init__(self) -> None:
        super().__init__()
        self._began_ms = super().now_ms()

    def now_ms(self) -> int:
        real_ms = super().now_ms()
        return self._began_ms + 100 * (real_ms - self._began_ms)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 100)

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        if until_ms is not None:
            until_ms = super().now_ms() + (until_ms - self.now_ms()) // 100
            return await _REAL.wait(event, until_ms)
        return await _REAL.wait(event, None)


_REAL = SystemClock()


def test_an_event_bears_the_version_of_its_writer_and_a_later_one_changes_nothing() -> None:
    event = MessageReceived(at_ms=1, message=Message("1", "hello", "chatwoot"))
    written = json.loads(encode(event))
    assert written["v"] == 1
    assert decode(encode(event)) == event
    without = json.dumps({name: value for name, value in written.items() if name != "v"})
    assert decode(without.encode()) == event
    later = json.dumps({**written, "v": 2}).encode()
    assert decode(later) == Unknown(later)
