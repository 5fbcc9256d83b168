"""Runs the timetable: `python scheduler.py`, or as a Ray job; a second one stands by."""

import asyncio
import logging
import os
import signal

import ray
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from actors import placement, wiring
from actors.cli import exit_if_misconfigured
from actors.companies.directory import follow
from actors.errors import Retryable
from actors.maintenance.lease import RENEW_S, Lease
from actors.maintenance.timetable import Every, Row, run_due, timetable
from actors.settings import read_settings
from actors.telemetry import logger

MISFIRE_GRACE_S = 3_600
"""A run that is late by no more than this still happens (APScheduler's default is 1 s)."""

_log = logger("scheduler")


def _trigger(row: Row) -> IntervalTrigger | CronTrigger:
    if isinstance(row.when, Every):
        return IntervalTrigger(seconds=row.when.seconds)
    return CronTrigger(hour=row.when.hour, minute=row.when.minute, timezone=row.zone)


async def _make_up(rows: list[Row], lease: Lease, parts: wiring.Parts) -> None:
    """Does once what was due while nobody held the lease."""
    for row in rows:
        await run_due(row, lease, parts.clock)


async def work(parts: wiring.Parts) -> None:
    """Runs the timetable until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    lease = Lease(parts.redis, parts.ids.new())
    rows = timetable(parts, placement.Router(parts))
    jobs = AsyncIOScheduler()
    for row in rows:
        jobs.add_job(
            run_due,
            _trigger(row),
            args=[row, lease, parts.clock],
            id=row.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=MISFIRE_GRACE_S,
        )
    jobs.start()
    following = asyncio.create_task(follow(parts.directory, parts.redis, parts.clock))
    held = False
    missed: asyncio.Task[None] | None = None
    try:
        while not stop.is_set():
            try:
                holds = await lease.take()
            except Retryable as error:
                _log.warning("the lease cannot be taken: %s", error)
                holds = False
            if holds and not held:
                _log.info("this scheduler holds the lease")
                # Aside: the lease is to be renewed while a long row is at work.
                missed = asyncio.create_task(_make_up(rows, lease, parts))
            if missed is not None and missed.done():
                missed.result()  # a bug in it surfaces here
                missed = None
            held = holds
            until_ms = parts.clock.now_ms() + round(RENEW_S * 1_000)
            await parts.clock.wait(stop, until_ms)
    finally:
        following.cancel()
        if missed is not None:
            missed.cancel()
        jobs.shutdown(wait=False)
        if held:
            await lease.release()


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
