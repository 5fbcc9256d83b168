"""Counts in memory what companies' days bring, and adds it to Redis every few seconds.

Analytics are no ledger. What the last seconds held is lost with a killed process, and counts whose
writing ended in doubt (the connection broke before the answer) are not written again: a day may
lack a little, it never has anything twice.
"""

import asyncio
from collections.abc import Mapping
from datetime import date

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from actors.analytics.days import days_between
from actors.clock import Clock
from actors.errors import Retryable
from actors.journal.outages import translating
from actors.telemetry import logger

FLUSH_S = 5.0
"""At most what so many seconds counted is lost with a killed process."""

ANALYTICS_DAYS = 400
"""A day is kept so long after it was last added to: a year can be held against the one before."""

PENDING_MAX = 2_000
"""Companies' days held in memory while Redis is away; each has at most counters.FIELDS."""

READ_PAGE = 50
"""Days read at once."""

_log = logger("analytics")


class Day(msgspec.Struct, frozen=True):
    """What was counted on a company's day."""

    day: date
    counts: dict[str, int]


class _Watched(msgspec.Struct):
    """One counter of today that is asked for again and again. `value` None: not read yet."""

    day: date
    value: int | None = None


def day_key(company_id: str, day: date) -> str:
    """Hash: counter → count."""
    return f"turnwise:analytics:{company_id}:{day.isoformat()}"


class Tallies:
    """The counters of all companies, as one process counts them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pending: dict[tuple[str, date], dict[str, int]] = {}
        # As many as there are companies: a new day takes the place of the one before.
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._one_at_a_time = asyncio.Lock()
        self._away = False

    # What neither waits nor fails.

    def add(self, company_id: str, day: date, increments: Mapping[str, int]) -> None:
        """Adds to a company's day."""
        self._put(company_id, day, increments)
        for field, count in increments.items():
            watched = self._watched.get((company_id, field))
            if watched is not None and watched.day == day and watched.value is not None:
                watched.value += count

    def watch(self, company_id: str, day: date, field: str) -> int | None:
        """This counter over all processes, as it stood at the last look plus what this process
        added since; None until the first look, which is at most FLUSH_S away."""
        watched = self._watched.get((company_id, field))
        if watched is None or watched.day != day:
            watched = self._watched[company_id, field] = _Watched(day)
        return watched.value

    def _put(self, company_id: str, day: date, increments: Mapping[str, int]) -> None:
        counts = self._pending.get((company_id, day))
        if counts is None:
            if len(self._pending) >= PENDING_MAX:
                return  # Redis has been away for long, and has been complained about
            counts = self._pending[company_id, day] = {}
        for field, count in increments.items():
            counts[field] = counts.get(field, 0) + count

    # What talks to Redis.

    async def flush(self) -> None:
        """Adds what was counted to Redis, a company's day at a time: all of it or nothing.

        Raises errors.Retryable: what is not written then stays for the next time, but for a day
        whose writing is in doubt.
        """
        async with self._one_at_a_time:
            if not self._pending:
                return
            # While Redis is away nothing is in doubt: nothing has been sent yet.
            with translating():
                await self._redis.ping()
            for company_id, day in list(self._pending):
                await self._write(company_id, day)

    async def _write(self, company_id: str, day: date) -> None:
        counts = self._pending.pop((company_id, day))
        key = day_key(company_id, day)
        try:
            with translating():
                async with self._redis.pipeline(transaction=True) as together:
                    for field, count in counts.items():
                        together.hincrby(key, field, count)
                    together.expire(key, ANALYTICS_DAYS * 24 * 3_600)
                    await together.execute()
        except Retryable as error:
            if not error.doubtful:
                self._put(company_id, day, counts)
            raise
        except ResponseError as error:
            # It would stand in the way of every other company's counts, for ever.
            _log.error("analytics of company %s, %s, are dropped: %s", company_id, day, error)

    async def refresh(self) -> None:
        """Looks up the counters that are watched. Raises errors.Retryable."""
        async with self._one_at_a_time:
            watched = list(self._watched.items())
            if not watched:
                return
            with translating():
                async with self._redis.pipeline(transaction=False) as together:
                    for (company_id, field), counter in watched:
                        together.hget(day_key(company_id, counter.day), field)
                    found = await together.execute(raise_on_error=False)
            for ((company_id, field), counter), value in zip(watched, found, strict=True):
                if isinstance(value, Exception):
                    continue  # one company's day cannot be read; the others' can
                here = self._pending.get((company_id, counter.day), {}).get(field, 0)
                counter.value = int(value or 0) + here

    async def follow(self, clock: Clock) -> None:
        """Flushes and looks every FLUSH_S, until it is cancelled."""
        while True:
            await clock.sleep(FLUSH_S)
            await self.run_once()

    async def run_once(self) -> bool:
        """Flushes and looks once; False if Redis is away, which is logged once an absence."""
        try:
            await self.flush()
            await self.refresh()
        except Retryable as error:
            if not self._away:
                _log.warning("analytics wait: %s", error)
            self._away = True
            return False
        self._away = False
        return True

    async def aclose(self) -> None:
        """Flushes for the last time; to be called when `follow` has ended."""
        try:
            await self.flush()
        except Retryable as error:
            _log.warning("analytics of %s companies' days lost: %s", len(self._pending), error)

    async def read(self, company_id: str, first: date, last: date) -> list[Day]:
        """The days from the first to the last on which something was counted, oldest first.

        What processes counted in the last FLUSH_S may be missing. Raises errors.Retryable.
        """
        days, read = days_between(first, last), list[Day]()
        for place in range(0, len(days), READ_PAGE):
            page = days[place : place + READ_PAGE]
            with translating():
                async with self._redis.pipeline(transaction=False) as together:
                    for day in page:
                        together.hgetall(day_key(company_id, day))
                    found = await together.execute()
            for day, fields in zip(page, found, strict=True):
                if fields:
                    counts = {field.decode(): int(count) for field, count in fields.items()}
                    read.append(Day(day, counts))
        return read
