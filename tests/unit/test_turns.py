"""The rules of turn-taking: situation, time, expected decision."""

from typing import Literal

import msgspec
import pytest

from actors.channels.message import Message
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
from actors.conversation.events import ReplyResumed
from actors.conversation.manners import Manners
from actors.conversation.memory import Memory, Taken
from actors.conversation.pace import Pace
from actors.conversation.place import Place
from actors.conversation.state import Open, Reply, State, Turn, apply
from actors.conversation.turns import (
    POISON_STARTS,
    READ_BACK_GRACE_MS,
    RESUMED_MAX,
    after_send_failure,
    decide,
    worth_finishing,
)

PACE = Pace()
TURN = "acme:321:1"


def messages(*arrivals_s: float, chars: int = 10) -> tuple[Open, ...]:
    return tuple(
        Open(seq, round(at_s * 1_000), Message(str(100 + seq), "x" * chars, "chatwoot"))
        for seq, at_s in enumerate(arrivals_s, start=1)
    )


def at(
    seconds: float,
    state: State,
    work: Work = None,
    pace: Pace = PACE,
    manners: Manners = Manners(),  # noqa: B008 -- a frozen value
) -> Decision:
    return decide(state, work, Conduct(pace, manners), round(seconds * 1_000), "acme:321")


def drafted(*covers: int) -> Drafted:
    return Drafted(covers, "an answer", "m", 1, 2)


def running(*covers: int, superseded: int = 0, starts: int = 1, failures: int = 0) -> Turn:
    return Turn(TURN, covers, starts, starts + failures, failures, superseded)


def early(*covers: int, thrown_away: int = 0) -> Turn:
    return Turn(TURN, covers, 1, 1, early=True, early_superseded=thrown_away)


REPLY = Reply("r1", TURN, (1,), ("text",), "chatwoot", "101", tried_at_ms=20_000)


def test_nothing_unanswered_is_rest() -> None:
    assert at(0, State()) == Rest()


@pytest.mark.parametrize(
    ("arrivals_s", "now_s", "until_s"),
    [
        ((0,), 0, 10),  # a lone message: the quiet window
        ((0,), 9.999, 10),
        ((0, 5), 6, 15),  # each fragment opens the window anew
        ((0, 9, 18, 27), 27, 30),  # but not past the longest wait
    ],
)
def test_the_window_waits(arrivals_s: tuple[float, ...], now_s: float, until_s: float) -> None:
    decision = at(now_s, State(open=messages(*arrivals_s)))
    assert isinstance(decision, Wait)
    assert (decision.phase, decision.until_ms) == ("window", until_s * 1_000)


@pytest.mark.parametrize(
    ("arrivals_s", "now_s", "reason"),
    [
        ((0,), 10, "the customer was quiet for 10 s"),
        ((0, 5), 15, "the customer was quiet for 10 s"),
        ((0, 9, 18, 27), 30, "the first message has waited 30 s, the longest wait"),
        (tuple(range(20)), 19, "20 messages, the largest batch"),
    ],
)
def test_the_turn_starts_with_its_reason(
    arrivals_s: tuple[float, ...], now_s: float, reason: str
) -> None:
    decision = at(now_s, State(open=messages(*arrivals_s)))
    assert isinstance(decision, Start)
    assert (decision.turn_id, decision.attempt, decision.reason) == (TURN, 1, reason)
    assert len(decision.batch.entries) == len(arrivals_s)


def test_messages_that_are_not_joined_are_answered_in_order_without_a_new_window() -> None:
    long = messages(0, 3, chars=500)
    first = at(13, State(open=long))
    assert isinstance(first, Start)
    assert first.batch.seqs == (1,)
    second = at(13.5, State(open=long[1:]))
    assert isinstance(second, Start)
    assert second.batch.seqs == (2,)
    assert second.turn_id == "acme:321:2"


def test_the_window_counts_all_that_wait_also_what_will_not_be_joined() -> None:
    decision = at(11, State(open=messages(0, 8, chars=500)))
    assert isinstance(decision, Wait)
    assert decision.until_ms == 18_000


def test_a_fresh_draft_is_awaited_then_promised() -> None:
    state = State(open=messages(0), turn=running(1))
    assert at(11, state, Drafting((1,))) == Wait("drafting", "the model is answering", None)
    assert at(12, state, drafted(1)) == Commit(TURN, drafted(1), "the customer was quiet for 10 s")


