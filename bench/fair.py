"""Measures what one company's flood costs another's customers: with and without it, in turns."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from bench.connection import Connection, call_once, connect, request
from bench.figures import Findings, Row, Unmeasured, at_most, told
from bench.load import paced
from bench.overhead import turn_overheads_ms
from bench.service import Service, service
from bench.webhooks import webhook

ROUNDS = 3
PER_SECOND = 8
SECONDS = 8
QUIET_WINDOW_S = 1.0
MODEL_S = 0.5
TAIL_S = 20.0

FLOOD_PER_SECOND = 30
FLOOD_CONNECTIONS = 8
LIMITS = {"turns_at_once_max": 4, "messages_per_minute_max": 120}
LIMIT = 1.5

ADMIN = "bench-operator-token"
TOKEN = "bench-loud-token"
TAKEN_UP_S = 5.0
"""So long after a company was stored every process serves it."""


@dataclass
class _Flood:
    """Sends one company's messages, each of a customer of its own, until it is cancelled."""

    port: int
    answers: Counter[int] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1_000_000))

    async def run(self) -> None:
        connections = [await connect(self.port) for _ in range(FLOOD_CONNECTIONS)]
        try:
            async with asyncio.TaskGroup() as together:
                for connection in connections:
                    together.create_task(self._send(connection))
        finally:
            for connection in connections:
                connection.close()

    async def _send(self, connection: Connection) -> None:
        while True:
            number = next(self.numbers)
            status, _ = await connection.call(
                request(
                    "POST",
                    f"/api/companies/loud/conversations/{number}/messages",
                    json.dumps({"text": f"#{number}# flood"}).encode(),
                    {"Authorization": f"Bearer {TOKEN}"},
                )
            )
            self.answers[status] += 1
            await asyncio.sleep(FLOOD_CONNECTIONS / FLOOD_PER_SECOND)


async def _second_company(running: Service) -> None:
    table = {"api_token": TOKEN, **LIMITS}
    status, body = await call_once(
        running.port,
        request(
            "PUT",
            "/api/companies/loud",
            json.dumps(table).encode(),
            {"Authorization": f"Bearer {ADMIN}"},
        ),
    )
    if status != 201:
        raise Unmeasured(f"the second company: {status} {body[:200].decode(errors='replace')}")
    await asyncio.sleep(TAKEN_UP_S)


async def _round(running: Service, numbers: range) -> tuple[float, float]:
    """The medians of the acknowledgements and of the turns' overhead, ms."""
    await running.sides.forget()
    sent = await paced(running.port, [webhook(n) for n in numbers], PER_SECOND)
    posted = await running.sides.wait_for_posts(len(numbers), TAIL_S)
    if posted < len(numbers):
        raise Unmeasured(f"{posted} of {len(numbers)} turns were answered within {TAIL_S:g} s")
    seen = await running.sides.seen()
    overheads = await turn_overheads_ms(running.redis_url, numbers, QUIET_WINDOW_S, seen)
    return median(sent.latencies_ms), median(overheads)


async def _measured(running: Service) -> tuple[Row, ...]:
    await _second_company(running)
    size, numbers = PER_SECOND * SECONDS, itertools.count(1)
    flood = _Flood(running.port)
    alone: list[tuple[float, float]] = []
    beside: list[tuple[float, float]] = []

    def some() -> range:
        first = next(numbers) * size
        return range(first, first + size)

    await _round(running, some())  # the first one warms up
    for _ in range(ROUNDS):
        alone.append(await _round(running, some()))
        flooding = asyncio.create_task(flood.run())
        try:
            beside.append(await _round(running, some()))
        finally:
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
        await running.calm()
    return (
        _row("acknowledgement", alone, beside, 0),
        _row("turn overhead", alone, beside, 1),
        told(
            f"the flood, {FLOOD_PER_SECOND}/s at most",
            ", ".join(f"{count} × {status}" for status, count in sorted(flood.answers.items())),
        ),
    )


def _row(
    what: str, alone: list[tuple[float, float]], beside: list[tuple[float, float]], place: int
) -> Row:
    before = median(figures[place] for figures in alone)
    during = median(figures[place] for figures in beside)
    detail = f"{during:.1f} ms, alone {before:.1f} ms"
    what = f"another company's {what} beside a flood, p50"
    return at_most(what, during / before, LIMIT, "× alone", detail)


async def measure() -> Findings:
    """Rounds alone and beside the flood take turns, so that all see the same machine."""
    settings = {
        "QUIET_WINDOW_S": str(QUIET_WINDOW_S),
        "ADMIN_TOKEN": ADMIN,
        "SECRETS_KEY": "bench-secrets-key-of-the-bench",
    }
    async with service(MODEL_S, **settings) as running:
        rows = await _measured(running)
    return Findings(
        f"{PER_SECOND} conversations/s for {SECONDS} s, {ROUNDS} rounds each, alternating; the "
        f"other company: {', '.join(f'{name} = {value}' for name, value in LIMITS.items())}",
        rows,
    )
