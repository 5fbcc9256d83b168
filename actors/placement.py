"""Maps each conversation to a named Ray actor, and reaches it there."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Iterable
from typing import Any

import msgspec
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError

from actors import wiring
from actors.conversation.host import Delivery, Host
from actors.errors import Retryable
from actors.journal.keys import SLOTS, Key
from actors.settings import Settings
from actors.telemetry import logger

NAMESPACE = "turnwise"
"""All our actors are named in this Ray namespace."""

CALLS_MAX = 1_000
"""Method calls running at once in one actor; they only hand over, so they are short."""

DELIVERIES_WAITING_MAX = 20_000
"""Deliveries buffered for one actor; beyond, they are dropped: the host finds the messages."""

DELIVERIES_PER_CALL = 500
CALLS_UNDER_WAY = 2
"""Calls of one router to one actor at once; while they run, deliveries gather for the next."""

DELIVERY_PAUSES_S = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0)
"""A delivery to an actor that is away is repeated after these pauses, then left to the sweep."""

ANSWER_S = 2.0
"""How long anybody waits for an actor to say what it does."""

START_S = 10.0
"""An actor found at start-up that does not answer for so long is replaced."""

PASSIVATE_MS = 60_000
"""A dedicated actor at rest so long is ended."""

Mail = tuple[str, int, bytes | None]
"""Conversation, sequence number, event; without the event the actor reads it from the journal."""

_log = logger("placement")


def host_name(host: int) -> str:
    """The Ray name of the host with this number."""
    return f"conversations-{host:02d}"


def host_of(slot: int, hosts: int) -> int:
    """The host that owns a slot; hosts own ranges of slots."""
    return slot * hosts // SLOTS


def slots_of(host: int, hosts: int) -> range:
    """The slots that a host owns."""
    return range(-(-host * SLOTS // hosts), -(-(host + 1) * SLOTS // hosts))


def actor_name(key: Key, settings: Settings) -> str:
    """The Ray name of the actor that owns a conversation."""
    if settings.placement == "dedicated":
        return f"conversation:{key}"
    return host_name(host_of(key.slot, settings.hosts))


ELSEWHERE = {"port", "bind_address", "data_dir", "dashboard_port", "ray_address", "replicas"}
"""Settings that may differ between the machines of one release, and that no host uses."""


def release_of(settings: Settings) -> str:
    """Changes when the settings do: actors of another release are replaced at start-up."""
    plain = settings.model_dump(mode="json", exclude=ELSEWHERE)
    secrets = [
        value.get_secret_value()
        for _, value in settings
        if value is not None and hasattr(value, "get_secret_value")
    ]
    companies = settings.companies_file.read_bytes() if settings.companies_file else b""
    return hashlib.sha256(repr((plain, secrets, companies)).encode()).hexdigest()[:16]


class ConversationHost:
    """The thin Ray side of a Host: builds it, hands calls on. Restarted by Ray when it dies."""

    def __init__(self, settings: Settings, name: str, slots: range, release: str) -> None:
        logging.getLogger("ray").setLevel(logging.WARNING)
        self._name = name
        self._release = release
        self._parts = wiring.build(settings)
        # Now, not at a company's first message: it takes a second to import a model's client.
        for company in self._parts.directory:
            self._parts.ports.personas.persona(company.company_id)
        self._host = Host(self._parts.ports, slots)
        self._rest_since_ms = self._parts.clock.now_ms()
        # The replay of what is unanswered begins here, before the first call.
        self._living = asyncio.get_running_loop().create_task(self._host.live())

    async def deliver(self, deliveries: list[Mail]) -> None:
        """Hands events (conversation, sequence number, event) to their conversations."""
        self._host.deliver(Delivery(Key.parse(key), seq, raw) for key, seq, raw in deliveries)

    async def look(self, keys: list[str]) -> int:
        """Makes conversations read their journals; returns how many were not at work."""
        return self._host.look(map(Key.parse, keys))

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
        }

    async def drain(self) -> None:
        """Gives up all turns and notes it in their journals; the journal keeps everything else."""
        self._living.cancel()
        await self._host.drain()


def _create(settings: Settings, name: str, slots: range, release: str) -> ActorHandle[Any]:
    """The actor of this name, made if there is none. Blocks on Ray's control plane."""
    remote: Any = ray.remote(ConversationHost)
    actor: ActorHandle[Any] = remote.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=CALLS_MAX,
    ).remote(settings, name, slots, release)
    return actor


def serve_is_running() -> bool:
    """Whether Ray Serve was started in this cluster already."""
    found = ray.util.list_named_actors(all_namespaces=True)
    return any(entry["name"] == "SERVE_CONTROLLER_ACTOR" for entry in found)


