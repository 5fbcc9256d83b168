"""Decides what a conversation does next. Pure: a state, the work in hand, a pace and a time in,
one decision out.

One rule carries it: a draft answers certain messages; a new message makes it stale; when the
customer is quiet and the draft is fresh, promise it. What is promised is sent before anything else.
"""

from collections.abc import Sequence

import msgspec

from actors.backoff import retry_delay_s
from actors.conversation.batching import Batch, next_batch
from actors.conversation.pace import Pace
from actors.conversation.state import Open, Reply, State, Turn

POISON_STARTS = 3
"""A turn whose process died this often is set aside, so that the conversation goes on."""

READ_BACK_GRACE_MS = 9_000
"""A post may still be on its way when its sender has died: it gets so long before we look."""


# The work in hand: what the shell holds in memory beside the journal.


class Drafting(msgspec.Struct, frozen=True):
    """The model is being asked about these messages."""

    covers: tuple[int, ...]


class Drafted(msgspec.Struct, frozen=True):
    """The model has answered about these messages; nothing is promised yet."""

    covers: tuple[int, ...]
    text: str
    model: str
    tokens_in: int
    tokens_out: int


class DraftFailed(msgspec.Struct, frozen=True):
    """The model gave no answer. `jitter` in [0, 1] is drawn by the shell."""

    covers: tuple[int, ...]
    error: str
    retryable: bool
    asked_s: float | None
    jitter: float


class Promised(msgspec.Struct, frozen=True):
    """This process promised the reply itself and knows of every attempt to send it."""

    reply_id: str


Work = Drafting | Drafted | DraftFailed | Promised | None


# The decisions.


class Rest(msgspec.Struct, frozen=True):
    """Nobody is waiting for us."""


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do until then, or until something happens (`until_ms` None)."""

    phase: str
    reason: str
    until_ms: int | None


class Start(msgspec.Struct, frozen=True):
    """Record the start of the turn, then ask the model."""

    turn_id: str
    batch: Batch
    attempt: int
    reason: str


class Supersede(msgspec.Struct, frozen=True):
    """Cancel the draft: message `by` is not in it."""

    turn_id: str
    by: int


class Commit(msgspec.Struct, frozen=True):
    """Promise the draft."""

    turn_id: str
    draft: Drafted


class RetryTurn(msgspec.Struct, frozen=True):
    """Record the failure; ask the model again then."""

    turn_id: str
    attempt: int
    error: str
    retry_at_ms: int


class Send(msgspec.Struct, frozen=True):
    """Bring the reply to its channel; look there first if it may already stand there."""

    reply: Reply
    read_back: bool


class PutAside(msgspec.Struct, frozen=True):
    """Give these messages up, with the reason."""

    seqs: tuple[int, ...]
    reason: str
    error: str = ""
    attempts: int = 0


Decision = Rest | Wait | Start | Supersede | Commit | RetryTurn | Send | PutAside


def decide(state: State, work: Work, pace: Pace, now_ms: int, turn_prefix: str) -> Decision:
    """What to do now. `turn_prefix` names the conversation in turn ids."""
    if state.reply is not None:
        return _deliver(state.reply, work, now_ms)
    if not state.open:
        return Rest()
    oldest = state.open[: pace.largest_batch]
    batch = next_batch(oldest, pace)
    turn_id = f"{turn_prefix}:{min(batch.seqs)}"
    turn = state.turn if state.turn and state.turn.turn_id == turn_id else None
    match work:
        case DraftFailed() if state.turn is not None:
            return _after_failure(state.turn, work, now_ms)
        case Drafting() | Drafted() if state.turn is not None:
            stale = set(work.covers) != set(batch.seqs)
            if stale and _may_supersede(state.turn, work, oldest, pace, now_ms):
                return Supersede(state.turn.turn_id, by=state.open[-1].seq)
            if isinstance(work, Drafted):
                return Commit(state.turn.turn_id, work)
            return Wait("drafting", "the model is answering", None)
    if state.turn is not None and state.turn.starts >= POISON_STARTS:
        reason = f"its process died {state.turn.starts} times in this turn"
        return PutAside(state.turn.covers, reason, attempts=state.turn.attempts)
    return _begin(turn or Turn(turn_id, ()), batch, oldest, pace, now_ms)


def _may_supersede(
    turn: Turn, draft: Drafting | Drafted, oldest: Sequence[Open], pace: Pace, now_ms: int
) -> bool:
    """Whether a stale draft may still be thrown away; otherwise it is finished and sent."""
    first_ms = min(entry.at_ms for entry in oldest)
    return (
        pace.on_new_message == "supersede"
        and turn.superseded < pace.supersede_max
        and len(draft.covers) < pace.largest_batch
        and now_ms < first_ms + pace.longest_wait_ms
    )


def _begin(
    turn: Turn, batch: Batch, oldest: Sequence[Open], pace: Pace, now_ms: int
) -> Wait | Start:
    if now_ms < turn.retry_at_ms:
        return Wait("retrying", "the model failed and is asked again", turn.retry_at_ms)
    opened = window([entry.at_ms for entry in oldest], pace, now_ms)
    if isinstance(opened, Wait):
        return opened
    return Start(turn.turn_id, batch, turn.attempts + 1, opened)


def window(arrivals_ms: Sequence[int], pace: Pace, now_ms: int) -> Wait | str:
    """Until when unanswered messages wait for more, or the reason why their turn begins.

    All that wait count, also those that will not be joined: the customer is still writing.
    """
    if len(arrivals_ms) >= pace.largest_batch:
        return f"{len(arrivals_ms)} messages, the largest batch"
    quiet_ms = max(arrivals_ms) + pace.quiet_window_ms
    longest_ms = min(arrivals_ms) + pace.longest_wait_ms
    if now_ms >= quiet_ms:
        return f"the customer was quiet for {pace.quiet_window_ms / 1_000:g} s"
    if now_ms >= longest_ms:
        return f"the first message has waited {pace.longest_wait_ms / 1_000:g} s, the longest wait"
    if quiet_ms <= longest_ms:
        return Wait("window", "the customer may be writing more", quiet_ms)
    return Wait("window", "the customer keeps writing, up to the longest wait", longest_ms)


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


def _deliver(reply: Reply, work: Work, now_ms: int) -> Decision:
    read_back = reply.doubtful or work != Promised(reply.reply_id)
    not_before_ms = reply.retry_at_ms
    if read_back:
        not_before_ms = max(not_before_ms, reply.tried_at_ms + READ_BACK_GRACE_MS)
    if now_ms < not_before_ms:
        phase = "retrying" if reply.failures else "sending"
        return Wait(phase, "the reply is promised and sent then", not_before_ms)
    return Send(reply, read_back)


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
