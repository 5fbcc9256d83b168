"""Keeps the list of dead letters: lists them, and takes them off to be tried again or discarded.

They are put on it by journal.record.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from actors import lua
from actors.journal.entries import Buried, Exhumed
from actors.journal.keys import SLOTS, Key, dead_key, graves_key, redis_keys
from actors.journal.outages import translating
from actors.journal.replicas import confirmed, one_connection
from actors.journal.stream import EVENTS_KEPT_MAX, SLOT_PAGE


class DeadLetters:
    """The dead letters of all companies."""

    def __init__(self, redis: Redis, *, replicas: int = 0) -> None:
        """`replicas`: so many of Redis's replicas confirm each write."""
        self._redis = redis
        self._replicas = replicas
        self._exhume = lua.load(redis, __package__, "exhume")

    async def exhume(
        self, key: Key, letter: int, raw: bytes, *, at_ms: int, waiting: Sequence[int]
    ) -> Exhumed | None:
        """Takes dead letter `letter` off the list, by an event; the messages `waiting` are
        unanswered again. None if it is not on the list any more. Raises Retryable."""
        keys = redis_keys(key)
        again = ",".join(map(str, waiting))
        args: list[str | int | bytes] = [
            str(key),
            key.company_id,
            letter,
            raw,
            at_ms,
            EVENTS_KEPT_MAX,
            again,
        ]
        with translating():
            async with one_connection(self._redis, self._replicas) as redis:
                answer = await self._exhume(client=redis, keys=keys.of_outcomes, args=args)
                # Also a repeat: what it repeats may not have been confirmed yet.
                await confirmed(redis, self._replicas)
        return Exhumed(answer[1]) if answer[0] == b"exhumed" else None

    async def counts(self) -> dict[str, int]:
        """How many dead letters each company has; of each slot those of the SLOT_PAGE conversations
        that had the last ones. Raises Retryable."""
        with translating():
            found = await self._graves()
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in found:
                    pipe.zcard(dead_key(key))
                sizes = await pipe.execute()
        counts: dict[str, int] = {}
        for key, size in zip(found, sizes, strict=True):
            counts[key.company_id] = counts.get(key.company_id, 0) + int(size)
        return counts

    async def _graves(self) -> list[Key]:
        """Conversations with dead letters."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for slot in range(SLOTS):
                pipe.zrange(graves_key(slot), 0, SLOT_PAGE - 1, desc=True)
            pages = await pipe.execute()
        return [Key.parse(member.decode()) for page in pages for member in page]

    async def buried(self, company_id: str) -> list[Buried]:
        """The company's dead letters, oldest first; of each slot those of the SLOT_PAGE
        conversations that had the last ones."""
        with translating():
            own = [key for key in await self._graves() if key.company_id == company_id]
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in own:
                    pipe.zrange(dead_key(key), 0, -1, withscores=True)
                letters = await pipe.execute()
        listed = [
            Buried(key, int(seq), int(at_ms))
            for key, page in zip(own, letters, strict=True)
            for seq, at_ms in page
        ]
        return sorted(listed, key=lambda letter: (letter.at_ms, letter.key, letter.seq))
