"""Does to the running service what can happen to it, one thing at a time."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.customers import now_ms
from tests.chaos.sightings import Fault
from tests.chaos.world import World
from tests.places import START_S, Place

REPLACED_S = 40.0
"""A host that stands still is replaced within so long, or the run goes on without."""

BUSY_S = 6.0
"""A host that stands still for no longer is left alone."""

REDIS_AWAY_S = 30.0
EVERYSEC_S = 1.3
"""With its writers held, Redis has written and flushed everything after so long."""

SECOND_CLUSTER_S = 5.0
"""The second cluster is left alone so long before and after a host of the first stands still."""

TAKEN_OVER_S = 16.0
"""After so long the second cluster has taken up what a host that stands still held. The scheduler
of the first stands still with it, or the host would be replaced: it wakes up to others at work."""

NODE_KILLS_MAX = 4
"""Kills until a host of ours has started on the second node."""

NODE_PAUSE_S = 15.0
"""Between them: longer than the 9 s after which a successor sees to what was on its way, or that
would never come to an end."""

ROLL_S = 90.0
ROLL = """
import os, ray
from ray import serve
from actors.placement import NAMESPACE
from actors.settings import read_settings
from serve_app import application
ray.init(address=os.environ["RAY_ADDRESS"], namespace=NAMESPACE, log_to_driver=False)
serve.run(application(read_settings()), name="default", route_prefix="/")
"""
"""Deploys the service once more, which exchanges all its replicas."""

ROOT = Path(__file__).parents[2]


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _instant(kind: str, world: World, whom: frozenset[int] | None = None) -> Fault:
    at_ms = now_ms()
    return Fault(kind, at_ms, at_ms, world.customers.who if whom is None else whom)


async def _some_host(world: World) -> tuple[str, int]:
    hosts = await world.settle("all hosts", world.hosts, 60)
    name = world.dice.choice(sorted(hosts))
    return name, hosts[name]


def _successor(world: World, host: str, pid: int) -> Callable[[], int | None]:
    def found() -> int | None:
        now = (world.hosts() or {}).get(host, pid)
        return now if now != pid else None

    return found


async def kill_host(world: World) -> Fault:
    name, pid = await _some_host(world)
    fault = _instant("kill -9 of a host", world, world.whose(name))
    _kill([pid])
    return fault


async def stop_host(world: World) -> Fault:
    """Stopped for longer than its replacement needs, then continued, if it is still there."""
    name, pid = await _some_host(world)
    fault = _instant("SIGSTOP of a host until it is replaced, SIGCONT", world, world.whose(name))
    stopped = psutil.Process(pid)
    stopped.suspend()
    try:
        await world.settle("its successor", _successor(world, name, pid), REPLACED_S)
    except AssertionError:
        fault.remarks.append(f"{name} was not replaced within {REPLACED_S:g} s")
    with contextlib.suppress(psutil.NoSuchProcess):  # Ray's kill ends a stopped process too
        stopped.resume()
    return fault


async def pause_host(world: World) -> Fault:
    """As a host that is busy for some seconds."""
    name, pid = await _some_host(world)
    fault = _instant(f"SIGSTOP of a host for {BUSY_S:g} s", world, world.whose(name))
    paused = psutil.Process(pid)
    paused.suspend()
    await asyncio.sleep(BUSY_S)
    try:
        paused.resume()
        fault.ended_ms = now_ms()
        if (await world.settle("all hosts", world.hosts, 60))[name] != pid:
            fault.remarks.append(f"{name} was replaced although it lived")
    except psutil.NoSuchProcess:
        fault.remarks.append(f"{name} was killed although it lived")
    return fault


def _killing(kind: str, title: str, *, all_of_them: bool = True) -> Callable[..., Awaitable[Fault]]:
    async def kill(world: World) -> Fault:
        pids = await world.settle(title, lambda: world.pids(title), 60)
        fault = _instant(kind, world)
        _kill(pids if all_of_them else [world.dice.choice(pids)])
        return fault

    kill.__name__ = kind
    return kill


kill_replica = _killing("kill -9 of a Serve replica", "ServeReplica", all_of_them=False)
kill_proxy = _killing("kill -9 of the proxy", "ProxyActor")
kill_controller = _killing("kill -9 of the Serve controller", "ServeController")
kill_scheduler = _killing("kill -9 of the scheduler", "-m scheduler")


def _redis(world: World) -> psutil.Process:
    found = [p for p in world.place.processes() if p.name() in ("redis-server", "valkey-server")]
    return found[0]


async def kill_redis(world: World) -> Fault:
    """Killed with everything that it confirmed on its way to the disk.

    With `everysec` the writes of the last second may be in its memory alone while it flushes, so
    that writers are held before the kill; with `always` it is killed at any moment.
    """
    process = await asyncio.to_thread(_redis, world)
    if world.place.environment.get("DURABILITY") != "always":
        with Redis.from_url(world.place.settings()["REDIS_URL"]) as redis:
            await asyncio.to_thread(redis.execute_command, "CLIENT", "PAUSE", 10_000, "WRITE")
        await asyncio.sleep(EVERYSEC_S)
    fault = _instant("kill -9 of Redis, restart from its AOF", world)
    process.kill()
    await world.settle("Redis again", lambda: _redis_answers(world), 60)
    return fault


def _redis_answers(world: World) -> bool:
    try:
        with Redis.from_url(world.place.settings()["REDIS_URL"], socket_timeout=1) as redis:
            return bool(redis.ping())
    except RedisError:
        return False


async def stop_redis(world: World) -> Fault:
    process = await asyncio.to_thread(_redis, world)
    fault = _instant(f"SIGSTOP of Redis for {REDIS_AWAY_S:g} s", world)
    process.suspend()
    await asyncio.sleep(REDIS_AWAY_S)
    process.resume()
    fault.ended_ms = now_ms()
    return fault


def _readies(place: Place) -> int:
    return f"\n{place.log.read_text(errors='replace')}".count("\nready\n")


async def kill_head(world: World) -> Fault:
    """GCS and raylet: everything is started again."""
    before = _readies(world.place)
    fault = _instant("kill -9 of the head", world)
    own = psutil.Process(world.place.process.pid) if world.place.process else None
    assert own is not None
    _kill([child.pid for child in own.children() if child.name() in ("gcs_server", "raylet")])
    await world.settle("a new start", lambda: _readies(world.place) > before, START_S)
    fault.ended_ms = fault.ready_ms = now_ms()
    return fault


async def redeploy(world: World) -> Fault:
    """SIGTERM, and the next version."""
    fault = _instant("redeploy: SIGTERM, new start", world)
    stop_s = await asyncio.to_thread(world.place.stop)
    start_s = await asyncio.to_thread(world.place.start)
    fault.ended_ms = fault.ready_ms = now_ms()
    fault.remarks.append(f"stopped in {stop_s:.1f} s, ready {start_s:.1f} s after the start")
    return fault


async def roll_replicas(world: World) -> Fault:
    """All replicas are exchanged, one after another; no request may be dropped."""
    fault = _instant("rolling change of all replicas", world)
    before = set(world.pids("ServeReplica"))
    environment = world.place.environment | world.place.settings()
    rolling = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ROLL,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(ROLL_S):
            _, said = await rolling.communicate()
        if rolling.returncode:
            fault.remarks.append(f"it failed: {said.decode()[-300:]}")
    except TimeoutError:
        rolling.kill()
        fault.remarks.append(f"it took longer than {ROLL_S:g} s")
    if before & set(world.pids("ServeReplica")):
        fault.remarks.append("some replicas were not exchanged")
    fault.ended_ms = now_ms()
    failed = [a for a in world.customers.attempts if a.failed and a.ended_ms >= fault.began_ms]
    if failed:
        fault.remarks.append(
            f"dropped {len(failed)} requests, {sorted({a.status for a in failed})}"
        )
    return fault


async def overlap(world: World) -> Fault:
    """A second cluster on the same Redis takes half of the webhooks for a while, and takes over
    from a host of the first that stands still and wakes up again."""
    fault = _instant("a second cluster on the same Redis, SIGSTOP and SIGCONT in the first", world)
    _, pid = await _some_host(world)
    schedulers = world.pids("-m scheduler")
    directory = world.place.directory / "second"
    directory.mkdir(exist_ok=True)
    other = Place(
        directory, world.place.peers, REDIS_URL=world.place.settings()["REDIS_URL"], HOSTS="2"
    )
    try:
        await asyncio.to_thread(other.start)
        world.customers.ways.append(other.url)
        await asyncio.sleep(SECOND_CLUSTER_S)
        asleep = [psutil.Process(found) for found in (*schedulers, pid)]
        for process in asleep:
            process.suspend()
        await asyncio.sleep(TAKEN_OVER_S)
        try:
            for process in reversed(asleep):  # the host first: it is to live, not to be replaced
                process.resume()
        except psutil.NoSuchProcess:
            fault.remarks.append("the host was replaced before it could wake up")
        await asyncio.sleep(SECOND_CLUSTER_S)
    finally:
        world.customers.ways[:] = [world.place.url]
        await asyncio.to_thread(other.stop)
    fault.ended_ms = now_ms()
    return fault


# A second node of the Ray cluster.


async def start_node(world: World) -> None:
    """A raylet of its own, with its own ports, as on another machine."""
    settings = world.place.settings()
    command = [sys.executable, "-m", "tests.chaos.node", settings["RAY_ADDRESS"]]
    mark = {"TURNWISE_RUN": str((world.place.directory / "data").resolve())}
    with (world.place.directory / "node.log").open("ab") as log:
        world.node = psutil.Popen(
            command,
            cwd=ROOT,
            env=world.place.environment | settings | mark,
            stdout=log,
            stderr=log,
        )
    await world.settle("the second node", lambda: _raylet(world.node), 60)


def _raylet(node: psutil.Popen | None) -> psutil.Process | None:
    assert node is not None
    found = [p for p in node.children(recursive=True) if p.name() == "raylet"]
    return found[0] if found else None


def _hosts_on_node(world: World) -> dict[str, int]:
    raylet = _raylet(world.node)
    pids = {p.pid for p in raylet.children(recursive=True)} if raylet else set()
    return {name: pid for name, pid in (world.hosts() or {}).items() if pid in pids}


async def kill_node(world: World) -> Fault:
    """The second node with at least one host on it; hosts are killed until Ray puts one there."""
    await start_node(world)
    for _ in range(NODE_KILLS_MAX):
        await world.settle("all hosts", world.hosts, 60)
        if on_node := await asyncio.to_thread(_hosts_on_node, world):
            break
        name, pid = await _some_host(world)
        _kill([pid])
        await world.settle("its successor", _successor(world, name, pid), 30)
        await asyncio.sleep(NODE_PAUSE_S)
    assert world.node is not None
    whom = frozenset(who for name in on_node for who in world.whose(name))
    fault = _instant("kill -9 of a second Ray node with a host", world, whom)
    if not on_node:
        fault.remarks.append("no host started on the second node")
        fault.conversations = world.customers.who
    lost = [*world.node.children(recursive=True), world.node]
    _kill([process.pid for process in lost])
    await asyncio.to_thread(psutil.wait_procs, lost, 10)
    world.node = None
    return fault


ALL: tuple[Callable[[World], Awaitable[Fault]], ...] = (
    kill_host,
    stop_host,
    pause_host,
    kill_replica,
    kill_proxy,
    kill_controller,
    kill_scheduler,
    kill_redis,
    stop_redis,
    kill_node,
    roll_replicas,
    redeploy,
    kill_head,
    overlap,
)
