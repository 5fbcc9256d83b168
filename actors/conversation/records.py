"""Makes the events that record what was decided and done."""

from collections.abc import Sequence
from typing import Literal

from actors.channels.message import Message, provider_order
from actors.conversation import decisions
from actors.conversation.events import (
    Event,
    HandedOver,
    LeftUnanswered,
    PartSent,
    ReplyCommitted,
    ReplyHeld,
    ReplyResumed,
    ReplySent,
    ReplyWithheld,
    SendDoubted,
    SendFailed,
    SetAside,
    TurnFailed,
    TurnStarted,
    TurnSuperseded,
)
from actors.conversation.parts import split
from actors.conversation.state import Reply, State

Recordable = (
    decisions.Start
    | decisions.Supersede
    | decisions.Leave
    | decisions.RetryTurn
    | decisions.Resume
    | decisions.Hold
    | decisions.PassOn
    | decisions.Withhold
    | decisions.PutAside
)
"""Decisions whose event says nothing more than they do."""


def of(decision: Recordable, now_ms: int, *, tokens_wasted: int = 0) -> Event:
    """The event of a decision. `tokens_wasted`: the cost of the draft that is thrown away by it."""
    match decision:
        case decisions.Start():
            return _started(decision, now_ms)
        case decisions.Supersede(turn_id=turn, by=by, early=early):
            return TurnSuperseded(
                at_ms=now_ms, turn=turn, by=by, early=early, tokens_wasted=tokens_wasted
            )
        case decisions.Leave(seqs=seqs, reason=reason, turn_id=turn):
            return LeftUnanswered(
                at_ms=now_ms, seqs=seqs, reason=reason, turn=turn, tokens_wasted=tokens_wasted
            )
        case decisions.RetryTurn(turn_id=turn, attempt=attempt, error=error, retry_at_ms=then_ms):
            return TurnFailed(
                at_ms=now_ms, turn=turn, attempt=attempt, error=error, retry_at_ms=then_ms
            )
        case decisions.Resume(reply=reply):
            return ReplyResumed(at_ms=now_ms, reply_id=reply.reply_id, attempt=reply.resumed + 1)
        case decisions.Hold(reply=reply, reason=reason):
            return ReplyHeld(at_ms=now_ms, reply_id=reply.reply_id, reason=reason)
        case decisions.PassOn(reply=reply):
            return HandedOver(
                at_ms=now_ms,
                reply_id=reply.reply_id,
                answers=reply.answers,
                reason=reply.hand_over,
            )
        case decisions.Withhold(reply=reply, reason=reason):
            return ReplyWithheld(
                at_ms=now_ms,
                reply_id=reply.reply_id,
                answers=reply.answers,
                reason=reason,
                parts_sent=reply.sent,
            )
        case decisions.PutAside(seqs=seqs, reason=reason, error=error, attempts=attempts):
            return SetAside(at_ms=now_ms, seqs=seqs, reason=reason, error=error, attempts=attempts)


def _started(start: decisions.Start, now_ms: int) -> TurnStarted:
    return TurnStarted(
        at_ms=now_ms,
        turn=start.turn_id,
        covers=start.batch.seqs,
        attempt=start.attempt,
        reason=start.reason,
        how=start.batch.how,
        join_reason=start.batch.reason,
        early=start.early,
        alone=start.alone,
        window_ms=start.closing.window.length_ms,
        window_reason=start.closing.window.reason,
    )


def _in_order(messages: Sequence[Message]) -> list[str]:
    """The provider's ids of these messages, oldest first."""
    ids = [message.message_id for message in messages]
    return [ids[place] for place in provider_order(ids)]


def committed(
    state: State, commit: decisions.Commit, named: str, part_chars: int, now_ms: int
) -> ReplyCommitted:
    """The event of a promise, under the id `named`, in parts of at most `part_chars` characters."""
    draft = commit.draft
    batch = [entry.message for entry in state.open if entry.seq in draft.covers]
    parts = split(draft.text, part_chars)
    return ReplyCommitted(
        at_ms=now_ms,
        reply_id=named,
        turn=commit.turn_id,
        answers=tuple(sorted(draft.covers)),
        text=draft.text,
        channel=batch[-1].channel,
        after_message_id=_in_order(batch)[-1],
        first_message_id=_in_order(batch)[0],
        model=draft.model,
        tokens_in=draft.tokens_in,
        tokens_out=draft.tokens_out,
        parts=parts if len(parts) > 1 else (),
        hand_over=draft.hand_over,
        reason=commit.reason,
        read=draft.read,
        tools=draft.tools,
    )


def send_failed(
    reply: Reply, error: str, retry_at_ms: int, now_ms: int, *, doubtful: bool
) -> SendFailed:
    """The event of a part that the channel did not take."""
    return SendFailed(
        at_ms=now_ms,
        reply_id=reply.reply_id,
        attempt=reply.failures + 1,
        error=error,
        doubtful=doubtful,
        retry_at_ms=retry_at_ms,
    )


def doubted(
    reply: Reply, choice: Literal["resend", "hold"], reason: str, now_ms: int
) -> SendDoubted:
    """The event of a part of which nobody can say whether it stands in the channel."""
    return SendDoubted(
        at_ms=now_ms,
        reply_id=reply.reply_id,
        part=reply.sent,
        choice=choice,
        reason=f"it may stand there, which cannot be found out: {reason}",
    )


def sent(
    reply: Reply, channel_message_id: str, now_ms: int, *, found: bool = False
) -> PartSent | ReplySent:
    """The event of a part that stands in the channel: the last one ends the reply, unless the
    conversation is still to be handed over. `found`: it stood there before."""
    how: Literal["sent", "read back"] = "read back" if found else "sent"
    if reply.sent + 1 < len(reply.parts) or reply.hand_over:
        return PartSent(
            at_ms=now_ms,
            reply_id=reply.reply_id,
            part=reply.sent,
            channel_message_id=channel_message_id,
            how=how,
        )
    return ReplySent(
        at_ms=now_ms,
        reply_id=reply.reply_id,
        answers=reply.answers,
        channel_message_id=channel_message_id,
        how=how,
    )
