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


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

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