@pytest.mark.parametrize("work", [Drafting((1,)), drafted(1)])
def test_a_new_message_supersedes_a_draft(work: Work) -> None:
    state = State(open=messages(0, 11), turn=running(1))
    assert at(11, state, work) == Supersede(TURN, by=2)


@pytest.mark.parametrize(
    ("turn", "pace", "now_s", "reason"),
    [
        (running(1, superseded=3), PACE, 11, "the turn was superseded 3 times"),
        (running(1), Pace(on_new_message="queue"), 11, "a message during a turn waits"),
        (running(1), PACE, 30, "the first message has waited 30 s, the longest wait"),
    ],
)
def test_a_draft_that_may_not_be_superseded_is_finished(
    turn: Turn, pace: Pace, now_s: float, reason: str
) -> None:
    state = State(open=messages(0, 11), turn=turn)
    waiting = at(now_s, state, Drafting((1,)), pace)
    assert isinstance(waiting, Wait)
    assert reason in waiting.reason
    decision = at(now_s, state, drafted(1), pace)
    assert isinstance(decision, Commit)
    assert decision.draft == drafted(1)
    assert decision.reason.startswith(reason)


def test_a_full_batch_is_not_superseded() -> None:
    full = Pace(largest_batch=1)
    state = State(open=messages(0, 11), turn=running(1))
    assert isinstance(at(11, state, Drafting((1,)), full), Wait)
    assert isinstance(at(11, state, drafted(1), full), Commit)


# Drafting early.

EARLY = Pace(early_lead_ms=4_000)


@pytest.mark.parametrize(
    ("arrivals_s", "pace", "now_s", "starts"),
    [
        ((0,), EARLY, 5.9, False),
        ((0,), EARLY, 6, True),  # 4 s before the window closes
        ((0, 5), EARLY, 10.9, False),
        ((0, 5), EARLY, 11, True),
        ((0, 9, 18, 27), EARLY, 27, True),  # the longest wait closes it at 30 s
        ((0,), Pace(early_lead_ms=60_000), 0, True),  # a model slower than the window
        ((0,), PACE, 9.9, False),
    ],
)
def test_an_early_draft_begins_by_the_models_latency(
    *, arrivals_s: tuple[float, ...], pace: Pace, now_s: float, starts: bool
) -> None:
    decision = at(now_s, State(open=messages(*arrivals_s)), pace=pace)
    assert isinstance(decision, Start) == starts
    if isinstance(decision, Start):
        assert decision.early
        assert decision.reason.startswith("early: the window closes in")


def test_the_wait_for_an_early_draft_wakes_before_the_window_closes() -> None:
    decision = at(1, State(open=messages(0)), pace=EARLY)
    assert isinstance(decision, Wait)
    assert (decision.until_ms, decision.wake_ms) == (10_000, 6_000)


def test_an_early_draft_is_promised_when_the_window_closes_not_before() -> None:
    state = State(open=messages(0), turn=early(1))
    waiting = at(8, state, drafted(1), EARLY)
    assert isinstance(waiting, Wait)
    assert (waiting.phase, waiting.until_ms) == ("window", 10_000)
    assert isinstance(at(10, state, drafted(1), EARLY), Commit)
    slow = at(10, state, Drafting((1,)), EARLY)
    assert slow == Wait("drafting", "the model is answering", None)


@pytest.mark.parametrize("work", [Drafting((1,)), drafted(1)])
@pytest.mark.parametrize("mode", ["supersede", "queue"])
def test_a_message_in_the_window_throws_an_early_draft_away_whatever_the_policy(
    work: Work, mode: Literal["supersede", "queue"]
) -> None:
    pace = msgspec.structs.replace(EARLY, on_new_message=mode)
    state = State(open=messages(0, 8), turn=early(1))
    assert at(8, state, work, pace) == Supersede(TURN, by=2, early=True)


def test_a_message_after_the_window_meets_an_ordinary_draft() -> None:
    state = State(open=messages(0, 11), turn=early(1))
    assert at(11, state, Drafting((1,)), EARLY) == Supersede(TURN, by=2)
    queue = msgspec.structs.replace(EARLY, on_new_message="queue")
    assert isinstance(at(11, state, Drafting((1,)), queue), Wait)


