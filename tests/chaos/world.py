"""Holds a running service under load, and what its other sides saw."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import psutil
from redis import Redis

from actors.conversation.events import decode
from actors.journal.keys import Key, redis_keys
from actors.placement.names import host_of
from tests.chaos.customers import Customers, now_ms
from tests.chaos.sightings import Call, Post, numbers_in
from tests.chaos.verdict import Journal
from tests.places import Place, until

COMPANY = "acme"
HOSTS = 2
LATE_MS = 100
"""What a killed process sent may arrive so long after its end."""

T = TypeVar("T")


class World:
    """The service, its customers, and the record of Chatwoot and the model."""

    def __init__(self, place: Place, customers: Customers, seed: int) -> None:
        self.place = place
        self.customers = customers
        self.dice = random.Random(seed)
        self.began_ms = now_ms()
        self.posts: list[Post] = []
        self.calls: list[Call] = []
        self.faulted: dict[str, int] = {}
        self.node: psutil.Popen | None = None
        self._read = {"posts": 0, "calls": 0}

    async def settle(self, what: str, check: Callable[[], T | None], seconds: float) -> T:
        """Waits in a thread until `check` gives something true; raises AssertionError."""
        return await asyncio.to_thread(until, what, check, seconds)

    def pids(self, name: str) -> list[int]:
        """The processes of the service whose title contains this."""
        found = []
        for process in self.place.processes():
            with contextlib.suppress(psutil.Error):
                if name in " ".join(process.cmdline()):
                    found.append(process.pid)
        return found

    def hosts(self) -> dict[str, int] | None:
        """The process of each host; None unless all answer."""
        ready = self.place.ready()
        return {host["name"]: host["pid"] for host in ready["hosts"]} if ready else None

    def whose(self, host: str) -> frozenset[int]:
        """The customers whose conversations a host holds."""
        number = int(host.rpartition("-")[2])
        return frozenset(
            name
            for name in self.customers.who
            if host_of(Key(COMPANY, str(name)).slot, HOSTS) == number
        )

    async def read_on(self) -> None:
        """Takes in what Chatwoot and the model saw since."""
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.get(f"{self.place.peers}/_record", params=self._read)
        seen: dict[str, Any] = answer.json()
        self._read["posts"] += len(seen["posts"])
        self._read["calls"] += len(seen["calls"])
        self.faulted = seen["faulted"]
        for post in seen["posts"]:
            self._take_post(post)
        for at_ms, text in seen["calls"]:
            found = numbers_in(text)
            if found and found[0][0] in self.customers.who:
                self.calls.append(Call(found[0][0], at_ms))

    def _take_post(self, post: dict[str, Any]) -> None:
        conversation = int(post["conversation"]) if post["conversation"].isdecimal() else 0
        if conversation in self.customers.who:
            numbers = tuple(number for _, number in numbers_in(post.get("content") or ""))
            self.posts.append(
                Post(
                    conversation,
                    numbers,
                    post["began_ms"],
                    post["ended_ms"],
                    post["id"] is not None,
                )
            )

    def acks_again_ms(self, since_ms: float, until_ms: float) -> float | None:
        """When webhooks were accepted again after a fault, and none failed any more."""
        ended = [a for a in self.customers.attempts if since_ms <= a.ended_ms <= until_ms]
        failed_ms = max((a.ended_ms for a in ended if a.failed), default=since_ms)
        acked = (a.ended_ms for a in ended if not a.failed and a.ended_ms >= failed_ms)
        return min(acked, default=None)

    def works_again_ms(self, since_ms: float, whom: frozenset[int]) -> float | None:
        """When the model was asked, or an answer posted, for one of these customers again."""
        seen = [call.at_ms for call in self.calls if call.conversation in whom]
        seen += [post.began_ms for post in self.posts if post.conversation in whom]
        return min((at_ms for at_ms in seen if at_ms > since_ms + LATE_MS), default=None)

    def is_calm(self, since_ms: float) -> bool:
        """Whether webhooks are accepted, and only accepted, since then."""
        ended = [a for a in self.customers.attempts if a.ended_ms >= since_ms]
        return bool(ended) and not any(a.failed for a in ended)

    async def is_answered(self) -> bool:
        """Whether every accepted message has an answer."""
        await self.read_on()
        shown = {(p.conversation, n) for p in self.posts if p.visible for n in p.numbers}
        return all(
            (message.conversation, message.number) in shown
            for message in self.customers.messages
            if message.acked_ms is not None
        )

    def journals(self) -> dict[int, Journal]:
        """All journals, from Redis."""
        found: dict[int, Journal] = {}
        with Redis.from_url(self.place.settings()["REDIS_URL"]) as redis:
            for name in self.customers.who:
                entries: Any = redis.xrange(redis_keys(Key(COMPANY, str(name))).journal)
                found[name] = [
                    (int(entry_id.partition(b"-")[0]), decode(fields[b"event"]))
                    for entry_id, fields in entries
                ]
        return found


__all__ = ["COMPANY", "HOSTS", "World", "now_ms"]
