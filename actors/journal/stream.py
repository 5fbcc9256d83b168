"""Keeps the journals in Redis: appends, hands over the pen, records, reads, trims."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from actors import lua
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
    heard_key,
    loads_key,
    redis_keys,
    unanswered_key,
)
from actors.journal.outages import translating
from actors.journal.replicas import confirmed, one_connection
from actors.lanes import Lanes

EVENTS_KEPT_MAX = 10_000
"""Events kept of one conversation (Redis trims a little later, by whole nodes); as many message
ids are remembered for deduplication. What waits is bounded far below, so none of it is trimmed."""

READ_PAGE = 500
"""Events read from one journal at once."""

SLOT_PAGE = 1_000
"""Conversations listed of one slot at once."""

ALIVE_MS = 10_000
"""A host that has not said so for so long does not live."""

HEARD_MS = 3_600_000
"""So long it is known when a host said last that it lives."""

COUNTERS_LIFE_MS = 400 * 24 * 3_600 * 1_000
"""A deleted conversation's counters stay so long."""

CALLS_MAX = 56
"""Calls about conversations that one process makes at once; the other connections of its pool
(wiring.REDIS_CONNECTIONS_MAX) are left to the sweep, the scheduler's work and the buckets."""

CALLS_PER_COMPANY_MAX = 28
"""Of one company at most half: while its flood waits for Redis, the others' calls do not."""

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
        self._lanes = Lanes(CALLS_MAX, CALLS_PER_COMPANY_MAX)
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
        async with self._writing(key) as redis:
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
            await confirmed(redis, self._replicas)
        return Appended(answer[0] == b"appended", *answer[1:])

    @asynccontextmanager
    async def _calling(self, key: Key) -> AsyncIterator[None]:
        """A call about a conversation, in its company's lane."""
        async with self._lanes.place(key.company_id):
            with translating():
                yield

    @asynccontextmanager
    async def _writing(self, key: Key) -> AsyncIterator[Redis]:
        """The client for a write about a conversation, and for the question whether replicas have
        it."""
        async with self._calling(key), one_connection(self._redis, self._replicas) as redis:
            yield redis

    async def activate(self, key: Key, holder: str) -> Activation:
        """Takes the pen: writes under older epochs are refused from here on.

        `holder` names the host that takes it; see `orphans`.
        """
        keys = redis_keys(key)
        async with self._calling(key):
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
        async with self._writing(key) as redis:
            answer = await self._note(
                client=redis,
                keys=[keys.journal, keys.seen, keys.meta, keys.waiting, keys.conversations],
                args=[str(key), note_id, raw, at_ms, only, EVENTS_KEPT_MAX],
            )
            if answer[0] != b"skipped":
                # Also a repeat: what it repeats may not have been confirmed yet.
                await confirmed(redis, self._replicas)
        return Noted(answer[1]) if answer[0] == b"noted" else None

    async def record(self, key: Key, write: Write) -> tuple[int, int]:
        """Writes events under the pen; returns their first and last sequence number.

        A repeat of a write changes nothing. Raises Fenced if another holds the pen.
        """
        keys = redis_keys(key)
        async with self._writing(key) as redis:
            answer = await self._record(
                client=redis,
                keys=keys.of_outcomes,
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
                    _joined(write.dead),
                    write.at_ms,
                    *write.events,
                ],
            )
            if answer[0] != b"fenced":
                await confirmed(redis, self._replicas)
        if answer[0] == b"fenced":
            raise Fenced(
                f"conversation {key}: epoch {write.epoch} is over, {answer[1]} holds the pen"
            )
        return answer[1], answer[2]

    async def stay_alive(self, holder: str) -> None:
        """Says that a host lives, for ALIVE_MS; for HEARD_MS it is known when it said so."""
        with translating():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(alive_key(holder), 1, px=ALIVE_MS)
                pipe.set(heard_key(holder), 1, px=HEARD_MS)
                await pipe.execute()

    async def leave(self, holder: str) -> None:
        """Says that a host works no more: what it held may be taken up at once."""
        with translating():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.delete(alive_key(holder))
                pipe.delete(heard_key(holder))
                await pipe.execute()

    async def renewals(self, holders: list[str], now_ms: int) -> list[int | None]:
        """When each of these hosts last said that it lives; None: not within HEARD_MS."""
        with translating():
            async with self._redis.pipeline(transaction=False) as pipe:
                for holder in holders:
                    pipe.pttl(heard_key(holder))
                left_ms = await pipe.execute()
        return [now_ms - HEARD_MS + left if left > 0 else None for left in left_ms]

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

    async def seen(self, key: Key, message_ids: Sequence[str]) -> set[str]:
        """Those of the messages and notes that stand in the journal, by their ids there."""
        async with self._calling(key), self._redis.pipeline(transaction=False) as pipe:
            for message_id in message_ids:
                pipe.zscore(redis_keys(key).seen, message_id)
            places = await pipe.execute() if message_ids else []
        return {name for name, place in zip(message_ids, places, strict=True) if place is not None}

    async def read(self, key: Key, after: int, count: int = READ_PAGE) -> tuple[Entry, ...]:
        """Up to `count` events after sequence number `after`, oldest first."""
        async with self._calling(key):
            found = await self._redis.xrange(
                redis_keys(key).journal, min=f"{after + 1}-0", max="+", count=count
            )
        return _entries(found)

    async def read_last(
        self, key: Key, count: int = READ_PAGE, before: int | None = None
    ) -> tuple[Entry, ...]:
        """The last `count` events (before sequence number `before`), oldest first."""
        async with self._calling(key):
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
        async with self._calling(key), self._redis.pipeline(transaction=True) as pipe:
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
        async with self._calling(key):
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
        async with self._calling(key):
            answer = await self._trim(
                keys=[
                    keys.journal,
                    keys.seen,
                    keys.meta,
                    keys.waiting,
                    keys.conversations,
                    keys.dead,
                    keys.graves,
                ],
                args=[str(key), before_ms, COUNTERS_LIFE_MS],
            )
        return int(answer[1]) if answer[0] == b"trimmed" else None

    async def probe(self) -> None:
        """Writes a key of a short life, as a message would be written: reading alone does not tell
        that Redis is full or a replica. Raises Outage, which names what is the matter."""
        with translating():
            async with one_connection(self._redis, self._replicas) as redis:
                await redis.set(PROBE_KEY, 1, px=PROBE_LIFE_MS)
                await confirmed(redis, self._replicas)
