"""Breaks the protocol on purpose, inside the simulation only, and counts the runs that notice.

A check that finds nothing in a broken service shows nothing about a whole one.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec
import pytest

from actors.conversation import records
from actors.conversation.actor import ConversationActor
from actors.conversation.courier import Courier, Outcome, Stands, reply_id
from actors.conversation.decisions import Commit, Promised, Send
from actors.conversation.pen import Pen
from actors.conversation.ports import Persona
from actors.conversation.state import apply
from actors.journal.entries import Appended, Full, Unanswered, Write
from actors.journal.keys import Key
from tests.fakes import MemoryJournal

Break = Callable[[], AbstractContextManager[type[MemoryJournal]]]
"""While it is entered the service is broken; it gives the journal that the runs are to use."""


@contextmanager
def nothing() -> Iterator[type[MemoryJournal]]:
    """The service as it is."""
    yield MemoryJournal


@contextmanager
def send_before_commit() -> Iterator[type[MemoryJournal]]:
    """A reply is posted first and promised afterwards, as in most of the field."""

    async def commit(self: ConversationActor, decision: Commit) -> None:
        named = reply_id(self._key, decision.draft.covers)
        state, chars = self._pen.state, self._persona.part_chars
        event = records.committed(state, decision, named, chars, self._now())
        reply = apply(state, state.seq + 1, event).reply
        assert reply is not None
        sent = await self._courier.bring(Send(reply, read_back=False), self._persona)
        self._work = Promised(named)
        await self._record(event)
        if isinstance(sent, Stands):
            await self._record(records.sent(reply, sent.channel_message_id, self._now()))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ConversationActor, "_commit", commit)
        yield MemoryJournal


class _NoEpoch(MemoryJournal):
    """Takes the write of anybody, each write once."""

    async def record(self, key: Key, write: Write) -> tuple[int, int]:
        written = self.__dict__.setdefault("_by_anybody", {})
        name = (key, write.epoch, write.number)
        if name not in written:
            number = self._writes.get(key, (0, 0, 0))[1] + 1
            anybodys = msgspec.structs.replace(write, epoch=self._epoch[key], number=number)
            written[name] = (await super().record(key, anybodys))[0]
        return written[name], self._seq[key]


@contextmanager
def ignore_the_epoch() -> Iterator[type[MemoryJournal]]:
    """Whoever once held the pen may write, and nobody looks before a post."""

    async def check(self: Pen) -> None:
        await self.read_on()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pen, "check", check)
        yield _NoEpoch


@contextmanager
def skip_the_read_back() -> Iterator[type[MemoryJournal]]:
    """A reply that may stand in the channel is posted without a look."""

    bring = Courier.bring

    async def without_a_look(self: Courier, send: Send, persona: Persona) -> Outcome:
        return await bring(self, msgspec.structs.replace(send, read_back=False), persona)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Courier, "bring", without_a_look)
        yield MemoryJournal


@contextmanager
def drop_the_sequence_check() -> Iterator[type[MemoryJournal]]:
    """An actor takes deliveries as they come: what is lost, doubled or swapped stays so."""

    def deliver(self: ConversationActor, seq: int, raw: bytes | None) -> None:
        if raw is None:
            self._look = True
        else:
            self._inbox[seq] = raw
        self._woken.set()

    async def take_mail(self: ConversationActor) -> None:
        for seq in list(self._inbox):
            self._pen.take_in(self._inbox.pop(seq))
        if self._look:
            self._look = False
            await self._pen.read_on()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ConversationActor, "deliver", deliver)
        patched.setattr(ConversationActor, "_take_mail", take_mail)
        yield MemoryJournal


class _NoMark(MemoryJournal):
    """Appends without the mark by which the sweep finds what is unanswered."""

    async def append(
        self, key: Key, message_id: str, raw: bytes, *, at_ms: int, largest_batch: int
    ) -> Appended | Full:
        appended = await super().append(
            key, message_id, raw, at_ms=at_ms, largest_batch=largest_batch
        )
        if isinstance(appended, Appended) and appended.fresh and appended.position == 1:
            self.__dict__.setdefault("_unmarked", set()).add(key)
        return appended

    async def record(self, key: Key, write: Write) -> tuple[int, int]:
        recorded = await super().record(key, write)
        self.__dict__.get("_unmarked", set()).discard(key)  # it is set anew with every record
        return recorded

    async def unanswered(self, slots: object, before_ms: int) -> list[Unanswered]:
        assert isinstance(slots, range)
        found = await super().unanswered(slots, before_ms)
        unmarked = self.__dict__.get("_unmarked", set())
        return [entry for entry in found if entry.key not in unmarked]


@contextmanager
def forget_the_unanswered_mark() -> Iterator[type[MemoryJournal]]:
    """A message is only found by those who are told of it."""
    yield _NoMark


BREAKS: dict[str, Break] = {
    "send before commit": send_before_commit,
    "ignore the epoch": ignore_the_epoch,
    "skip the read-back": skip_the_read_back,
    "drop the sequence check": drop_the_sequence_check,
    "forget the unanswered mark": forget_the_unanswered_mark,
}
