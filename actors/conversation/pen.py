"""Holds the pen of a conversation: takes it, folds the journal into the state, writes under it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from actors.clock import Clock
from actors.conversation.events import Event, Unknown, decode, encode
from actors.conversation.ports import Log
from actors.conversation.state import State, apply, promised, recalled, remembered, settled_by
from actors.errors import Fenced, Retryable
from actors.journal.entries import Write
from actors.journal.keys import Key
from actors.telemetry import logger

AWAY_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""While Redis is away a conversation tries again after these pauses, the last one for ever."""

Heard = Callable[[State, Event | Unknown], None]
"""Told of every event that comes from outside, with the state before it."""

_log = logger("conversation")
_T = TypeVar("_T")


class Pen:
    """The right to write a conversation's journal, and what its journal says.

    `epoch` is 0 until the pen is taken. `state` only ever changes to what the journal holds.
    """

    __slots__ = ("_clock", "_heard", "_holder", "_key", "_log", "_write", "epoch", "state")

    def __init__(self, key: Key, log: Log, clock: Clock, holder: str, heard: Heard) -> None:
        self._heard = heard
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
        replay = taken.replay
        state = recalled(replay.memory)
        remembered_seq = state.memory.seq
        for entry in replay.entries:
            event = decode(entry.raw)
            if entry.seq > remembered_seq:
                self._heard(state, event)
            state = apply(state, entry.seq, event)
        if state.reply is not None:
            # Whoever held the pen may have begun a post long after the promise, until just now.
            tried_ms = max(state.reply.tried_at_ms, self._clock.now_ms())
            reply = msgspec.structs.replace(state.reply, tried_at_ms=tried_ms)
            state = msgspec.structs.replace(state, reply=reply)
        self.state = msgspec.structs.replace(state, seq=max(state.seq, replay.seq))
        self.epoch, self._write = taken.epoch, 0

    def take_in(self, raw: bytes) -> None:
        """Takes in the event that follows the last one."""
        self._apply(self.state.seq + 1, raw)

    def _apply(self, seq: int, raw: bytes) -> None:
        event = decode(raw)
        if seq > self.state.seq:
            self._heard(self.state, event)
        self.state = apply(self.state, seq, event)

    async def read_on(self) -> None:
        """Takes in all that the journal holds after the last event taken in."""
        while entries := await self.patiently(
            lambda: self._log.read(self._key, after=self.state.seq)
        ):
            for entry in entries:
                self._apply(entry.seq, entry.raw)

    async def record(self, *events: Event) -> bool:
        """Writes events, then takes them in, with what came in between, in the journal's order.

        Whether they were read back, and so heard. Raises errors.Fenced when another holds the pen.
        """
        then = self.state
        for place, event in enumerate(events, start=1):
            then = apply(then, self.state.seq + place, event)
        self._write += 1
        write = Write(
            epoch=self.epoch,
            number=self._write,
            events=tuple(encode(event) for event in events),
            promised=promised(then),
            settled=tuple(seq for event in events for seq in settled_by(event)),
            memory=remembered(self.state.memory),
            memory_seq=self.state.seq,
        )
        first, last = await self.patiently(lambda: self._log.record(self._key, write))
        if first <= self.state.seq:
            raise Fenced(f"conversation {self._key}: the journal was set back, it ends at {last}")
        if first == self.state.seq + 1 and last == then.seq:
            self.state = then
            return False
        await self.read_on()
        return True

    async def check(self) -> None:
        """Takes in what nobody delivered. Raises errors.Fenced when another holds the pen."""
        counters = await self.patiently(lambda: self._log.counters(self._key))
        seq, held = counters or (0, 0)
        if held != self.epoch:
            raise Fenced(
                f"conversation {self._key}: epoch {self.epoch} is over, {held} holds the pen"
            )
        if seq > self.state.seq:
            await self.read_on()

    async def patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Repeats a call while Redis is away: what is accepted waits, nothing is given up."""
        failures, told = 0, ""
        while True:
            try:
                return await call()
            except Retryable as error:
                pause_s = AWAY_PAUSES_S[min(failures, len(AWAY_PAUSES_S) - 1)]
                if str(error) != told:  # a Redis that was away may come back with another trouble
                    told = str(error)
                    _log.warning("conversation %s waits: %s", self._key, told)
                failures += 1
                await self._clock.sleep(pause_s)
