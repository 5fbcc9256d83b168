"""Random days of a conversation from one seed, played through the rules, and what must hold then.

`python -m tests.schedules SEEDS [FIRST]` plays that many; a seed that breaks a rule prints its
schedule and its journal, and ends with 1.
"""

import multiprocessing
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from actors.channels.message import FromPerson, Message, Standing
from actors.conversation.batching import Batch, next_batch
from actors.conversation.decisions import Conduct
from actors.conversation.events import (
    CustomerTyping,
    Event,
    FromOutside,
    HandedOver,
    LeftUnanswered,
    MessageAmended,
    MessageReceived,
    Paused,
    PersonReplied,
    ReplyCommitted,
    ReplyWithheld,
    Resumed,
    SetAside,
    StandingSeen,
    TurnFailed,
    TurnStarted,
    TurnSuperseded,
    decode,
    encode,
)
from actors.conversation.manners import Manners
from actors.conversation.pace import Pace
from actors.conversation.place import Crowd, Place, place_of
from actors.conversation.rehearsal import Call, Post, Rehearsal
from actors.conversation.state import Reply, State, apply, settled_by

HORIZON_MS = 60 * 60_000
"""After the last thing that happens; every retry and every wait ends within it."""

START_MS = 1_760_000_000_000
MODEL_MS_MAX = 12_000
CHARS = (1, 12, 40, 80, 200, 390, 600)


@dataclass
class Schedule:
    """What happens in a conversation, and how everybody around it behaves."""

    seed: int
    conduct: Conduct
    happenings: list[FromOutside]
    calls: list[Call]
    posts: list[Post]
    full: list[tuple[int, int]]

    def line(self, now_ms: int) -> Place:
        """The company's line is full from time to time; nobody is woken, so it says until when."""
        ends_ms = max((to for since, to in self.full if since <= now_ms < to), default=None)
        if ends_ms is None:
            came_ms = max((to for _, to in self.full if to <= now_ms), default=0)
            return Place(waited_ms=700 if now_ms == came_ms else 0)
        place = place_of(Crowd(2, 2, 1, 1, 2, 9), None, now_ms)
        return msgspec.structs.replace(place, until_ms=ends_ms)

    def __str__(self) -> str:
        told = [f"seed {self.seed}", str(self.conduct)]
        told += [f"  +{(e.at_ms - START_MS) / 1_000:8.3f} s  {e}" for e in self.happenings]
        return "\n".join([*told, f"calls {self.calls}", f"posts {self.posts}", f"full {self.full}"])


def _pace(dice: random.Random) -> Pace:
    quiet_ms = dice.choice([0, 500, 3_000, 10_000])
    return Pace(
        quiet_window_ms=quiet_ms,
        first_window_ms=dice.choice([None, None, 1_000, 8_000]),
        longest_wait_ms=dice.choice([10_000, 30_000]),
        largest_batch=dice.choice([1, 3, 20]),
        join_max_avg_chars=dice.choice([100, 400]),
        on_new_message=dice.choice(["supersede", "supersede", "queue"]),
        supersede_max=dice.choice([0, 1, 3]),
        learned=dice.random() < 0.4,
        window_min_ms=1_000,
        window_max_ms=dice.choice([5_000, 20_000]),
        early_lead_ms=dice.choice([0, 0, 2_000, 6_000, 40_000]),
    )


def _someone(dice: random.Random, at_ms: int, place: int) -> FromOutside:
    """Somebody else than the customer's keyboard does something."""
    kind = dice.choice(
        ["typing", "typing", "person", "standing", "pause", "resume", "resume", "amend", "amend"]
    )
    match kind:
        case "amend":
            number = 1_000 + 10 * dice.randrange(max(1, place))
            changed = Message(str(number), "changed " * dice.randint(0, 9), "chatwoot")
            return MessageAmended(at_ms=at_ms, message=changed)
        case "typing":
            return CustomerTyping(at_ms=at_ms, on=dice.random() < 0.6)
        case "person":
            person = FromPerson(str(5_000 + place), "I am on it", "user", "Eva")
            return PersonReplied(at_ms=at_ms, person=person)
        case "standing":
            standing = Standing(
                status=dice.choice(["pending", "pending", "open", "resolved", "snoozed"]),
                assignee=dice.choice(["", "", "user"]),
                labels=dice.choice([(), (), ("vip",), ("stop",)]),
                blocked=dice.random() < 0.05,
                can_reply=dice.random() > 0.05,
            )
            return StandingSeen(at_ms=at_ms, standing=standing)
        case "pause":
            until_ms = dice.choice([None, at_ms + 20_000])
            return Paused(at_ms=at_ms, by="api", reason="lunch", until_ms=until_ms)
    return Resumed(at_ms=at_ms, by="api")


