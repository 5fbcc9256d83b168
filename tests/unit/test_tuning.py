"""What a company's recorded traffic speaks for: window and joining threshold (R1.4, R1.5)."""

import pytest

from actors.channels.message import Message
from actors.conversation.events import (
    Event,
    LeftUnanswered,
    MessageReceived,
    ReplyCommitted,
    ReplySent,
    TurnStarted,
    encode,
)
from actors.conversation.pace import Pace
from actors.conversation.tuning import (
    JOIN_CHARS_MAX,
    THOUGHTS_MIN,
    Thought,
    as_text,
    observations,
    recommend,
)
from actors.journal.entries import Entry


def thoughts(
    count: int,
    size: int = 1,
    *,
    interval_s: float = 10,
    chars: int = 340,
    whole: float = 1.0,
    apart: bool = False,
) -> list[Thought]:
    """So many thoughts of this size; the first `whole` part of them was answered whole."""
    at_ms = tuple(round(place * interval_s * 1_000) for place in range(size))
    return [
        Thought(at_ms, (chars,) * size, whole=number < round(whole * count), apart=apart)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("public", "now_s", "then_s", "because"),
    [
        # Few bursts answered whole: wider, by the intervals.
        ([*thoughts(60, 3, interval_s=10, whole=0.1)], 3, 12, "6 of 60 (10%)"),
        ([*thoughts(60, 3, interval_s=13.2, whole=0.1)], 10, 13.5, "less than 30%: widen"),
        ([*thoughts(60, 3, interval_s=17, whole=0)], 10, 15, "0 of 60 (0%)"),
        ([*thoughts(60, 3, whole=0)], 14, 14, "stay: it is as wide as it may be"),
        ([*thoughts(60, 3, whole=0)], 20, 20, "stay"),
        # Mostly single messages: narrower, by the intervals.
        ([*thoughts(90), *thoughts(10, 2, interval_s=2)], 10, 7, "90 of 100 (90%)"),
        ([*thoughts(90), *thoughts(10, 2, interval_s=7.3)], 10, 7.5, "80% or more: narrow"),
        ([*thoughts(90), *thoughts(10, 2, interval_s=20)], 10, 8, "narrow"),
        ([*thoughts(100)], 10, 7, "100 of 100 (100%)"),
        ([*thoughts(100)], 5, 5, "stay: it is as narrow as it may be"),
        # Bursts come first: whoever cuts in on them is not helped by a narrower window.
        ([*thoughts(160), *thoughts(40, 2, whole=0.1)], 10, 12, "widen"),
        # Neither.
        ([*thoughts(40), *thoughts(40, 3, whole=0.6)], 10, 10, "24 of 40 (60%)"),
        ([*thoughts(85), *thoughts(15, 9, interval_s=2)], 10, None, "20 are needed"),
        # What the joining rule kept apart says nothing about the window.
        ([*thoughts(60, 3, whole=0, apart=True)], 10, None, "0 thoughts of several messages that"),
    ],
)
def test_the_window(
    public: list[Thought], now_s: float, then_s: float | None, because: str
) -> None:
    found = recommend(public, Pace(quiet_window_ms=round(now_s * 1_000)))
    assert found.quiet_window_s == then_s
    assert because in found.reasons[0]


def test_no_window_is_recommended_above_the_longest_wait() -> None:
    found = recommend(thoughts(60, 3, whole=0), Pace(quiet_window_ms=3_000, longest_wait_ms=9_000))
    assert found.quiet_window_s == 9


@pytest.mark.parametrize(
    ("chars", "now", "then"),
    [
        (377, 100, 400),  # R1.5: it was 100, typical messages have 306 to 377
        (306, 100, 400),
        (399, 100, 400),
        (400, 100, 500),
        (340, 400, 400),
        (30, 400, 400),  # a lower one would join nothing less of what was seen
        (9_000, 400, JOIN_CHARS_MAX),
    ],
)
def test_the_joining_threshold(chars: int, now: int, then: int) -> None:
    found = recommend(thoughts(60, 2, chars=chars), Pace(join_max_avg_chars=now))
    assert found.join_max_avg_chars == then


def test_a_few_long_thoughts_do_not_raise_the_threshold() -> None:
    public = [*thoughts(95, 2, chars=200), *thoughts(5, 2, chars=900)]
    assert recommend(public, Pace()).join_max_avg_chars == 400


