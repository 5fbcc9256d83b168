"""Decides what a conversation does next. Pure: a state, the work in hand, a pace and a time in,
one decision out.

One rule carries it: a draft answers certain messages; a new message makes it stale; when the
customer is quiet and the draft is fresh, promise it. What is promised is sent before anything else.
And above it: while a person of the company has the word, nothing is begun, promised or sent.
"""

from collections.abc import Sequence

import msgspec

from actors.backoff import retry_delay_s
from actors.conversation.batching import Batch, next_batch
from actors.conversation.events import Read
from actors.conversation.manners import Manners, Silence, silence
from actors.conversation.pace import Pace
from actors.conversation.state import Open, Reply, State, Turn
from actors.conversation.window import Closing, Window, closes
from actors.llm.prompt import ToolRun

POISON_STARTS = 3
"""A turn whose process died this often is set aside, so that the conversation goes on."""

EARLY_DRAFTS_MAX = 2
"""So many drafts of a turn may be begun early and thrown away; the next waits for the window."""

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
    hand_over: str = ""
    tools: tuple[ToolRun, ...] = ()
    read: tuple[Read, ...] = ()


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
    """Nothing to do until then, or until something happens (`until_ms` None).

    `wake_ms`: to be decided anew already then; `until_ms` is what a person is told. `window`: the
    one that is open, if one is.
    """

    phase: str
    reason: str
    until_ms: int | None
    wake_ms: int | None = None
    window: Window | None = None


class Start(msgspec.Struct, frozen=True):
    """Record the start of the turn, then ask the model. `early`: the window is still open."""

    turn_id: str
    batch: Batch
    attempt: int
    reason: str
    closing: Closing
    early: bool = False


class Supersede(msgspec.Struct, frozen=True):
    """Cancel the draft: message `by` is not in it. `early`: its window had not closed."""

    turn_id: str
    by: int
    early: bool = False


class Leave(msgspec.Struct, frozen=True):
    """Leave these messages to people, for this reason; cancel the draft of `turn_id` if it runs."""

    seqs: tuple[int, ...]
    reason: str
    turn_id: str = ""


class Commit(msgspec.Struct, frozen=True):
    """Promise the draft."""

    turn_id: str
    draft: Drafted
    reason: str


class RetryTurn(msgspec.Struct, frozen=True):
    """Record the failure; ask the model again then."""

    turn_id: str
    attempt: int
    error: str
    retry_at_ms: int


class Send(msgspec.Struct, frozen=True):
    """Bring the next part of the reply to its channel; look there first if it may already stand
    there. `withhold`: if it does not, it is not to be sent, for this reason."""

    reply: Reply
    read_back: bool
    withhold: str = ""


class PassOn(msgspec.Struct, frozen=True):
    """Hand the conversation to a person: all texts of the reply stand in the channel."""

    reply: Reply


class Withhold(msgspec.Struct, frozen=True):
    """Give up the promised reply, or its rest: a person has the word."""

    reply: Reply
    reason: str


class PutAside(msgspec.Struct, frozen=True):
    """Give these messages up, with the reason."""

    seqs: tuple[int, ...]
    reason: str
    error: str = ""
    attempts: int = 0


Decision = (
    Rest
    | Wait
    | Start
    | Supersede
    | Leave
    | Commit
    | RetryTurn
    | Send
    | PassOn
    | Withhold
    | PutAside
)


class Conduct(msgspec.Struct, frozen=True):
    """How a company wants its conversations held: when to speak, and when to be silent."""

    pace: Pace
    manners: Manners = Manners()


def decide(state: State, work: Work, conduct: Conduct, now_ms: int, turn_prefix: str) -> Decision:
    """What to do now. `turn_prefix` names the conversation in turn ids."""
    silent = silence(state.memory, conduct.manners, now_ms)
    if state.reply is not None:
        return _deliver(state.reply, work, silent, now_ms)
    if not state.open:
        return Rest()
    if silent is not None:
        running = state.turn.turn_id if state.turn and work is not None else ""
        return Leave(tuple(entry.seq for entry in state.open), silent.reason, running)
    pace = conduct.pace
    oldest = state.open[: pace.largest_batch]
    batch = next_batch(oldest, pace)
    match work:
        case DraftFailed() if state.turn is not None:
            return _after_failure(state.turn, work, now_ms)
        case Drafting() | Drafted() if state.turn is not None:
            return _with_draft(state, state.turn, work, batch, pace, now_ms)
    if state.turn is not None and state.turn.starts >= POISON_STARTS:
        reason = f"its process died {state.turn.starts} times in this turn"
        return PutAside(state.turn.covers, reason, attempts=state.turn.attempts)
    turn_id = f"{turn_prefix}:{min(batch.seqs)}"
    turn = state.turn if state.turn and state.turn.turn_id == turn_id else Turn(turn_id, ())
    if now_ms < turn.retry_at_ms:
        return Wait("retrying", "the model failed and is asked again", turn.retry_at_ms)
    return _begin(turn, batch, closes(oldest, state.memory, pace, now_ms), pace, now_ms)


def _with_draft(
    state: State, turn: Turn, draft: Drafting | Drafted, batch: Batch, pace: Pace, now_ms: int
) -> Decision:
    oldest = state.open[: pace.largest_batch]
    closing = closes(oldest, state.memory, pace, now_ms)
    if not set(draft.covers) <= {entry.seq for entry in state.open}:
        # Another holder of the pen gave them their outcome: whoever records this learns of it.
        return Supersede(turn.turn_id, by=state.open[-1].seq)
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
    is_open = turn.early and not closing.closed
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
    oldest = state.open[: pace.largest_batch]
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
    if turn.superseded >= pace.supersede_max:
        return f"the turn was superseded {turn.superseded} times"
    if len(draft.covers) >= pace.largest_batch:
        return f"{len(draft.covers)} messages, the largest batch"
    if now_ms >= min(entry.at_ms for entry in oldest) + pace.longest_wait_ms:
        return f"the first message has waited {pace.longest_wait_ms / 1_000:g} s, the longest wait"
    return None


def _begin(turn: Turn, batch: Batch, closing: Closing, pace: Pace, now_ms: int) -> Wait | Start:
    attempt = turn.attempts + 1
    if closing.closed:
        return Start(turn.turn_id, batch, attempt, closing.reason, closing)
    if not pace.early_lead_ms or turn.early_superseded >= EARLY_DRAFTS_MAX:
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
    return Start(turn.turn_id, batch, attempt, reason, closing, early=True)


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


def _deliver(reply: Reply, work: Work, silent: Silence | None, now_ms: int) -> Decision:
    all_sent = reply.sent >= len(reply.parts)
    in_doubt = reply.doubtful or work != Promised(reply.reply_id)
    read_back = in_doubt and not all_sent
    not_before_ms = reply.retry_at_ms
    if in_doubt:
        # Also before a hand-over: its note may be on its way.
        not_before_ms = max(not_before_ms, reply.tried_at_ms + READ_BACK_GRACE_MS)
    if silent is not None and not read_back:
        return Withhold(reply, silent.reason)
    if now_ms < not_before_ms:
        phase = "retrying" if reply.failures else "sending"
        return Wait(phase, "the reply is promised and sent then", not_before_ms)
    if all_sent:
        return PassOn(reply)
    return Send(reply, read_back, silent.reason if silent else "")


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
