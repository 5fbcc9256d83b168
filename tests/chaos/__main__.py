"""Runs the service under load and faults for so many minutes: `python -m tests.chaos MINUTES`."""

import argparse
import asyncio
import itertools
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos import faults
from tests.chaos.storm import Doing, storm
from tests.chaos.table import show
from tests.conftest import served_peers
from tests.places import Place, running

MINUTES_MAX = 24 * 60
CUSTOMERS = 240
DURABILITIES = ("everysec", "always")


NODE_LOSS = {
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}
"""As in ray-cluster.yaml; by default Ray takes 15 s and more to notice that a node is gone."""


def in_turn(dice: random.Random, kinds: list[Doing]) -> Iterator[Doing]:
    """Every kind once, in some order, then again in another."""
    for _ in itertools.count():
        yield from dice.sample(kinds, len(kinds))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("minutes", type=float, help=f"how long, at most {MINUTES_MAX}")
    parser.add_argument("--seed", type=int, default=None, help="of everything random")
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--durability", choices=DURABILITIES, default=DURABILITIES[0])
    parser.add_argument("--only", nargs="*", default=[], help=", ".join(NAMED), metavar="fault")
    found = parser.parse_args()
    unknown = [name for name in found.only if name not in NAMED]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMED)}")
    if not 0 < found.minutes <= MINUTES_MAX:
        parser.error(f"minutes: more than 0, at most {MINUTES_MAX}")
    return found


NAMED: dict[str, Doing] = {
    name: kind for name, kind in vars(faults).items() if kind in faults.ALL and callable(kind)
}


def main() -> None:
    """Exits with 1 if a message was lost, doubled or reordered, or two turns overlapped."""
    asked = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the service ends with this process
    seed = random.SystemRandom().randrange(2**31) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    peers = contextmanager(served_peers)
    kinds = [NAMED[name] for name in asked.only] or list(faults.ALL)
    doings = list(itertools.islice(in_turn(random.Random(seed), kinds), round(asked.minutes * 60)))
    with tempfile.TemporaryDirectory(prefix="turnwise-chaos-") as directory, peers() as url:
        settings = {"REPLICAS": "2", "HOSTS": "2", "DURABILITY": asked.durability, **NODE_LOSS}
        with running(Place(Path(directory), url, **settings)) as place:
            until_s = asked.minutes * 60
            report = asyncio.run(
                storm(place, doings, customers=asked.customers, seed=seed, until_s=until_s)
            )
    show(report)
    sys.exit(0 if report.verdict.is_clean else 1)


if __name__ == "__main__":
    main()
