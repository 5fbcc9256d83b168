"""Folds a conversation's events into its state: what is unanswered, drafted, promised, known."""

from collections.abc import Iterable

import msgspec

from actors.channels.message import Message
from actors.conversation.events import (
    Event,
    HandedOver,
    LeftUnanswered,
    MessageAmended,
    MessageReceived,
    PartSent,
    ReplyCommitted,
    ReplyHeld,
    ReplyResumed,
    ReplySent,
    ReplyWithheld,
    Revived,
    SendDoubted,
    SendFailed,
    SetAside,
    TurnFailed,
    TurnInterrupted,
    TurnStarted,
    TurnSuperseded,
    Unknown,
)
from actors.conversation.memory import Memory, remember

HELD_CHARS_MAX = 2_000
"""So much of a reply that is held back is told to the person who gets the conversation."""


class Open(msgspec.Struct, frozen=True):
    """A message without a promised answer. `changed_seq`: the event that last changed it, or 0;
    `letter`: the dead letter that it was part of and that is tried again, or 0."""

    seq: int
    at_ms: int
    message: Message
    changed_seq: int = 0
    letter: int = 0


class Turn(msgspec.Struct, frozen=True):
    """A turn between its start and its promise.

    `starts` counts the starts since one ended by itself: a process that dies leaves them standing.
    `alone`: at the last one no other turn ran whose process had died before.
    `early`: the last start came before the window closed; `early_superseded` counts such drafts
    that a message made stale, which interrupts nobody; `superseded` counts the others.
    """

    turn_id: str
    covers: tuple[int, ...]
    starts: int = 0
    attempts: int = 0
    failures: int = 0
    superseded: int = 0
    early_superseded: int = 0
    early: bool = False
    alone: bool = False
    retry_at_ms: int = 0


class Reply(msgspec.Struct, frozen=True):
    """A promised answer that is not known to stand in the channel, all of it.

    `parts` are its texts in order, `sent` so many of them stand there; `first_ms` and `last_ms` are
    the arrivals of the first and the last message that it answers. `last_part_id`: the channel's id
    of the last part that stands there; `resumed`: so many processes took it over; `held_text`: what
    a person is told of instead of the customer.
    """

    reply_id: str
    turn: str
    answers: tuple[int, ...]
    parts: tuple[str, ...]
    channel: str
    after_message_id: str
    tried_at_ms: int
    first_message_id: str = ""
    hand_over: str = ""
    sent: int = 0
    failures: int = 0
    doubtful: bool = False
    retry_at_ms: int = 0
    first_ms: int = 0
    last_ms: int = 0
    last_part_id: str = ""
    resumed: int = 0
    held_text: str = ""


class State(msgspec.Struct, frozen=True):
    """Everything that the next decision needs. `seq` is the last event taken in."""

    seq: int = 0
    open: tuple[Open, ...] = ()
    turn: Turn | None = None
    reply: Reply | None = None
    memory: Memory = Memory()


def _without(open_: tuple[Open, ...], seqs: tuple[int, ...]) -> tuple[Open, ...]:
    return tuple(entry for entry in open_ if entry.seq not in seqs)


def _started(turn: Turn | None, event: TurnStarted) -> Turn:
    if turn is None or turn.turn_id != event.turn:
        turn = Turn(turn_id=event.turn, covers=event.covers)
    return msgspec.structs.replace(
        turn,
        covers=event.covers,
        # Who writes on meanwhile does not make another turn of it.
        starts=turn.starts + 1 if set(turn.covers) <= set(event.covers) else 1,
        attempts=event.attempt,
        early=event.early,
        alone=event.alone,
        retry_at_ms=0,
    )


def _superseded(turn: Turn, event: TurnSuperseded) -> Turn:
    if event.early:
        return msgspec.structs.replace(turn, starts=0, early_superseded=turn.early_superseded + 1)
    return msgspec.structs.replace(turn, starts=0, superseded=turn.superseded + 1)


