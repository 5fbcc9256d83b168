"""Decides what a conversation does next. Pure: a state, the work in hand, a pace and a time in,
one decision out.

One rule carries it: a draft answers certain messages; a new message makes it stale; when the
customer is quiet and the draft is fresh, promise it. What is promised is sent before anything else.
And above it: while a person of the company has the word, nothing is begun, promised or sent.
"""

from collections.abc import Sequence

from actors.backoff import retry_delay_s
from actors.conversation.batching import Batch, looked_at, next_batch
from actors.conversation.decisions import (
    Commit,
    Conduct,
    Decision,
    Drafted,
    DraftFailed,
    Drafting,
    Hold,
    Leave,
    PassOn,
    Promised,
    PutAside,
    Rest,
    Resume,
    RetryTurn,
    Send,
    Start,
    Supersede,
    Wait,
    Withhold,
    Work,
)
from actors.conversation.manners import Silence, silence
from actors.conversation.pace import Pace
from actors.conversation.place import Place
from actors.conversation.state import Open, Reply, State, Turn
from actors.conversation.window import Closing, closes

POISON_STARTS = 3
"""A turn whose process died this often is set aside, so that the conversation goes on; from the
last of these starts on it runs with no other such turn beside it, so that it is not another's death
that it is set aside for."""

RESUMED_MAX = 6
"""A promised reply whose process died this often is set aside."""

EARLY_DRAFTS_MAX = 2
"""So many drafts of a turn may be begun early and thrown away; the next waits for the window."""

READ_BACK_GRACE_MS = 10_000
"""A post may still be on its way when its sender has died: it gets so long before we look."""

IN_LINE_TOLD_MS = 100
"""A turn that stood in line for less is not said to have waited there."""


def decide(state: State, work: Work, conduct: Conduct, now_ms: int, turn_prefix: str) -> Decision:
    """What to do now. `turn_prefix` names the conversation in turn ids."""
    silent = silence(state.memory, conduct.manners, now_ms)
    if state.reply is not None:
        return _deliver(state.reply, work, silent, conduct.pace, now_ms)
    if not state.open:
        return Rest()
    if silent is not None:
        running = state.turn.turn_id if state.turn and work is not None else ""
        return Leave(tuple(entry.seq for entry in state.open), silent.reason, running)
    pace = conduct.pace
    oldest = looked_at(state.open, pace)
    batch = next_batch(oldest, pace)
    match work:
        case DraftFailed() if state.turn is not None:
            return _after_failure(state.turn, work, now_ms)
        case Drafting() | Drafted() if state.turn is not None:
            return _with_draft(state, state.turn, work, batch, pace, now_ms)
    if state.turn is not None and state.turn.starts >= POISON_STARTS and state.turn.alone:
        reason = f"its process died {state.turn.starts} times in this turn"
        return PutAside(state.turn.covers, reason, attempts=state.turn.attempts)
    turn_id = f"{turn_prefix}:{min(batch.seqs)}"
    if old := _too_old(max(entry.at_ms for entry in state.open), pace, now_ms):
        seqs = tuple(entry.seq for entry in state.open)
        return Commit(turn_id, Drafted(seqs, "", "", 0, 0, hand_over=old), "nothing is drafted")
    turn = state.turn if state.turn and state.turn.turn_id == turn_id else Turn(turn_id, ())
    if now_ms < turn.retry_at_ms:
        return Wait("retrying", "the model failed and is asked again", turn.retry_at_ms)
    closing = closes(oldest, state.memory, pace, now_ms)
    return _begin(turn, batch, closing, conduct, now_ms, as_of=state.seq)


