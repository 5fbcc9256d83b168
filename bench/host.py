"""One host in a process of its own: `python -m bench.host activate|rest COUNT`.

The environment says where Redis is. Prints what it found as JSON.
"""

import asyncio
import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable
from functools import partial

import psutil

from actors import wiring
from actors.conversation.host import Delivery, Host
from actors.journal.keys import SLOTS, Key
from actors.settings import read_settings

WAVE = 250
"""Conversations at work at once on the way to rest, as a steady load would have it."""

WARM = 1_000
POLL_S = 0.005
ACTIVATE_S = 40.0
"""Those not taken up by then count as not activated."""

COMPANY = "demo"


def key_of(kind: str, number: int) -> Key:
    """A conversation of this bench's own company."""
    return Key(COMPANY, f"{kind}-{number}")


def _memory_bytes() -> int:
    """What this process alone occupies."""
    gc.collect()
    return int(psutil.Process().memory_full_info().uss)


def _activated(host: Host, key: Key) -> bool:
    glance = host.glance(key)
    return glance is not None and glance.epoch > 0


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 -- a host tells nobody what it does; the bench looks
        await asyncio.sleep(POLL_S)


async def _rest(host: Host, kind: str, count: int) -> None:
    """Brings conversations through one real turn each, to rest."""
    for start in range(0, count, WAVE):
        numbers = range(start, min(start + WAVE, count))
        host.deliver(Delivery(key_of(kind, number), 1, None) for number in numbers)
        await _until(lambda: not host.busy)


async def activate(host: Host, count: int) -> dict[str, float]:
    """Takes up all that is unanswered, as a host does when it starts; says how far it got."""
    keys = [key_of("waiting", number) for number in range(count)]
    before = _memory_bytes()
    began_s = time.perf_counter()
    await host.sweep(stray_ms=0)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ACTIVATE_S):
            for key in keys:
                await _until(partial(_activated, host, key))
    seconds = time.perf_counter() - began_s
    return {
        "seconds": seconds,
        "bytes": _memory_bytes() - before,
        "mailboxes": host.size,
        "activated": sum(_activated(host, key) for key in keys),
    }


async def rest(host: Host, count: int) -> dict[str, float]:
    """Answers all, then holds them idle."""
    await _rest(host, "warm", WARM)
    before, mailboxes = _memory_bytes(), host.size
    began_s = time.perf_counter()
    await _rest(host, "idle", count)
    seconds = time.perf_counter() - began_s
    held = host.size - mailboxes
    return {"seconds": seconds, "bytes": _memory_bytes() - before, "mailboxes": held}


async def main() -> None:
    """One of both."""
    what, count = sys.argv[1], int(sys.argv[2])
    parts = wiring.build(read_settings())
    host = Host(parts.ports, range(SLOTS))
    found = await (activate if what == "activate" else rest)(host, count)
    print(json.dumps(found), flush=True)
    await host.drain()


if __name__ == "__main__":
    asyncio.run(main())
