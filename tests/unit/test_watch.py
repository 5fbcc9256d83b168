"""Hosts that stand still are found and replaced; those that are busy or starting are not."""

import pytest

from actors.maintenance.chores import Watch, Watched
from actors.maintenance.stalls import Heard, Sight, hear, is_stalled
from tests.fakes import VirtualClock

EVERY_MS = 5_000
"""The watch looks so often."""

ALIVE_MS = 10_000
"""A renewal is known for so long."""

ANSWERS = Sight(answered=True, renewed_ms=None)


def looked_at(sights: list[str]) -> list[bool]:
    """After each look, EVERY_MS apart: is the host to be replaced?

    A look shows "answers", "silent", or "renewed N": silent, and renewed N ms before.
    """
    heard: Heard | None = None
    found = []
    for place, shown in enumerate(sights):
        now_ms = 1_000_000 + place * EVERY_MS
        word, _, ago_ms = shown.partition(" ")
        renewed_ms = now_ms - int(ago_ms) if ago_ms else None
        heard = hear(heard, Sight(word == "answers", renewed_ms), now_ms)
        found.append(is_stalled(heard, now_ms))
    return found


@pytest.mark.parametrize(
    ("what", "sights", "stalled_at"),
    [
        ("it answers", ["answers"] * 9, None),
        ("busy for some seconds", ["answers", "silent", "answers", "silent", "answers"], None),
        ("busy for 9 s, it says itself that it lives", ["answers", *["renewed 2000"] * 9], None),
        (
            "it stopped right after an answer",
            ["answers", "renewed 4900", "renewed 9900", "silent"],
            3,
        ),
        ("it stopped, Redis was away", ["answers", "silent", "silent"], 2),
        ("the watch stood still with everybody", ["answers", "silent"], None),
        ("it starts for 15 s", ["silent", "silent", "silent", "answers"], None),
        ("it stood still before the watch began", ["silent"] * 5, 4),
        ("it stood still as the watch began", ["renewed 5000", "silent"], 1),
        ("the scheduler was killed after it", ["renewed 60000", "renewed 65000"], 1),
        ("it renews, but stood still for a while", ["renewed 9000", "renewed 100"], None),
    ],
)
def test_when_a_host_is_replaced(what: str, sights: list[str], stalled_at: int | None) -> None:
    found = looked_at(sights)
    assert (found.index(True) if True in found else None) == stalled_at, what


def test_one_silence_is_no_proof_however_long_ago_the_last_answer_was() -> None:
    heard = hear(Heard(0, ever=True), Sight(answered=False, renewed_ms=None), 3_600_000)
    assert not is_stalled(heard, 3_600_000)


def test_a_stopped_host_is_found_within_its_share_of_the_thirty_seconds() -> None:
    """The rest is Ray's: 1 s until the kill, some seconds for the start."""
    for offset_ms in range(0, EVERY_MS, 100):
        heard, now_ms, stopped_ms = None, 0, 60_000 + offset_ms
        while not (heard and is_stalled(heard, now_ms)):
            now_ms += EVERY_MS
            # It renews every 3 s; a renewal is known for ALIVE_MS.
            renewed_ms = min(now_ms, stopped_ms) // 3_000 * 3_000
            known = renewed_ms if now_ms - renewed_ms < ALIVE_MS else None
            heard = hear(heard, Sight(now_ms < stopped_ms, known), now_ms)
        assert 5_000 < now_ms - stopped_ms <= 15_000


class Hosts:
    """The hosts of a cluster, and what Redis knows of their signs of life."""

    def __init__(self, *names: str) -> None:
        self.shown = dict.fromkeys(names, True)
        self.replaced: list[str] = []
        self.renewed_ms: int | None = None

    def answering(self) -> dict[str, bool]:
        return dict(self.shown)

    def holder_of(self, name: str) -> str:
        return f"here/{name}"

    def replace(self, name: str) -> None:
        self.replaced.append(name)

    async def renewals(self, holders: list[str], now_ms: int) -> list[int | None]:
        del now_ms
        return [self.renewed_ms for _ in holders]


async def test_the_watch_replaces_whom_it_must_and_once() -> None:
    clock, hosts = VirtualClock(), Hosts("conversations-00", "conversations-01")
    watch = Watch(hosts, hosts, clock)
    hosts.renewed_ms = clock.now_ms() - 1_000
    assert await watch.run_once() is None
    hosts.shown["conversations-01"] = False
    done = []
    for _ in range(4):
        await clock.advance(5)
        done.append(await watch.run_once())
    # Its successor starts, and is given the time for it.
    assert done == [None, Watched(("conversations-01",)), None, None]
    assert hosts.replaced == ["conversations-01"]
