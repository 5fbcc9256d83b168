"""Is one process's connection to the journal: slow, failing, or with its answers lost."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from actors.journal.entries import (
    Activation,
    Appended,
    Entry,
    Full,
    Noted,
    Only,
    Unanswered,
    Write,
)
from actors.journal.keys import Key
from actors.journal.outages import translating
from actors.wiring import REDIS_TIMEOUT_S
from tests.fakes import MemoryJournal, now
from tests.simulation.faults import Faults
from tests.simulation.processes import Lost, Process

Recorded = Callable[[Process, Key, Write], None]
"""Told of each write that Redis has taken."""


class Connection:
    """What a process sees of the journal. The outages are translated by the production code."""

    def __init__(
        self,
        process: Process,
        journal: MemoryJournal,
        faults: Faults,
        recorded: Recorded,
        tell: Callable[[str], None],
    ) -> None:
        self._process = process
        self._journal = journal
        self._faults = faults
        self._recorded = recorded
        self._tell = tell

    async def _call(self, name: str, effect: Callable[[], Any]) -> Any:
        fate = self._faults.of_redis()
        if not fate.is_plain:
            self._tell(f"{self._process}: {name}: {fate}")
        with translating():
            try:
                if self._faults.in_time(fate, REDIS_TIMEOUT_S):
                    return await self._process.ask(effect, fate)
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    return await self._process.ask(effect, fate)
            except TimeoutError as error:
                raise RedisTimeoutError("no answer") from error
            except Lost as error:
                raise RedisConnectionError(str(error)) from error

    async def append(
        self, key: Key, message_id: str, raw: bytes, *, at_ms: int, largest_batch: int
    ) -> Appended | Full:
        appended: Appended | Full = await self._call(
            "append",
            lambda: now(
                self._journal.append(key, message_id, raw, at_ms=at_ms, largest_batch=largest_batch)
            ),
        )
        return appended

    async def note(
        self, key: Key, note_id: str, raw: bytes, *, at_ms: int, only: Only
    ) -> Noted | None:
        noted: Noted | None = await self._call(
            "note", lambda: now(self._journal.note(key, note_id, raw, at_ms=at_ms, only=only))
        )
        return noted

    async def loads(self, slots: Iterable[int]) -> dict[str, int]:
        loads: dict[str, int] = await self._call("loads", lambda: now(self._journal.loads(slots)))
        return loads

    async def activate(self, key: Key, holder: str) -> Activation:
        taken: Activation = await self._call(
            "activate", lambda: now(self._journal.activate(key, holder))
        )
        return taken

    async def record(self, key: Key, write: Write) -> tuple[int, int]:
        def effect() -> tuple[int, int]:
            written = now(self._journal.record(key, write))
            self._recorded(self._process, key, write)
            return written

        written: tuple[int, int] = await self._call("record", effect)
        return written

    async def counters(self, key: Key) -> tuple[int, int] | None:
        counters: tuple[int, int] | None = await self._call(
            "counters", lambda: now(self._journal.counters(key))
        )
        return counters

    async def stay_alive(self, holder: str) -> None:
        await self._call("stay_alive", lambda: now(self._journal.stay_alive(holder)))

    async def leave(self, holder: str) -> None:
        await self._call("leave", lambda: now(self._journal.leave(holder)))

    async def seen(self, key: Key, message_ids: Sequence[str]) -> set[str]:
        found: set[str] = await self._call(
            "seen", lambda: now(self._journal.seen(key, message_ids))
        )
        return found

    async def orphans(self, keys: Sequence[Key], holder: str) -> list[Key]:
        found: list[Key] = await self._call(
            "orphans", lambda: now(self._journal.orphans(keys, holder))
        )
        return found

    async def read(self, key: Key, after: int, count: int = 500) -> tuple[Entry, ...]:
        entries: tuple[Entry, ...] = await self._call(
            "read", lambda: now(self._journal.read(key, after, count))
        )
        return entries

    async def read_last(
        self, key: Key, count: int = 500, before: int | None = None
    ) -> tuple[Entry, ...]:
        entries: tuple[Entry, ...] = await self._call(
            "read_last", lambda: now(self._journal.read_last(key, count, before))
        )
        return entries

    async def unanswered(self, slots: Iterable[int], before_ms: int) -> list[Unanswered]:
        found: list[Unanswered] = await self._call(
            "unanswered", lambda: now(self._journal.unanswered(slots, before_ms))
        )
        return found
