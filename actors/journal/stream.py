"""Keeps the journals in Redis: appends, hands over the pen, records, reads, trims."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from actors import lua
from actors.errors import Fenced, Retryable
from actors.journal.keys import (
    Key,
    alive_key,
    conversations_key,
    loads_key,
    redis_keys,
    unanswered_key,
)

EVENTS_KEPT_MAX = 10_000
"""Events kept of one conversation (Redis trims a little later, by whole nodes); as many message
ids are remembered for deduplication. What waits is bounded far below, so none of it is trimmed."""

READ_PAGE = 500
"""Events read from one journal at once."""

SLOT_PAGE = 1_000
"""Conversations listed of one slot at once."""

ALIVE_MS = 10_000
"""A host that has not said so for so long does not live."""

COUNTERS_LIFE_MS = 400 * 24 * 3_600 * 1_000
"""A deleted conversation's counters stay so long."""

REPLICA_ACK_MS = 1_000
"""With durability `replicated`: how long a replica may take to confirm, milliseconds."""


class Entry(msgspec.Struct, frozen=True):
    """One event in a journal, undecoded."""

    seq: int
    raw: bytes


class Appended(msgspec.Struct, frozen=True):
    """A message in the journal.

    `fresh` is False if it stood there before; `position` counts the unanswered messages up to it
    (0: it has its outcome); `turn_first` is the first message of the turn it belongs to, as far as
    can be said now; `oldest_ms` the arrival of the oldest unanswered one; `company_load` the
    company's unanswered messages in this slot.
    """

    fresh: bool
    seq: int
    position: int
    turn_first: int
    oldest_ms: int
    company_load: int


class Full(msgspec.Struct, frozen=True):
    """The conversation has as many unanswered messages as it may."""

    waiting: int


class Activation(msgspec.Struct, frozen=True):
    """The pen of a conversation, and what its holder must take in first."""

    epoch: int
    seq: int
    entries: tuple[Entry, ...]


class Unanswered(msgspec.Struct, frozen=True):
    """A conversation that owes an answer since `oldest_ms`."""

    key: Key
    oldest_ms: int


_PASSING = re.compile(
    r"\b(OOM|READONLY|MISCONF|NOREPLICAS|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY)\b"
)


