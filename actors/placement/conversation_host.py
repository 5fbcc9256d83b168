"""Is the thin Ray side of a host: builds it, hands calls on."""

import asyncio
import logging
import os
from typing import Any

import msgspec

from actors import wiring
from actors.companies.directory import follow
from actors.companies.warm import WARM, warm_all
from actors.conversation.host import Delivery, Host
from actors.journal.keys import Key
from actors.placement.cluster import holder_of
from actors.placement.mail import Mail
from actors.placement.names import DEDICATED
from actors.settings import Settings
from actors.telemetry import logger

_log = logger("host")


class ConversationHost:
    """The thin Ray side of a Host: builds it, hands calls on. Restarted by Ray when it dies."""

    def __init__(self, settings: Settings, name: str, slots: range, release: str) -> None:
        logging.getLogger("ray").setLevel(logging.WARNING)
        self._name = name
        self._release = release
        self._parts = parts = wiring.build(settings)
        self._warmth: dict[str, str] = {}
        self._holder = holder_of(name)
        only = Key.parse(name.removeprefix(DEDICATED)) if name.startswith(DEDICATED) else None
        self._host = Host(self._parts.ports, slots, self._holder, only)
        self._rest_since_ms = self._parts.clock.now_ms()
        loop = asyncio.get_running_loop()
        # The replay of what is unanswered begins here, before the first call.
        self._living = loop.create_task(self._host.live())
        self._tasks = [
            self._living,
            loop.create_task(follow(parts.directory, parts.redis, parts.clock)),
            loop.create_task(parts.tallies.follow(parts.clock)),
            loop.create_task(self._warm_up()),
        ]

    async def _warm_up(self) -> None:
        """Makes every company ready now, not at its first message; a broken one says why."""
        parts = self._parts
        self._warmth = await warm_all(
            list(parts.directory), parts.personas.warm, parts.clock, parts.dice
        )
        for company_id, warmth in self._warmth.items():
            if warmth != WARM:
                _log.warning("company %s is %s", company_id, warmth)

    async def deliver(self, deliveries: list[Mail]) -> None:
        """Hands events (conversation, sequence number, event) to their conversations."""
        self._host.deliver(Delivery(Key.parse(key), seq, raw) for key, seq, raw in deliveries)

    async def look(self, keys: list[str]) -> int:
        """Makes conversations read their journals; returns how many were not at work."""
        return await self._host.look(map(Key.parse, keys))

    async def glance(self, key: str) -> dict[str, Any]:
        """What a conversation is doing, and where."""
        glance = self._host.glance(Key.parse(key))
        return {
            "host": self._name,
            "pid": os.getpid(),
            **(msgspec.to_builtins(glance) if glance else {"phase": "asleep"}),
        }

    async def describe(self) -> dict[str, Any]:
        """Who this is and how much it does."""
        now_ms = self._parts.clock.now_ms()
        if self._host.busy:
            self._rest_since_ms = now_ms
        return {
            "name": self._name,
            "pid": os.getpid(),
            "release": self._release,
            "mailboxes": self._host.size,
            "busy": self._host.busy,
            "resting_ms": now_ms - self._rest_since_ms,
            "sweeping": not self._living.done(),
            "cold": {name: why for name, why in self._warmth.items() if why != WARM},
        }

    async def turns(self) -> dict[str, tuple[int, int]]:
        """By company the turns that run here, and those that wait in its line."""
        return {name: (runs, waits) for name, runs, waits in self._parts.personas.lines.counts()}

    async def retire(self) -> bool:
        """Takes nothing any more, if nobody is at work here; else returns False."""
        return self._host.retire()

    async def drain(self) -> None:
        """Gives up all turns and notes it in their journals; the journal keeps everything else."""
        for task in self._tasks:
            task.cancel()
        await self._host.drain()
        await self._parts.tallies.aclose()
