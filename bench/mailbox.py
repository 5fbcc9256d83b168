"""Measures what a conversation occupies in a host's memory, and how fast a host takes them up."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterable

from actors.embedded import EmbeddedRedis
from actors.journal.keys import Key
from bench.figures import Findings, Unmeasured, at_least, at_most, told
from bench.host import WARM, key_of
from bench.overhead import journal, redis_client
from bench.seeding import append, multiply, now_ms
from bench.service import plain_environment, temporary_data

WAITING = 20_000
IDLE = 10_000
"""Fewer, since each goes through a real turn first."""

KIB = 1_024


@contextlib.asynccontextmanager
async def _redis() -> AsyncIterator[str]:
    """A Redis of our own, as the service starts it; gives its address."""
    with temporary_data() as data_dir:
        redis = EmbeddedRedis(data_dir, "everysec")
        try:
            await asyncio.to_thread(redis.start)
            yield redis.url
        finally:
            redis.stop()


async def _append(url: str, keys: Iterable[Key]) -> None:
    redis = redis_client(url)
    pattern, *copies = keys
    try:
        await append(journal(redis), pattern, "webchat", now_ms())
        await multiply(redis, pattern, copies)
    finally:
        await redis.aclose()


async def _host(url: str, what: str, count: int, quiet_window_s: float) -> dict[str, float]:
    """What a host in a process of its own finds; see bench.host."""
    window = str(quiet_window_s)
    environment = plain_environment() | {
        "REDIS_URL": url,
        "QUIET_WINDOW_S": window,
        "LONGEST_WAIT_S": window,
        "LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.host",
        what,
        str(count),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        said, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        raise Unmeasured(f"the host ended with exit code {process.returncode}")
    found: dict[str, float] = json.loads(said)
    if found["mailboxes"] != count:
        raise Unmeasured(f"the host held {found['mailboxes']:,} of {count:,} conversations")
    return found


async def measure() -> Findings:
    """First those that wait (their windows stay open), then those that were answered and rest."""
    async with _redis() as url:
        await _append(url, (key_of("waiting", n) for n in range(WAITING)))
        waiting = await _host(url, "activate", WAITING, 3_600)
    async with _redis() as url:
        await _append(url, (key_of("warm", n) for n in range(WARM)))
        await _append(url, (key_of("idle", n) for n in range(IDLE)))
        idle = await _host(url, "rest", IDLE, 0)
    idle_kib = idle["bytes"] / IDLE / KIB
    waiting_kib = waiting["bytes"] / WAITING / KIB
    activated = int(waiting["activated"])
    return Findings(
        f"{WAITING:,} conversations to activate and {IDLE:,} idle after an answered turn each; one "
        "host process without Ray, a Redis of its own; memory: USS after less before",
        (
            at_most("memory of an idle mailbox", idle_kib, 10, " KiB"),
            told("memory of a mailbox with an open window", f"{waiting_kib:.2f} KiB"),
            at_least(
                "activations after a start",
                activated / waiting["seconds"],
                1_000,
                "/s",
                f"{activated:,} within {waiting['seconds']:.1f} s",
            ),
            told("turns to rest without a model", f"{IDLE / idle['seconds']:,.0f}/s"),
        ),
    )
