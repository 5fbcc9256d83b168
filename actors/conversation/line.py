"""Lets each company begin so many turns at once in one process, first come first served.

Who waits is remembered in memory alone: a process that dies takes its lines along, and its
successor finds the same messages in the journal, in the same order.
"""

import asyncio
import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from typing import Protocol

import msgspec

from actors.analytics.bucket import Level, spent
from actors.analytics.spending import What
from actors.clock import Clock
from actors.conversation.place import Crowd, Place, Tokens, place_of
from actors.errors import Retryable
from actors.journal.keys import Key
from actors.telemetry import logger

TURNS_MAX = 2_000
"""Turns of one process, of all companies, in which the model is being asked."""

TURNS_PER_COMPANY_MAX = TURNS_MAX // 2
"""Of one company at most so many, whatever its setting: a model that hangs leaves half of the
places to the others."""

LEVEL_FRESH_MS = 1_000
"""What a company used, over all processes, is looked up again after so long, at a turn's begin."""

COSTS_MAX = 30
"""Answers by whose mean the cost of the next turn is expected: the newest."""

A_TURN_TOKENS = 2_000
"""What a turn is expected to cost before one has ended."""

SUSPECT = "its process died in it; such turns run one after another, so that only the cause is hit"
"""Why a turn waits that may be what its process died of, or may have stood beside it."""

SUSPECT_PAUSE_MS = 250
"""Such a turn looks for its place again after so long; nobody stands in line behind it."""

_log = logger("line")


class Buckets(Protocol):
    """The part of analytics.spending.Spending that the lines use."""

    async def charge(
        self, company_id: str, what: What, amount: int, per_minute: int, now_ms: int
    ) -> Level: ...


class Limits(Protocol):
    """The part of a Company that its line goes by."""

    @property
    def company_id(self) -> str: ...

    @property
    def turns_at_once_max(self) -> int | None: ...

    @property
    def tokens_per_minute_max(self) -> int | None: ...


