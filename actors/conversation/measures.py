"""Measures what one event adds to its company's day: counters of analytics.counters.

The tokens saved by joining are an estimate, and a low one. For n messages answered together, with
`call` tokens read by one call of the model, of which t1 … tn are the messages' own texts:

    saved = (n - 1) * (call - (t1 + … + tn))  +  (n - 1) * t1 + (n - 2) * t2 + … + 1 * t(n-1)

Answered one by one, each of the n - 1 further calls would have read the same instructions and
history again, and the messages before its own, which are history by then. Left out, because nobody
knows how long they would have been: the n - 1 further answers, and reading those again. Where tools
were called, `tokens_in` is spread over as many calls as there may have been. Texts are estimated a
little too long (llm.prompt.tokens), which makes the whole smaller, never greater.
"""

import re
from collections.abc import Sequence

from actors.analytics.counters import (
    BATCHES,
    BEGAN,
    INTERVALS,
    JOINED,
    LEFT,
    OTHER,
    SET_ASIDE,
    WAITS_FIRST,
    WAITS_LAST,
    WITHHELD,
    Count,
)
from actors.conversation.events import (
    Discarded,
    Event,
    HandedOver,
    LeftUnanswered,
    MessageMissed,
    MessageReceived,
    PartSent,
    Paused,
    PersonReplied,
    ReplyCommitted,
    ReplySent,
    ReplyWithheld,
    Resumed,
    Revived,
    SendFailed,
    SetAside,
    TurnFailed,
    TurnInterrupted,
    TurnStarted,
    TurnSuperseded,
    Unknown,
)
from actors.conversation.memory import interval_ms
from actors.conversation.state import State
from actors.llm.prompt import tokens

# Reasons are sentences for people (conversation.window, .manners, .turns); tests hold these
# patterns to the sentences that those modules make.
_BEGAN_BY = (
    (re.compile(r"the largest batch$"), "largest_batch"),
    (re.compile(r"the longest wait$"), "longest_wait"),
    (re.compile(r"^the customer (was|stopped typing|began to type)"), "quiet"),
)
_SILENCED_BY = (
    (re.compile(r"^paused: "), "paused"),
    (re.compile(r"^the contact is blocked$"), "blocked"),
    (re.compile(r"^the channel takes no reply"), "no_reply"),
    (re.compile(r"^the label .* stops the bot$", re.DOTALL), "label"),
    (re.compile(r"^the conversation is assigned to a person$"), "assigned"),
    (re.compile(r"^the status is "), "status"),
    (re.compile(r"^handed over to a person: "), "handed_over"),
    (re.compile(r"answered( on the phone)?$|^a person opened the conversation$"), "person"),
)
_FAILED_BY = (
    (re.compile(r"^its process died "), "process_died"),
    (re.compile(r"^the model failed "), "model_failed"),
    (re.compile(r"^the model refused "), "model_refused"),
    (re.compile(r"^the channel did not take "), "channel_failed"),
    (re.compile(r"^the channel refused "), "channel_refused"),
)


def increments(before: State, event: Event | Unknown) -> dict[str, int]:
    """What the event adds to the counters of its company's day; `before` is the state without it.

    Counters that it leaves as they are do not appear.
    """
    found = {
        **_of_customer_and_people(before, event),
        **_of_turn(before, event),
        **_of_reply(before, event),
    }
    return {str(field): count for field, count in found.items() if count}


def _of_customer_and_people(before: State, event: Event | Unknown) -> dict[str, int]:
    match event:
        case MessageReceived(at_ms=at_ms, message=message, how=how):
            found = how == "caught up"
            interval = interval_ms(before.memory.rhythm, at_ms, len(message.text))
            return {
                Count.MESSAGES: 1,
                Count.CAUGHT_UP: int(found),
                Count.MESSAGE_CHARS: len(message.text),
                Count.ATTACHMENTS: len(message.attachments),
                **({} if interval is None or found else INTERVALS.observed(interval)),
            }
        case MessageMissed():
            return {Count.MISSED: 1}
        case PersonReplied(person=person):
            return {} if person.message_id in before.memory.heard else {Count.PERSON_REPLIES: 1}
        case Paused():
            return {Count.PAUSES: 1}
        case Resumed():
            return {Count.RESUMES: 1}
        case Revived():
            return {Count.REVIVED: 1}
        case Discarded():
            return {Count.DISCARDED: 1}
        case _:
            return {}


