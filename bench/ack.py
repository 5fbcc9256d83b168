"""Compares acknowledging a webhook with an empty endpoint of the same service."""

import time
from statistics import median

from bench.connection import request
from bench.figures import Findings, Row, at_least, at_most, quantile, told
from bench.load import Round, flat_out
from bench.service import Service, service
from bench.webhooks import webhook

ALONE_ROUNDS = 8
ALONE_REQUESTS = 120
CROWD = 32
CROWD_ROUNDS = 5
CROWD_REQUESTS = 640
FRAGMENTS = 4
"""A conversation's messages in a row: customers write in fragments."""

EMPTY = request("GET", "/healthz")


class _Customers:
    """Conversations that have not written yet, in turn."""

    def __init__(self) -> None:
        self._count = 0

    def webhooks(self, count: int) -> list[bytes]:
        numbers = range(self._count, self._count + count)
        self._count += count
        return [webhook(1 + number // FRAGMENTS) for number in numbers]


async def _pairs(
    running: Service, customers: _Customers, rounds: int, requests: int, connections: int
) -> list[tuple[Round, Round]]:
    """Rounds of (empty, acknowledged), one after the other, so that both see the same machine."""
    pairs = []
    for _ in range(rounds):
        prepared = customers.webhooks(requests)
        await running.calm()
        empty = await flat_out(running.port, [EMPTY] * requests, connections)
        await running.calm()
        pairs.append((empty, await flat_out(running.port, prepared, connections)))
    return pairs


def _alone_rows(pairs: list[tuple[Round, Round]]) -> list[Row]:
    empty = [median(a.latencies_ms) for a, _ in pairs]
    taken = [median(b.latencies_ms) for _, b in pairs]
    p99 = quantile([ms for _, b in pairs for ms in b.latencies_ms], 0.99)
    ratio = median(b / a for a, b in zip(empty, taken, strict=True))
    detail = f"{median(taken):.2f} ms, empty {median(empty):.2f} ms, p99 {p99:.2f} ms"
    return [at_most("acknowledgement, p50 at 1 connection, over empty", ratio, 1.5, "×", detail)]


def _crowd_rows(pairs: list[tuple[Round, Round]]) -> list[Row]:
    empty = [a.per_second for a, _ in pairs]
    taken = [b.per_second for _, b in pairs]
    ratio = median(b / a for a, b in zip(empty, taken, strict=True))
    detail = f"{median(taken):,.0f}/s, empty {median(empty):,.0f}/s"
    what = f"acknowledgement, throughput at {CROWD} connections, of empty"
    return [at_least(what, ratio, 0.6, "×", detail)]


async def measure() -> Findings:
    """Both comparisons in one run of the service. No turn begins meanwhile."""
    async with service(0.5, QUIET_WINDOW_S="3600", LONGEST_WAIT_S="3600") as running:
        customers = _Customers()
        await _pairs(running, customers, 1, ALONE_REQUESTS, CROWD)
        alone = await _pairs(running, customers, ALONE_ROUNDS, ALONE_REQUESTS, 1)
        cpu_s, wall_s = time.process_time(), 0.0
        crowd = await _pairs(running, customers, CROWD_ROUNDS, CROWD_REQUESTS, CROWD)
        wall_s = sum(a.seconds + b.seconds for a, b in crowd)
        share = (time.process_time() - cpu_s) / wall_s
    rows = [
        *_alone_rows(alone),
        *_crowd_rows(crowd),
        told("the client's own share of a core at 32 connections", f"{share:.0%}"),
    ]
    return Findings(
        f"signed webhooks of {len(webhook(1)):,} bytes, {FRAGMENTS} a conversation, against GET "
        f"/healthz; medians of {ALONE_ROUNDS}×{ALONE_REQUESTS} and {CROWD_ROUNDS}×{CROWD_REQUESTS} "
        "requests, alternating; QUIET_WINDOW_S=3600",
        tuple(rows),
    )