class CompanyLine:
    """Is the port Line, for one company as it is now."""

    def __init__(self, company_id: str, lines: "Lines") -> None:
        self._company_id = company_id
        self._lines = lines
        self.running_max = TURNS_PER_COMPANY_MAX
        self.per_minute: int | None = None
        self.running: set[Key] = set()
        # Who came first stands first: `came_ms` is the arrival of the oldest message that waits.
        self._waiting: list[tuple[int, Key]] = []
        self._waiters: dict[Key, tuple[int, int, asyncio.Event]] = {}
        self._costs = deque[int](maxlen=COSTS_MAX)
        self._level: Level | None = None
        self._looked_ms = 0
        self._owed = 0
        self._charging: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Turns that wait in it."""
        return len(self._waiting)

    def place(self, key: Key, came_ms: int, *, suspect: bool = False) -> Place:
        """Whether this conversation's turn may begin now. Neither waits nor fails."""
        now_ms = self._lines.clock.now_ms()
        if suspect and self._lines.suspect not in (None, key):
            return Place(SUSPECT, now_ms + SUSPECT_PAUSE_MS, early=False)
        tokens = self._tokens(now_ms)
        if tokens is not None and not tokens.is_fresh:
            self._charge()
        joined_ms = self._waiters[key][1] if key in self._waiters else now_ms
        crowd = Crowd(
            running=len(self.running),
            running_max=self.running_max,
            waiting=len(self._waiting) - (key in self._waiters),
            ahead=bisect_left(self._waiting, (came_ms, key)),
            everybodys=self._lines.running,
            everybodys_max=TURNS_MAX,
        )
        place = place_of(crowd, tokens, now_ms, max(0, now_ms - joined_ms))
        if suspect and place.reason:
            # It stands in no line, so nobody would wake it.
            again_ms = now_ms + SUSPECT_PAUSE_MS
            return msgspec.structs.replace(place, until_ms=max(place.until_ms or 0, again_ms))
        return place

    def wait(self, key: Key, came_ms: int, woken: asyncio.Event) -> None:
        """Stands in line; `woken` is set when the turn may have come, which `place` then says."""
        joined_ms = self._lines.clock.now_ms()
        if key in self._waiters:
            joined_ms = self._waiters[key][1]
            self._remove(key)
        insort(self._waiting, (came_ms, key))
        self._waiters[key] = (came_ms, joined_ms, woken)

    def leave(self, key: Key) -> None:
        """Stands in line no longer, if it did."""
        if key in self._waiters:
            self._remove(key)
            self.wake()

    def begin(self, key: Key, *, suspect: bool = False) -> None:
        """A turn begins; to be called right after `place` said that it may."""
        if suspect:
            self._lines.suspect = key
        self._lines.running += key not in self.running
        self.running.add(key)
        if key in self._waiters:
            self._remove(key)
        self.wake()

    def end(self, key: Key, tokens: int) -> None:
        """The turn has ended, if one ran, and has cost so much."""
        if key not in self.running:
            return
        was_full = self._lines.running >= TURNS_MAX
        if self._lines.suspect == key:
            self._lines.suspect = None
        self.running.discard(key)
        self._lines.running -= 1
        if tokens > 0:
            self._costs.append(tokens)
        if tokens > 0 and self.per_minute is not None:
            self._owed += tokens
            self._charge()
        self._lines.wake_all() if was_full else self.wake()

    def wake(self) -> None:
        """The first in line looks at its place again; the next one when it begins or leaves."""
        if self._waiting:
            self._waiters[self._waiting[0][1]][2].set()

    def _remove(self, key: Key) -> None:
        came_ms = self._waiters.pop(key)[0]
        del self._waiting[bisect_left(self._waiting, (came_ms, key))]

    def _tokens(self, now_ms: int) -> Tokens | None:
        if self.per_minute is None:
            return None
        level = self._level
        if level is not None:
            level = spent(level, self._owed, self.per_minute, now_ms)
        a_turn = math.ceil(sum(self._costs) / len(self._costs)) if self._costs else A_TURN_TOKENS
        is_fresh = now_ms - self._looked_ms <= LEVEL_FRESH_MS
        return Tokens(self.per_minute, level, is_fresh, a_turn)

    def _charge(self) -> None:
        """Charges what is owed, or only looks, in the background: one call at a time."""
        if self._charging is None:
            self._charging = asyncio.create_task(self._charged(), name="charge tokens")
            self._charging.add_done_callback(self._has_charged)

    def _has_charged(self, _: asyncio.Task[None]) -> None:
        self._charging = None
        self.wake()

    async def _charged(self) -> None:
        clock, again = self._lines.clock, True
        while again and (per_minute := self.per_minute) is not None:
            amount = self._owed
            try:
                level = await self._lines.buckets.charge(
                    self._company_id, "tokens", amount, per_minute, clock.now_ms()
                )
            except Retryable as error:
                # A limit is no reason to stand still: what is known counts on. What is in doubt is
                # not charged twice.
                _log.warning(
                    "the tokens of company %s are not counted: %s", self._company_id, error
                )
                self._level = self._level or Level(0, clock.now_ms())
                self._owed -= amount if error.doubtful else 0
                again = False
            else:
                self._level, self._owed = level, self._owed - amount
                again = self._owed > 0
            self._looked_ms = clock.now_ms()


class Lines:
    """The lines of all companies in one process. `running`: turns of all of them that run;
    `suspect`: the one of them in which a process died before."""

    def __init__(self, buckets: Buckets, clock: Clock, hosts: int) -> None:
        """`hosts`: so many processes share a company's limit of turns at once."""
        self.buckets = buckets
        self.clock = clock
        self.running = 0
        self.suspect: Key | None = None
        self._hosts = hosts
        self._lines: dict[str, CompanyLine] = {}
        self._woken_last = ""

    def of(self, limits: Limits) -> CompanyLine:
        """The line of a company; to be asked again when the company is changed, which then counts
        for those in line too."""
        company_id, setting = limits.company_id, limits.turns_at_once_max
        # In one step: a company is also made ready from a thread.
        line = self._lines.setdefault(company_id, CompanyLine(company_id, self))
        own = TURNS_PER_COMPANY_MAX if setting is None else math.ceil(setting / self._hosts)
        now = (min(own, TURNS_PER_COMPANY_MAX), limits.tokens_per_minute_max)
        if now != (line.running_max, line.per_minute):
            line.running_max, line.per_minute = now
            line.wake()
        return line

    def wake_all(self) -> None:
        """A place that everybody waited for is free: the first of each line looks, a company after
        the other."""
        names = sorted(name for name, line in self._lines.items() if line.waiting)
        later = bisect_left(names, self._woken_last + "\0")
        for name in (*names[later:], *names[:later]):
            self._lines[name].wake()
        if names:
            self._woken_last = names[later % len(names)]

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """Companies with turns that run or wait: how many do, each."""
        for name, line in self._lines.items():
            if line.running or line.waiting:
                yield name, len(line.running), line.waiting
