"""Compares acknowledging a webhook with an empty endpoint of the same service."""

import time
from statistics import median

from bench.connection import request
from bench.figures import Findings, Row, at_least, at_most, quantile, told
from bench.load import Round, flat_out
from bench.service import Service, service
from bench.webhooks import webhook

ALONE_ROUNDS = 6
ALONE_REQUESTS = 120
CROWD = 32
CROWD_ROUNDS = 4
CROWD_REQUESTS = 480
FRAGMENTS = 4
"""A conversation's messages in a row: customers write in fragments."""

EMPTY = request("GET", "/healthz")
BODY_BYTES = 1_800
SAME = request("POST", "/healthz", b"x" * BODY_BYTES)
"""An empty endpoint that is sent as much: a request's body costs Serve a call of its own."""


class _Customers:
    """Conversations that have not written yet, in turn."""

    def __init__(self) -> None:
        self._count = 0

    def webhooks(self, count: int) -> list[bytes]:
        numbers = range(self._count, self._count + count)
        self._count += count
        return [webhook(1 + number // FRAGMENTS) for number in numbers]


Rounds = tuple[Round, Round, Round]
"""An empty request, an empty endpoint that is sent a webhook's size, a webhook."""


async def _rounds(
    running: Service, customers: _Customers, rounds: int, requests: int, connections: int
) -> list[Rounds]:
    """The three one after the other, round by round, so that all see the same machine."""
    found = []
    for _ in range(rounds):
        prepared = customers.webhooks(requests)
        taken = []
        for sent in ([EMPTY] * requests, [SAME] * requests, prepared):
            await running.calm()
            taken.append(await flat_out(running.port, sent, connections))
        found.append((taken[0], taken[1], taken[2]))
    return found


def _alone_rows(rounds: list[Rounds]) -> list[Row]:
    p50 = [[median(each.latencies_ms) for each in three] for three in rounds]
    empty, same, taken = (median(three[place] for three in p50) for place in range(3))
    p99 = quantile([ms for _, _, b in rounds for ms in b.latencies_ms], 0.99)
    detail = f"{taken:.2f} ms, p99 {p99:.2f} ms; empty"
    what = "acknowledgement, p50 at 1 connection, over"
    to_empty = median(three[2] / three[0] for three in p50)
    to_same = median(three[2] / three[1] for three in p50)
    return [
        at_most(f"{what} an empty GET", to_empty, 1.5, "×", f"{detail} {empty:.2f} ms"),
        at_most(f"{what} an empty POST as large", to_same, 1.5, "×", f"{detail} {same:.2f} ms"),
    ]


def _crowd_rows(rounds: list[Rounds]) -> list[Row]:
    empty, same, taken = (median(three[place].per_second for three in rounds) for place in range(3))
    what = f"acknowledgement, throughput at {CROWD} connections, of"
    to_empty = median(three[2].per_second / three[0].per_second for three in rounds)
    to_same = median(three[2].per_second / three[1].per_second for three in rounds)
    return [
        at_least(f"{what} an empty GET", to_empty, 0.6, "×", f"{taken:,.0f}/s of {empty:,.0f}/s"),
        at_least(
            f"{what} an empty POST as large", to_same, 0.6, "×", f"{taken:,.0f}/s of {same:,.0f}/s"
        ),
    ]


async def measure() -> Findings:
    """Both comparisons in one run of the service. No turn begins meanwhile."""
    async with service(0.5, QUIET_WINDOW_S="3600", LONGEST_WAIT_S="3600") as running:
        customers = _Customers()
        await _rounds(running, customers, 1, ALONE_REQUESTS, CROWD)
        alone = await _rounds(running, customers, ALONE_ROUNDS, ALONE_REQUESTS, 1)
        cpu_s, wall_s = time.process_time(), 0.0
        crowd = await _rounds(running, customers, CROWD_ROUNDS, CROWD_REQUESTS, CROWD)
        wall_s = sum(each.seconds for three in crowd for each in three)
        share = (time.process_time() - cpu_s) / wall_s
    rows = [
        *_alone_rows(alone),
        *_crowd_rows(crowd),
        told("the client's own share of a core at 32 connections", f"{share:.0%}"),
    ]
    return Findings(
        f"signed webhooks of {len(webhook(1)):,} bytes, {FRAGMENTS} a conversation, against GET "
        f"and POST /healthz; medians of {ALONE_ROUNDS}×{ALONE_REQUESTS} and "
        f"{CROWD_ROUNDS}×{CROWD_REQUESTS} requests, alternating; QUIET_WINDOW_S=3600",
        tuple(rows),
    )
