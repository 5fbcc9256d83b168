"""Names what a conversation needs from outside; wiring hands it in, tests hand in fakes."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from actors.channels.message import Outgoing
from actors.clock import Clock, Dice
from actors.conversation.pace import Pace
from actors.journal.keys import Key
from actors.journal.stream import Activation, Entry, Unanswered
from actors.llm.responder import Responder

Check = Callable[[], Awaitable[None]]
"""Raises errors.Fenced if the reply is no longer the caller's to send."""


class Channel(Protocol):
    """Where replies go. Every method raises Retryable or Permanent.

    `send` returns the channel's id of the reply, and calls `check` when nothing is left to wait for
    before the post; `find` returns the id of one that already stands there.
    """

    async def send(self, reply: Outgoing, check: Check) -> str: ...

    async def find(self, reply: Outgoing) -> str | None: ...

    async def typing(self, conversation_id: str, *, on: bool) -> None: ...


class Log(Protocol):
    """The part of the journal that a conversation uses; see journal.stream.Journal."""

    async def activate(self, key: Key, holder: str) -> Activation: ...

    async def epoch(self, key: Key) -> int: ...

    async def stay_alive(self, holder: str) -> None: ...

    async def orphans(self, keys: Sequence[Key], holder: str) -> list[Key]: ...

    async def record(
        self,
        key: Key,
        *,
        epoch: int,
        write: int,
        events: Sequence[bytes],
        promised: Iterable[int],
        settled: Iterable[int],
    ) -> tuple[int, int]: ...

    async def read(self, key: Key, after: int) -> tuple[Entry, ...]: ...

    async def read_last(
        self, key: Key, count: int = ..., before: int | None = None
    ) -> tuple[Entry, ...]: ...

    async def unanswered(self, slots: Iterable[int], before_ms: int) -> list[Unanswered]: ...


class Persona(msgspec.Struct, frozen=True):
    """How one company speaks. `channels` by the name that its messages carry."""

    pace: Pace
    prompt: str
    responder: Responder
    channels: dict[str, Channel]


class Personas(Protocol):
    """Finds a company's persona. Raises errors.Permanent where there is no such company."""

    def persona(self, company_id: str) -> Persona: ...


class Ports(msgspec.Struct, frozen=True):
    """Everything outside, shared by all conversations of a process.

    `history_tokens`: how much of the conversation the model reads again at each turn.
    """

    log: Log
    personas: Personas
    clock: Clock
    dice: Dice
    history_tokens: int