def test_after_two_early_drafts_the_window_is_waited_for() -> None:
    spent = msgspec.structs.replace(early(1, thrown_away=2), starts=0)
    state = State(open=messages(0, 8), turn=spent)
    waiting = at(15, state, pace=EARLY)
    assert isinstance(waiting, Wait)
    assert waiting.wake_ms is None
    assert isinstance(at(18, state, pace=EARLY), Start)


@pytest.mark.parametrize("work", [Drafting((1,)), drafted(1)])
def test_a_draft_about_what_another_holder_has_answered_is_never_promised(work: Work) -> None:
    # A host that was stopped reads what its replacement wrote, before it is told that it was one.
    theirs = State(open=messages(0, 5)[1:], turn=running(2, superseded=3))
    assert at(6, theirs, work) == Supersede(TURN, by=2)


# People first.

TAKEN = State(open=messages(0), memory=Memory(taken=Taken(1_000, "Eva answered")))


def test_what_waits_is_left_to_the_person_who_has_the_word() -> None:
    assert at(1, TAKEN) == Leave((1,), "Eva answered")


@pytest.mark.parametrize("work", [Drafting((1,)), drafted(1)])
def test_a_draft_is_cancelled_when_a_person_takes_over(work: Work) -> None:
    state = msgspec.structs.replace(TAKEN, turn=running(1))
    assert at(1, state, work) == Leave((1,), "Eva answered", TURN)


def test_a_promised_reply_is_withheld_when_a_person_takes_over() -> None:
    state = msgspec.structs.replace(TAKEN, open=(), reply=REPLY)
    assert at(20, state, Promised("r1")) == Withhold(REPLY, "Eva answered")


def test_a_reply_that_may_stand_there_is_looked_for_before_it_is_withheld() -> None:
    doubtful = msgspec.structs.replace(REPLY, doubtful=True)
    state = msgspec.structs.replace(TAKEN, open=(), reply=doubtful)
    silenced = Send(doubtful, read_back=True, withhold="Eva answered")
    assert at(30, state, Promised("r1")) == silenced


def test_the_bot_comes_back_after_the_companys_time() -> None:
    after_an_hour = Manners(resume_after_ms=3_600_000)
    assert isinstance(at(3_600, TAKEN, manners=after_an_hour), Leave)
    assert isinstance(at(3_601, TAKEN, manners=after_an_hour), Start)


# Parts and hand-over.


def test_a_reply_in_parts_is_sent_part_by_part_and_handed_over_at_the_end() -> None:
    reply = msgspec.structs.replace(REPLY, parts=("a", "b"), hand_over="wants a person")
    assert at(20, State(reply=reply), Promised("r1")) == Send(reply, read_back=False)
    all_sent = msgspec.structs.replace(reply, sent=2)
    assert at(20, State(reply=all_sent), Promised("r1")) == PassOn(all_sent)
    taken = State(reply=all_sent, memory=TAKEN.memory)
    silenced = Withhold(all_sent, "Eva answered")
    assert at(20, taken, Promised("r1")) == silenced, "somebody was faster"


def test_a_hand_over_whose_note_may_be_on_its_way_waits_for_the_grace() -> None:
    grace_s = READ_BACK_GRACE_MS / 1_000
    reply = msgspec.structs.replace(REPLY, parts=("a",), sent=1, hand_over="wants a person")
    assert at(20, State(reply=reply), Promised("r1")) == PassOn(reply)
    assert at(20, State(reply=reply)) == Resume(reply), "another process may have begun it"
    doubtful = msgspec.structs.replace(reply, doubtful=True, failures=1)
    assert isinstance(at(20, State(reply=doubtful), Promised("r1")), Wait)
    assert at(20 + grace_s, State(reply=doubtful), Promised("r1")) == PassOn(doubtful)


def test_after_being_superseded_the_window_is_the_new_messages() -> None:
    state = State(open=messages(0, 11), turn=running(1, starts=0, superseded=1))
    decision = at(11, state)
    assert isinstance(decision, Wait)
    assert decision.until_ms == 21_000