def _with_draft(
    state: State, turn: Turn, draft: Drafting | Drafted, batch: Batch, pace: Pace, now_ms: int
) -> Decision:
    oldest = looked_at(state.open, pace)
    closing = closes(oldest, state.memory, pace, now_ms)
    if not set(draft.covers) <= {entry.seq for entry in state.open}:
        # Another holder of the pen gave them their outcome: whoever records this learns of it.
        return Supersede(turn.turn_id, by=state.open[-1].seq)
    is_open = turn.early and not closing.closed
    if set(draft.covers) != set(batch.seqs):
        newest = state.open[-1].seq
        if _too_early(state, turn, draft, pace, now_ms):
            return Supersede(turn.turn_id, by=newest, early=True)
        why_not = _why_keep(turn, draft, oldest, pace, now_ms)
        if why_not is None:
            return Supersede(turn.turn_id, by=newest)
        if isinstance(draft, Drafted):
            return Commit(turn.turn_id, draft, f"{why_not}; what came since is answered next")
        return Wait("drafting", f"the model is answering; {why_not}", None)
    changed_seq = max(entry.changed_seq for entry in batch.entries)
    if changed_seq > draft.as_of:
        why_not = None if is_open else _why_not_again(turn, oldest, pace, now_ms)
        if why_not is None:
            return Supersede(turn.turn_id, by=changed_seq, early=is_open)
        if isinstance(draft, Drafted):
            return Commit(turn.turn_id, draft, f"{why_not}; what was changed since is not in it")
    if isinstance(draft, Drafting):
        until_ms, window = (closing.at_ms, closing.window) if is_open else (None, None)
        return Wait("drafting", "the model is answering", until_ms, window=window)
    if is_open:
        reason = f"a draft is ready; {closing.reason}"
        return Wait("window", reason, closing.at_ms, window=closing.window)
    return Commit(turn.turn_id, draft, closing.reason)


def _too_early(
    state: State, turn: Turn, draft: Drafting | Drafted, pace: Pace, now_ms: int
) -> bool:
    """Whether a draft was begun early and the newest message came while the window was open: the
    thought was not complete, so nobody is interrupted and no limit of superseding counts."""
    if not turn.early or len(draft.covers) >= pace.largest_batch:
        return False
    oldest = looked_at(state.open, pace)
    if now_ms >= min(entry.at_ms for entry in oldest) + pace.longest_wait_ms:
        return False
    before = oldest[:-1]
    return bool(before) and oldest[-1].at_ms < closes(before, state.memory, pace, now_ms).at_ms


def _why_keep(
    turn: Turn, draft: Drafting | Drafted, oldest: Sequence[Open], pace: Pace, now_ms: int
) -> str | None:
    """Why a stale draft is finished and sent all the same, or None: it may be thrown away."""
    if pace.on_new_message != "supersede":
        return "a message during a turn waits for the next one"
    if len(draft.covers) >= pace.largest_batch:
        return f"{len(draft.covers)} messages, the largest batch"
    return _why_not_again(turn, oldest, pace, now_ms)


def _why_not_again(turn: Turn, oldest: Sequence[Open], pace: Pace, now_ms: int) -> str | None:
    """Why a draft may not be thrown away once more, or None."""
    if turn.superseded >= pace.supersede_max:
        return f"the turn was superseded {turn.superseded} times"
    if now_ms >= min(entry.at_ms for entry in oldest) + pace.longest_wait_ms:
        return f"the first message has waited {pace.longest_wait_ms / 1_000:g} s, the longest wait"
    return None


def _begin(
    turn: Turn, batch: Batch, closing: Closing, conduct: Conduct, now_ms: int, *, as_of: int
) -> Wait | Start:
    attempt, pace, place = turn.attempts + 1, conduct.pace, conduct.place
    if closing.closed and place.reason:
        return Wait("in line", place.reason, place.until_ms)
    if closing.closed:
        reason = _after_line(closing.reason, place)
        return Start(turn.turn_id, batch, attempt, reason, closing, as_of, alone=is_suspect(turn))
    if not pace.early_lead_ms or turn.early_superseded >= EARLY_DRAFTS_MAX or not place.early:
        return Wait("window", closing.reason, closing.at_ms, window=closing.window)
    early_ms = closing.at_ms - pace.early_lead_ms
    if now_ms < early_ms:
        return Wait(
            "window", closing.reason, closing.at_ms, wake_ms=early_ms, window=closing.window
        )
    reason = (
        f"early: the window closes in {(closing.at_ms - now_ms) / 1_000:.1f} s, "
        f"the model takes about {pace.early_lead_ms / 1_000:.1f} s"
    )
    return Start(
        turn.turn_id, batch, attempt, reason, closing, as_of, early=True, alone=is_suspect(turn)
    )


