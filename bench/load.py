"""Sends prepared requests to the service: as fast as its connections can, or at a fixed rate."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.connection import Connection, connect
from bench.figures import Unmeasured

PACED_CONNECTIONS_MAX = 64
"""Requests under way at once at a fixed rate; more means that the service has fallen behind."""


@dataclass(frozen=True)
class Round:
    """One round: how long it took and how long each request took."""

    seconds: float
    latencies_ms: tuple[float, ...]

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds


async def _timed(connection: Connection, asked: bytes, since_s: float | None = None) -> float:
    began_s = time.perf_counter() if since_s is None else since_s
    status, body = await connection.call(asked)
    if not 200 <= status < 300:
        raise Unmeasured(f"the service answered {status}: {body[:200].decode(errors='replace')}")
    return (time.perf_counter() - began_s) * 1_000


async def _worker(connection: Connection, requests: Iterator[bytes], into: list[float]) -> None:
    for asked in requests:
        into.append(await _timed(connection, asked))


async def flat_out(port: int, requests: Sequence[bytes], connections: int) -> Round:
    """Sends all requests over so many connections, each waiting for its answer."""
    opened = [await connect(port) for _ in range(connections)]
    latencies: list[float] = []
    shared = iter(requests)
    began_s = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as workers:
            for connection in opened:
                workers.create_task(_worker(connection, shared, latencies))
    finally:
        for connection in opened:
            connection.close()
    return Round(time.perf_counter() - began_s, tuple(latencies))


async def paced(port: int, requests: Sequence[bytes], per_second: float) -> Round:
    """Sends each request at its time, whether or not those before it were answered.

    A latency counts from the time the request was due, so a stall is not hidden by waiting for it.
    """
    idle: list[Connection] = []
    allowed = asyncio.Semaphore(PACED_CONNECTIONS_MAX)
    latencies: list[float] = []

    async def send(asked: bytes, due_s: float) -> None:
        async with allowed:
            connection = idle.pop() if idle else await connect(port)
            if not connection.is_open:  # the server closes connections that rest
                connection = await connect(port)
            latencies.append(await _timed(connection, asked, due_s))
            idle.append(connection)

    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as sending:
        for place, asked in enumerate(requests):
            due_s = began_s + place / per_second
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            sending.create_task(send(asked, due_s))
    for connection in idle:
        connection.close()
    return Round(time.perf_counter() - began_s, tuple(latencies))
