"""Is a process of the service: its machine's clock, its death, and its calls to the outside."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from actors.clock import SystemClock
from tests.fakes import START_MS
from tests.simulation.faults import Fate
from tests.simulation.loop import OWNER, SimulatedLoop

T = TypeVar("T")


class Lost(Exception):
    """The other side was not reached, or its answer never came. `doubtful`: it may have acted."""

    def __init__(self, *, doubtful: bool) -> None:
        super().__init__("the answer was lost" if doubtful else "nobody was reached")
        self.doubtful = doubtful


class Machine(SystemClock):
    """The production clock on simulated time; each machine has its own, which may jump."""

    def __init__(self, loop: SimulatedLoop, offset_s: float) -> None:
        self._loop = loop
        self.offset_s = offset_s
        super().__init__()

    def _time_ns(self) -> int:
        return START_MS * 1_000_000 + round((self._loop.time() + self.offset_s) * 1e9)

    def _passed_ns(self) -> int:
        return round(self._loop.time() * 1e9)


class Process:
    """One process: killed, nothing of it runs again; stopped, it goes on where it was."""

    def __init__(self, name: str, loop: SimulatedLoop, machine: Machine) -> None:
        self.name = name
        self.loop = loop
        self.clock = machine
        self.dead = False
        self.stopped = False
        self.held: list[asyncio.Handle] = []
        self.steps_left: int | None = None
        self.on_death: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None
        self._called: list[asyncio.Future[Any]] = []
        self._context = loop.outside.copy()
        self._context.run(OWNER.set, self)

    def __str__(self) -> str:
        return self.name

    @property
    def is_live(self) -> bool:
        return not self.dead and not self.stopped

    def stepped(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left <= 0:
                self.kill()

    def kill(self) -> None:
        """Ends it between two awaits, as SIGKILL does."""
        if self.dead:
            return
        self.dead = True
        for called in self._called:
            if not called.done():
                called.set_exception(Lost(doubtful=True))
        self.on_death()

    def stop(self, seconds: float) -> None:
        """Stops it, as SIGSTOP does, and lets it go on after so long."""
        if self.is_live:
            self.stopped = True
            self.loop.later(seconds, self._go_on)
            self.on_stop()

    def _go_on(self) -> None:
        self.stopped = False
        held, self.held = self.held, []
        self.loop.go_on(held)

    def run(self, call: Callable[[], T]) -> T:
        """Runs something short in this process, now."""
        return self._context.copy().run(call)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.loop.create_task(work, context=self._context.copy())

    def serve(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Runs a request in this process; whoever waits for it learns of its death."""
        answer: asyncio.Future[T] = self.loop.create_future()
        if self.dead:
            work.close()
            answer.set_exception(Lost(doubtful=False))
            return answer
        self._called = [called for called in self._called if not called.done()]
        self._called.append(answer)
        task = self.start(work)
        task.add_done_callback(lambda done: _hand_on(done, answer), context=_plain(self.loop))
        return answer

    async def ask(self, effect: Callable[[], Any], fate: Fate) -> Any:
        """Calls the outside: `effect` happens there when the call arrives, whatever became of this
        process meanwhile; a future that it returns is waited for. Raises Lost."""
        if fate.kills == "before":
            self.kill()
        answer: asyncio.Future[Any] = self.loop.create_future()
        if not self.dead:
            self.loop.later(fate.there_s, self._arrive, effect, fate, answer)
            if fate.breaks_s:
                self.loop.later(fate.breaks_s, _settle, answer, Lost(doubtful=True))
        return await answer

    def _arrive(self, effect: Callable[[], Any], fate: Fate, answer: asyncio.Future[Any]) -> None:
        if fate.fails == "refused":
            self.loop.later(fate.back_s, _settle, answer, Lost(doubtful=False))
            return
        try:
            outcome = effect()
        except Exception as error:  # noqa: BLE001 -- handed to whoever asked
            outcome = error
        if fate.kills == "after":
            self.kill()
        if fate.stops_s:
            self.stop(fate.stops_s)
        if isinstance(outcome, asyncio.Future):
            outcome.add_done_callback(
                lambda done: self.loop.later(
                    fate.back_s, _settle, answer, done.exception() or done.result()
                ),
                context=_plain(self.loop),
            )
            return
        if fate.fails == "answer lost":
            outcome = Lost(doubtful=True)
        self.loop.later(fate.back_s, _settle, answer, outcome)


def _plain(loop: SimulatedLoop) -> Context:
    return loop.outside


def _settle(answer: asyncio.Future[Any], outcome: Any) -> None:
    if answer.done():
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _hand_on(done: asyncio.Task[Any], answer: asyncio.Future[Any]) -> None:
    if done.cancelled():
        _settle(answer, Lost(doubtful=True))
    else:
        _settle(answer, done.exception() or done.result())
