"""Does what has to be done from time to time; each chore is a `run_once`."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from actors.clock import Clock
from actors.companies.company import BrokenCompany, UnknownCompany
from actors.companies.directory import Directory
from actors.journal.ages import oldest_by_company
from actors.journal.entries import Unanswered
from actors.journal.keys import SLOTS, Key
from actors.journal.stream import SLOT_PAGE, Journal
from actors.maintenance.stalls import Heard, Sight, hear, is_stalled
from actors.telemetry import logger

STRAY_MS = 5_000
"""A message that waits this long and whose conversation rests has lost its delivery."""

OVERDUE_MS = 30_000
"""A message that has waited longer is told of at level WARNING …"""

ANSWER_MS = 10_000
"""… if it is past its company's longest wait by so much, too: a customer who writes on and on is
answered late by rule, and the model takes its time."""

OVERDUE_TOLD_MAX = 20
"""Companies told of in one sweep: those whose customers wait longest."""

DAY_MS = 24 * 3_600 * 1_000
RETENTION_DAYS = 90
"""For conversations of companies that are not known any more."""

_log = logger("maintenance")


class Owners(Protocol):
    """The part of placement.Router that the sweep uses."""

    async def look(self, keys: Iterable[Key]) -> int: ...

    async def passivate(self) -> int: ...


class Swept(msgspec.Struct, frozen=True):
    """`owing` conversations waited for an answer, the oldest message of all for `oldest_s`; `woken`
    of them had no live owner at work; `passivated` dedicated actors at rest were ended."""

    owing: int
    woken: int
    passivated: int
    oldest_s: int = 0


class Watched(msgspec.Struct, frozen=True):
    """These hosts stood still and were `replaced`."""

    replaced: tuple[str, ...]


class CleanedUp(msgspec.Struct, frozen=True):
    """`conversations` were deleted, with their `events`."""

    conversations: int
    events: int


class Sweep:
    """R3.6: no unanswered message is without a live owner, and none waits for long unsaid."""

    def __init__(
        self,
        journal: Journal,
        directory: Directory,
        owners: Owners,
        clock: Clock,
        ensure_hosts: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._owners = owners
        self._clock = clock
        self._ensure_hosts = ensure_hosts

    async def run_once(self) -> Swept:
        await asyncio.to_thread(self._ensure_hosts)
        now_ms = self._clock.now_ms()
        owing: list[Unanswered] = await self._journal.unanswered(range(SLOTS), now_ms - STRAY_MS)
        self._complain(owing, now_ms)
        woken = await self._owners.look(entry.key for entry in owing)
        oldest_ms = min((entry.oldest_ms for entry in owing), default=now_ms)
        passivated = await self._owners.passivate()
        return Swept(len(owing), woken, passivated, round((now_ms - oldest_ms) / 1_000))

    def _complain(self, owing: list[Unanswered], now_ms: int) -> None:
        """Says which companies' customers wait too long, the longest first."""
        late = [
            (now_ms - oldest.at_ms, company_id, oldest)
            for company_id, oldest in oldest_by_company(owing).items()
            if now_ms - oldest.at_ms > self._overdue_ms(company_id)
        ]
        late.sort(key=lambda each: -each[0])
        for age_ms, company_id, oldest in late[:OVERDUE_TOLD_MAX]:
            _log.warning(
                "company %s: the oldest unanswered message has waited %d s, in conversation %s; "
                "%d conversations wait",
                company_id,
                age_ms // 1_000,
                oldest.conversation_id,
                oldest.conversations,
            )

    def _overdue_ms(self, company_id: str) -> int:
        try:
            longest_wait_ms = self._directory.company(company_id).longest_wait_ms
        except (UnknownCompany, BrokenCompany):
            return OVERDUE_MS
        return max(OVERDUE_MS, longest_wait_ms + ANSWER_MS)


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
