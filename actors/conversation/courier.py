"""Brings a promised reply to its channel, part by part, and never over a person's word."""

import uuid
from collections.abc import Awaitable, Callable

import msgspec

from actors.channels.message import Outgoing, Seen, Standing, Unreadable
from actors.conversation import decisions
from actors.conversation.events import Event, PersonReplied, StandingSeen
from actors.conversation.manners import silence
from actors.conversation.pen import Pen
from actors.conversation.ports import Channel, Persona, Ports
from actors.conversation.state import Reply
from actors.errors import Fenced, Permanent, Retryable
from actors.journal.keys import Key

REPLY_IDS = uuid.UUID("5f0b1c0a-6f0e-5d2c-9a57-7c2f2d1a9e41")
"""The namespace of reply ids: uuid5 of the conversation and the messages answered."""


def reply_id(key: Key, answers: tuple[int, ...]) -> str:
    """The id under which the answer to these messages is known to the channel: the same after a
    crash, never that of another answer."""
    return str(uuid.uuid5(REPLY_IDS, f"{key}:{','.join(map(str, sorted(answers)))}"))


def part_id(reply: str, part: int | str) -> str:
    """The id of one part of a reply; its first part has the reply's own."""
    return reply if part == 0 else str(uuid.uuid5(REPLY_IDS, f"{reply}:{part}"))


class Stands(msgspec.Struct, frozen=True):
    """The part stands in the channel; `found`: it did before."""

    channel_message_id: str
    found: bool


class NotTaken(msgspec.Struct, frozen=True):
    """The channel did not take it; it may pass. `doubtful`: it may stand there all the same."""

    error: str
    after_s: float | None
    doubtful: bool


class Refused(msgspec.Struct, frozen=True):
    """The channel refused it for good."""

    error: str


class Silenced(msgspec.Struct, frozen=True):
    """A person has the word, for this reason."""

    reason: str


class Late(msgspec.Struct, frozen=True):
    """It does not stand there, and is too old to be sent, for this reason."""

    reason: str


class Unknowable(msgspec.Struct, frozen=True):
    """Whether it stands there cannot be found out, for this reason."""

    reason: str


Outcome = Stands | NotTaken | Refused | Silenced | Late | Unknowable


class _PersonHasTheWord(Exception):
    """Raised between the check and the post."""


class Courier:
    """Posts the replies of one conversation."""

    __slots__ = ("_key", "_listen", "_pen", "_ports", "_record")

    def __init__(
        self,
        key: Key,
        pen: Pen,
        ports: Ports,
        *,
        listen: Callable[[], Awaitable[None]],
        record: Callable[[Event], Awaitable[None]],
    ) -> None:
        """`listen` takes in what was delivered meanwhile, `record` writes an event down."""
        self._key = key
        self._pen = pen
        self._ports = ports
        self._listen = listen
        self._record = record

    async def bring(self, send: decisions.Send, persona: Persona) -> Outcome:
        """Brings the next part. Raises errors.Fenced when another holds the pen."""
        reply = send.reply
        outgoing = self._outgoing(reply, reply.sent, reply.parts[reply.sent])
        in_doubt = send.read_back
        try:
            channel = self._channel(persona, reply.channel)
            found = await channel.find(outgoing) if send.read_back else None
            in_doubt = False
            if isinstance(found, str):
                return Stands(found, found=True)
            if send.withhold:
                return Silenced(send.withhold)
            if isinstance(found, Unreadable):
                return Unknowable(found.reason)
            if send.hold:
                return Late(send.hold)
            sent = await channel.send(outgoing, lambda: self._check(channel, reply, persona))
        except _PersonHasTheWord as silenced:
            return Silenced(str(silenced))
        except Retryable as error:
            return NotTaken(str(error), error.after_s, in_doubt or error.doubtful)
        except Fenced:
            raise
        except Permanent as error:
            return Refused(str(error))
        return Stands(sent, found=False)

    async def hand_over(self, reply: Reply, persona: Persona) -> NotTaken | Refused | None:
        """Passes the conversation to a person; None if that is done.

        Raises errors.Fenced when another holds the pen.
        """
        told = "\n\n".join(filter(None, [reply.hand_over, reply.held_text]))
        note = self._outgoing(reply, "hand-over", told)
        await self._pen.check()
        try:
            await self._channel(persona, reply.channel).hand_over(note, self._pen.check)
        except Fenced:
            raise
        except Retryable as error:
            return NotTaken(str(error), error.after_s, error.doubtful)
        except Permanent as error:
            return Refused(str(error))
        return None

    def _outgoing(self, reply: Reply, part: int | str, text: str) -> Outgoing:
        named = part_id(reply.reply_id, part)
        after_id = reply.last_part_id or reply.after_message_id
        return Outgoing(self._key.conversation_id, named, text, after_id)

    async def _check(self, channel: Channel, reply: Reply, persona: Persona) -> None:
        """Right before the post: whose word is it, and who holds the pen?"""
        await self._listen()
        self._be_silent_if_asked(persona)
        # Since the first message that it answers: a person may have answered between two of them.
        seen = await channel.look(
            self._key.conversation_id, reply.first_message_id, reply.after_message_id
        )
        if seen is not None:
            await self._note(seen)
            self._be_silent_if_asked(persona)
        # Last of all: also what was accepted meanwhile and never delivered.
        await self._pen.check()
        self._be_silent_if_asked(persona)

    def _be_silent_if_asked(self, persona: Persona) -> None:
        now_ms = self._ports.clock.now_ms()
        silent = silence(self._pen.state.memory, persona.manners, now_ms)
        if silent is not None:
            raise _PersonHasTheWord(silent.reason)

    async def _note(self, seen: Seen) -> None:
        """Writes down what no webhook has told yet."""
        now_ms = self._ports.clock.now_ms()
        if _differ(self._pen.state.memory.standing, seen.standing):
            await self._record(
                StandingSeen(at_ms=now_ms, standing=seen.standing, how="before sending")
            )
        if seen.person is not None and seen.person.message_id not in self._pen.state.memory.heard:
            await self._record(PersonReplied(at_ms=now_ms, person=seen.person))

    def _channel(self, persona: Persona, name: str) -> Channel:
        try:
            return persona.channels[name]
        except KeyError:
            raise Permanent(
                f"company {self._key.company_id} has no channel {name!r} any more"
            ) from None


def _differ(known: Standing, seen: Standing) -> bool:
    """Whether the channel says something else than is known, apart from when."""
    return msgspec.structs.replace(known, changed_ms=0) != msgspec.structs.replace(
        seen, changed_ms=0
    )