def _on_turn(turn: Turn | None, event: Event) -> Turn | None:
    """The turn after an event about it; an event about another turn changes nothing."""
    match event:
        case TurnStarted():
            return _started(turn, event)
        case TurnSuperseded(turn=turn_id) if turn and turn.turn_id == turn_id:
            return _superseded(turn, event)
        case TurnInterrupted(turn=turn_id) if turn and turn.turn_id == turn_id:
            return msgspec.structs.replace(turn, starts=0)
        case TurnFailed(turn=turn_id) if turn and turn.turn_id == turn_id:
            return msgspec.structs.replace(
                turn, starts=0, failures=turn.failures + 1, retry_at_ms=event.retry_at_ms
            )
        case _:
            return turn


def _promised(state: State, event: ReplyCommitted) -> Reply:
    answered = [entry for entry in state.open if entry.seq in event.answers]
    arrivals_ms = [entry.at_ms for entry in answered]
    whole = (event.text,) if event.text else ()
    return Reply(
        reply_id=event.reply_id,
        turn=event.turn,
        answers=event.answers,
        parts=event.parts or whole,
        channel=event.channel,
        after_message_id=event.after_message_id,
        tried_at_ms=event.at_ms,
        first_message_id=event.first_message_id or event.after_message_id,
        hand_over=event.hand_over,
        first_ms=min(arrivals_ms, default=event.at_ms),
        last_ms=max(arrivals_ms, default=event.at_ms),
        # The reply of the first try has the same id, and may stand there in spite of its failure.
        doubtful=any(entry.letter for entry in answered),
    )


def _held(reply: Reply, reason: str) -> Reply:
    """The reply without the parts that are not known to stand in the channel: a person is told of
    them instead."""
    unsent = "\n\n".join(reply.parts[reply.sent :])
    return msgspec.structs.replace(
        reply,
        parts=reply.parts[: reply.sent],
        hand_over="; ".join(filter(None, [reply.hand_over, reason])),
        held_text=unsent[:HELD_CHARS_MAX],
        failures=0,
        doubtful=False,
        retry_at_ms=0,
    )


def _on_reply(reply: Reply | None, event: Event) -> Reply | None:
    """The promised reply after an event about it; an event about another changes nothing."""
    match event:
        case SendFailed(reply_id=reply_id) if reply and reply.reply_id == reply_id:
            return msgspec.structs.replace(
                reply,
                failures=reply.failures + 1,
                doubtful=event.doubtful,
                retry_at_ms=event.retry_at_ms,
                tried_at_ms=event.at_ms,
            )
        case SendDoubted(reply_id=reply_id) if reply and reply.reply_id == reply_id:
            if event.choice == "hold":
                return _held(reply, event.reason)
            return msgspec.structs.replace(reply, doubtful=False)
        case ReplyHeld(reply_id=reply_id) if reply and reply.reply_id == reply_id:
            return _held(reply, event.reason)
        case ReplyResumed(reply_id=reply_id) if reply and reply.reply_id == reply_id:
            return msgspec.structs.replace(
                reply, resumed=event.attempt, doubtful=True, tried_at_ms=event.at_ms
            )
        case PartSent(reply_id=reply_id, part=part) if reply and reply.reply_id == reply_id:
            return msgspec.structs.replace(
                reply,
                last_part_id=event.channel_message_id,
                sent=part + 1,
                failures=0,
                doubtful=False,
                retry_at_ms=0,
                tried_at_ms=event.at_ms,
            )
        case (
            ReplySent(reply_id=reply_id)
            | HandedOver(reply_id=reply_id)
            | ReplyWithheld(reply_id=reply_id)
        ) if reply and reply.reply_id == reply_id:
            return None
        case SetAside(seqs=seqs) if reply and set(reply.answers) <= set(seqs):
            return None
        case _:
            return reply


