"""Names what can happen in a conversation; its journal is a sequence of these events.

Each event is one JSON object in the stream, told apart by `type`; `v` is the version of its writer.
Fields are only ever added, with a default, so that every release reads the journals of the ones
before it (tests/contract/releases holds such journals).
"""

from typing import Literal

import msgspec

from actors.channels.message import FromPerson, Message, Standing
from actors.llm.prompt import ToolRun


class _Event(msgspec.Struct, frozen=True, tag_field="type", kw_only=True, omit_defaults=True):
    at_ms: int


class MessageReceived(_Event, frozen=True, tag="message_received"):
    """The customer wrote.

    `how`: delivered (the channel told us) | caught up (it was found there); of the latter
    `written_ms` is the channel's time of it.
    """

    message: Message
    how: str = "delivered"
    written_ms: int = 0


class MessageMissed(_Event, frozen=True, tag="message_missed"):
    """The customer wrote and nobody told us; it was found too late to be answered, for `reason`.

    It waits for nothing and stays as context.
    """

    message: Message
    written_ms: int
    reason: str


class MessageAmended(_Event, frozen=True, tag="message_amended"):
    """The channel changed a message that it had delivered: a transcript came, the text was edited.

    `message` is the whole of it as it stands now; it begins no turn of its own.
    """

    message: Message


class CustomerTyping(_Event, frozen=True, tag="customer_typing"):
    """The customer began to type, or stopped."""

    on: bool


class StandingSeen(_Event, frozen=True, tag="standing_seen"):
    """The channel says who may speak. `how`: webhook | before sending | caught up."""

    standing: Standing
    how: str = "webhook"


class PersonReplied(_Event, frozen=True, tag="person_replied"):
    """A person of the company wrote to the customer."""

    person: FromPerson


class Paused(_Event, frozen=True, tag="paused"):
    """Somebody made the bot silent; it comes back at `until_ms`, or by hand where that is None."""

    by: str
    reason: str
    until_ms: int | None = None


class Resumed(_Event, frozen=True, tag="resumed"):
    """Somebody gave the word back to the bot."""

    by: str


class Discarded(_Event, frozen=True, tag="discarded"):
    """Somebody took a dead letter (the event `letter`) off the list: nothing more is tried."""

    letter: int
    by: str


class TurnStarted(_Event, frozen=True, tag="turn_started"):
    """The model is being asked about the messages `covers` (their sequence numbers).

    `reason` says why now, `how` and `join_reason` say how and why the texts were joined or not,
    `window_reason` why the window was as long as `window_ms`. `early`: the window is still open.
    `alone`: no other turn whose process died runs beside it, so that a death is its own.
    """

    turn: str
    covers: tuple[int, ...]
    attempt: int
    reason: str
    how: str
    join_reason: str
    early: bool = False
    window_ms: int = 0
    window_reason: str = ""
    alone: bool = False


class TurnSuperseded(_Event, frozen=True, tag="turn_superseded"):
    """The draft was thrown away because message `by` came in, or because event `by` changed one.

    `tokens_wasted`: what the draft had cost, as far as is known; `early`: it was begun early and
    the window had not closed.
    """

    turn: str
    by: int
    early: bool = False
    tokens_wasted: int = 0


class TurnFailed(_Event, frozen=True, tag="turn_failed"):
    """The model gave no answer; it is asked again at `retry_at_ms`."""

    turn: str
    attempt: int
    error: str
    retry_at_ms: int


class TurnInterrupted(_Event, frozen=True, tag="turn_interrupted"):
    """The process was asked to stop during the draft; that is nobody's failure."""

    turn: str
    reason: str


class LeftUnanswered(_Event, frozen=True, tag="left_unanswered"):
    """These messages get no answer from the bot, by the rule in `reason`; they stay as context.

    `turn` names the turn that was cancelled for it, if one ran.
    """

    seqs: tuple[int, ...]
    reason: str
    turn: str = ""
    tokens_wasted: int = 0


class Read(msgspec.Struct, frozen=True):
    """What was read of the attachments of message `seq`, for later turns."""

    seq: int
    text: str


class ReplyCommitted(_Event, frozen=True, tag="reply_committed"):
    """The answer to the messages `answers` is promised, under an id derived from them.

    `parts`: the texts in which it is sent, none for the whole at once; `hand_over`: the reason for
    which the conversation goes to a person after it; `reason` says why now. The provider's ids of
    the newest and the first message that it answers are `after_message_id` and `first_message_id`.
    """

    reply_id: str
    turn: str
    answers: tuple[int, ...]
    text: str
    channel: str
    after_message_id: str
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    parts: tuple[str, ...] = ()
    first_message_id: str = ""
    hand_over: str = ""
    reason: str = ""
    read: tuple[Read, ...] = ()
    tools: tuple[ToolRun, ...] = ()


