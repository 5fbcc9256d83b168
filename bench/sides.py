"""Runs the other sides (Chatwoot, the model) in a process of their own; asks what they saw."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bench.connection import call_once, request
from bench.figures import Unmeasured


@dataclass(frozen=True)
class Seen:
    """What the other sides saw, by conversation; times in ms since 1970.

    `model_ms` is the time that the model took as it measured it itself.
    """

    posted_ms: dict[int, list[float]]
    model_ms: dict[int, list[float]]


@dataclass(frozen=True)
class Sides:
    """The way to ask them."""

    port: int

    async def seen(self) -> Seen:
        """Everything since it was last forgotten, each conversation's in order."""
        told = await self._ask("/_seen")
        posted: dict[int, list[float]] = {}
        model: dict[int, list[float]] = {}
        for conversation, at_ms in told["posts"]:
            posted.setdefault(conversation, []).append(at_ms)
        for conversation, came_ms, answered_ms in told["completions"]:
            model.setdefault(conversation, []).append(answered_ms - came_ms)
        return Seen(posted, model)

    async def forget(self) -> None:
        await self._ask("/_forget")

    async def wait_for_posts(self, count: int, within_s: float) -> int:
        """Waits until so many replies were posted; returns how many were when the time was over."""
        until_s = time.monotonic() + within_s
        while True:
            posts = int((await self._ask("/_count"))["posts"])
            if posts >= count or time.monotonic() > until_s:
                return posts
            await asyncio.sleep(0.2)

    async def _ask(self, path: str) -> Any:
        _, body = await call_once(self.port, request("GET", path))
        return json.loads(body)


@contextlib.asynccontextmanager
async def sides(port: int, model_delay_s: float) -> AsyncIterator[Sides]:
    """Both sides on one port, ended with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.peers",
        str(port),
        str(model_delay_s),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise Unmeasured("the peers did not start")
        yield Sides(port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