def _amended(open_: tuple[Open, ...], message: Message, seq: int) -> tuple[Open, ...]:
    return tuple(
        msgspec.structs.replace(
            entry,
            message=message,
            changed_seq=seq if _reads_otherwise(entry.message, message) else entry.changed_seq,
        )
        if entry.message.message_id == message.message_id
        else entry
        for entry in open_
    )


def _revived(open_: tuple[Open, ...], event: Revived) -> tuple[Open, ...]:
    known = {entry.seq for entry in open_}
    back = [
        Open(revival.seq, event.at_ms, revival.message, letter=event.letter)
        for revival in event.messages
        if revival.seq not in known
    ]
    return tuple(sorted([*open_, *back], key=lambda entry: entry.seq))


def _sent_on(state: State, event: Revived, promise: ReplyCommitted) -> Reply:
    """The reply that could not be sent, promised once more: what stands of it is found first."""
    return msgspec.structs.replace(
        _promised(state, promise),
        sent=event.sent,
        doubtful=True,
        tried_at_ms=event.at_ms,
        first_ms=event.at_ms,
        last_ms=event.at_ms,
    )


def _reads_otherwise(before: Message, now: Message) -> bool:
    """Whether the customer says something else now; Chatwoot tells of much that changes nothing."""
    return (before.text, before.attachments) != (now.text, now.attachments)


def apply(state: State, seq: int, event: Event | Unknown) -> State:
    """The state after the event with this sequence number."""
    if seq <= state.seq:
        return state
    then = msgspec.structs.replace(state, seq=seq, memory=remember(state.memory, seq, event))
    match event:
        case Unknown():
            return then
        case MessageReceived(at_ms=at_ms, message=message):
            return msgspec.structs.replace(then, open=(*state.open, Open(seq, at_ms, message)))
        case MessageAmended(message=message):
            return msgspec.structs.replace(then, open=_amended(state.open, message, seq))
        case Revived() if event.reply is not None and state.reply is None:
            return msgspec.structs.replace(then, reply=_sent_on(state, event, event.reply))
        case Revived():
            return msgspec.structs.replace(then, open=_revived(state.open, event))
        case ReplyCommitted():
            left = _without(state.open, event.answers)
            return msgspec.structs.replace(
                then, open=left, turn=None, reply=_promised(state, event)
            )
        case SetAside(seqs=seqs) | LeftUnanswered(seqs=seqs):
            turn_gone = state.turn is not None and set(state.turn.covers) & set(seqs)
            return msgspec.structs.replace(
                then,
                open=_without(state.open, seqs),
                reply=_on_reply(state.reply, event),
                turn=None if turn_gone else state.turn,
            )
        case _:
            return msgspec.structs.replace(
                then, turn=_on_turn(state.turn, event), reply=_on_reply(state.reply, event)
            )


def promised(state: State) -> tuple[int, ...]:
    """The messages whose answer is promised but not known to be sent."""
    return state.reply.answers if state.reply else ()


def settled_by(event: Event) -> tuple[int, ...]:
    """The messages that have their final outcome with this event."""
    match event:
        case ReplySent(answers=seqs) | HandedOver(answers=seqs) | ReplyWithheld(answers=seqs):
            return seqs
        case SetAside(seqs=seqs) | LeftUnanswered(seqs=seqs):
            return seqs
        case _:
            return ()


_memories = msgspec.json.Decoder(Memory)


def remembered(memory: Memory) -> bytes:
    """The memory as it stands beside the journal."""
    return msgspec.json.encode(memory)


def recalled(memory: bytes) -> State:
    """A state that holds what was remembered; a memory that cannot be read (of a later release) is
    begun anew."""
    try:
        return State(memory=_memories.decode(memory) if memory else Memory())
    except msgspec.DecodeError:
        return State()


def folded(memory: bytes, seq: int, entries: Iterable[tuple[int, Event | Unknown]]) -> State:
    """The state of a conversation that was remembered, after these events; `seq` is its last."""
    state = recalled(memory)
    for place, event in entries:
        state = apply(state, place, event)
    return msgspec.structs.replace(state, seq=max(state.seq, seq))
