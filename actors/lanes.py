"""Shares places between companies: each has a lane of its own, and free places go round."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lanes:
    """So many at once, and of one company at most its share. Who waits, waits in its company's
    lane, first come first served; a place that is free goes to the companies in turn.

    Lanes hold what already stands elsewhere within bounds: they have no limit of their own.
    """

    def __init__(self, places_max: int, of_company_max: int) -> None:
        self._free = places_max
        self._of_company_max = of_company_max
        self._taken: Counter[str] = Counter()
        self._lanes: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def place(self, company_id: str) -> AsyncIterator[None]:
        """Holds a place, once there is one; given up at any time, it goes to the next."""
        if self._may(company_id) and company_id not in self._lanes:
            self._take(company_id)
        else:
            await self._turn(company_id)
        try:
            yield
        finally:
            self._release(company_id)

    def _may(self, company_id: str) -> bool:
        return self._free > 0 and self._taken[company_id] < self._of_company_max

    def _take(self, company_id: str) -> None:
        self._free -= 1
        self._taken[company_id] += 1

    def _release(self, company_id: str) -> None:
        self._free += 1
        self._taken[company_id] -= 1
        if not self._taken[company_id]:
            del self._taken[company_id]
        self._give()

    async def _turn(self, company_id: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lanes.setdefault(company_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(company_id)  # it had just been given one
            else:
                self._leave(company_id)
            raise

    def _leave(self, company_id: str) -> None:
        """Takes those out of a lane who have given up; whoever comes first does it for all."""
        lane = self._lanes.get(company_id, deque())
        for turn in [turn for turn in lane if turn.done()]:
            lane.remove(turn)
        if not lane:
            self._lanes.pop(company_id, None)

    def _give(self) -> None:
        for company_id in list(self._lanes):
            # Who is cancelled may stand there still: its task has not run since.
            self._leave(company_id)
            if company_id not in self._lanes or not self._may(company_id):
                continue
            lane = self._lanes.pop(company_id)
            self._take(company_id)
            lane.popleft().set_result(None)
            if lane:
                self._lanes[company_id] = lane  # behind the others