def test_a_failed_draft_is_tried_again_after_its_wait() -> None:
    failed = DraftFailed((1,), "503", retryable=True, asked_s=None, jitter=0)
    state = State(open=messages(0), turn=running(1))
    assert at(12, state, failed) == RetryTurn(TURN, 1, "503", 14_000)
    waiting = msgspec.structs.replace(running(1, starts=0, failures=1), retry_at_ms=14_000)
    assert at(13, State(open=messages(0), turn=waiting)) == Wait(
        "retrying", "the model failed and is asked again", 14_000
    )
    again = at(14, State(open=messages(0), turn=waiting))
    assert isinstance(again, Start)
    assert again.attempt == waiting.attempts + 1


@pytest.mark.parametrize(
    ("failures", "retryable", "reason"),
    [(5, True, "the model failed 6 times"), (0, False, "the model refused for good")],
)
def test_what_cannot_be_retried_is_set_aside(
    *, failures: int, retryable: bool, reason: str
) -> None:
    failed = DraftFailed((1,), "no", retryable, asked_s=None, jitter=0)
    decision = at(99, State(open=messages(0), turn=running(1, failures=failures)), failed)
    assert isinstance(decision, PutAside)
    assert (decision.seqs, decision.reason, decision.error) == ((1,), reason, "no")


def test_a_turn_that_keeps_killing_its_process_is_set_aside() -> None:
    once = at(11, State(open=messages(0), turn=running(1, starts=POISON_STARTS - 2)))
    assert isinstance(once, Start) and not once.alone
    twice = State(open=messages(0), turn=running(1, starts=POISON_STARTS - 1))
    started = at(11, twice)
    assert isinstance(started, Start) and started.alone
    beside = State(open=messages(0), turn=running(1, starts=POISON_STARTS))
    assert isinstance(at(11, beside), Start), "it may have been another's death"
    alone = msgspec.structs.replace(running(1, starts=POISON_STARTS), alone=True)
    thrice = State(open=messages(0), turn=alone)
    decision = at(11, thrice)
    assert isinstance(decision, PutAside)
    assert decision.seqs == (1,)


def test_what_is_promised_is_sent_before_anything_else() -> None:
    state = State(open=messages(0), reply=REPLY)
    assert at(20, state, Promised("r1")) == Send(REPLY, read_back=False)


def test_a_promise_of_another_process_is_looked_for_after_a_grace() -> None:
    grace_s = READ_BACK_GRACE_MS / 1_000
    assert at(30, State(reply=REPLY)) == Resume(REPLY)
    resumed = apply(State(reply=REPLY), 9, ReplyResumed(at_ms=30_000, reply_id="r1", attempt=1))
    waiting = at(30, resumed, Promised("r1"))
    assert isinstance(waiting, Wait)
    assert waiting.until_ms == 30_000 + READ_BACK_GRACE_MS
    assert resumed.reply is not None
    assert at(30 + grace_s, resumed, Promised("r1")) == Send(resumed.reply, read_back=True)


def test_a_reply_whose_sending_keeps_killing_its_process_is_set_aside() -> None:
    often = msgspec.structs.replace(REPLY, resumed=RESUMED_MAX)
    decision = at(30, State(reply=often))
    assert isinstance(decision, PutAside)
    assert decision.seqs == REPLY.answers
    assert isinstance(at(30, State(reply=often), Promised("r1")), Send), "this process lives"


HOUR = Pace(answer_age_max_ms=3_600_000)
LATE = "too late to answer: over 60 min since the question"


def test_what_nobody_answered_for_too_long_goes_to_a_person() -> None:
    old = State(open=messages(0, 5))
    assert isinstance(at(3_605, old, pace=HOUR), Start)
    handed = at(3_606, old, pace=HOUR)
    assert isinstance(handed, Commit)
    assert (handed.draft.covers, handed.draft.hand_over) == ((1, 2), LATE)
    assert isinstance(at(1e6, old), Start), "never, where the company says so"
    assert isinstance(at(3_606, State(open=messages(0, 3_000)), pace=HOUR), Start)


def test_a_promised_reply_that_is_too_old_goes_to_a_person() -> None:
    old = msgspec.structs.replace(REPLY, last_ms=1_000)
    assert at(3_700, State(reply=old), Promised("r1"), HOUR) == Hold(old, LATE)
    doubtful = msgspec.structs.replace(old, doubtful=True)
    asked = at(3_700, State(reply=doubtful), Promised("r1"), HOUR)
    assert asked == Send(doubtful, read_back=True, hold=LATE)
    begun = msgspec.structs.replace(old, parts=("a", "b"), sent=1)
    assert isinstance(at(3_700, State(reply=begun), Promised("r1"), HOUR), Send)


