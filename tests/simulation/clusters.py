"""Starts the processes of one cluster from the production code: ingress replicas and hosts."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from actors.companies.company import Company
from actors.conversation.host import Delivery, Host
from actors.conversation.ports import Ports
from actors.errors import Retryable
from actors.journal.keys import Key
from actors.placement.mail import Mail
from actors.placement.names import actor_name, host_name, slots_of
from actors.placement.route import Route
from actors.web import chatwoot_events
from actors.web.ingress import Accepted, Ingress
from actors.web.refusals import Refused
from actors.web.webhooks import take_in
from actors.wiring import Parts
from tests.fakes import CountingTally, MemoryJournal
from tests.simulation.chatwoot import Chatwoot
from tests.simulation.companies import COMPANIES, ProcessPersonas, settings
from tests.simulation.connection import Connection, Recorded
from tests.simulation.faults import Faults
from tests.simulation.loop import SimulatedLoop
from tests.simulation.model import Calls, Model
from tests.simulation.processes import Lost, Machine, Process
from tests.simulation.wire import Wire

START_S = (1.1, 1.9)
"""A killed process answers again after so long (measured; see the design of placement)."""

HOSTS = 2
REPLICAS = 2
NOTICED_S = (4.0, 9.0)
"""A host that is stopped so long is replaced; it may go on beside its replacement."""

ZOMBIE_S = (10.0, 40.0)
"""A host that was replaced ends so long after that."""


@dataclass
class Outside:
    """What all processes of a run share."""

    loop: SimulatedLoop
    dice: random.Random
    faults: Faults
    journal: MemoryJournal
    chatwoot: Chatwoot
    companies: dict[str, Company]
    lead_ms: int
    tell: Callable[[str], None]
    recorded: Recorded
    model_calls: Calls
    disturbed: Callable[[str], None]


class HostPlace:
    """The named actor: a process at a time, made again when it dies."""

    def __init__(self, outside: Outside, cluster: str, number: int) -> None:
        self._outside = outside
        self._number = number
        self.name = host_name(number)
        self.holder = f"{cluster}/{self.name}"
        self.wanted = True
        self._machine = Machine(outside.loop, outside.dice.uniform(-0.3, 0.3))
        self._starts = 0
        self.process: Process
        self.host: Host
        self.former: list[tuple[Process, Host]] = []

    @property
    def machine(self) -> Machine:
        return self._machine

    def start(self) -> None:
        """Makes the process, as conversation_host.ConversationHost does."""
        self._starts += 1
        out = self._outside
        self._machine = Machine(out.loop, self._machine.offset_s)
        process = Process(f"{self.holder}#{self._starts}", out.loop, self._machine)
        if out.faults.happens("kills anywhere", 0.5):
            process.steps_left = out.dice.randrange(20, 900)
        model = Model(process, out.faults, out.dice, out.model_calls)
        wire = Wire(process, out.chatwoot, out.faults, out.tell)
        ports = Ports(
            log=Connection(process, out.journal, out.faults, out.recorded, out.tell),
            personas=ProcessPersonas(
                out.companies,
                model,
                wire,
                self._machine,
                lead_ms=out.lead_ms,
                shows_typing="typing" in out.faults.kinds,
            ),
            clock=self._machine,
            dice=cast("Any", SimpleNamespace(between=out.dice.uniform)),
            tally=CountingTally(),
            history_tokens=1_000,
        )
        self.process = process
        self.host = Host(ports, slots_of(self._number, settings().hosts), self.holder)
        process.on_death = self._died
        process.on_stop = self._stopped
        self.living = process.start(self.host.live())
        out.tell(f"{process} starts")

    def _died(self) -> None:
        dead = self.process
        self._outside.disturbed(self.name)
        self._outside.tell(f"{dead} is dead")
        self._again(dead)

    def _again(self, dead: Process) -> None:
        def start() -> None:
            if self.wanted and self.process is dead:
                self.start()

        self._outside.loop.later(self._outside.dice.uniform(*START_S), start)

    def _stopped(self) -> None:
        out, process = self._outside, self.process
        out.disturbed(self.name)
        out.tell(f"{process} is stopped")
        out.loop.later(out.dice.uniform(*NOTICED_S), self._replace, process)

    def _replace(self, old: Process) -> None:
        """Makes another process under the same name while the old one is stopped."""
        if not (self.wanted and self.process is old and old.stopped and not old.dead):
            return
        out = self._outside
        self.former.append((old, self.host))
        old.on_death = old.on_stop = lambda: None
        out.tell(f"{old} is replaced")
        self.start()
        out.loop.later(out.dice.uniform(*ZOMBIE_S), old.kill)

    def everybody(self) -> list[tuple[Process, Host]]:
        """The processes that may hold conversations of this host: the present one, and those that
        it replaced."""
        return [(self.process, self.host), *self.former]

    async def drain(self) -> None:
        """Ends the process as a deploy does, and makes the next one."""
        process, living, host = self.process, self.living, self.host
        self._outside.tell(f"{process} drains")

        async def end() -> None:
            living.cancel()
            await host.drain()

        try:
            await process.serve(end())
        except Lost:
            return
        process.kill()

    def deliver(self, page: list[Mail]) -> Any:
        """Hands deliveries to the process, as Ray does."""
        host = self.host

        async def handed() -> None:
            host.deliver(Delivery(Key.parse(key), seq, raw) for key, seq, raw in page)

        return self.process.serve(handed())


class Routing:
    """Stands in for placement.Router: the same routes, over simulated calls of actors."""

    def __init__(self, process: Process, hosts: list[HostPlace], faults: Faults) -> None:
        self._process = process
        self._hosts = {place.name: place for place in hosts}
        self._faults = faults
        self._routes: dict[str, Route] = {}

    def deliver(self, key: Key, seq: int, raw: bytes | None) -> None:
        name = actor_name(key, settings())
        if name not in self._routes:
            self._routes[name] = Route(name, self._call, self._process.clock)
        self._routes[name].put((str(key), seq, raw))

    async def _call(self, name: str, page: list[Mail]) -> None:
        place = self._hosts[name]
        if self._faults.happens("deliveries lost", 0.25):
            return
        if self._faults.happens("deliveries doubled", 0.25):
            self._process.loop.later(self._faults.between(0, 3), self._again, place, page)
        try:
            await self._process.ask(lambda: place.deliver(page), self._faults.of_delivery())
        except Lost as error:
            raise Retryable(f"{name} is away: {error}") from error

    def _again(self, place: HostPlace, page: list[Mail]) -> None:
        answer = place.deliver(page)
        answer.add_done_callback(lambda done: done.exception())


class Replica:
    """A Serve replica: a process at a time, with the production ingress."""

    def __init__(self, outside: Outside, name: str, hosts: list[HostPlace]) -> None:
        self._outside = outside
        self._name = name
        self._hosts = hosts
        self._starts = 0
        self.machine = Machine(outside.loop, outside.dice.uniform(-0.3, 0.3))
        self.wanted = True
        self.process: Process
        self.ingress: Ingress

    def start(self) -> None:
        """Makes the process, as web.service.build does."""
        self._starts += 1
        out = self._outside
        self.machine = Machine(out.loop, self.machine.offset_s)
        process = Process(f"{self._name}#{self._starts}", out.loop, self.machine)
        parts = SimpleNamespace(
            journal=Connection(process, out.journal, out.faults, out.recorded, out.tell),
            clock=self.machine,
            settings=settings(),
            spending=None,  # no company of a run has a limit that is counted
            redis=SimpleNamespace(register_script=lambda _: None),  # no webhook names its inbox
        )
        self.process = process
        self.ingress = Ingress(cast("Parts", parts), Routing(process, self._hosts, out.faults))
        process.on_death = self._died
        out.tell(f"{process} starts")

    def _died(self) -> None:
        self._outside.tell(f"{self.process} is dead")
        if self.wanted:
            self._outside.loop.later(self._outside.dice.uniform(*START_S), self.start)

    def post(self, account: int, body: dict[str, Any]) -> Any:
        """A webhook arrives; its future holds the status, and the answer where it was accepted."""
        company = self._outside.companies[COMPANIES[account]]
        raw, ingress, clock = json.dumps(body).encode(), self.ingress, self.machine

        async def taken() -> tuple[int, Accepted | None]:
            try:
                with ingress.counted(company.company_id):
                    reading = chatwoot_events.read(raw, account, clock.now_ms())
                    answer = await take_in(ingress, company, reading)
            except Refused as refused:
                return refused.status, None
            except Retryable:
                return 500, None  # web.refusals
            accepted = answer if isinstance(answer, Accepted) else None
            return 202 if accepted else 200, accepted

        return self.process.serve(taken())


class Cluster:
    """The hosts and replicas of one release."""

    def __init__(self, outside: Outside, name: str) -> None:
        self.hosts = [HostPlace(outside, name, number) for number in range(HOSTS)]
        self.replicas = [Replica(outside, f"{name}/in-{n}", self.hosts) for n in range(REPLICAS)]
        self.everything: list[HostPlace | Replica] = [*self.hosts, *self.replicas]

    def start(self) -> None:
        for place in self.everything:
            place.start()

    def end(self) -> None:
        """All of it dies and stays dead."""
        for place in self.everything:
            place.wanted = False
            place.process.kill()
