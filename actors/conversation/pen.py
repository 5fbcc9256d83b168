"""Holds the pen of a conversation: takes it, folds the journal into the state, writes under it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from actors.clock import Clock
from actors.conversation.events import Event, FromOutside, SetAside, Unknown, decode, encode
from actors.conversation.ports import Log
from actors.conversation.state import State, apply, promised, recalled, remembered, settled_by
from actors.errors import Fenced, Retryable
from actors.journal.entries import Write
from actors.journal.keys import Key
from actors.telemetry import logger

AWAY_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""While Redis is away a conversation tries again after these pauses, the last one for ever."""

CHECK_FRESH_MS = 1_000
"""Who holds the pen is known from an answer of Redis that took no longer: with the time that a post
may take (channels.chatwoot.POST_S) it is less than turns.READ_BACK_GRACE_MS."""

CHECKS_MAX = 5
"""Redis is asked so often for an answer that fresh; where all are slow, the last one counts."""

Heard = Callable[[State, FromOutside], None]
"""Told once of every event that comes from outside, with the state before it: when it has become
part of what is remembered beside the journal, so that no later holder hears it again."""

_log = logger("conversation")
_T = TypeVar("_T")


class Pen:
    """The right to write a conversation's journal, and what its journal says.

    `epoch` is 0 until the pen is taken. `state` only ever changes to what the journal holds.
    """

    __slots__ = ("_clock", "_heard", "_holder", "_key", "_log", "_new", "_write", "epoch", "state")

    def __init__(self, key: Key, log: Log, clock: Clock, holder: str, heard: Heard) -> None:
        self._heard = heard
        self._holder = holder
        self._key = key
        self._log = log
        self._clock = clock
        self._write = 0
        self._new: list[tuple[int, State, FromOutside]] = []
        self.epoch = 0
        self.state = State()

    async def take(self) -> None:
        """Takes the pen from whoever holds it, and takes in what is unanswered."""
        taken = await self.patiently(lambda: self._log.activate(self._key, self._holder))
        replay = taken.replay
        state = recalled(replay.memory)
        remembered_seq = state.memory.seq
        self._new.clear()
        for entry in replay.entries:
            event = decode(entry.raw)
            if entry.seq > remembered_seq:
                self._keep(entry.seq, state, event)
            state = apply(state, entry.seq, event)
        # One answer holds so many events and no more: the rest of a long journal is read on.
        last = replay.entries[-1].seq if replay.entries else replay.seq
        self.state = msgspec.structs.replace(state, seq=max(state.seq, last))
        self.epoch, self._write = taken.epoch, 0
        if last < replay.seq:
            await self.read_on()

    def take_in(self, raw: bytes) -> None:
        """Takes in the event that follows the last one."""
        self._apply(self.state.seq + 1, raw)

    def _apply(self, seq: int, raw: bytes) -> None:
        event = decode(raw)
        if seq > self.state.seq:
            self._keep(seq, self.state, event)
        self.state = apply(self.state, seq, event)

    def _keep(self, seq: int, before: State, event: Event | Unknown) -> None:
        if isinstance(event, FromOutside):
            self._new.append((seq, before, event))

    def _tell(self, remembered_seq: int) -> None:
        """Tells of what is remembered now."""
        while self._new and self._new[0][0] <= remembered_seq:
            _, before, event = self._new.pop(0)
            self._heard(before, event)

    @property
    def has_news(self) -> bool:
        """Whether something came from outside that is not remembered beside the journal yet."""
        return bool(self._new)

    async def remember(self) -> None:
        """Writes down what is remembered, and takes in what came in between."""
        await self.record()

    async def read_on(self) -> None:
        """Takes in all that the journal holds after the last event taken in."""
        while entries := await self.patiently(
            lambda: self._log.read(self._key, after=self.state.seq)
        ):
            for entry in entries:
                self._apply(entry.seq, entry.raw)

    async def record(self, *events: Event) -> None:
        """Writes events, then takes them in, with what came in between, in the journal's order.

        Raises errors.Fenced when another holds the pen.
        """
        then, memory_seq = self.state, self.state.seq
        own = list[tuple[int, State, Event]]()
        for place, event in enumerate(events, start=1):
            own.append((memory_seq + place, then, event))
            then = apply(then, memory_seq + place, event)
        self._write += 1
        write = Write(
            epoch=self.epoch,
            number=self._write,
            events=tuple(encode(event) for event in events),
            promised=promised(then),
            settled=tuple(seq for event in events for seq in settled_by(event)),
            memory=remembered(self.state.memory),
            memory_seq=memory_seq,
            dead=tuple(n for n, event in enumerate(events, 1) if isinstance(event, SetAside)),
            at_ms=self._clock.now_ms(),
        )
        first, last = await self.patiently(lambda: self._log.record(self._key, write))
        if first <= self.state.seq:
            raise Fenced(f"conversation {self._key}: the journal was set back, it ends at {last}")
        self._tell(memory_seq)
        if first == self.state.seq + 1 and last == then.seq:
            for seq, before, event in own:
                self._keep(seq, before, event)
            self.state = then
        else:
            await self.read_on()

    async def check(self) -> None:
        """Takes in what nobody delivered. Raises errors.Fenced when another holds the pen.

        An answer that took long may be as old as that, so it is asked for again.
        """
        for _ in range(CHECKS_MAX):
            asked_ms = self._clock.now_ms()
            counters = await self.patiently(lambda: self._log.counters(self._key))
            if self._clock.now_ms() - asked_ms <= CHECK_FRESH_MS:
                break
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
