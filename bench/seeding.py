"""Fills the journals in bulk through the journal's own commands."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from actors.channels.message import Message
from actors.conversation.events import MessageReceived, ReplyCommitted, ReplySent, encode
from actors.journal.keys import Key
from actors.journal.stream import Appended, Journal
from bench.figures import Unmeasured

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
    pen = await journals.activate(key)
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
    await journals.record(
        key,
        epoch=pen.epoch,
        write=1,
        events=[encode(committed), encode(sent)],
        promised=(),
        settled=(seq,),
    )