def _call(dice: random.Random) -> Call:
    took_ms = dice.choice([0, 700, 2_500, 6_000, MODEL_MS_MAX])
    if dice.random() < 0.12:
        return Call(took_ms, error="503", retryable=dice.random() < 0.9, tokens_in=50)
    text = "yes. " * dice.choice([1, 1, 1, 700])
    hand_over = "asks for a person" if dice.random() < 0.04 else ""
    if hand_over and dice.random() < 0.5:
        text = ""
    return Call(took_ms, text, tokens_in=50, tokens_out=9, hand_over=hand_over)


def _post(dice: random.Random) -> Post:
    if dice.random() > 0.15:
        return Post()
    stored = dice.random() < 0.4
    doubtful = stored or dice.random() < 0.5
    return Post("502", stored=stored, doubtful=doubtful, final=not doubtful and dice.random() < 0.2)


def schedule(seed: int) -> Schedule:
    """The schedule of a seed: always the same."""
    dice = random.Random(seed)
    at_ms, happenings = START_MS, list[FromOutside]()
    others = dice.choice([0.0, 0.0, 0.3])
    for place in range(dice.randint(1, 18)):
        at_ms += dice.choice([0, dice.randint(0, 900), dice.randint(0, 12_000), 45_000])
        if dice.random() < others:
            happenings.append(_someone(dice, at_ms, place))
        else:
            text = "x" * dice.choice(CHARS)
            # The provider numbers the messages in its own order; the webhooks may come swapped.
            number = 1_000 + 10 * place + dice.choice([0, 0, 0, -15])
            message = Message(str(number), text, "chatwoot")
            happenings.append(MessageReceived(at_ms=at_ms, message=message))
    full, chance = list[tuple[int, int]](), random.Random(f"line {seed}")
    if chance.random() < 0.3:
        since_ms = [START_MS + chance.randint(0, 60_000) for _ in range(3)]
        full = [(ms, ms + chance.choice([400, 15_000])) for ms in since_ms]
    manners = Manners(stop_labels=("stop",), resume_after_ms=dice.choice([None, None, 30_000]))
    return Schedule(
        seed,
        Conduct(_pace(dice), manners),
        happenings,
        calls=[_call(dice) for _ in range(40)],
        posts=[_post(dice) for _ in range(40)],
        full=full,
    )


@dataclass
class Broken(Exception):
    """A rule that did not hold."""

    rule: str
    schedule: Schedule
    log: list[Event]

    def __str__(self) -> str:
        told = [
            f"  {place:3} +{(e.at_ms - START_MS) / 1_000:8.3f} s  {e}"
            for place, e in enumerate(self.log, start=1)
        ]
        return "\n".join([f"BROKEN: {self.rule}", str(self.schedule), "journal:", *told])


