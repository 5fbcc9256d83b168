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
from bench.seeding import append, each, now_ms
from bench.service import plain_environment, temporary_data

CONVERSATIONS = 20_000
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
    journals, at_ms = journal(redis), now_ms()

    async def write(key: Key) -> None:
        await append(journals, key, "webchat", at_ms)

    try:
        await each(keys, write)
    finally:
        await redis.aclose()


async def _host(url: str, what: str, quiet_window_s: float) -> dict[str, float]:
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
        str(CONVERSATIONS),
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
    if found["mailboxes"] != CONVERSATIONS:
        raise Unmeasured(f"the host held {found['mailboxes']:,} of {CONVERSATIONS:,} conversations")
    return found


async def measure() -> Findings:
    """First those that wait (their windows stay open), then those that were answered and rest."""
    async with _redis() as url:
        await _append(url, (key_of("waiting", n) for n in range(CONVERSATIONS)))
        waiting = await _host(url, "activate", 3_600)
    async with _redis() as url:
        await _append(url, (key_of("warm", n) for n in range(WARM)))
        await _append(url, (key_of("idle", n) for n in range(CONVERSATIONS)))
        idle = await _host(url, "rest", 0)
    each_kib = {
        name: found["bytes"] / CONVERSATIONS / KIB
        for name, found in {"idle": idle, "waiting": waiting}.items()
    }
    activated = int(waiting["activated"])
    return Findings(
        f"{CONVERSATIONS:,} conversations, one host process without Ray, a Redis of its own; "
        "memory is the process's own (USS) after less before, idle after one answered turn each",
        (
            at_most("memory of an idle mailbox", each_kib["idle"], 10, " KiB"),
            told("memory of a mailbox with an open window", f"{each_kib['waiting']:.2f} KiB"),
            at_least(
                "activations after a start",
                activated / waiting["seconds"],
                1_000,
                "/s",
                f"{activated:,} within {waiting['seconds']:.1f} s",
            ),
            told("turns to rest without a model", f"{CONVERSATIONS / idle['seconds']:,.0f}/s"),
        ),
    )
