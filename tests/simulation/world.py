"""Puts one run together from its seed: the service, the outside, the faults; runs it to its end."""

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from actors.journal.keys import Key
from actors.placement.names import host_name
from tests.fakes import START_MS, MemoryJournal
from tests.simulation.chatwoot import Chatwoot, Place
from tests.simulation.clusters import HOSTS, Cluster, Outside
from tests.simulation.companies import COMPANIES, TOKENS, companies
from tests.simulation.faults import FAULTS_END_S, Faults
from tests.simulation.loop import SimulatedLoop
from tests.simulation.senders import Senders
from tests.simulation.watch import Watch

PLACES: tuple[Place, ...] = ((1, "1"), (1, "2"), (2, "1"))
"""Both companies have a conversation of the same number, so that a mix-up would be seen."""

WRITING_S = 15.0
"""Within so long the customers write."""

ENDS_S = 240.0
"""Everything has its outcome so long after the start."""

LOOK_S = 1.0
"""How often it is looked whether the conversations have owners."""


def key_of(place: Place) -> Key:
    return Key(COMPANIES[place[0]], place[1])


class World:
    """One run. `story` tells what happened, with the simulated second."""

    def __init__(self, seed: int, journal: type[MemoryJournal] = MemoryJournal) -> None:
        self.seed = seed
        self.loop = SimulatedLoop()
        self.dice = random.Random(seed)
        self.faults = Faults(self.dice, self.loop.time)
        self.story: list[tuple[float, str]] = []
        self.journal = journal(now_ms=lambda: START_MS + round(self.loop.time() * 1_000))
        self.chatwoot = Chatwoot(TOKENS, self.loop.time, self._webhook)
        self.clusters: list[Cluster] = []
        self.watch = Watch(self.journal, self.loop.time, self.clusters)
        self.outside = Outside(
            self.loop,
            self.dice,
            self.faults,
            self.journal,
            self.chatwoot,
            companies(self.dice),
            self.dice.choice([0, 0, 1_500]),
            self.tell,
            self.watch.recorded,
            self.watch.model_called,
            self.watch.disturbed,
        )
        self.senders = Senders(self.outside, self.clusters)
        self.tokens: dict[str, Place] = {}

    def tell(self, what: str) -> None:
        self.story.append((self.loop.time(), what))

    def _webhook(self, account: int, body: dict[str, Any]) -> None:
        self.senders.send(account, body)

    # What happens.

    def _plan(self) -> None:
        self._start_cluster("blue")
        if "second cluster" in self.faults:
            self.at(self.dice.uniform(1, 14), self._start_cluster, "green")
            if self.dice.random() < 0.5:
                self.at(self.dice.uniform(15, FAULTS_END_S), self._end_blue)
        for place in PLACES:
            self._plan_customer(place)
        for _ in range(3):
            self.at(self.dice.uniform(0, FAULTS_END_S), self._disturb)
            self.at(self.dice.uniform(0, FAULTS_END_S), self._disturb)

    def at(self, seconds: float, call: Any, *args: Any) -> None:
        self.loop.later(seconds, call, *args)

    def _start_cluster(self, name: str) -> None:
        cluster = Cluster(self.outside, name)
        cluster.start()
        self.clusters.append(cluster)

    def _end_blue(self) -> None:
        self.tell("the blue cluster ends")
        self.clusters[0].end()

    def _plan_customer(self, place: Place) -> None:
        at_s = self.dice.uniform(0, 4)
        for _ in range(self.dice.randint(1, 4)):
            self.at(at_s, self._customer_writes, place)
            if "people" in self.faults and self.dice.random() < 0.15:
                self.at(at_s + self.dice.uniform(0, 9), self._person_acts, place)
            at_s = min(at_s + self.dice.choice([0.05, 0.8, 2.5, 9.0]), WRITING_S)

    def _customer_writes(self, place: Place) -> None:
        token = f"m{len(self.tokens) + 1}"
        self.tokens[token] = place
        message = self.chatwoot.writes(place, f"{token}?")
        self.tell(f"customer of {key_of(place)} writes {token} (message {message['id']})")

    def _person_acts(self, place: Place) -> None:
        what = self.dice.choice(["answers", "takes", "opens", "gives back"])
        self.tell(f"a person {what} in {key_of(place)}")
        match what:
            case "answers":
                self.chatwoot.writes(place, "I am on it", person="Eva")
            case "takes":
                self.chatwoot.changes(place, assignee="Eva")
            case "opens":
                self.chatwoot.changes(place, status="open")
            case _:
                self.chatwoot.changes(place, status="pending", assignee=None)

    def _disturb(self) -> None:
        """One of the faults that no call brings about."""
        place = self.dice.choice(self.dice.choice(self.clusters).hosts)
        process = place.process
        if not place.wanted or process.dead:
            return
        kind = self.dice.choice(["stalls", "deploys", "clocks jump", "redis away"])
        if not self.faults.happens(kind, 1):
            return
        match kind:
            case "stalls":
                process.stop(self.dice.uniform(2, 30))
            case "deploys":
                self.loop.create_task(place.drain(), context=self.loop.outside.copy())
            case "clocks jump":
                by_s = self.dice.uniform(-12, 12)
                place.machine.offset_s += by_s
                self.tell(f"the clock of {process} jumps by {by_s:+.1f} s")
            case "redis away":
                away_s = self.dice.uniform(0.5, 8)
                self.tell(f"Redis is away for {away_s:.1f} s")
                self.faults.away_until_s = self.loop.time() + away_s
                for host in range(HOSTS):
                    self.watch.disturbed(host_name(host), self.faults.away_until_s)

    # The run.

    async def _main(self) -> None:
        self._plan()
        while self.loop.time() < ENDS_S:
            await asyncio.sleep(LOOK_S)
            self.watch.look()
            if self.loop.time() > FAULTS_END_S and self._settled():
                break
        self.tell("the end")

    def _settled(self) -> bool:
        return not self.senders.under_way and self.watch.is_quiet()

    def run(self) -> None:
        """Runs it to its end."""
        with _hearing(self.watch):
            self.loop.run_until_complete(self._main())
            self.loop.abandon()


@contextmanager
def _hearing(watch: Watch) -> Iterator[None]:
    """The service's log goes to the watch: a crash of a conversation is a bug."""
    log = logging.getLogger("turnwise")
    before = (log.handlers[:], log.level, log.propagate)
    log.handlers[:], log.propagate = [watch], False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.handlers[:], log.level, log.propagate = before
