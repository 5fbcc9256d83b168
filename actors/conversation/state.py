"""Folds a conversation's events into its state: what is unanswered, drafted, promised."""

import msgspec

from actors.channels.message import Message
from actors.conversation.events import (
    Event,
    MessageReceived,
    ReplyCommitted,
    ReplySent,
    SendFailed,
    SetAside,
    TurnFailed,
    TurnInterrupted,
    TurnStarted,
    TurnSuperseded,
    Unknown,
)


class Open(msgspec.Struct, frozen=True):
    """A message without a promised answer."""

    seq: int
    at_ms: int
    message: Message


class Turn(msgspec.Struct, frozen=True):
    """A turn between its start and its promise.

    `starts` counts the starts since one ended by itself: a process that dies leaves them standing.
    """

    turn_id: str
    covers: tuple[int, ...]
    starts: int = 0
    attempts: int = 0
    failures: int = 0
    superseded: int = 0
    retry_at_ms: int = 0


class Reply(msgspec.Struct, frozen=True):
    """A promised answer that is not known to stand in the channel."""

    reply_id: str
    answers: tuple[int, ...]
    text: str
    channel: str
    after_message_id: str
    tried_at_ms: int
    failures: int = 0
    doubtful: bool = False
    retry_at_ms: int = 0


class State(msgspec.Struct, frozen=True):
    """Everything that the next decision needs. `seq` is the last event taken in."""

    seq: int = 0
    open: tuple[Open, ...] = ()
    turn: Turn | None = None
    reply: Reply | None = None


def _without(open_: tuple[Open, ...], seqs: tuple[int, ...]) -> tuple[Open, ...]:
    return tuple(entry for entry in open_ if entry.seq not in seqs)


def _started(turn: Turn | None, event: TurnStarted) -> Turn:
    if turn is None or turn.turn_id != event.turn:
        turn = Turn(turn_id=event.turn, covers=event.covers)
    return msgspec.structs.replace(
        turn,
        covers=event.covers,
        starts=turn.starts + 1 if turn.covers == event.covers else 1,
        attempts=event.attempt,
        retry_at_ms=0,
    )


def _on_turn(turn: Turn | None, event: Event) -> Turn | None:
    """The turn after an event about it; an event about another turn changes nothing."""
    match event:
        case TurnStarted():
            return _started(turn, event)
        case TurnSuperseded(turn=turn_id) if turn and turn.turn_id == turn_id:
            return msgspec.structs.replace(turn, starts=0, superseded=turn.superseded + 1)
        case TurnInterrupted(turn=turn_id) if turn and turn.turn_id == turn_id:
            return msgspec.structs.replace(turn, starts=0)
        case TurnFailed(turn=turn_id) if turn and turn.turn_id == turn_id:
            return msgspec.structs.replace(
                turn, starts=0, failures=turn.failures + 1, retry_at_ms=event.retry_at_ms
            )
        case _:
            return turn


def apply(state: State, seq: int, event: Event | Unknown) -> State:
    """The state after the event with this sequence number."""
    if seq <= state.seq:
        return state
    then = msgspec.structs.replace(state, seq=seq)
    match event:
        case MessageReceived(at_ms=at_ms, message=message):
            return msgspec.structs.replace(then, open=(*state.open, Open(seq, at_ms, message)))
        case ReplyCommitted():
            reply = Reply(
                reply_id=event.reply_id,
                answers=event.answers,
                text=event.text,
                channel=event.channel,
                after_message_id=event.after_message_id,
                tried_at_ms=event.at_ms,
            )
            left = _without(state.open, event.answers)
            return msgspec.structs.replace(then, open=left, turn=None, reply=reply)
        case SendFailed(reply_id=reply_id) if state.reply and state.reply.reply_id == reply_id:
            reply = msgspec.structs.replace(
                state.reply,
                failures=state.reply.failures + 1,
                doubtful=event.doubtful,
                retry_at_ms=event.retry_at_ms,
                tried_at_ms=event.at_ms,
            )
            return msgspec.structs.replace(then, reply=reply)
        case ReplySent(reply_id=reply_id) if state.reply and state.reply.reply_id == reply_id:
            return msgspec.structs.replace(then, reply=None)
        case SetAside(seqs=seqs):
            reply_gone = state.reply is not None and set(state.reply.answers) <= set(seqs)
            turn_gone = state.turn is not None and set(state.turn.covers) & set(seqs)
            return msgspec.structs.replace(
                then,
                open=_without(state.open, seqs),
                reply=None if reply_gone else state.reply,
                turn=None if turn_gone else state.turn,
            )
        case Unknown():
            return then
        case _:
            return msgspec.structs.replace(then, turn=_on_turn(state.turn, event))


def promised(state: State) -> tuple[int, ...]:
    """The messages whose answer is promised but not known to be sent."""
    return state.reply.answers if state.reply else ()


def settled_by(event: Event) -> tuple[int, ...]:
    """The messages that have their final outcome with this event."""
    match event:
        case ReplySent(answers=seqs) | SetAside(seqs=seqs):
            return seqs
        case _:
            return ()