def is_suspect(turn: Turn | None) -> bool:
    """Whether the process died in so many starts of the turn that the next is to be made alone."""
    return turn is not None and turn.starts >= POISON_STARTS - 1


def _after_line(reason: str, place: Place) -> str:
    """Why the turn begins now, and not when its window closed."""
    if place.waited_ms < IN_LINE_TOLD_MS:
        return reason
    return f"{reason}; the turn waited in line for {place.waited_ms / 1_000:.1f} s"


def _after_failure(turn: Turn, failed: DraftFailed, now_ms: int) -> Decision:
    failures = turn.failures + 1
    delay_s = retry_delay_s(failures, failed.jitter, failed.asked_s) if failed.retryable else None
    if delay_s is None:
        reason = (
            f"the model failed {failures} times"
            if failed.retryable
            else "the model refused for good"
        )
        return PutAside(failed.covers, reason, failed.error, turn.attempts)
    return RetryTurn(turn.turn_id, turn.attempts, failed.error, now_ms + round(delay_s * 1_000))


def _too_old(asked_ms: int, pace: Pace, now_ms: int) -> str | None:
    """Why an answer to what was asked then is of no use any more, or None."""
    if pace.answer_age_max_ms is None or now_ms <= asked_ms + pace.answer_age_max_ms:
        return None
    return f"too late to answer: over {pace.answer_age_max_ms / 60_000:g} min since the question"


def _deliver(reply: Reply, work: Work, silent: Silence | None, pace: Pace, now_ms: int) -> Decision:
    if work != Promised(reply.reply_id):
        if reply.resumed >= RESUMED_MAX:
            reason = f"its process died {reply.resumed} times with the reply on its way"
            return PutAside(reply.answers, reason, attempts=reply.failures)
        return Resume(reply)
    all_sent = reply.sent >= len(reply.parts)
    read_back = reply.doubtful and not all_sent
    old = None if all_sent or reply.sent else _too_old(reply.last_ms, pace, now_ms)
    not_before_ms = reply.retry_at_ms
    if reply.doubtful:
        # Also before a hand-over: its note may be on its way.
        not_before_ms = max(not_before_ms, reply.tried_at_ms + READ_BACK_GRACE_MS)
    if silent is not None and not read_back:
        return Withhold(reply, silent.reason)
    if old and not read_back:
        return Hold(reply, old)
    if now_ms < not_before_ms:
        phase = "retrying" if reply.failures else "sending"
        return Wait(phase, "the reply is promised and sent then", not_before_ms)
    if all_sent:
        return PassOn(reply)
    return Send(reply, read_back, silent.reason if silent else "", old or "")


def worth_finishing(decision: Decision, work: Work) -> bool:
    """Whether a process that is asked to stop still does this: a draft that is being made may come
    to its end, and what is promised may be sent; nothing is begun."""
    match decision:
        case Wait(phase="drafting") | Commit() | Leave() | RetryTurn() | PutAside():
            return True
        case Send() | Hold() | PassOn() | Withhold():
            return isinstance(work, Promised)
        case _:
            return False


def after_send_failure(
    reply: Reply, error: str, jitter: float, asked_s: float | None, now_ms: int
) -> PutAside | int:
    """When to try the reply again (ms since 1970), or the end of it."""
    failures = reply.failures + 1
    delay_s = retry_delay_s(failures, jitter, asked_s)
    if delay_s is None:
        reason = f"the channel did not take the reply, {failures} attempts"
        return PutAside(reply.answers, reason, error, failures)
    return now_ms + round(delay_s * 1_000)
