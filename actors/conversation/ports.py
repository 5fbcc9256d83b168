"""Names what a conversation needs from outside; wiring hands it in, tests hand in fakes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from actors.channels.message import Attachment, Cue, Outgoing, Seen, Unreadable
from actors.clock import Clock, Dice
from actors.conversation.events import Event
from actors.conversation.manners import Manners
from actors.conversation.pace import Pace
from actors.conversation.place import Place
from actors.conversation.state import State
from actors.journal.entries import Activation, Entry, Unanswered, Write
from actors.journal.keys import Key
from actors.llm.prompt import Content
from actors.llm.responder import Responder

Check = Callable[[], Awaitable[None]]
"""Raises if the reply is no longer the caller's to send: another holds the pen, or a person has the
word. A channel lets whatever it raises pass."""


class Channel(Protocol):
    """Where replies go. Every method raises Retryable or Permanent.

    `send` returns the channel's id of the reply, and calls `check` when nothing is left to wait for
    before the post; `find` returns the id of one that already stands there, None if none does, or
    Unreadable where the channel cannot say. `look` tells what stands in the conversation after a
    message, None where the channel cannot say; `newest_message_id` is the newest message that is
    known, to save it the trouble. `hand_over` passes the conversation to a person, with a note to
    them; it calls `check` before each post and may be repeated: that changes nothing.
    """

    async def send(self, reply: Outgoing, check: Check) -> str: ...

    async def find(self, reply: Outgoing) -> str | Unreadable | None: ...

    async def look(
        self, conversation_id: str, after_message_id: str, newest_message_id: str
    ) -> Seen | None: ...

    async def hand_over(self, note: Outgoing, check: Check) -> None: ...

    async def typing(self, cue: Cue) -> None: ...


class Reader(Protocol):
    """Reads attachments for the model. Never raises for what the outside does: a file that cannot
    be read is a Content that says so."""

    async def read(self, attachment: Attachment) -> Content: ...


class Voice(Protocol):
    """The company's instructions to the model. Raises errors.Permanent where they cannot be made.

    `customer` is the name under which the customer writes.
    """

    def __call__(self, *, customer: str, now_ms: int) -> str: ...


class Lead(Protocol):
    """How long before the window closes a draft is begun, for one company in one process."""

    def lead_ms(self) -> int:
        """0: no draft is begun early (it is switched off, nothing is known, the budget is used)."""
        ...

    def why(self) -> str:
        """What lead_ms says, as a sentence."""
        ...

    def took(self, ms: int) -> None:
        """A call of the model took so long."""
        ...


class Line(Protocol):
    """Where a company's turns wait until one may begin, in one process. Neither waits nor fails.

    `came_ms`: the arrival of the oldest message that the turn answers.
    """

    def place(self, key: Key, came_ms: int, *, suspect: bool = False) -> Place:
        """Whether the conversation's turn may begin now. `suspect`: its process died in it, so it
        is to run with no other such turn in this process."""
        ...

    def wait(self, key: Key, came_ms: int, woken: asyncio.Event) -> None:
        """It stands in line; `woken` is set when `place` is to be asked again."""
        ...

    def leave(self, key: Key) -> None:
        """It stands in line no longer, if it did."""
        ...

    def begin(self, key: Key, *, suspect: bool = False) -> None:
        """Its turn begins; to be called right after `place` allowed it."""
        ...

    def end(self, key: Key, tokens: int) -> None:
        """Its turn has ended, if one ran, and has cost so much."""
        ...


class Tally(Protocol):
    """Counts what happens, for the company's analytics. Must neither wait nor fail."""

    def count(self, company_id: str, before: State, event: Event) -> None: ...


class Log(Protocol):
    """The part of the journal that a conversation uses; see journal.stream.Journal."""

    async def activate(self, key: Key, holder: str) -> Activation: ...

    async def counters(self, key: Key) -> tuple[int, int] | None: ...

    async def stay_alive(self, holder: str) -> None: ...

    async def leave(self, holder: str) -> None: ...

    async def orphans(self, keys: Sequence[Key], holder: str) -> list[Key]: ...

    async def record(self, key: Key, write: Write) -> tuple[int, int]: ...

    async def read(self, key: Key, after: int) -> tuple[Entry, ...]: ...

    async def read_last(
        self, key: Key, count: int = ..., before: int | None = None
    ) -> tuple[Entry, ...]: ...

    async def unanswered(self, slots: Iterable[int], before_ms: int) -> list[Unanswered]: ...


class Persona(msgspec.Struct, frozen=True):
    """How one company speaks. `channels` by the name that its messages carry; replies longer than
    `part_chars` are sent in parts. `in_doubt`: what becomes of a reply of which its channel cannot
    say whether it stands there."""

    pace: Pace
    manners: Manners
    voice: Voice
    responder: Responder
    channels: dict[str, Channel]
    reader: Reader
    lead: Lead
    line: Line
    part_chars: int
    in_doubt: Literal["resend", "hold"] = "resend"


class Personas(Protocol):
    """Finds a company's persona as it is now: it is asked again for every decision, so that a
    change takes effect at once. Raises errors.Permanent where there is no such company."""

    def persona(self, company_id: str) -> Persona: ...


class Ports(msgspec.Struct, frozen=True):
    """Everything outside, shared by all conversations of a process.

    `history_tokens`: how much of the conversation the model reads again at each turn.
    """

    log: Log
    personas: Personas
    clock: Clock
    dice: Dice
    tally: Tally
    history_tokens: int
