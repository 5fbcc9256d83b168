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
from actors.placement.hosts import ANSWER_S, create, is_current, named, retire_one
from actors.placement.mail import Bag, Mail
from actors.placement.names import (
    DEDICATED,
    NAMESPACE,
    actor_name,
    host_name,
    release_of,
    slots_of,
)
from actors.telemetry import logger

DELIVERIES_PER_CALL = 500
CALLS_UNDER_WAY = 2
"""Calls of one router to one actor at once; while they run, deliveries gather for the next."""

DELIVERY_PAUSES_S = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0)
"""A delivery to an actor that is away is repeated after these pauses, then left to the sweep."""

PASSIVATE_MS = 60_000
"""A dedicated actor at rest so long is ended."""

_log = logger("placement")


class _Route:
    """The way to one actor: a buffer, and calls that empty it."""

    def __init__(self, router: "Router", name: str) -> None:
        self._router = router
        self._name = name
        self._waiting = Bag()
        self._calls: set[asyncio.Task[None]] = set()
        self._actor: ActorHandle[Any] | None = None

    def put(self, delivery: Mail) -> None:
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
            page = self._waiting.take(DELIVERIES_PER_CALL)
            for pause_s in (*DELIVERY_PAUSES_S, None):
                try:
                    actor = await self.actor()
                    await actor.deliver.remote(page)
                    break
                except (RayError, ValueError, Retryable) as error:
                    self.forget(error)
                    if pause_s is None:
                        _log.warning(
                            "%s is away, %d deliveries left to the sweep: %s",
                            self._name,
                            len(page),
                            type(error).__name__,
                        )
                        break
                    await self._router.clock.sleep(pause_s)

    async def actor(self) -> ActorHandle[Any]:
        if self._actor is None:
            self._actor = await asyncio.to_thread(self._router.find, self._name)
        return self._actor

    def forget(self, error: Exception) -> None:
        """A handle to an actor that died for good never works again: look it up anew."""
        if isinstance(error, RayActorError | ValueError):
            self._actor = None


class Router:
    """Brings events to the actors that own their conversations. Losing one is harmless."""

    def __init__(self, parts: wiring.Parts) -> None:
        self.clock = parts.clock
        self._settings = parts.settings
        self._release = release_of(parts.settings)
        self._routes: dict[str, _Route] = {}

    def deliver(self, key: Key, seq: int, raw: bytes | None) -> None:
        """Sends an event on its way (or, without one, a reason to look); returns at once."""
        self._route(actor_name(key, self._settings)).put((str(key), seq, raw))

    def find(self, name: str) -> ActorHandle[Any]:
        """The actor of this name, made if there is none. Blocks.

        Raises Retryable where no such actor may be made now.
        """
        try:
            return ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            if not is_current(self._settings, self._release):
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
                actor = await self._route(name).actor()
            async with asyncio.timeout(ANSWER_S):
                glance: dict[str, Any] = await actor.glance.remote(str(key))
                return glance
        except ValueError:
            return {"host": name, "pid": None, "phase": "asleep"}
        except (RayError, TimeoutError, Retryable) as error:
            self._route(name).forget(error)
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
                actor = await self._route(name).actor()
                async with asyncio.timeout(ANSWER_S):
                    woken += await actor.look.remote(keys_of)
            except (RayError, TimeoutError, ValueError, Retryable) as error:
                self._route(name).forget(error)
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
                actor = await self._route(name).actor()
                described: dict[str, Any] = await actor.describe.remote()
                return described
        except (RayError, TimeoutError, ValueError, Retryable) as error:
            self._route(name).forget(error)
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
                actor = await self._route(name).actor()
                turns: dict[str, tuple[int, int]] = await actor.turns.remote()
                return turns
        except (RayError, TimeoutError, ValueError, Retryable) as error:
            self._route(name).forget(error)
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
        return ended

    def _route(self, name: str) -> _Route:
        if name not in self._routes:
            if len(self._routes) >= 2 * (self._settings.hosts + self._settings.dedicated_max):
                self._routes = {n: r for n, r in self._routes.items() if not r.is_idle}
            self._routes[name] = _Route(self, name)
        return self._routes[name]
