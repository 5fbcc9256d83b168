"""Computes what a turn costs beside the quiet window and the model, from journal and peers."""

import asyncio
from collections.abc import Iterable

from redis.asyncio import BlockingConnectionPool, Redis

from actors.conversation.events import MessageReceived, ReplyCommitted, decode
from actors.journal.keys import Key
from actors.journal.stream import Journal
from bench.figures import Unmeasured
from bench.sides import Seen
from bench.webhooks import COMPANY

CONNECTIONS = 32
EVENTS_READ = 500


def journal(redis: Redis) -> Journal:
    """The journals as a reader or a bulk writer sees them."""
    return Journal(redis, waiting_max=1_000)


def redis_client(url: str) -> Redis:
    """A client whose callers wait for one of CONNECTIONS."""
    return Redis(
        connection_pool=BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=60
        )
    )


def key_of(conversation: int) -> Key:
    """The conversation of this number."""
    return Key(COMPANY, str(conversation))


async def _last_arrivals_ms(journals: Journal, conversation: int) -> list[int]:
    """Arrival of the last message of each answered turn, oldest turn first."""
    arrivals: dict[int, int] = {}
    answered: list[int] = []
    for entry in await journals.read_last(key_of(conversation), EVENTS_READ):
        match decode(entry.raw):
            case MessageReceived(at_ms=at_ms):
                arrivals[entry.seq] = at_ms
            case ReplyCommitted(answers=answers):
                answered.append(max(arrivals[seq] for seq in answers))
    return answered


async def turn_overheads_ms(
    url: str, conversations: Iterable[int], quiet_window_s: float, seen: Seen
) -> list[float]:
    """For each turn that the peers saw: from the end of its window to the post of its reply, less
    the model's time as the model measured it."""
    redis = redis_client(url)
    numbers = list(conversations)
    try:
        journals = journal(redis)
        arrivals = await asyncio.gather(*(_last_arrivals_ms(journals, n) for n in numbers))
    finally:
        await redis.aclose()
    overheads = []
    for number, answered_ms in zip(numbers, arrivals, strict=True):
        posted_ms, model_ms = seen.posted_ms.get(number, []), seen.model_ms.get(number, [])
        if len(posted_ms) != len(model_ms) or len(posted_ms) > len(answered_ms):
            raise Unmeasured(
                f"conversation {number}: {len(answered_ms)} turns in the journal, "
                f"{len(model_ms)} asked of the model, {len(posted_ms)} posted"
            )
        last = answered_ms[len(answered_ms) - len(posted_ms) :]
        for arrived, posted, model in zip(last, posted_ms, model_ms, strict=True):
            overheads.append(posted - (arrived + quiet_window_s * 1_000) - model)
    return overheads