def test_with_too_few_observations_it_says_how_many_are_needed() -> None:
    found = recommend(thoughts(THOUGHTS_MIN - 1, 3, whole=0), Pace())
    assert (found.quiet_window_s, found.join_max_avg_chars) == (None, None)
    assert found.reasons == ("49 thoughts are recorded; 50 are needed",)
    assert recommend([], Pace()).figures.thoughts == 0
    lone = recommend(thoughts(60), Pace())
    assert lone.join_max_avg_chars is None
    assert "20 are needed to speak of joining" in lone.reasons[1]


def test_a_person_is_shown_the_figures_and_the_change() -> None:
    pace = Pace(quiet_window_ms=3_000, learned=True)
    text = as_text(recommend([*thoughts(5), *thoughts(60, 3, whole=0.1)], pace), pace)
    assert text.splitlines() == [
        "thoughts recorded   65, 5 of them one message",
        "answered whole      6 of 60 thoughts that may be joined",
        "intervals           1 of 10 up to 10.0 s, 5 of 10 up to 10.0 s, 8 of 10 up to 10.0 s, "
        "9 of 10 up to 10.0 s",
        "characters, average 1 of 10 up to 340, 5 of 10 up to 340, 8 of 10 up to 340, "
        "9 of 10 up to 340",
        "",
        "quiet_window_s      3 -> 12",
        "join_max_avg_chars  400 (stays)",
        "  6 of 60 (10%) thoughts of several messages were answered whole, less than 30%: widen",
        "  the pace is learned: the quiet window is that of customers who are not known yet",
        "  9 of 10 thoughts of several messages average 340 characters or less: the threshold "
        "joins them already",
    ]
    assert "10 (no recommendation)" in as_text(recommend([], Pace()), Pace())


# From the journal.


def wrote(at_s: float, text: str = "x") -> MessageReceived:
    return MessageReceived(at_ms=round(at_s * 1_000), message=Message("1", text, "chatwoot"))


def answered(at_s: float, *seqs: int) -> list[Event]:
    at_ms, name = round(at_s * 1_000), f"r{seqs[0]}"
    promise = ReplyCommitted(
        at_ms=at_ms,
        reply_id=name,
        turn="t",
        answers=seqs,
        text="",
        channel="chatwoot",
        after_message_id="1",
    )
    sent = ReplySent(at_ms=at_ms, reply_id=name, answers=seqs, channel_message_id="c", how="sent")
    return [promise, sent]


def started(at_s: float, how: str, *seqs: int) -> TurnStarted:
    return TurnStarted(
        at_ms=round(at_s * 1_000),
        turn="t",
        covers=seqs,
        attempt=1,
        reason="",
        how=how,
        join_reason="",
    )


def journal(*events: Event) -> list[Entry]:
    return [Entry(seq, encode(event)) for seq, event in enumerate(events, start=1)]


def test_thoughts_are_read_from_the_journal() -> None:
    entries = journal(
        wrote(1, "ab"),  # 1
        wrote(5, "abcd"),  # 2
        started(15, "space", 1, 2),
        *answered(19, 1, 2),
        wrote(60),  # 6
        *answered(74, 6),
        wrote(76),  # 9: cut in on
        *answered(90, 9),
    )
    assert observations(entries) == [
        Thought((1_000, 5_000), (2, 4), whole=True),
        Thought((60_000, 76_000), (1, 1), whole=False),
    ]


def test_what_was_kept_apart_is_told() -> None:
    entries = journal(
        wrote(1), wrote(5), started(15, "apart", 1), *answered(19, 1), *answered(23, 2)
    )
    assert [(thought.whole, thought.apart) for thought in observations(entries)] == [(False, True)]


def test_what_nobody_or_a_person_answered_is_left_out_and_so_is_what_cannot_be_read() -> None:
    entries = journal(wrote(1), LeftUnanswered(at_ms=2_000, seqs=(1,), reason="paused"), wrote(90))
    assert observations([*entries, Entry(4, b"{not an event")]) == []
    assert observations([]) == []


def test_a_journal_whose_beginning_was_trimmed_is_read_from_where_it_begins() -> None:
    entries = journal(wrote(1), *answered(11, 1), wrote(60), *answered(70, 4))[1:]
    assert observations(entries) == [Thought((60_000,), (1,), whole=True)]
