"""Runs asyncio on simulated time, and knows which process each step of it belongs to.

Nothing here waits: when nobody is ready, time jumps to the next timer. A step of a process that was
killed is never run; one of a process that was stopped is kept until it goes on.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol


class Owner(Protocol):
    """A process, as the loop sees it: `held` are the steps that it has not run."""

    dead: bool
    stopped: bool
    held: list[asyncio.Handle]

    def stepped(self) -> None:
        """Told after each of its steps."""
        ...


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


class NothingToWaitFor(Exception):
    """Nobody is ready, and no timer is left."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop whose time is a number. `outside` is the context of what no process runs."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self.outside = copy_context()
        self.bugs: list[str] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._make_task)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coro: Any, *, context: Context | None = None
    ) -> asyncio.Task[Any]:
        # Kept, so that no collection of garbage runs the `finally` of a process that was killed.
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
        self._tasks.append(task)
        return task

    def time(self) -> float:
        return self._now_s

    def later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Calls it then, whatever becomes of the process that asks for it."""
        # As call_later, without its checks: half of all steps begin here.
        timer = asyncio.TimerHandle(self._now_s + seconds, call, args, self, self.outside)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._next_timer()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                self._step(handle)

    def _next_timer(self) -> None:
        """Jumps to the next timer, and makes ready all that are due then."""
        scheduled, ready = self._scheduled, self._ready
        while scheduled and (not ready or scheduled[0].when() <= self._now_s):
            timer: Any = heapq.heappop(scheduled)
            timer._scheduled = False
            if timer.cancelled():
                self._timer_cancelled_count -= 1
            else:
                self._now_s = timer.when()
                ready.append(timer)
        if not ready:
            raise NothingToWaitFor

    def _step(self, handle: Any) -> None:
        owner: Owner | None = handle._context.get(OWNER)
        if owner is None:
            handle._run()
        elif owner.dead or owner.stopped:
            owner.held.append(handle)
        else:
            handle._run()
            owner.stepped()

    def go_on(self, held: list[asyncio.Handle]) -> None:
        """Runs what a stopped process has not run: its timers first, which on a real machine are
        found due before what was read from the network wakes anybody."""
        self._ready.extend(sorted(held, key=lambda each: not isinstance(each, asyncio.TimerHandle)))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a step raised is a bug; what nobody asked for any more died with its asker."""
        if "handle" in context:
            self.bugs.append(f"{context['message']}: {context.get('exception')!r}")

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """No threads: they would bring in the machine's own time."""
        future = self.create_future()
        future.set_result(func(*args))
        return future

    def abandon(self) -> None:
        """Ends all that is still under way, without a word."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine: Any = task.get_coro()
                try:
                    coroutine.close()
                except RuntimeError:
                    continue  # it awaits something even now
        self._ready.clear()
        self._scheduled.clear()
        self.close()

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """Nothing: when it comes depends on the machine's memory."""

    def _process_events(self, event_list: Any) -> None:
        """There is no network."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""
