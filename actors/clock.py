"""Holds the one clock, the one dice and the one id maker; everything else is handed them."""

import asyncio
import contextlib
import random
import time
import uuid
from typing import Protocol


class Clock(Protocol):
    """Wall time in milliseconds since 1970, and waiting."""

    def now_ms(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        """Returns when the event is set or the time has come; None waits for the event alone."""
        ...


class Dice(Protocol):
    """Chance, so that tests can load it."""

    def between(self, low: float, high: float) -> float: ...


class Ids(Protocol):
    """Unique names."""

    def new(self) -> str: ...


SLEW = 10
"""A step of the machine's time is followed so much slower: a tenth of the time that passes. What is
to last 9 s by this clock then lasts 8.1 s at least."""

STEP_MAX_NS = 60_000_000_000
"""A longer step is taken at once: the machine slept, or its time was quite wrong."""


class SystemClock:
    """The machine's clock, without its jumps: the time of one process never goes back, and no step
    of the machine's time (NTP's, an administrator's) shortens a wait by much."""

    def __init__(self) -> None:
        self._read_ns = self._passed_ns()
        self._apart_ns = self._time_ns() - self._read_ns

    def _time_ns(self) -> int:
        """The machine's time of day."""
        return time.time_ns()

    def _passed_ns(self) -> int:
        """Time that nobody sets."""
        return time.monotonic_ns()

    def now_ms(self) -> int:
        passed_ns = self._passed_ns()
        step_ns = self._time_ns() - passed_ns - self._apart_ns
        if abs(step_ns) <= STEP_MAX_NS:
            most_ns = (passed_ns - self._read_ns) // SLEW
            step_ns = max(-most_ns, min(step_ns, most_ns))
        self._read_ns = passed_ns
        self._apart_ns += step_ns
        return (passed_ns + self._apart_ns) // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        if until_ms is None:
            await event.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0, until_ms - self.now_ms()) / 1_000):
                await event.wait()


class SystemDice:
    """The machine's chance."""

    def between(self, low: float, high: float) -> float:
        return random.uniform(low, high)


class SystemIds:
    """Random 128-bit names, 32 hexadecimal digits."""

    def new(self) -> str:
        return uuid.uuid4().hex