@contextmanager
def translating() -> Iterator[None]:
    """Redis's errors as ours: whatever may pass (away, loading, full, read-only) is Retryable."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise Retryable(f"Redis is away: {error}", doubtful=True) from error
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise Retryable(f"Redis takes no writes: {error}") from error
    except ResponseError as error:
        # Redis 6.2 wraps what a script's command says into a sentence of its own.
        if _PASSING.search(str(error)):
            raise Retryable(f"Redis takes no writes: {error}") from error
        raise
    except RedisError as error:
        raise Retryable(f"Redis failed: {error}", doubtful=True) from error


def _entries(found: Any) -> tuple[Entry, ...]:
    return tuple(
        Entry(int(entry_id.partition(b"-")[0]), fields[b"event"]) for entry_id, fields in found
    )


def _joined(seqs: Iterable[int]) -> str:
    return ",".join(map(str, seqs))


class Journal:
    """The journals of all conversations. Every method raises Retryable while Redis is away."""

    def __init__(self, redis: Redis, *, waiting_max: int, replicas: int = 0) -> None:
        """`replicas`: a write counts as done when so many replicas have it."""
        self._redis = redis
        self._waiting_max = waiting_max
        self._replicas = replicas
        self._append = lua.load(redis, __package__, "append")
        self._activate = lua.load(redis, __package__, "activate")
        self._record = lua.load(redis, __package__, "record")
        self._trim = lua.load(redis, __package__, "trim")

    async def append(
        self, key: Key, message_id: str, raw: bytes, *, at_ms: int, largest_batch: int
    ) -> Appended | Full:
        """Puts a customer's message in the journal; the same `message_id` is put there once."""
        keys = redis_keys(key)
        with translating():
            answer = await self._append(
                keys=[
                    keys.journal,
                    keys.seen,
                    keys.meta,
                    keys.waiting,
                    keys.unanswered,
                    keys.loads,
                    keys.conversations,
                ],
                args=[
                    str(key),
                    key.company_id,
                    message_id,
                    raw,
                    at_ms,
                    self._waiting_max,
                    largest_batch,
                    EVENTS_KEPT_MAX,
                ],
            )
            if answer[0] == b"full":
                return Full(answer[1])
            if self._replicas:
                await self._confirmed()
        return Appended(answer[0] == b"appended", *answer[1:])

    async def _confirmed(self) -> None:
        confirmed = await self._redis.wait(self._replicas, REPLICA_ACK_MS)
        if confirmed < self._replicas:
            raise Retryable(
                f"{confirmed} of {self._replicas} Redis replicas have it", doubtful=True
            )

    async def activate(self, key: Key, holder: str) -> Activation:
        """Takes the pen: writes under older epochs are refused from here on.

        `holder` names the host that takes it; see `orphans`.
        """
        keys = redis_keys(key)
        with translating():
            _, epoch, seq, found = await self._activate(
                keys=[keys.journal, keys.meta, keys.waiting], args=[EVENTS_KEPT_MAX, holder]
            )
        # Inside a script's answer, an entry's fields are a flat list.
        entries = tuple(Entry(int(i.partition(b"-")[0]), fields[1]) for i, fields in found)
        return Activation(epoch, seq, entries)

    async def record(
        self,
        key: Key,
        *,
        epoch: int,
        write: int,
        events: Sequence[bytes],
        promised: Iterable[int],
        settled: Iterable[int],
    ) -> tuple[int, int]:
        """Writes events under the pen; returns their first and last sequence number.

        A repeat of write number `write` changes nothing. Raises Fenced if another holds the pen.
        """
        keys = redis_keys(key)
        with translating():
            answer = await self._record(
                keys=[keys.journal, keys.meta, keys.waiting, keys.unanswered, keys.loads],
                args=[
                    str(key),
                    key.company_id,
                    epoch,
                    write,
                    _joined(promised),
                    _joined(settled),
                    EVENTS_KEPT_MAX,
                    *events,
                ],
            )
            if self._replicas and answer[0] != b"fenced":
                await self._confirmed()
        if answer[0] == b"fenced":
            raise Fenced(f"conversation {key}: epoch {epoch} is over, {answer[1]} holds the pen")
        return answer[1], answer[2]

    async def epoch(self, key: Key) -> int:
        """The epoch of whoever holds the pen now."""
        with translating():
            return int(await self._redis.hget(redis_keys(key).meta, "epoch") or 0)

    async def stay_alive(self, holder: str) -> None:
        """Says that a host lives, for ALIVE_MS."""
        with translating():
            await self._redis.set(alive_key(holder), 1, px=ALIVE_MS)

    async def orphans(self, keys: Sequence[Key], holder: str) -> list[Key]:
        """Those of the conversations that no other living host holds."""
        with translating():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hget(redis_keys(key).meta, "holder")
                holders = [(found or b"").decode() for found in await pipe.execute()]
                others = sorted({other for other in holders if other not in ("", holder)})
                for other in others:
                    pipe.exists(alive_key(other))
                alive = dict(zip(others, await pipe.execute(), strict=True))
        return [key for key, other in zip(keys, holders, strict=True) if not alive.get(other)]

    async def read(self, key: Key, after: int, count: int = READ_PAGE) -> tuple[Entry, ...]:
        """Up to `count` events after sequence number `after`, oldest first."""
        with translating():
            found = await self._redis.xrange(
                redis_keys(key).journal, min=f"{after + 1}-0", max="+", count=count
            )
        return _entries(found)

    async def read_last(
        self, key: Key, count: int = READ_PAGE, before: int | None = None
    ) -> tuple[Entry, ...]:
        """The last `count` events (before sequence number `before`), oldest first."""
        with translating():
            found = await self._redis.xrevrange(
                redis_keys(key).journal,
                max="+" if before is None else f"{before - 1}-0",
                min="-",
                count=count,
            )
        return _entries(found)[::-1]

    async def read_open(self, key: Key) -> tuple[Entry, ...]:
        """The events from the oldest unanswered message on, without taking the pen."""
        keys = redis_keys(key)
        with translating():
            oldest = await self._redis.zrange(keys.waiting, 0, 0, withscores=True)
        if not oldest:
            return ()
        return await self.read(key, after=int(oldest[0][1]) - 1, count=EVENTS_KEPT_MAX)

    async def counters(self, key: Key) -> tuple[int, int] | None:
        """The last sequence number and the epoch of a conversation; None if there is none."""
        with translating():
            seq, epoch = await self._redis.hmget(redis_keys(key).meta, ["seq", "epoch"])
        return None if seq is None else (int(seq), int(epoch or 0))

    async def unanswered(self, slots: Iterable[int], before_ms: int) -> list[Unanswered]:
        """The conversations of these slots that owe an answer since `before_ms`, oldest first.

        At most SLOT_PAGE of each slot; those left out come when these have their answers.
        """
        with translating():
            async with self._redis.pipeline(transaction=False) as pipe:
                for slot in slots:
                    pipe.zrangebyscore(
                        unanswered_key(slot),
                        "-inf",
                        before_ms,
                        start=0,
                        num=SLOT_PAGE,
                        withscores=True,
                    )
                pages = await pipe.execute()
        found = [
            Unanswered(Key.parse(member.decode()), int(score))
            for page in pages
            for member, score in page
        ]
        return sorted(found, key=lambda entry: entry.oldest_ms)

    async def loads(self, slots: Iterable[int]) -> dict[str, int]:
        """The unanswered messages of each company in these slots."""
        with translating():
            async with self._redis.pipeline(transaction=False) as pipe:
                for slot in slots:
                    pipe.hgetall(loads_key(slot))
                pages = await pipe.execute()
        loads: dict[str, int] = {}
        for page in pages:
            for company_id, load in page.items():
                loads[company_id.decode()] = loads.get(company_id.decode(), 0) + int(load)
        return loads

    async def quiet_since(self, slot: int, before_ms: int) -> list[Key]:
        """Up to SLOT_PAGE conversations of a slot without a message since `before_ms`."""
        with translating():
            found: Any = await self._redis.zrangebyscore(
                conversations_key(slot), "-inf", before_ms - 1, start=0, num=SLOT_PAGE
            )
        return [Key.parse(member.decode()) for member in found]

    async def trim(self, key: Key, before_ms: int) -> int | None:
        """Deletes a conversation quiet since `before_ms` that owes nobody an answer.

        Returns the number of events deleted, or None if it was kept.
        """
        keys = redis_keys(key)
        with translating():
            answer = await self._trim(
                keys=[keys.journal, keys.seen, keys.meta, keys.waiting, keys.conversations],
                args=[str(key), before_ms, COUNTERS_LIFE_MS],
            )
        return int(answer[1]) if answer[0] == b"trimmed" else None

    async def ping(self) -> None:
        """Raises Retryable if Redis does not answer."""
        with translating():
            await self._redis.ping()