class Revival(msgspec.Struct, frozen=True):
    """A message of a dead letter, under its old number."""

    seq: int
    message: Message


class Revived(_Event, frozen=True, tag="revived"):
    """Somebody has the messages of a dead letter (the event `letter`) tried again.

    `reply`: what was promised to them and could not be sent, of which `sent` parts stand in the
    channel; None: they are drafted anew.
    """

    letter: int
    by: str
    messages: tuple[Revival, ...]
    reply: ReplyCommitted | None = None
    sent: int = 0


class SendFailed(_Event, frozen=True, tag="send_failed"):
    """The channel did not take the reply; `doubtful` if it may hold it all the same."""

    reply_id: str
    attempt: int
    error: str
    doubtful: bool
    retry_at_ms: int


class SendDoubted(_Event, frozen=True, tag="send_doubted"):
    """Whether the part stands in the channel cannot be found out, for `reason`.

    `choice` is the company's: it is posted again (`resend`), or it and the rest go to a person
    (`hold`).
    """

    reply_id: str
    part: int
    choice: Literal["resend", "hold"]
    reason: str


class ReplyResumed(_Event, frozen=True, tag="reply_resumed"):
    """A process took over a reply that another one had promised: before it is sent, it is looked
    for. `attempt` counts such processes."""

    reply_id: str
    attempt: int


class ReplyHeld(_Event, frozen=True, tag="reply_held"):
    """A promised reply goes to a person instead of to the customer, for `reason`."""

    reply_id: str
    reason: str


class PartSent(_Event, frozen=True, tag="part_sent"):
    """A part of the reply that is not its last stands in the channel. `part` counts from 0."""

    reply_id: str
    part: int
    channel_message_id: str
    how: Literal["sent", "read back"]


class ReplySent(_Event, frozen=True, tag="reply_sent"):
    """The reply stands in the channel under `channel_message_id`; `how` we know it."""

    reply_id: str
    answers: tuple[int, ...]
    channel_message_id: str
    how: Literal["sent", "read back"]


class HandedOver(_Event, frozen=True, tag="handed_over"):
    """The conversation was passed to a person; `answers` have their outcome with it."""

    reply_id: str
    answers: tuple[int, ...]
    reason: str


class ReplyWithheld(_Event, frozen=True, tag="reply_withheld"):
    """A promised reply is not sent, or not its rest: a person has the word.

    `parts_sent` of its parts stand in the channel.
    """

    reply_id: str
    answers: tuple[int, ...]
    reason: str
    parts_sent: int = 0


class SetAside(_Event, frozen=True, tag="set_aside"):
    """These messages get no answer from us: a dead letter, with its reason and last error."""

    seqs: tuple[int, ...]
    reason: str
    error: str = ""
    attempts: int = 0


class Unknown(msgspec.Struct, frozen=True):
    """An event of a later release, or one that cannot be read; it changes nothing here."""

    raw: bytes


Event = (
    MessageReceived
    | MessageMissed
    | MessageAmended
    | CustomerTyping
    | StandingSeen
    | PersonReplied
    | Paused
    | Resumed
    | Revived
    | Discarded
    | TurnStarted
    | TurnSuperseded
    | TurnFailed
    | TurnInterrupted
    | LeftUnanswered
    | ReplyCommitted
    | SendFailed
    | SendDoubted
    | ReplyResumed
    | ReplyHeld
    | PartSent
    | ReplySent
    | HandedOver
    | ReplyWithheld
    | SetAside
)

FromOutside = (
    MessageReceived
    | MessageMissed
    | MessageAmended
    | CustomerTyping
    | StandingSeen
    | PersonReplied
    | Paused
    | Resumed
    | Revived
    | Discarded
)
"""What the ingress writes: it needs no pen."""

VERSION = 1
"""Of the events that are written here. It grows when an older release would misread a newer event,
which a field with a default never causes. Events without one are of the releases before there were
versions, and are read as version 1."""


class _Versioned(msgspec.Struct):
    v: int = 0


_HEAD = b'{"v":%d,' % VERSION

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_versions = msgspec.json.Decoder(_Versioned)


def encode(event: Event) -> bytes:
    """The event as it stands in the journal, with its version."""
    return _HEAD + _encoder.encode(event)[1:]


def decode(raw: bytes) -> Event | Unknown:
    """The event that stands in the journal; an unreadable one must not stop the rest."""
    try:
        if not raw.startswith(_HEAD) and _versions.decode(raw).v > VERSION:
            return Unknown(raw)
        return _decoder.decode(raw)
    except msgspec.DecodeError:
        return Unknown(raw)
