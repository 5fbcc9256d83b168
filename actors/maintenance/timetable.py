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
from actors.maintenance.chores import CleanUp, Sweep, Watch
from actors.maintenance.lease import Lease
from actors.maintenance.tune import Tune
from actors.telemetry import logger
from actors.wiring import Parts

ZONE = "America/Bogota"
"""Where a company names no time zone of its own (R3)."""

CATCH_UP_S = 180
"""What no webhook told of is looked for this often."""

WATCH_S = 5
"""Hosts that stand still are looked for so often; see maintenance.stalls."""

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
    """One line of the timetable.

    `each_cluster`: done in every cluster for itself, not once for all that share a Redis.
    """

    name: str
    when: Every | Daily
    zone: str
    run_once: Callable[[], Awaitable[object]]
    each_cluster: bool = False


def timetable(parts: Parts, router: placement.Router) -> list[Row]:
    """All rows."""
    hosts = partial(placement.ensure_hosts, parts.settings)
    sweep = Sweep(parts.journal, parts.directory, router, parts.clock, hosts)
    watch = Watch(parts.journal, placement, parts.clock)
    clean_up = CleanUp(parts.journal, parts.directory, parts.clock)
    tune = Tune(parts.journal, parts.directory, parts.redis)
    catch_up = CatchUp(parts, router.deliver)
    return [
        Row("watch", Every(WATCH_S), ZONE, watch.run_once, each_cluster=True),
        Row("sweep", Every(30), ZONE, sweep.run_once, each_cluster=True),
        Row("catch-up", Every(CATCH_UP_S), ZONE, catch_up.run_once),
        Row("clean-up", Daily(2), ZONE, clean_up.run_once),
        Row("tune", Daily(4), ZONE, tune.run_once),
    ]


async def run_due(row: Row, lease: Lease, clock: Clock) -> object | None:
    """Does the row's last due run if nobody has; missed ones before it are not made up for.

    Returns what the chore returns, or None if there was nothing to do or to tell.
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
    if done is not None:
        _log.info("%s: %s", row.name, done)
    return done
