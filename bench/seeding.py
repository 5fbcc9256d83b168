"""Fills the journals in bulk: by the journal's own commands, and by copying what they wrote."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from redis.asyncio import Redis

from actors import lua
from actors.channels.message import Message
from actors.conversation.events import MessageReceived, ReplyCommitted, ReplySent, encode
from actors.journal.entries import Appended, Write
from actors.journal.keys import Key, redis_keys
from actors.journal.stream import Journal
from bench.figures import Unmeasured

COPIES_PER_TRIP = 500
WRITERS = 64
"""Conversations written at once."""


def now_ms() -> int:
    """Wall time as the journal has it."""
    return time.time_ns() // 1_000_000


async def each(keys: Iterable[Key], write: Callable[[Key], Awaitable[None]]) -> None:
    """Writes every conversation, WRITERS at once."""
    shared = iter(list(keys))

    async def work() -> None:
        for key in shared:
            await write(key)

    await asyncio.gather(*(work() for _ in range(WRITERS)))


async def append(journals: Journal, key: Key, channel: str, at_ms: int) -> int:
    """One customer's message that waits for its answer; returns its sequence number."""
    text = f"#{key.conversation_id}# where is my order?"
    message = Message(message_id="1", text=text, channel=channel, sender="A customer")
    raw = encode(MessageReceived(at_ms=at_ms, message=message))
    appended = await journals.append(key, f"{channel}:{key}", raw, at_ms=at_ms, largest_batch=20)
    if not isinstance(appended, Appended) or not appended.fresh:
        raise Unmeasured(f"conversation {key} stood in the journal before")
    return appended.seq


async def settle(journals: Journal, key: Key, channel: str) -> None:
    """A conversation with one message and its answer, sent: it is known and owes nobody."""
    at_ms = now_ms()
    seq = await append(journals, key, channel, at_ms)
    pen = await journals.activate(key, "bench")
    committed = ReplyCommitted(
        at_ms=at_ms,
        reply_id=str(key),
        turn=f"{key}:{seq}",
        answers=(seq,),
        text="It is on its way.",
        channel=channel,
        after_message_id="1",
    )
    sent = ReplySent(
        at_ms=at_ms, reply_id=str(key), answers=(seq,), channel_message_id="1", how="sent"
    )
    write = Write(pen.epoch, 1, (encode(committed), encode(sent)), settled=(seq,), memory_seq=seq)
    await journals.record(key, write)


async def multiply(redis: Redis, pattern: Key, copies: Sequence[Key]) -> None:
    """Makes these conversations with the pattern's journal and counters, inside Redis.

    Appending 50,000 one by one would take minutes and leave the same keys.
    """
    script, keys = lua.load(redis, __package__, "multiply"), redis_keys(pattern)
    waits = "yes" if await redis.exists(keys.waiting) else "no"
    for start in range(0, len(copies), COPIES_PER_TRIP):
        some = copies[start : start + COPIES_PER_TRIP]
        named = [text for key in some for text in (key.slot, str(key))]
        await script(
            keys=[keys.journal.removesuffix(":journal")],
            args=[pattern.company_id, now_ms(), waits, *named],
        )
