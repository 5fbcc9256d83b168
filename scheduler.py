"""Runs the timetable: `python scheduler.py`, or as a Ray job; a second one stands by."""

import asyncio
import logging
import os
import signal
from datetime import UTC, datetime

import ray
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from actors import placement, wiring
from actors.cli import exit_if_misconfigured
from actors.clock import Clock
from actors.companies.directory import follow
from actors.errors import Retryable
from actors.maintenance.lease import RENEW_S, Lease
from actors.maintenance.timetable import Every, Row, run_due, timetable
from actors.settings import read_settings
from actors.telemetry import logger

MISFIRE_GRACE_S = 3_600
"""A run that is late by no more than this still happens (APScheduler's default is 1 s)."""

EPOCH = datetime.fromtimestamp(0, UTC)

_log = logger("scheduler")


def _trigger(row: Row) -> IntervalTrigger | CronTrigger:
    if isinstance(row.when, Every):
        # Counted from 1970, as run_due does: else a run might fall into its neighbour's tick.
        return IntervalTrigger(seconds=row.when.seconds, start_date=EPOCH)
    return CronTrigger(hour=row.when.hour, minute=row.when.minute, timezone=row.zone)


class Shift:
    """The rows that are done under one lease."""

    def __init__(self, lease: Lease, rows: list[Row], clock: Clock, what: str) -> None:
        self._lease = lease
        self._rows = rows
        self._clock = clock
        self._what = what
        self._held = False
        self._missed: asyncio.Task[None] | None = None

    def add_to(self, jobs: AsyncIOScheduler) -> None:
        for row in self._rows:
            jobs.add_job(
                run_due,
                _trigger(row),
                args=[row, self._lease, self._clock],
                id=row.name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=MISFIRE_GRACE_S,
            )

    async def renew(self) -> None:
        try:
            holds = await self._lease.take()
        except Retryable as error:
            _log.warning("the lease of %s cannot be taken: %s", self._what, error)
            holds = False
        if holds and not self._held:
            _log.info("this scheduler holds the lease of %s", self._what)
            # Aside: the lease is to be renewed while a long row is at work.
            self._missed = asyncio.create_task(self._make_up())
        if self._missed is not None and self._missed.done():
            self._missed.result()  # a bug in it surfaces here
            self._missed = None
        self._held = holds

    async def _make_up(self) -> None:
        """Does once what was due while nobody held the lease."""
        for row in self._rows:
            await run_due(row, self._lease, self._clock)

    async def release(self) -> None:
        if self._missed is not None:
            self._missed.cancel()
        if self._held:
            await self._lease.release()


async def work(parts: wiring.Parts) -> None:
    """Runs the timetable until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    rows = timetable(parts, placement.Router(parts))
    own, holder = placement.cluster(), parts.ids.new()
    shifts = [
        Shift(
            Lease(parts.redis, holder, own if each else ""),
            [row for row in rows if row.each_cluster is each],
            parts.clock,
            f"cluster {own}" if each else "all clusters",
        )
        for each in (True, False)
    ]
    jobs = AsyncIOScheduler()
    for shift in shifts:
        shift.add_to(jobs)
    jobs.start()
    following = asyncio.create_task(follow(parts.directory, parts.redis, parts.clock))
    try:
        while not stop.is_set():
            for shift in shifts:
                await shift.renew()
            until_ms = parts.clock.now_ms() + round(RENEW_S * 1_000)
            await parts.clock.wait(stop, until_ms)
    finally:
        following.cancel()
        jobs.shutdown(wait=False)
        for shift in shifts:
            await shift.release()


def main() -> None:
    """Connects to Ray and Redis as the environment says, and works."""
    with exit_if_misconfigured():
        settings = read_settings()
        parts = wiring.build(settings)
    ray.init(
        address=os.environ.get("RAY_ADDRESS", "auto"),
        namespace=placement.NAMESPACE,
        log_to_driver=False,
        logging_level=logging.WARNING,
    )
    asyncio.run(work(parts))


if __name__ == "__main__":
    main()