def _named(prefix: str) -> list[str]:
    found = ray.util.list_named_actors(all_namespaces=True)
    return sorted(
        entry["name"]
        for entry in found
        if entry["namespace"] == NAMESPACE and entry["name"].startswith(prefix)
    )


def _end(name: str) -> None:
    """Ends a named actor for good. It may be gone already."""
    try:
        actor = ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return
    try:
        ray.get(actor.drain.remote(), timeout=10)
    except RayError as error:
        _log.warning("%s did not drain: %s", name, type(error).__name__)
    ray.kill(actor, no_restart=True)


def end_all() -> None:
    """Ends all conversation actors; their journals stay. Blocks."""
    for name in [*_named("conversations-"), *_named("conversation:")]:
        _end(name)


def ensure_hosts(settings: Settings) -> None:
    """Makes the hosts that are missing; leaves the others alone. Blocks."""
    if settings.placement == "shared":
        release = release_of(settings)
        for host in range(settings.hosts):
            _create(settings, host_name(host), slots_of(host, settings.hosts), release)


def start_hosts(settings: Settings) -> None:
    """Makes the hosts of this release: ends those of another one, and those that own no slots.

    Blocks until they are asked for; they recover by themselves.
    """
    wanted = range(settings.hosts) if settings.placement == "shared" else range(0)
    release = release_of(settings)
    names = {host_name(host) for host in wanted}
    for name in [*_named("conversations-"), *_named("conversation:")]:
        own = name in names or (
            settings.placement == "dedicated" and name.startswith("conversation:")
        )
        if not own or _release(name) != release:
            _end(name)
    ensure_hosts(settings)


def _release(name: str) -> str | None:
    """The release of an actor; None if it does not say within START_S."""
    try:
        actor: Any = ray.get_actor(name, namespace=NAMESPACE)
        return str(ray.get(actor.describe.remote(), timeout=START_S)["release"])
    except (ValueError, RayError):
        return None


class _Route:
    """The way to one actor: a buffer, and calls that empty it."""

    def __init__(self, router: "Router", name: str) -> None:
        self._router = router
        self._name = name
        self._waiting: list[Mail] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._actor: ActorHandle[Any] | None = None

    def put(self, delivery: Mail) -> None:
        if len(self._waiting) >= DELIVERIES_WAITING_MAX:
            return
        self._waiting.append(delivery)
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
            page = self._waiting[:DELIVERIES_PER_CALL]
            del self._waiting[:DELIVERIES_PER_CALL]
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

        Raises Retryable where no further dedicated actor may be made.
        """
        if self._settings.placement == "shared":
            host = int(name.rpartition("-")[2])
            return _create(
                self._settings, name, slots_of(host, self._settings.hosts), self._release
            )
        try:
            return ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            running = len(_named("conversation:"))
            if running >= self._settings.dedicated_max:
                raise Retryable(
                    f"{running} dedicated actors run, DEDICATED_MAX allows no more"
                ) from None
        return _create(self._settings, name, range(0), self._release)

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
        for name, named in by_name.items():
            try:
                actor = await self._route(name).actor()
                async with asyncio.timeout(ANSWER_S):
                    woken += await actor.look.remote(named)
            except (RayError, TimeoutError, ValueError, Retryable) as error:
                self._route(name).forget(error)
                _log.warning("%s cannot be reached: %s", name, error or type(error).__name__)
        return woken

    async def describe(self) -> list[dict[str, Any]]:
        """Each host, or why it cannot be asked; in dedicated placement the actors there are."""
        if self._settings.placement == "shared":
            names = [host_name(host) for host in range(self._settings.hosts)]
        else:
            names = await asyncio.to_thread(_named, "conversation:")
        return list(await asyncio.gather(*map(self._describe, names)))

    async def _describe(self, name: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_S):
                actor = await self._route(name).actor()
                described: dict[str, Any] = await actor.describe.remote()
                return described
        except (RayError, TimeoutError, ValueError, Retryable) as error:
            self._route(name).forget(error)
            return {"name": name, "error": type(error).__name__}

    async def passivate(self) -> int:
        """Ends dedicated actors that have been at rest for long; returns how many."""
        if self._settings.placement == "shared":
            return 0
        resting = [
            described["name"]
            for described in await self.describe()
            if described.get("resting_ms", 0) > PASSIVATE_MS
        ]
        for name in resting:
            await asyncio.to_thread(_end, name)
            self._routes.pop(name, None)
        return len(resting)

    def _route(self, name: str) -> _Route:
        if name not in self._routes:
            if len(self._routes) >= 2 * (self._settings.hosts + self._settings.dedicated_max):
                self._routes = {n: r for n, r in self._routes.items() if not r.is_idle}
            self._routes[name] = _Route(self, name)
        return self._routes[name]
