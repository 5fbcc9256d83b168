"""Holds the timetable: what is due when, in rows of (name, when, zone, chore)."""

from collections.abc import Awaitable, Callable
from datetime import datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import msgspec

from actors import placement
from actors.clock import Clock
from actors.errors import Retryable
from actors.maintenance.catch_up import CatchUp
from actors.maintenance.chores import CleanUp, Sweep
from actors.maintenance.lease import Lease
from actors.maintenance.tune import Tune
from actors.telemetry import logger
from actors.wiring import Parts

ZONE = "America/Bogota"
"""Where a company names no time zone of its own (R3)."""

CATCH_UP_S = 180
"""What no webhook told of is looked for this often."""

_log = logger("maintenance")


class Every(msgspec.Struct, frozen=True):
    """At whole multiples of so many seconds."""

    seconds: int

    def last_due_ms(self, now_ms: int, zone: str) -> int:
        """When it was due last, ms since 1970."""
        del zone
        return now_ms - now_ms % (self.seconds * 1_000)

    @property
    def period_ms(self) -> int:
        return self.seconds * 1_000


class Daily(msgspec.Struct, frozen=True):
    """Once a day at this local time."""

    hour: int
    minute: int = 0

    def last_due_ms(self, now_ms: int, zone: str) -> int:
        """When it was due last, ms since 1970."""
        local = datetime.fromtimestamp(now_ms / 1_000, ZoneInfo(zone))
        due = datetime.combine(local.date(), time(self.hour, self.minute), local.tzinfo)
        if due > local:
            due -= timedelta(days=1)
        return round(due.timestamp() * 1_000)

    @property
    def period_ms(self) -> int:
        return 24 * 3_600 * 1_000


class Row(msgspec.Struct, frozen=True):
    """One line of the timetable."""

    name: str
    when: Every | Daily
    zone: str
    run_once: Callable[[], Awaitable[object]]


def timetable(parts: Parts, router: placement.Router) -> list[Row]:
    """All rows."""
    hosts = partial(placement.ensure_hosts, parts.settings)
    sweep = Sweep(parts.journal, parts.directory, router, parts.clock, hosts)
    clean_up = CleanUp(parts.journal, parts.directory, parts.clock)
    tune = Tune(parts.journal, parts.directory, parts.redis)
    catch_up = CatchUp(parts, router.deliver)
    return [
        Row("sweep", Every(30), ZONE, sweep.run_once),
        Row("catch-up", Every(CATCH_UP_S), ZONE, catch_up.run_once),
        Row("clean-up", Daily(2), ZONE, clean_up.run_once),
        Row("tune", Daily(4), ZONE, tune.run_once),
    ]


async def run_due(row: Row, lease: Lease, clock: Clock) -> object | None:
    """Does the row's last due run if nobody has; missed ones before it are not made up for.

    Returns what the chore returns, or None if there was nothing to do.
    """
    due_ms = row.when.last_due_ms(clock.now_ms(), row.zone)
    try:
        if not await lease.take():
            return None
        if not await lease.claim(f"{row.name}:{due_ms}", 2 * row.when.period_ms):
            return None
        done = await row.run_once()
    except Retryable as error:
        _log.warning("%s failed, the next run makes up for it: %s", row.name, error)
        return None
    _log.info("%s: %s", row.name, done)
    return done