@pytest.mark.parametrize(
    ("decision", "work", "finishes"),
    [
        (Wait("drafting", "", None), Drafting((1,)), True),
        (Wait("window", "", 1), None, False),
        (Wait("window", "", 1), drafted(1), False),
        (Wait("retrying", "", 1), Promised("r1"), False),
        (Commit(TURN, drafted(1), ""), drafted(1), True),
        (Send(REPLY, read_back=False), Promised("r1"), True),
        (Resume(REPLY), None, False),
        (Supersede(TURN, by=2), Drafting((1,)), False),
        (Leave((1,), "Eva answered"), None, True),
        (Rest(), None, False),
    ],
    ids=str,
)
def test_what_a_stopping_process_still_does(
    decision: Decision,
    work: Work,
    finishes: bool,  # noqa: FBT001
) -> None:
    assert worth_finishing(decision, work) == finishes


def test_a_doubtful_attempt_is_looked_for_also_by_its_own_process() -> None:
    doubtful = msgspec.structs.replace(REPLY, doubtful=True, failures=1, retry_at_ms=39_000)
    assert isinstance(at(38.9, State(reply=doubtful), Promised("r1")), Wait)
    assert at(39, State(reply=doubtful), Promised("r1")) == Send(doubtful, read_back=True)


def test_sending_ends_after_five_retries() -> None:
    assert after_send_failure(REPLY, "503", 0, None, 1_000) == 3_000
    last = msgspec.structs.replace(REPLY, failures=5)
    assert after_send_failure(last, "503", 0, None, 1_000) == PutAside(
        (1,), "the channel did not take the reply, 6 attempts", "503", 6
    )


def in_line(seconds: float, state: State, place: Place, work: Work = None) -> Decision:
    pace = msgspec.structs.replace(PACE, early_lead_ms=4_000)
    return decide(state, work, Conduct(pace, place=place), round(seconds * 1_000), "acme:321")


FULL = Place("2 turns of the company run here, as many as it may", 25_000, early=False)


def test_a_turn_whose_company_has_no_place_waits_in_line() -> None:
    state = State(open=messages(0))
    assert in_line(10, state, FULL) == Wait("in line", FULL.reason, 25_000)
    started = in_line(25, state, Place(waited_ms=15_000))
    assert isinstance(started, Start)
    assert started.reason == "the customer was quiet for 10 s; the turn waited in line for 15.0 s"
    soon = in_line(25, state, Place(waited_ms=99))
    assert isinstance(soon, Start) and soon.reason == "the customer was quiet for 10 s"


def test_the_line_begins_where_the_window_ends() -> None:
    decision = in_line(9, State(open=messages(0)), FULL)
    assert isinstance(decision, Wait)
    assert (decision.phase, decision.until_ms, decision.wake_ms) == ("window", 10_000, None)
    again = in_line(21, State(open=messages(0, 20)), FULL)
    assert isinstance(again, Wait) and again.phase == "window", "what comes meanwhile joins it"


@pytest.mark.parametrize(
    ("place", "kind"), [(Place(), Start), (Place(early=False), Wait), (FULL, Wait)]
)
def test_an_early_draft_needs_room(place: Place, kind: type) -> None:
    assert isinstance(in_line(7, State(open=messages(0)), place), kind)


def test_what_is_begun_or_failed_or_promised_stands_in_no_line() -> None:
    state = State(open=messages(0), turn=running(1))
    assert in_line(12, state, FULL, Drafting((1,))) == Wait(
        "drafting", "the model is answering", None
    )
    assert isinstance(in_line(12, state, FULL, drafted(1)), Commit)
    failed = DraftFailed((1,), "503", retryable=True, asked_s=None, jitter=0)
    assert isinstance(in_line(12, state, FULL, failed), RetryTurn)
    assert isinstance(in_line(12, State(reply=REPLY), FULL, Promised("r1")), Send)
    silent = State(open=messages(0), memory=Memory(taken=Taken(1, "Eva answered")))
    assert isinstance(in_line(12, silent, FULL), Leave)
