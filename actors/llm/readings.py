"""Reads each file once: keeps what was read, joins those who ask for what is being read."""

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from actors.lanes import Lanes
from actors.llm.prompt import Content

DOWNLOADS_MAX = 16
"""Files under reading in one process; more wait in line. Each is held in memory meanwhile."""

READINGS_MAX = 400
"""Files under reading or in line in one process; more are not read."""

COMPANY_SHARE = 0.5
"""One company has at most this part of both, so that its slow file server leaves some free."""

READ_S = 75.0
"""A reading ends within so long, its waiting in line included."""

KEPT_MAX = 1_000
KEPT_BYTES_MAX = 64 << 20
"""What is kept of files read, by number and by size; the one not asked for longest goes first."""


class Reading(NamedTuple):
    """What became of a file. `may_change`: another reading may find more, so it is not kept."""

    content: Content
    may_change: bool = False


Read = Callable[[], Awaitable[Reading]]


def size_bytes(content: Content) -> int:
    """About how much memory a content takes: Python keeps up to four bytes a character."""
    picture = len(content.picture.data_url) if content.picture else 0
    return 4 * len(content.text) + picture


class Readings:
    """The files that one process reads, for all companies.

    A reading goes on when nobody waits for it any more: the draft that asked for it was superseded,
    and the next one will ask again.
    """

    def __init__(
        self,
        *,
        kept_max: int = KEPT_MAX,
        kept_bytes_max: int = KEPT_BYTES_MAX,
        read_s: float = READ_S,
    ) -> None:
        self._read_s = read_s
        self._kept_max = kept_max
        self._kept_bytes_max = kept_bytes_max
        self._kept: OrderedDict[str, Content] = OrderedDict()
        self._kept_bytes = 0
        self._under_way: dict[str, asyncio.Task[Content]] = {}
        self._counts: Counter[str] = Counter()
        self._places = Lanes(DOWNLOADS_MAX, math.ceil(DOWNLOADS_MAX * COMPANY_SHARE))

    async def once(self, key: str, read: Read, *, company_id: str = "") -> Content:
        """What stands under the key, read if need be, in the company's lane. Raises what `read`
        raises."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._under_way:
            of_company_max = math.ceil(READINGS_MAX * COMPANY_SHARE)
            if len(self._under_way) >= READINGS_MAX or self._counts[company_id] >= of_company_max:
                return unread("too many files arrive at once")
            self._counts[company_id] += 1
            task = self._under_way[key] = asyncio.create_task(self._read(key, read, company_id))
            task.add_done_callback(lambda _: self._ended(key, company_id))
        return await asyncio.shield(self._under_way[key])

    def _ended(self, key: str, company_id: str) -> None:
        self._under_way.pop(key, None)
        self._counts[company_id] -= 1

    async def aclose(self) -> None:
        """Ends what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, key: str, read: Read, company_id: str) -> Content:
        try:
            async with asyncio.timeout(self._read_s), self._places.place(company_id):
                content, may_change = await read()
        except TimeoutError:
            return unread("reading it takes too long")
        if not may_change:
            self._keep(key, content)
        return content

    def _keep(self, key: str, content: Content) -> None:
        self._kept[key] = content
        self._kept_bytes += size_bytes(content)
        while len(self._kept) > self._kept_max or self._kept_bytes > self._kept_bytes_max:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= size_bytes(dropped)


def unread(why: str, what: str = "a file") -> Content:
    """What the model is told of a file that could not be read."""
    return Content(f"[the customer sent {what} that cannot be read: {why}]", is_read=False)
