"""Runs seeds of the simulation from the command line, on all processors.

`python -m tests.simulation SEEDS [FIRST]` runs that many; one that breaks a rule is told, and ends
it with 1. A single seed is told in any case. `python -m tests.simulation teeth SEEDS` breaks the
protocol on purpose and says how many runs notice; it ends with 1 if a break is noticed by none.
"""

import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial

from tests.simulation.running import Outcome, run
from tests.simulation.teeth import BREAKS, nothing

PAGE = 25


def _run_page(broken: str, seeds: range) -> list[Outcome]:
    with BREAKS.get(broken, nothing)() as journal:
        return [run(seed, journal) for seed in seeds]


def _outcomes(seeds: range, broken: str = "") -> Iterator[Outcome]:
    pages = [seeds[at : at + PAGE] for at in range(0, len(seeds), PAGE)]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for page in pool.imap(partial(_run_page, broken), pages):
            yield from page


def simulate(seeds: range) -> int:
    """Runs the seeds until one breaks a rule."""
    if len(seeds) == 1:
        outcome = run(seeds[0], tell=True)
        print(outcome.told)
        return bool(outcome.broken)
    counts, silence = Counter[str](), (0.0, 0)
    for done, outcome in enumerate(_outcomes(seeds), start=1):
        if outcome.broken:
            print(f"\n{outcome.told}")
            return 1
        counts += outcome.counts
        silence = max(silence, (outcome.silence_s, outcome.seed))
        if done % PAGE == 0 or done == len(seeds):
            print(f"\r{done} runs of the service hold", end="", flush=True)
    print()
    for what, times in sorted(counts.items()):
        print(f"  {times:9,}  {what}")
    print(f"  longest without a live owner: {silence[0]:.1f} s (seed {silence[1]})")
    return 0


def bite(seeds: range) -> int:
    """Runs the seeds with each break, and without any."""
    print(f"{'broken on purpose':30} caught by   seen by a customer   of runs")
    failed = False
    for name in ("", *BREAKS):
        outcomes = list(_outcomes(seeds, name))
        caught = [outcome for outcome in outcomes if outcome.broken]
        seen = sum(outcome.is_seen for outcome in caught)
        print(f"{name or 'nothing':30} {len(caught):9} {seen:20} {len(outcomes):9}", flush=True)
        if caught:
            print(f"    e.g. seed {caught[0].seed}: {caught[0].broken[0]}")
        failed = failed or bool(caught) == (not name)
    return int(failed)


def main(arguments: list[str]) -> int:
    """See the module's own words."""
    if arguments[:1] == ["teeth"]:
        return bite(range(int(arguments[1])))
    first = int(arguments[1]) if len(arguments) > 1 else 0
    return simulate(range(first, first + int(arguments[0])))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
