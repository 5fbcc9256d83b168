"""Names what can happen in a conversation; its journal is a sequence of these events.

Each event is one JSON object in the stream, told apart by `type`. Fields are only ever added, with
a default, so that every release reads the journals of the ones before it.
"""

from typing import Literal

import msgspec

from actors.channels.message import Message


class _Event(msgspec.Struct, frozen=True, tag_field="type", kw_only=True, omit_defaults=True):
    at_ms: int


class MessageReceived(_Event, frozen=True, tag="message_received"):
    """The customer wrote."""

    message: Message


class TurnStarted(_Event, frozen=True, tag="turn_started"):
    """The model is being asked about the messages `covers` (their sequence numbers).

    `reason` says why now, `how` and `join_reason` say how and why the texts were joined or not.
    """

    turn: str
    covers: tuple[int, ...]
    attempt: int
    reason: str
    how: str
    join_reason: str


class TurnSuperseded(_Event, frozen=True, tag="turn_superseded"):
    """The draft was thrown away because message `by` came in."""

    turn: str
    by: int


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


class ReplyCommitted(_Event, frozen=True, tag="reply_committed"):
    """The answer to the messages `answers` is promised, under an id derived from them."""

    reply_id: str
    turn: str
    answers: tuple[int, ...]
    text: str
    channel: str
    after_message_id: str
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


class SendFailed(_Event, frozen=True, tag="send_failed"):
    """The channel did not take the reply; `doubtful` if it may hold it all the same."""

    reply_id: str
    attempt: int
    error: str
    doubtful: bool
    retry_at_ms: int


class ReplySent(_Event, frozen=True, tag="reply_sent"):
    """The reply stands in the channel under `channel_message_id`; `how` we know it."""

    reply_id: str
    answers: tuple[int, ...]
    channel_message_id: str
    how: Literal["sent", "read back"]


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
    | TurnStarted
    | TurnSuperseded
    | TurnFailed
    | TurnInterrupted
    | ReplyCommitted
    | SendFailed
    | ReplySent
    | SetAside
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """The event as it stands in the journal."""
    return _encoder.encode(event)


def decode(raw: bytes) -> Event | Unknown:
    """The event that stands in the journal; an unreadable one must not stop the rest."""
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError:
        return Unknown(raw)
