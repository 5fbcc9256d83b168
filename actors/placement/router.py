"""Brings events to the actors that own their conversations, coalesced, and asks what they do."""

import asyncio
from collections.abc import Iterable
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError

from actors import wiring
from actors.errors import Retryable
from actors.journal.keys import Key
from actors.placement.cluster import cluster
from actors.placement.hosts import ANSWER_S, create, is_current, named, retire_one
from actors.placement.mail import Mail
from actors.placement.names import (
    DEDICATED,
    NAMESPACE,
    actor_name,
    host_name,
    release_of,
    slots_of,
)
from actors.placement.route import Route
from actors.telemetry import logger

PASSIVATE_MS = 60_000
"""A dedicated actor at rest so long is ended."""

_log = logger("placement")


class Router:
    """Brings events to the actors that own their conversations. Losing one is harmless."""

    def __init__(self, parts: wiring.Parts) -> None:
        self._clock = parts.clock
        self._settings = parts.settings
        self._release = release_of(parts.settings)
        self._known_max = 2 * (parts.settings.hosts + parts.settings.dedicated_max)
        self._routes: dict[str, Route] = {}
        self._actors: dict[str, ActorHandle[Any]] = {}

    def deliver(self, key: Key, seq: int, raw: bytes | None) -> None:
        """Sends an event on its way (or, without one, a reason to look); returns at once."""
        self._route(actor_name(key, self._settings)).put((str(key), seq, raw))

    async def _hand_in(self, name: str, page: list[Mail]) -> None:
        try:
            actor = await self._actor(name)
            await actor.deliver.remote(page)
        except (RayError, ValueError) as error:
            self._forget(name, error)
            raise Retryable(f"{name} is away: {type(error).__name__}") from error

    async def _actor(self, name: str) -> ActorHandle[Any]:
        if name not in self._actors:
            if len(self._actors) >= self._known_max:
                self._actors.clear()  # they are found again
            self._actors[name] = await asyncio.to_thread(self.find, name)
        return self._actors[name]

    def _forget(self, name: str, error: Exception) -> None:
        """A handle to an actor that died for good never works again: look it up anew."""
        if isinstance(error, RayActorError | ValueError):
            self._actors.pop(name, None)

    def find(self, name: str) -> ActorHandle[Any]:
        """The actor of this name, made if there is none. Blocks.

        Raises Retryable where no such actor may be made now.
        """
        try:
            return ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            if not is_current(self._settings, self._release, cluster()):
                raise Retryable(f"another release makes {name} now") from None
        if self._settings.placement == "shared":
            host = int(name.rpartition("-")[2])
            return create(self._settings, name, slots_of(host, self._settings.hosts), self._release)
        running = named(DEDICATED)
        if len(running) >= self._settings.dedicated_max and not retire_one(running):
            raise Retryable(f"{len(running)} dedicated actors work, DEDICATED_MAX allows no more")
        slot = Key.parse(name.removeprefix(DEDICATED)).slot
        return create(self._settings, name, range(slot, slot + 1), self._release)

    async def glance(self, key: Key) -> dict[str, Any]:
        """What the conversation's actor is doing; phase `unreachable` if it does not say."""
        name = actor_name(key, self._settings)
        try:
            if self._settings.placement == "dedicated":
                # Looking must not bring an actor to life.
                actor = await asyncio.to_thread(ray.get_actor, name, NAMESPACE)
            else:
                actor = await self._actor(name)
            async with asyncio.timeout(ANSWER_S):
                glance: dict[str, Any] = await actor.glance.remote(str(key))
                return glance
        except ValueError:
            return {"host": name, "pid": None, "phase": "asleep"}
        except (RayError, TimeoutError, Retryable) as error:
            self._forget(name, error)
            return {"host": name, "pid": None, "phase": "unreachable"}

    async def look(self, keys: Iterable[Key]) -> int:
        """Makes the owners of these conversations read their journals; returns how many were at
        rest. Owners that cannot be reached are left to the next sweep."""
        by_name: dict[str, list[str]] = {}
        for key in keys:
            by_name.setdefault(actor_name(key, self._settings), []).append(str(key))
        woken = 0
        for name, keys_of in by_name.items():
            try:
                actor = await self._actor(name)
                async with asyncio.timeout(ANSWER_S):
                    woken += await actor.look.remote(keys_of)
            except (RayError, TimeoutError, ValueError, Retryable) as error:
                self._forget(name, error)
                _log.warning("%s cannot be reached: %s", name, error or type(error).__name__)
        return woken

    async def describe(self) -> list[dict[str, Any]]:
        """Each host, or why it cannot be asked; in dedicated placement the actors there are."""
        return list(await asyncio.gather(*map(self._describe, await self._names())))

    async def _names(self) -> list[str]:
        if self._settings.placement == "shared":
            return [host_name(host) for host in range(self._settings.hosts)]
        return await asyncio.to_thread(named, DEDICATED)

    async def _describe(self, name: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_S):
                actor = await self._actor(name)
                described: dict[str, Any] = await actor.describe.remote()
                return described
        except (RayError, TimeoutError, ValueError, Retryable) as error:
            self._forget(name, error)
            return {"name": name, "error": type(error).__name__}

    async def turns(self) -> tuple[dict[str, tuple[int, int]], list[str]]:
        """By company the turns that run and that wait in line, over all hosts; and the hosts that
        did not say."""
        names = await self._names()
        told = await asyncio.gather(*map(self._turns, names))
        total: dict[str, tuple[int, int]] = {}
        for turns in told:
            for company_id, (runs, waits) in (turns or {}).items():
                before = total.get(company_id, (0, 0))
                total[company_id] = (before[0] + runs, before[1] + waits)
        return total, [name for name, turns in zip(names, told, strict=True) if turns is None]

    async def _turns(self, name: str) -> dict[str, tuple[int, int]] | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                actor = await self._actor(name)
                turns: dict[str, tuple[int, int]] = await actor.turns.remote()
                return turns
        except (RayError, TimeoutError, ValueError, Retryable) as error:
            self._forget(name, error)
            return None

    async def passivate(self) -> int:
        """Ends dedicated actors that have been at rest for long; returns how many."""
        if self._settings.placement == "shared":
            return 0
        resting = [
            described["name"]
            for described in await self.describe()
            if described.get("resting_ms", 0) > PASSIVATE_MS
        ]
        ended = 0
        for name in resting:
            ended += await asyncio.to_thread(retire_one, [name])
            self._routes.pop(name, None)
            self._actors.pop(name, None)
        return ended

    def _route(self, name: str) -> Route:
        if name not in self._routes:
            if len(self._routes) >= self._known_max:
                self._routes = {n: r for n, r in self._routes.items() if not r.is_idle}
            self._routes[name] = Route(name, self._hand_in, self._clock)
        return self._routes[name]
