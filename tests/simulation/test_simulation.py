"""Two thousand runs of the service under faults; `make simulate SEEDS=…` runs any number."""

import os
import subprocess
import sys

import pytest

from tests.simulation.checks import SILENCE_MAX_S
from tests.simulation.running import run
from tests.simulation.teeth import BREAKS, nothing

PAGES = 40
SEEDS_PER_PAGE = 50

CAUGHT_WITHIN = 60
"""Each break is caught by 10 of 100 runs or more (make simulate-teeth): chance misses so many in a
row less than once in 500 times, and seeds are no chance."""


@pytest.mark.parametrize("page", range(PAGES))
def test_every_run_holds(page: int) -> None:
    for seed in range(page * SEEDS_PER_PAGE, (page + 1) * SEEDS_PER_PAGE):
        outcome = run(seed)
        assert not outcome.broken, outcome.told
        assert outcome.silence_s <= SILENCE_MAX_S


@pytest.mark.parametrize("name", BREAKS)
def test_a_protocol_that_is_broken_on_purpose_is_caught(name: str) -> None:
    with BREAKS[name]() as journal:
        assert any(run(seed, journal).broken for seed in range(CAUGHT_WITHIN))
    with nothing() as journal:
        assert not run(0, journal).broken, "the break is gone with its block"


def test_a_customer_sees_what_is_broken() -> None:
    with BREAKS["skip the read-back"]() as journal:
        outcomes = [run(seed, journal) for seed in range(20)]
    assert any("stands 2 times" in rule for each in outcomes for rule in each.broken)
    told = next(each.told for each in outcomes if each.is_seen)
    for word in ("story", "journal of acme:1", "what stands in acme:1", "make simulate", "FIRST="):
        assert word in told


def test_a_seed_is_run_the_same_way_whatever_python_hashes() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "1", "7"],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1] == f"{run(7, tell=True).told}\n"
