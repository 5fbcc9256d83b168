"""Says what goes into a journal and what comes out of it."""

from typing import Literal

import msgspec

from actors.journal.keys import Key


class Entry(msgspec.Struct, frozen=True):
    """One event in a journal, undecoded."""

    seq: int
    raw: bytes


class Appended(msgspec.Struct, frozen=True):
    """A message in the journal.

    `fresh` is False if it stood there before; `position` counts the unanswered messages up to it
    (0: it has its outcome); `turn_first` is the first message of the turn it belongs to, as far as
    can be said now; `oldest_ms` the arrival of the oldest unanswered one; `company_load` the
    company's unanswered messages in this slot.
    """

    fresh: bool
    seq: int
    position: int
    turn_first: int
    oldest_ms: int
    company_load: int


class Full(msgspec.Struct, frozen=True):
    """The conversation has as many unanswered messages as it may."""

    waiting: int


Only = Literal["always", "known", "waiting"]
"""When a note is taken: always, where the conversation has a journal, where a message in it is
unanswered."""


class Noted(msgspec.Struct, frozen=True):
    """Something stands in the journal that is no customer's message."""

    seq: int


class Replay(msgspec.Struct, frozen=True):
    """What a conversation's state is folded from: what was remembered at its last record, "" for
    nothing, and the events since, or since its oldest unanswered message."""

    seq: int
    memory: bytes
    entries: tuple[Entry, ...]


class Activation(msgspec.Struct, frozen=True):
    """The pen of a conversation, and what its holder must take in first."""

    epoch: int
    replay: Replay


class Write(msgspec.Struct, frozen=True):
    """Events to be written under an epoch, and what becomes of the messages by them.

    `number` counts the writes of the epoch; `promised` messages have an answer on its way,
    `settled` ones their outcome; `dead` counts from 1 which of the events are dead letters, at
    `at_ms`. `memory` is what is remembered of the events up to `memory_seq`.
    """

    epoch: int
    number: int
    events: tuple[bytes, ...]
    promised: tuple[int, ...] = ()
    settled: tuple[int, ...] = ()
    memory: bytes = b""
    memory_seq: int = 0
    dead: tuple[int, ...] = ()
    at_ms: int = 0


class Exhumed(msgspec.Struct, frozen=True):
    """A dead letter was taken off the list, by event `seq`."""

    seq: int


class Buried(msgspec.Struct, frozen=True):
    """A dead letter: the event `seq` of its conversation, since `at_ms`."""

    key: Key
    seq: int
    at_ms: int


class Unanswered(msgspec.Struct, frozen=True):
    """A conversation that owes an answer since `oldest_ms`."""

    key: Key
    oldest_ms: int