@dataclass
class _Word:
    """Who has the word, told by other means than the rules under test: for `no reply then`."""

    person: bool = False
    paused_until_ms: float = 0
    standing: Standing = field(default_factory=Standing)
    spoke_ms: int = 0

    def hears(self, event: Event) -> None:
        match event:
            case PersonReplied(at_ms=at_ms) | HandedOver(at_ms=at_ms):
                self.person, self.spoke_ms = True, at_ms
            case Paused(until_ms=until_ms):
                self.paused_until_ms = float("inf") if until_ms is None else until_ms
            case Resumed():
                self.person, self.paused_until_ms = False, 0
            case StandingSeen(standing=standing, at_ms=at_ms):
                before = self.standing.status
                if before and standing.status != before:
                    if (before, standing.status) == ("pending", "open"):
                        self.person, self.spoke_ms = True, at_ms
                    elif standing.status == "pending" or before == "resolved":
                        self.person = False
                self.standing = standing

    def is_the_bots(self, now_ms: int, manners: Manners) -> bool:
        back = manners.resume_after_ms is not None and (
            now_ms >= self.spoke_ms + manners.resume_after_ms
        )
        return not (
            (self.person and not back)
            or now_ms < self.paused_until_ms
            or self.standing.assignee == "user"
            or self.standing.status in ("resolved", "snoozed")
            or self.standing.blocked
            or not self.standing.can_reply
            or "stop" in self.standing.labels
        )


def play(plan: Schedule) -> Rehearsal:
    """Plays a schedule to its end. Raises Broken."""
    calls, posts = iter(plan.calls), iter(plan.posts)
    word = _Word()

    def ask(_: Batch) -> Call:
        return next(calls, Call(500))

    def post(reply: Reply) -> Post:
        for event in rehearsal.log[word_heard[0] :]:
            word.hears(event)
        word_heard[0] = len(rehearsal.log)
        if not word.is_the_bots(rehearsal.now_ms, plan.conduct.manners):
            raise Broken(
                f"{reply.reply_id} is sent while a person has the word", plan, rehearsal.log
            )
        return next(posts, Post())

    word_heard = [0]
    rehearsal = Rehearsal(plan.conduct, ask, post, line=plan.line, start_ms=START_MS)
    for happening in plan.happenings:
        rehearsal.happens(happening)
    rehearsal.run_until(rehearsal.now_ms + HORIZON_MS)
    return rehearsal


def check(plan: Schedule, rehearsal: Rehearsal) -> None:
    """What must hold after any schedule. Raises Broken."""

    def require(holds: object, rule: str) -> None:
        if not holds:
            raise Broken(rule, plan, rehearsal.log)

    word = _Word()
    arrived_ms, outcomes = dict[int, int](), dict[int, str]()
    state, drafting = State(), False
    covers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    began = TurnStarted(at_ms=0, turn="", covers=(), attempt=0, reason="", how="", join_reason="")
    superseded = dict[str, int]()
    answered, posted = list[int](), [(name, part) for _, name, part in rehearsal.posted]
    last_outcome_ms, failed = 0, False
    for seq, event in enumerate(rehearsal.log, start=1):
        require(decode(encode(event)) == event, "an event is read as it was written")
        if isinstance(event, LeftUnanswered | ReplyWithheld):
            why = "only what a person has the word about is left unanswered"
            require(not word.is_the_bots(event.at_ms, plan.conduct.manners), why)
        word.hears(event)
        match event:
            case MessageReceived(at_ms=at_ms):
                arrived_ms[seq] = at_ms
            case TurnStarted(covers=covers):
                require(not drafting, "one draft at a time")
                drafting, began, texts = True, event, _texts(state, covers)
                _waited(require, plan, state, event)
                is_full = any(since <= event.at_ms < to for since, to in plan.full)
                require(not is_full, "no draft is begun while the company's line is full")
                batch = next_batch(state.open[: plan.conduct.pace.largest_batch], plan.conduct.pace)
                require(covers == batch.seqs, "a draft covers the next batch in order")
            case TurnFailed():
                drafting, failed = False, True
            case TurnSuperseded():
                require(drafting, "only a draft is superseded")
                drafting = False
                superseded[event.turn] = superseded.get(event.turn, 0) + (not event.early)
                few = superseded[event.turn] <= plan.conduct.pace.supersede_max
                require(few, "a turn is superseded no more often than it may be")
            case LeftUnanswered() | SetAside():
                drafting = False
            case ReplyCommitted(answers=answers):
                require(drafting and set(answers) == set(covers), "a promise is the draft")
                drafting = False
                _covers(require, plan, state, event, began, superseded.get(event.turn, 0))
                unchanged = texts == _texts(state, covers)
                told = "what was changed since is not in it", "what came since is answered next"
                require(unchanged or event.reason.endswith(told), "a promise is over what stands")
                since_ms = max(
                    arrived_ms[min(answers)] + plan.conduct.pace.longest_wait_ms, last_outcome_ms
                )
                in_line_ms = sum(to - since for since, to in plan.full)
                late_ms = event.at_ms - since_ms - in_line_ms
                require(failed or late_ms <= MODEL_MS_MAX, "the longest wait holds")
                answered.extend(answers)
                superseded.clear()
                failed = False
        for settled in settled_by(event):
            require(settled not in outcomes, f"message {settled} has one outcome")
            outcomes[settled] = type(event).__name__
            last_outcome_ms, failed = event.at_ms, False
        state = apply(state, seq, event)
    require(set(outcomes) == set(arrived_ms), "every message has an outcome")
    faults = any(call.error for call in plan.calls) or any(post.error for post in plan.posts)
    require(faults or "SetAside" not in outcomes.values(), "nothing is set aside without a fault")
    require(len(answered) == len(set(answered)), "no message is answered twice")
    require(state.reply is None and not state.open, "nothing is left open")
    require(len(posted) == len(set(posted)), "no part stands twice")


