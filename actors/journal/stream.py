"""Keeps the journals in Redis: appends, hands over the pen, records, reads, trims."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from actors import lua
from actors.conditions import NO_REPLICA, Outage
from actors.errors import Fenced
from actors.journal.entries import (
    Activation,
    Appended,
    Entry,
    Full,
    Noted,
    Only,
    Replay,
    Unanswered,
    Write,
)
from actors.journal.keys import (
    SLOTS,
    Key,
    alive_key,
    conversations_key,
    loads_key,
    redis_keys,
    unanswered_key,
)
from actors.journal.outages import translating

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

PROBE_KEY = "turnwise:probe"
PROBE_LIFE_MS = 10_000


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
        self._note = lua.load(redis, __package__, "note")
        self._record = lua.load(redis, __package__, "record")
        self._trim = lua.load(redis, __package__, "trim")

    async def append(
        self, key: Key, message_id: str, raw: bytes, *, at_ms: int, largest_batch: int
    ) -> Appended | Full:
        """Puts a customer's message in the journal; the same `message_id` is put there once."""
        keys = redis_keys(key)
        async with self._writing() as redis:
            answer = await self._append(
                client=redis,
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
            await self._confirmed(redis)
        return Appended(answer[0] == b"appended", *answer[1:])

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Redis]:
        """The client for a write and, where replicas have to confirm it, for the question: one
        connection, since WAIT is about the writes of its own connection alone."""
        with translating():
            if not self._replicas:
                yield self._redis
                return
            async with self._redis.client() as one:
                yield one

    async def _confirmed(self, redis: Redis) -> None:
        if self._replicas and await redis.wait(self._replicas, REPLICA_ACK_MS) < self._replicas:
            raise Outage(NO_REPLICA, doubtful=True)

    async def activate(self, key: Key, holder: str) -> Activation:
        """Takes the pen: writes under older epochs are refused from here on.

        `holder` names the host that takes it; see `orphans`.
        """
        keys = redis_keys(key)
        with translating():
            _, epoch, seq, memory, found = await self._activate(
                keys=[keys.journal, keys.meta, keys.waiting], args=[EVENTS_KEPT_MAX, holder]
            )
        # Inside a script's answer, an entry's fields are a flat list.
        entries = tuple(Entry(int(i.partition(b"-")[0]), fields[1]) for i, fields in found)
        return Activation(epoch, Replay(seq, memory, entries))

    async def note(
        self,
        key: Key,
        note_id: str,
        raw: bytes,
        *,
        at_ms: int,
        only: Only,
    ) -> Noted | None:
        """Puts an event in the journal that is no customer's message; None if it was left out.

        The same `note_id` is put there once, "" any number of times.
        """
        keys = redis_keys(key)
        async with self._writing() as redis:
            answer = await self._note(
                client=redis,
                keys=[keys.journal, keys.seen, keys.meta, keys.waiting, keys.conversations],
                args=[str(key), note_id, raw, at_ms, only, EVENTS_KEPT_MAX],
            )
            if answer[0] != b"skipped":
                # Also a repeat: what it repeats may not have been confirmed yet.
                await self._confirmed(redis)
        return Noted(answer[1]) if answer[0] == b"noted" else None

    async def record(self, key: Key, write: Write) -> tuple[int, int]:
        """Writes events under the pen; returns their first and last sequence number.

        A repeat of a write changes nothing. Raises Fenced if another holds the pen.
        """
        keys = redis_keys(key)
        async with self._writing() as redis:
            answer = await self._record(
                client=redis,
                keys=[keys.journal, keys.meta, keys.waiting, keys.unanswered, keys.loads],
                args=[
                    str(key),
                    key.company_id,
                    write.epoch,
                    write.number,
                    _joined(write.promised),
                    _joined(write.settled),
                    EVENTS_KEPT_MAX,
                    write.memory,
                    write.memory_seq,
                    *write.events,
                ],
            )
            if answer[0] != b"fenced":
                await self._confirmed(redis)
        if answer[0] == b"fenced":
            raise Fenced(
                f"conversation {key}: epoch {write.epoch} is over, {answer[1]} holds the pen"
            )
        return answer[1], answer[2]

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

    async def replay(self, key: Key) -> Replay:
        """What a conversation's state is folded from, without taking the pen."""
        keys = redis_keys(key)
        with translating():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hmget(keys.meta, ["seq", "memory", "memory_seq"])
                pipe.zrange(keys.waiting, 0, 0, withscores=True)
                (seq, memory, memory_seq), oldest = await pipe.execute()
        after = int(seq or 0) if memory_seq is None else int(memory_seq)
        if oldest:
            after = min(after, int(oldest[0][1]) - 1)
        entries = await self.read(key, after, count=EVENTS_KEPT_MAX)
        return Replay(max(int(seq or 0), *(e.seq for e in entries), 0), memory or b"", entries)

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

    async def latest(self, company_id: str, count: int) -> list[Key]:
        """The conversations of a company that a customer wrote in last, newest first.

        Of each slot the newest SLOT_PAGE are looked at, whatever their company.
        """
        with translating():
            async with self._redis.pipeline(transaction=False) as pipe:
                for slot in range(SLOTS):
                    pipe.zrange(
                        conversations_key(slot), 0, SLOT_PAGE - 1, desc=True, withscores=True
                    )
                pages = await pipe.execute()
        found = [
            (int(score), Key.parse(member.decode())) for page in pages for member, score in page
        ]
        own = sorted((entry for entry in found if entry[1].company_id == company_id), reverse=True)
        return [key for _, key in own[:count]]

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

    async def probe(self) -> None:
        """Writes a key of a short life, as a message would be written: reading alone does not tell
        that Redis is full or a replica. Raises Outage, which names what is the matter."""
        async with self._writing() as redis:
            await redis.set(PROBE_KEY, 1, px=PROBE_LIFE_MS)
            await self._confirmed(redis)
