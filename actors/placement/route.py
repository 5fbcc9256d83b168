"""Keeps the way to one actor: a buffer of deliveries, and calls that empty it."""

import asyncio
from collections.abc import Awaitable, Callable

from actors.clock import Clock
from actors.errors import Retryable
from actors.placement.mail import Bag, Mail
from actors.telemetry import logger

DELIVERIES_PER_CALL = 500
CALLS_UNDER_WAY = 2
"""Calls of one router to one actor at once; while they run, deliveries gather for the next."""

DELIVERY_PAUSES_S = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0)
"""A delivery to an actor that is away is repeated after these pauses, then left to the sweep."""

Call = Callable[[str, list[Mail]], Awaitable[None]]
"""Hands deliveries to the actor of this name. Raises Retryable where it is away."""

_log = logger("placement")


class Route:
    """The way to one actor: a buffer, and calls that empty it."""

    def __init__(self, name: str, call: Call, clock: Clock) -> None:
        self._name = name
        self._hand_in = call
        self._clock = clock
        self._waiting = Bag()
        self._calls: set[asyncio.Task[None]] = set()

    def put(self, delivery: Mail) -> None:
        """Sends it on its way; returns at once."""
        if self._waiting.put(delivery):
            self._call()

    @property
    def is_idle(self) -> bool:
        return not self._calls and not self._waiting

    def _call(self) -> None:
        if self._waiting and len(self._calls) < CALLS_UNDER_WAY:
            call = asyncio.create_task(self._empty())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _empty(self) -> None:
        while self._waiting:
            await self._bring(self._waiting.take(DELIVERIES_PER_CALL))

    async def _bring(self, page: list[Mail]) -> None:
        for pause_s in (*DELIVERY_PAUSES_S, None):
            try:
                await self._hand_in(self._name, page)
                return
            except Retryable as error:
                if pause_s is None:
                    _log.warning("%d deliveries are left to the sweep: %s", len(page), error)
                    return
                await self._clock.sleep(pause_s)