def _texts(state: State, seqs: Sequence[int]) -> tuple[str, ...]:
    return tuple(entry.message.text for entry in state.open if entry.seq in seqs)


def _covers(  # type: ignore[no-untyped-def]
    require,
    plan: Schedule,
    state: State,
    commit: ReplyCommitted,
    began: TurnStarted,
    superseded: int,
) -> None:
    """A promise covers what was unanswered: all that is joined, or there is a limit that says why
    not, told by other means than the rules under test."""
    pace = plan.conduct.pace
    open_seqs = {entry.seq for entry in state.open}
    require(set(commit.answers) <= open_seqs, "a promise answers only what is unanswered")
    batch = next_batch(state.open[: pace.largest_batch], pace)
    if set(batch.seqs) == set(commit.answers):
        return
    first_ms = min(entry.at_ms for entry in state.open[: pace.largest_batch])
    allowed = (
        pace.on_new_message == "queue"
        or superseded >= pace.supersede_max
        or len(began.covers) >= pace.largest_batch
        or commit.at_ms >= first_ms + pace.longest_wait_ms
    )
    why = f"a promise leaves out {set(batch.seqs) ^ set(commit.answers)} without a reason"
    require(allowed and commit.reason.endswith("what came since is answered next"), why)


def _waited(require, plan: Schedule, state: State, start: TurnStarted) -> None:  # type: ignore[no-untyped-def]
    """A first draft that is not early begins when the customer was quiet for the company's window,
    where no other clock counts: a learned one, typing, the longest wait, a full batch, a retry."""
    pace = plan.conduct.pace
    oldest = state.open[: pace.largest_batch]
    if start.early or start.attempt > 1 or pace.learned or state.memory.typed_ms:
        return
    if len(oldest) >= pace.largest_batch:
        return
    window_ms = pace.quiet_window_ms
    if pace.first_window_ms is not None and not state.memory.begun and len(oldest) == 1:
        window_ms = pace.first_window_ms
    quiet_ms = max(entry.at_ms for entry in oldest) + window_ms
    longest_ms = min(entry.at_ms for entry in oldest) + pace.longest_wait_ms
    require(start.at_ms >= min(quiet_ms, longest_ms), "the window is waited for")


def run(seed: int) -> Broken | None:
    """Plays one seed."""
    plan = schedule(seed)
    try:
        check(plan, play(plan))
    except Broken as broken:
        return broken
    return None


def _run_many(seeds: range) -> str:
    for seed in seeds:
        if (broken := run(seed)) is not None:
            return str(broken)
    return ""


def main() -> int:
    """Plays SEEDS seeds from FIRST (default 0) on, on all processors."""
    count = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    pages = [range(at, min(at + 500, first + count)) for at in range(first, first + count, 500)]
    done = 0
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for page, broken in zip(pages, pool.imap(_run_many, pages), strict=True):
            if broken:
                print(broken)
                return 1
            done += len(page)
            print(f"\r{done} schedules hold", end="", flush=True)
    print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
