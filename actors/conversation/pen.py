"""Holds the pen of a conversation: takes it, folds the journal into the state, writes under it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from actors.clock import Clock
from actors.conversation.events import Event, decode, encode
from actors.conversation.ports import Log
from actors.conversation.state import State, apply, promised, settled_by
from actors.errors import Fenced, Retryable
from actors.journal.keys import Key
from actors.telemetry import logger

AWAY_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""While Redis is away a conversation tries again after these pauses, the last one for ever."""

_log = logger("conversation")
_T = TypeVar("_T")


class Pen:
    """The right to write a conversation's journal, and what its journal says.

    `epoch` is 0 until the pen is taken. `state` only ever changes to what the journal holds.
    """

    __slots__ = ("_clock", "_holder", "_key", "_log", "_write", "epoch", "state")

    def __init__(self, key: Key, log: Log, clock: Clock, holder: str) -> None:
        self._holder = holder
        self._key = key
        self._log = log
        self._clock = clock
        self._write = 0
        self.epoch = 0
        self.state = State()

    async def take(self) -> None:
        """Takes the pen from whoever holds it, and takes in what is unanswered."""
        taken = await self.patiently(lambda: self._log.activate(self._key, self._holder))
        state = State()
        for entry in taken.entries:
            state = apply(state, entry.seq, decode(entry.raw))
        self.state = msgspec.structs.replace(state, seq=max(state.seq, taken.seq))
        self.epoch, self._write = taken.epoch, 0

    def take_in(self, raw: bytes) -> None:
        """Takes in the event that follows the last one."""
        self.state = apply(self.state, self.state.seq + 1, decode(raw))

    async def read_on(self) -> None:
        """Takes in all that the journal holds after the last event taken in."""
        while entries := await self.patiently(
            lambda: self._log.read(self._key, after=self.state.seq)
        ):
            for entry in entries:
                self.state = apply(self.state, entry.seq, decode(entry.raw))

    async def record(self, *events: Event) -> None:
        """Writes events, then takes them in, with what came in between, in the journal's order.

        Raises errors.Fenced when another holds the pen.
        """
        then = self.state
        for place, event in enumerate(events, start=1):
            then = apply(then, self.state.seq + place, event)
        self._write += 1
        first, last = await self.patiently(
            lambda: self._log.record(
                self._key,
                epoch=self.epoch,
                write=self._write,
                events=[encode(event) for event in events],
                promised=promised(then),
                settled=[seq for event in events for seq in settled_by(event)],
            )
        )
        if first <= self.state.seq:
            raise Fenced(f"conversation {self._key}: the journal was set back, it ends at {last}")
        if first == self.state.seq + 1 and last == then.seq:
            self.state = then
        else:
            await self.read_on()

    async def check(self) -> None:
        """Raises errors.Fenced when another holds the pen."""
        held = await self.patiently(lambda: self._log.epoch(self._key))
        if held != self.epoch:
            raise Fenced(
                f"conversation {self._key}: epoch {self.epoch} is over, {held} holds the pen"
            )

    async def patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Repeats a call while Redis is away: what is accepted waits, nothing is given up."""
        failures = 0
        while True:
            try:
                return await call()
            except Retryable as error:
                pause_s = AWAY_PAUSES_S[min(failures, len(AWAY_PAUSES_S) - 1)]
                if failures == 0:
                    _log.warning("conversation %s waits: %s", self._key, error)
                failures += 1
                await self._clock.sleep(pause_s)