def _of_turn(before: State, event: Event | Unknown) -> dict[str, int]:
    match event:
        case TurnStarted():
            return _started(before, event)
        case TurnSuperseded(early=True, tokens_wasted=wasted):
            return {Count.SUPERSEDED_EARLY: 1, Count.WASTED_EARLY: wasted}
        case TurnSuperseded(tokens_wasted=wasted):
            return {Count.SUPERSEDED: 1, Count.WASTED_SUPERSEDED: wasted}
        case TurnFailed():
            return {Count.MODEL_FAILURES: 1}
        case TurnInterrupted():
            return {Count.INTERRUPTED: 1}
        case LeftUnanswered(seqs=seqs, reason=reason, tokens_wasted=wasted):
            kind = LEFT.field(_kind(_SILENCED_BY, reason))
            return {kind: len(seqs), Count.WASTED_CANCELLED: wasted}
        case SetAside(seqs=seqs, reason=reason):
            return {SET_ASIDE.field(_kind(_FAILED_BY, reason)): len(seqs)}
        case ReplyCommitted():
            return _committed(before, event)
        case _:
            return {}


def _of_reply(before: State, event: Event | Unknown) -> dict[str, int]:
    match event:
        case PartSent(at_ms=at_ms, reply_id=reply_id) | ReplySent(at_ms=at_ms, reply_id=reply_id):
            return {Count.PARTS_SENT: 1, **_first_text(before, reply_id, at_ms)}
        case SendFailed():
            return {Count.SEND_FAILURES: 1}
        case HandedOver():
            return {Count.HAND_OVERS: 1}
        case ReplyWithheld(reason=reason):
            return {WITHHELD.field(_kind(_SILENCED_BY, reason)): 1}
        case _:
            return {}


def _started(before: State, event: TurnStarted) -> dict[str, int]:
    turn = before.turn
    if turn is None or turn.turn_id != event.turn:
        return {Count.TURNS: 1, **_drafted(event)}
    if turn.covers == event.covers:
        # What superseded a draft is in the next one: this one failed, or its process ended.
        return {Count.DRAFTS: 1, BEGAN.field("again"): 1}
    return _drafted(event)


def _drafted(event: TurnStarted) -> dict[str, int]:
    why = "early" if event.early else _kind(_BEGAN_BY, event.reason)
    return {
        Count.DRAFTS: 1,
        BEGAN.field(why): 1,
        JOINED.field(event.how.replace(" ", "_")): 1,
    }


def _committed(before: State, event: ReplyCommitted) -> dict[str, int]:
    texts = [entry.message.readable for entry in before.open if entry.seq in event.answers]
    failed = sum(bool(run.error) for run in event.tools)
    return {
        **BATCHES.observed(len(event.answers)),
        Count.TOKENS_IN: event.tokens_in,
        Count.TOKENS_OUT: event.tokens_out,
        Count.TOKENS_SAVED: tokens_saved(event.tokens_in // (len(event.tools) + 1), texts),
        Count.TOOL_CALLS: len(event.tools),
        Count.TOOL_FAILURES: failed,
        Count.TOOL_MS: sum(run.took_ms for run in event.tools),
        Count.ATTACHMENTS_READ: len(event.read),
    }


def tokens_saved(call: int, texts: Sequence[str]) -> int:
    """The tokens that joining these messages saved, at least; `call`: those that one call of the
    model read, 0 if the model does not say. See the formula at the top."""
    own = [tokens(text) for text in texts]
    others = max(0, call - sum(own)) if call else 0
    if not others:
        return 0
    read_again = sum((len(own) - place) * size for place, size in enumerate(own, start=1))
    return max(0, len(own) - 1) * others + read_again


def _first_text(before: State, reply_id: str, at_ms: int) -> dict[str, int]:
    """The waits that end with a reply's first text: with it, the customer has an answer.

    A text that was read back after a crash stood there earlier than it is counted.
    """
    reply = before.reply
    if reply is None or reply.reply_id != reply_id or reply.sent:
        return {}
    return {
        Count.REPLIES: 1,
        **WAITS_LAST.observed(at_ms - reply.last_ms),
        **WAITS_FIRST.observed(at_ms - reply.first_ms),
    }


def _kind(patterns: Sequence[tuple[re.Pattern[str], str]], reason: str) -> str:
    return next((kind for pattern, kind in patterns if pattern.search(reason)), OTHER)
