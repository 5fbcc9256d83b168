"""Does what has to be done from time to time; each chore is a `run_once`."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from actors.clock import Clock
from actors.companies.company import BrokenCompany, UnknownCompany
from actors.companies.directory import Directory
from actors.journal.entries import Unanswered
from actors.journal.keys import SLOTS, Key
from actors.journal.stream import SLOT_PAGE, Journal
from actors.maintenance.stalls import Heard, Sight, hear, is_stalled
from actors.telemetry import logger

STRAY_MS = 5_000
"""A message that waits this long and whose conversation rests has lost its delivery."""

DAY_MS = 24 * 3_600 * 1_000
RETENTION_DAYS = 90
"""For conversations of companies that are not known any more."""


_log = logger("maintenance")


class Owners(Protocol):
    """The part of placement.Router that the sweep uses."""

    async def look(self, keys: Iterable[Key]) -> int: ...

    async def passivate(self) -> int: ...


class Swept(msgspec.Struct, frozen=True):
    """`owing` conversations waited for an answer; `woken` of them had no live owner at work;
    `passivated` dedicated actors at rest were ended."""

    owing: int
    woken: int
    passivated: int


class Watched(msgspec.Struct, frozen=True):
    """These hosts stood still and were `replaced`."""

    replaced: tuple[str, ...]


class CleanedUp(msgspec.Struct, frozen=True):
    """`conversations` were deleted, with their `events`."""

    conversations: int
    events: int


class Sweep:
    """R3.6: no unanswered message is without a live owner."""

    def __init__(
        self, journal: Journal, owners: Owners, clock: Clock, ensure_hosts: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._owners = owners
        self._clock = clock
        self._ensure_hosts = ensure_hosts

    async def run_once(self) -> Swept:
        await asyncio.to_thread(self._ensure_hosts)
        before_ms = self._clock.now_ms() - STRAY_MS
        owing: list[Unanswered] = await self._journal.unanswered(range(SLOTS), before_ms)
        woken = await self._owners.look(entry.key for entry in owing)
        return Swept(len(owing), woken, await self._owners.passivate())


class Renewals(Protocol):
    """The part of the journal that the watch uses."""

    async def renewals(self, holders: list[str], now_ms: int) -> list[int | None]: ...


class Hosts(Protocol):
    """The part of placement that the watch uses; its calls block."""

    def answering(self) -> dict[str, bool]: ...

    def holder_of(self, name: str) -> str: ...

    def replace(self, name: str) -> None: ...


class Watch:
    """Replaces hosts that stand still: Ray brings back a process that died, and waits for ever for
    one that hangs."""

    def __init__(self, journal: Renewals, hosts: Hosts, clock: Clock) -> None:
        self._journal = journal
        self._hosts = hosts
        self._clock = clock
        self._heard: dict[str, Heard] = {}

    async def run_once(self) -> Watched | None:
        """None where nobody stood still. Raises Retryable: without Redis nobody is judged."""
        answering = await asyncio.to_thread(self._hosts.answering)
        holders = [self._hosts.holder_of(name) for name in answering]
        now_ms = self._clock.now_ms()
        renewals = await self._journal.renewals(holders, now_ms)
        self._heard = {
            name: hear(self._heard.get(name), Sight(answered, renewed_ms), now_ms)
            for (name, answered), renewed_ms in zip(answering.items(), renewals, strict=True)
        }
        stalled = tuple(name for name, heard in self._heard.items() if is_stalled(heard, now_ms))
        for name in stalled:
            silent_s = (now_ms - self._heard[name].at_ms) / 1_000
            _log.warning("%s gives no sign of life since %.0f s and is replaced", name, silent_s)
            await asyncio.to_thread(self._hosts.replace, name)
            self._heard[name] = Heard(now_ms)
        return Watched(stalled) if stalled else None


class CleanUp:
    """R3.1: deletes conversations that were quiet for longer than their company keeps them."""

    def __init__(self, journal: Journal, directory: Directory, clock: Clock) -> None:
        self._journal = journal
        self._directory = directory
        self._clock = clock

    async def run_once(self) -> CleanedUp:
        conversations = events = 0
        shortest_ms = DAY_MS * min(
            [RETENTION_DAYS, *(company.retention_days for company in self._directory)]
        )
        now_ms = self._clock.now_ms()
        for slot in range(SLOTS):
            deleted = True
            while deleted:
                page = await self._journal.quiet_since(slot, now_ms - shortest_ms)
                counts = [await self._delete(key, now_ms) for key in page]
                gone = [count for count in counts if count is not None]
                conversations += len(gone)
                events += sum(gone)
                deleted = bool(gone) and len(page) == SLOT_PAGE
        return CleanedUp(conversations, events)

    async def _delete(self, key: Key, now_ms: int) -> int | None:
        try:
            days = self._directory.company(key.company_id).retention_days
        except UnknownCompany:
            days = RETENTION_DAYS
        except BrokenCompany:
            return None  # how long it keeps its conversations is not known now
        return await self._journal.trim(key, now_ms - days * DAY_MS)
