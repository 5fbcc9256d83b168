"""Makes the named actors, replaces those of another release, ends them. Every call blocks."""

from contextlib import closing
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError
from redis import Redis

from actors.journal.outages import translating
from actors.placement.cluster import cluster
from actors.placement.conversation_host import ConversationHost
from actors.placement.names import DEDICATED, NAMESPACE, host_name, release_of, slots_of
from actors.settings import Settings
from actors.telemetry import logger

CALLS_MAX = 1_000
"""Method calls running at once in one actor; they only hand over, so they are short."""

RELEASE_KEY = "turnwise:release"
"""With a cluster's name: the release whose actors may be made there, the one that started last."""

ANSWER_S = 2.0
"""How long anybody waits for an actor to say what it does."""

DRAIN_S = 10.0
"""How long actors that are to end have for what they note, seconds."""

START_S = 10.0
"""An actor found at start-up that does not answer for so long is replaced."""

_log = logger("placement")


def create(settings: Settings, name: str, slots: range, release: str) -> ActorHandle[Any]:
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


def named(prefix: str) -> list[str]:
    found = ray.util.list_named_actors(all_namespaces=True)
    return sorted(
        entry["name"]
        for entry in found
        if entry["namespace"] == NAMESPACE and entry["name"].startswith(prefix)
    )


def _found(name: str) -> ActorHandle[Any] | None:
    try:
        actor: ActorHandle[Any] = ray.get_actor(name, namespace=NAMESPACE)
        return actor
    except ValueError:
        return None


def _ask(method: str, names: list[str], wait_s: float) -> dict[str, Any]:
    """What actors answer, all asked at once; the RayError where one fails, a GetTimeoutError where
    it is silent for `wait_s`. Those that are gone are left out."""
    actors = {name: actor for name in names if (actor := _found(name)) is not None}
    asked = {name: getattr(actor, method).remote() for name, actor in actors.items()}
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=wait_s)
    answers: dict[str, Any] = {}
    for name, answer in asked.items():
        try:
            answers[name] = ray.get(answer, timeout=0)
        except RayError as error:
            answers[name] = error
    return answers


def _end(names: list[str]) -> None:
    """Ends named actors for good, all at the same time. They may be gone already."""
    for name, answer in _ask("drain", names, DRAIN_S).items():
        if isinstance(answer, RayError):
            _log.warning("%s did not drain: %s", name, type(answer).__name__)
    for name in names:
        if (actor := _found(name)) is not None:
            ray.kill(actor, no_restart=True)


def answering() -> dict[str, bool]:
    """Each conversation actor: whether it answers, or Ray knows that it is gone and brings it back.
    Blocks for ANSWER_S where one is silent."""
    answers = _ask("describe", living(), ANSWER_S)
    return {name: not isinstance(answer, GetTimeoutError) for name, answer in answers.items()}


def replace(name: str) -> None:
    """Ends the process of an actor, one that stands still too; Ray starts it anew, under its name.

    Ray asks it to end, and kills it when it does not within RAY_kill_worker_timeout_milliseconds.
    """
    if (actor := _found(name)) is not None:
        ray.kill(actor, no_restart=False)


def living() -> list[str]:
    """The names of all conversation actors."""
    return [*named("conversations-"), *named(DEDICATED)]


def retire_one(names: list[str]) -> bool:
    """Ends the first of these actors that is at rest. Blocks."""
    for name in names:
        try:
            actor: Any = ray.get_actor(name, namespace=NAMESPACE)
            if ray.get(actor.retire.remote(), timeout=ANSWER_S):
                ray.kill(actor, no_restart=True)
                return True
        except (ValueError, RayError):
            continue
    return False


def end_all() -> None:
    """Ends all conversation actors; their journals stay. Blocks."""
    _end(living())


def _redis(settings: Settings) -> Redis:
    return Redis.from_url(
        settings.redis_url.get_secret_value(), socket_timeout=ANSWER_S, socket_connect_timeout=1
    )


def is_current(settings: Settings, release: str, where: str) -> bool:
    """Whether no other release has started in the cluster `where` since. Blocks. Raises
    Retryable."""
    with closing(_redis(settings)) as redis, translating():
        found: Any = redis.get(f"{RELEASE_KEY}:{where}")
    return found is None or bytes(found).decode() == release


def ensure_hosts(settings: Settings) -> None:
    """Makes the hosts that are missing; leaves the others alone. Blocks.

    Does nothing where another release has started since: its hosts are not ours to make.
    """
    release = release_of(settings)
    if settings.placement == "shared" and is_current(settings, release, cluster()):
        for host in range(settings.hosts):
            create(settings, host_name(host), slots_of(host, settings.hosts), release)


def start_hosts(settings: Settings) -> None:
    """Makes the hosts of this release: ends those of another one, and those that own no slots.

    Blocks until they are asked for; they recover by themselves.
    """
    wanted = range(settings.hosts) if settings.placement == "shared" else range(0)
    release = release_of(settings)
    with closing(_redis(settings)) as redis, translating():
        redis.set(f"{RELEASE_KEY}:{cluster()}", release)
    names = {host_name(host) for host in wanted}
    if settings.placement == "dedicated":
        names |= set(named(DEDICATED))
    _end([name for name in living() if name not in names or _release(name) != release])
    ensure_hosts(settings)


def _release(name: str) -> str | None:
    """The release of an actor; None if it does not say within START_S."""
    try:
        actor: Any = ray.get_actor(name, namespace=NAMESPACE)
        return str(ray.get(actor.describe.remote(), timeout=START_S)["release"])
    except (ValueError, RayError):
        return None
