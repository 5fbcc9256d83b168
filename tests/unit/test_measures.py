"""What each event adds to its company's day, and that the reasons of the rules have their kinds."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.analytics.counters import BATCHES, BEGAN, FIELDS, INTERVALS, WAITS_FIRST, WAITS_LAST
from actors.analytics.figures import figures, totalled
from actors.channels.message import Attachment, FromPerson, Message, Standing
from actors.conversation.decisions import PutAside
from actors.conversation.events import (
    CustomerTyping,
    Discarded,
    Event,
    HandedOver,
    LeftUnanswered,
    MessageAmended,
    MessageMissed,
    MessageReceived,
    PartSent,
    Paused,
    PersonReplied,
    Read,
    ReplyCommitted,
    ReplyHeld,
    ReplyResumed,
    ReplySent,
    ReplyWithheld,
    Resumed,
    Revived,
    SendDoubted,
    SendFailed,
    SetAside,
    StandingSeen,
    TurnFailed,
    TurnInterrupted,
    TurnStarted,
    TurnSuperseded,
    Unknown,
)
from actors.conversation.manners import Manners, silence
from actors.conversation.measures import increments, tokens_saved
from actors.conversation.memory import Memory, Pause, Taken, remember
from actors.conversation.pace import Pace
from actors.conversation.state import Open, State, apply
from actors.conversation.turns import after_send_failure
from actors.conversation.window import TYPING_LASTS_MS, closes
from actors.llm.prompt import ToolRun, tokens

MS = 1_760_000_000_000


def message(name: str, text: str = "hello", **more: Any) -> Message:
    return Message(name, text, "chatwoot", **more)


def received(at_ms: int, name: str = "1", text: str = "hello", **more: Any) -> MessageReceived:
    return MessageReceived(at_ms=at_ms, message=message(name, text, **more))


def started(*covers: int, **more: Any) -> TurnStarted:
    given: dict[str, Any] = {
        "at_ms": MS,
        "turn": "t",
        "attempt": 1,
        "reason": "the customer was quiet for 10 s",
        "how": "single",
        "join_reason": "one message",
    }
    return TurnStarted(covers=covers, **{**given, **more})


def committed(*answers: int, at_ms: int = MS, **more: Any) -> ReplyCommitted:
    return ReplyCommitted(
        at_ms=at_ms,
        reply_id="r",
        turn="t",
        answers=answers,
        text="answer",
        channel="chatwoot",
        after_message_id="1",
        **more,
    )


def sent(at_ms: int = MS) -> ReplySent:
    return ReplySent(at_ms=at_ms, reply_id="r", answers=(1,), channel_message_id="9", how="sent")


def part_sent(part: int, at_ms: int = MS) -> PartSent:
    return PartSent(at_ms=at_ms, reply_id="r", part=part, channel_message_id="9", how="sent")


def after(*events: Event) -> State:
    state = State()
    for seq, event in enumerate(events, start=1):
        state = apply(state, seq, event)
    return state


TWO = (received(MS), received(MS + 4_000, "2"))
SILENCED = "the conversation is assigned to a person"

TABLE: list[tuple[str, Sequence[Event], Event, dict[str, int]]] = [
    (
        "a first message",
        (),
        received(MS, text="hello"),
        {"messages": 1, "message_chars": 5},
    ),
    (
        "another message of the thought",
        (received(MS),),
        received(MS + 4_000, "2"),
        {"messages": 1, "message_chars": 5, "interval_ms:4000": 1, "interval_ms:sum": 4_000},
    ),
    (
        "a message long after the last one",
        (received(MS),),
        received(MS + 40_000, "2"),
        {"messages": 1, "message_chars": 5},
    ),
    (
        "pictures alone",
        (),
        received(MS, text="", attachments=(Attachment("image"), Attachment("audio"))),
        {"messages": 1, "attachments": 2},
    ),
    (
        "a message that was found",
        (received(MS),),
        msgspec.structs.replace(received(MS + 4_000, "2"), how="caught up", written_ms=MS),
        {"messages": 1, "message_chars": 5, "caught_up": 1},
    ),
    (
        "a message that was found too late",
        (received(MS),),
        MessageMissed(at_ms=MS, message=message("2"), written_ms=MS, reason="Bia had answered"),
        {"missed": 1},
    ),
    ("an amended message", TWO, MessageAmended(at_ms=MS, message=message("1")), {}),
    ("typing", TWO, CustomerTyping(at_ms=MS, on=True), {}),
    ("a standing", TWO, StandingSeen(at_ms=MS, standing=Standing()), {}),
    (
        "a person's answer",
        TWO,
        PersonReplied(at_ms=MS, person=FromPerson("7", "hi", "user")),
        {"person_replies": 1},
    ),
    ("a pause", TWO, Paused(at_ms=MS, by="me", reason="free text"), {"pauses": 1}),
    ("its end", TWO, Resumed(at_ms=MS, by="me"), {"resumes": 1}),
    (
        "a turn",
        TWO,
        started(1, 2, how="blank line"),
        {"turns": 1, "drafts": 1, "began:quiet": 1, "joined:blank_line": 1},
    ),
    (
        "an early draft",
        TWO,
        started(1, 2, early=True, reason="early: the window closes in 2.0 s", how="space"),
        {"turns": 1, "drafts": 1, "began:early": 1, "joined:space": 1},
    ),
    (
        "a draft over more messages",
        (*TWO, started(1)),
        started(1, 2, how="space"),
        {"drafts": 1, "began:quiet": 1, "joined:space": 1},
    ),
    (
        "a draft after a failure",
        (*TWO, started(1)),
        started(1, attempt=2),
        {"drafts": 1, "began:again": 1},
    ),
    (
        "reasons of a later release",
        TWO,
        started(1, 2, reason="the moon is full", how="a poem"),
        {"turns": 1, "drafts": 1, "began:other": 1, "joined:other": 1},
    ),
    (
        "an early draft thrown away",
        (*TWO, started(1, early=True)),
        TurnSuperseded(at_ms=MS, turn="t", by=2, early=True, tokens_wasted=120),
        {"superseded_early": 1, "tokens_wasted_early": 120},
    ),
    (
        "a draft thrown away",
        (*TWO, started(1)),
        TurnSuperseded(at_ms=MS, turn="t", by=2, tokens_wasted=120),
        {"superseded": 1, "tokens_wasted_superseded": 120},
    ),
    (
        "a failure of the model",
        (*TWO, started(1)),
        TurnFailed(at_ms=MS, turn="t", attempt=1, error="503", retry_at_ms=MS),
        {"model_failures": 1},
    ),
    (
        "an interrupted draft",
        (*TWO, started(1)),
        TurnInterrupted(at_ms=MS, turn="t", reason="a deploy"),
        {"interrupted": 1},
    ),
    (
        "messages left to people",
        (*TWO, started(1)),
        LeftUnanswered(at_ms=MS, seqs=(1, 2), reason=SILENCED, turn="t", tokens_wasted=80),
        {"left:assigned": 2, "tokens_wasted_cancelled": 80},
    ),
    (
        "a promise about one message",
        TWO,
        committed(1, tokens_in=500, tokens_out=40),
        {"batch_size:1": 1, "batch_size:sum": 1, "tokens_in": 500, "tokens_out": 40},
    ),
    (
        "a promise with tools and files read",
        TWO,
        committed(
            1,
            tokens_in=500,
            tools=(ToolRun("stock", 20), ToolRun("price", 30, "timeout")),
            read=(Read(1, "a menu"),),
        ),
        {
            "batch_size:1": 1,
            "batch_size:sum": 1,
            "tokens_in": 500,
            "tool_calls": 2,
            "tool_failures": 1,
            "tool_ms": 50,
            "attachments_read": 1,
        },
    ),
    (
        "a promise about two messages",  # 'hello' is 2 tokens: (300 - 4) + 2
        TWO,
        committed(1, 2, tokens_in=300),
        {
            "batch_size:2": 1,
            "batch_size:sum": 2,
            "tokens_in": 300,
            "tokens_saved_by_joining": 298,
        },
    ),
    (
        "a reply",
        (*TWO, committed(1, 2, at_ms=MS + 14_000)),
        sent(MS + 15_000),
        {
            "parts_sent": 1,
            "replies": 1,
            "wait_from_last_ms:12000": 1,
            "wait_from_last_ms:sum": 11_000,
            "wait_from_first_ms:15000": 1,
            "wait_from_first_ms:sum": 15_000,
        },
    ),
    (
        "the first part of a reply",
        (*TWO, committed(1, 2, parts=("a", "b"))),
        part_sent(0, MS + 5_000),
        {
            "parts_sent": 1,
            "replies": 1,
            "wait_from_last_ms:1000": 1,
            "wait_from_last_ms:sum": 1_000,
            "wait_from_first_ms:5000": 1,
            "wait_from_first_ms:sum": 5_000,
        },
    ),
    (
        "its last part",
        (*TWO, committed(1, 2, parts=("a", "b")), part_sent(0)),
        sent(),
        {"parts_sent": 1},
    ),
    ("a reply that nobody knows of", (), sent(), {"parts_sent": 1}),
    (
        "a part that was not taken",
        (*TWO, committed(1, 2)),
        SendFailed(at_ms=MS, reply_id="r", attempt=1, error="502", doubtful=True, retry_at_ms=MS),
        {"send_failures": 1},
    ),
    ("in doubt", (), SendDoubted(at_ms=MS, reply_id="r", part=0, choice="hold", reason="?"), {}),
    ("taken over", (), ReplyResumed(at_ms=MS, reply_id="r", attempt=1), {}),
    ("too late", (), ReplyHeld(at_ms=MS, reply_id="r", reason="too late"), {}),
    ("tried again", (), Revived(at_ms=MS, letter=4, by="api", messages=()), {"revived": 1}),
    ("discarded", (), Discarded(at_ms=MS, letter=4, by="api"), {"discarded": 1}),
    (
        "a hand-over",
        (*TWO, committed(1, 2, hand_over="asks for Ana")),
        HandedOver(at_ms=MS, reply_id="r", answers=(1, 2), reason="asks for Ana"),
        {"hand_overs": 1},
    ),
    (
        "a reply withheld",
        (*TWO, committed(1, 2)),
        ReplyWithheld(at_ms=MS, reply_id="r", answers=(1, 2), reason="Ana answered"),
        {"withheld:person": 1},
    ),
    (
        "dead letters",
        TWO,
        SetAside(at_ms=MS, seqs=(1, 2), reason="its process died 3 times in this turn"),
        {"set_aside:process_died": 2},
    ),
    (
        "dead letters that a person made",
        TWO,
        SetAside(at_ms=MS, seqs=(1,), reason="discarded by hand"),
        {"set_aside:other": 1},
    ),
]


@pytest.mark.parametrize(
    ("before", "event", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_an_event_adds(
    before: Sequence[Event], event: Event, expected: dict[str, int]
) -> None:
    found = increments(after(*before), event)
    assert found == expected
    assert set(found) <= FIELDS


def test_every_event_has_its_row() -> None:
    assert {type(row[2]) for row in TABLE} == set(Event.__args__)


def test_an_unreadable_event_adds_nothing() -> None:
    assert increments(State(), Unknown(b"?")) == {}


# The sentences that the rules make, held to their kinds.

OPENED = [Open(1, MS, message("1"))]


@pytest.mark.parametrize(
    ("memory", "opened", "pace", "now_ms", "kind"),
    [
        (Memory(), OPENED, Pace(), MS + 10_000, "quiet"),
        (Memory(typed_ms=MS + 1), OPENED, Pace(), MS + 11_000, "quiet"),
        (Memory(typing_ms=MS), OPENED, Pace(), MS + TYPING_LASTS_MS, "quiet"),
        (Memory(), OPENED, Pace(learned=True), MS + 30_000, "quiet"),
        (Memory(), OPENED, Pace(first_window_ms=5_000), MS + 5_000, "quiet"),
        (Memory(), OPENED, Pace(quiet_window_ms=40_000), MS + 30_000, "longest_wait"),
        (Memory(), OPENED * 20, Pace(), MS, "largest_batch"),
    ],
)
def test_why_a_turn_began_has_its_kind(
    memory: Memory, opened: list[Open], pace: Pace, now_ms: int, kind: str
) -> None:
    closing = closes(opened, memory, pace, now_ms)
    assert closing.closed
    found = increments(State(), started(1, reason=closing.reason))
    assert BEGAN.shown(found) == {**BEGAN.shown({}), kind: 1}


def person(how: str) -> Taken | None:
    spoke = PersonReplied(at_ms=MS, person=FromPerson("7", "hi", how, "Ana"))
    return remember(Memory(), 1, spoke).taken


def opened_by_a_person() -> Taken | None:
    memory = remember(Memory(), 1, StandingSeen(at_ms=MS, standing=Standing(status="pending")))
    opened = StandingSeen(at_ms=MS, standing=Standing(status="open"))
    return remember(memory, 2, opened).taken


def handed_over() -> Taken | None:
    event = HandedOver(at_ms=MS, reply_id="r", answers=(1,), reason="asks for Ana")
    return remember(Memory(), 1, event).taken


@pytest.mark.parametrize(
    ("memory", "kind"),
    [
        (Memory(pause=Pause("lunch: back\nat 2")), "paused"),
        (Memory(standing=Standing(blocked=True)), "blocked"),
        (Memory(standing=Standing(can_reply=False)), "no_reply"),
        (Memory(standing=Standing(labels=("human",))), "label"),
        (Memory(standing=Standing(assignee="user")), "assigned"),
        (Memory(standing=Standing(status="snoozed")), "status"),
        (Memory(taken=person("user")), "person"),
        (Memory(taken=person("phone app")), "person"),
        (Memory(taken=opened_by_a_person()), "person"),
        (Memory(taken=handed_over()), "handed_over"),
    ],
)
def test_why_the_bot_was_silent_has_its_kind(memory: Memory, kind: str) -> None:
    silent = silence(memory, Manners(stop_labels=("human",)), MS)
    assert silent is not None
    left = LeftUnanswered(at_ms=MS, seqs=(1,), reason=silent.reason)
    assert increments(State(), left) == {f"left:{kind}": 1}
    held = ReplyWithheld(at_ms=MS, reply_id="r", answers=(1,), reason=silent.reason)
    assert increments(State(), held) == {f"withheld:{kind}": 1}


def test_why_a_channel_failed_has_its_kind() -> None:
    reply = after(*TWO, committed(1, 2)).reply
    assert reply is not None
    given_up = after_send_failure(
        msgspec.structs.replace(reply, failures=99), "502", jitter=0, asked_s=None, now_ms=MS
    )
    assert isinstance(given_up, PutAside)
    aside = SetAside(at_ms=MS, seqs=(1,), reason=given_up.reason)
    assert increments(State(), aside) == {"set_aside:channel_failed": 1}


# Tokens.


@settings(max_examples=40)
@given(
    texts=st.lists(st.text(max_size=400), min_size=1, max_size=20),
    other=st.integers(1, 5_000),
)
def test_joining_saves_what_further_calls_would_have_read_again(
    texts: list[str], other: int
) -> None:
    """One call per message, played: each reads the instructions and all messages up to its own."""
    own = [tokens(text) for text in texts]
    apart = sum(other + sum(own[:place]) for place in range(1, len(own) + 1))
    together = other + sum(own)
    assert tokens_saved(together, texts) == apart - together


@settings(max_examples=40)
@given(
    texts=st.lists(st.text(max_size=400), min_size=1, max_size=20),
    call=st.integers(0, 5_000),
)
def test_the_estimate_is_never_negative_and_nothing_alone(texts: list[str], call: int) -> None:
    assert tokens_saved(call, texts) >= 0
    assert tokens_saved(call, texts[:1]) == 0
    assert tokens_saved(0, texts) == 0


# Whole conversations.


@st.composite
def conversations(draw: st.DrawFn) -> list[Event]:
    """Bursts of messages, each answered by a turn in one or several parts."""
    events: list[Event] = []
    at_ms, seq = MS, 0
    for burst in draw(st.lists(st.integers(1, 25), min_size=1, max_size=6)):
        covers = []
        for interval in draw(st.lists(st.integers(0, 60_000), min_size=burst, max_size=burst)):
            at_ms, seq = at_ms + interval, seq + 1
            events.append(received(at_ms, str(seq), draw(st.text(max_size=30))))
            covers.append(len(events))
        turn, parts = f"t{seq}", draw(st.integers(1, 3))
        events.append(started(*covers, at_ms=at_ms, turn=turn))
        at_ms += draw(st.integers(0, 40_000))
        promise = committed(*covers, at_ms=at_ms, tokens_in=draw(st.integers(0, 2_000)))
        events.append(msgspec.structs.replace(promise, turn=turn, parts=tuple("abc"[:parts])))
        events.extend(part_sent(part, at_ms) for part in range(parts - 1))
        events.append(sent(at_ms))
    return events


@settings(max_examples=30)
@given(conversations(), st.data())
def test_totals_are_sums_and_the_buckets_agree_with_them(
    events: list[Event], data: st.DataObject
) -> None:
    state, counted = State(), list[dict[str, int]]()
    for seq, event in enumerate(events, start=1):
        counted.append(increments(state, event))
        state = apply(state, seq, event)
    total = totalled(counted)
    cut = data.draw(st.integers(0, len(counted)))
    assert total == totalled([totalled(counted[:cut]), totalled(counted[cut:])])
    assert set(total) <= FIELDS
    assert min(total.values()) > 0

    arrivals = [event.at_ms for event in events if isinstance(event, MessageReceived)]
    replies = sum(isinstance(event, ReplySent) for event in events)
    assert total["messages"] == len(arrivals) == BATCHES.total(total)
    assert total["replies"] == replies == BATCHES.count(total)
    assert replies == WAITS_LAST.count(total) == WAITS_FIRST.count(total)
    assert BEGAN.total(total) == total["drafts"] == total["turns"] == replies
    assert WAITS_LAST.total(total) <= WAITS_FIRST.total(total)
    within = sum(later - sooner <= 30_000 for sooner, later in pairwise(arrivals))
    assert INTERVALS.count(total) <= within
    said = figures(total)
    assert said["batches"]["success"] is None or 0 <= said["batches"]["success"] <= 1
