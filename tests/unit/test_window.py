"""How long a customer must be quiet: the company's window, the learned one, and its closing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.channels.message import Message
from actors.conversation.events import (
    CustomerTyping,
    Event,
    MessageReceived,
    ReplyCommitted,
    ReplySent,
    TurnStarted,
)
from actors.conversation.memory import (
    ANSWERS_MAX,
    INTERVALS_MAX,
    THOUGHTS_MAX,
    Memory,
    Rhythm,
    remember,
)
from actors.conversation.pace import Pace
from actors.conversation.shape import PARAGRAPH_CHARS, Shape, shape_of
from actors.conversation.state import Open
from actors.conversation.window import TYPING_LASTS_MS, closes, goes_on, window_of

START_MS = 1_760_000_000_000
LEARNED = Pace(learned=True)
LONG = "We have waited for the parcel since Monday and nobody at the office can say where it is, "


def said(*messages: tuple[int, str]) -> list[Open]:
    return [
        Open(seq, START_MS + at_ms, Message(str(seq), text, "chatwoot"))
        for seq, (at_ms, text) in enumerate(messages, start=1)
    ]


def knows(
    intervals_s: tuple[float, ...] = (), thoughts: tuple[int, ...] = (), model_s: float = 0
) -> Memory:
    rhythm = Rhythm(intervals_ms=tuple(round(s * 1_000) for s in intervals_s), thoughts=thoughts)
    answers_ms = (round(model_s * 1_000),) if model_s else ()
    return Memory(rhythm=rhythm, begun=True, answers_ms=answers_ms)


FAST = knows((1, 2, 3, 2, 1, 2), (3, 2, 4, 1))
SLOW = knows((8, 10, 12, 9, 14, 11), (3, 2, 4, 1))
LONE = knows((), (1, 1, 1, 1, 1))


def learned_ms(memory: Memory, text: str = "the blue one", pace: Pace = LEARNED) -> int:
    return window_of(said((0, text)), memory, pace).length_ms


# The shape of a text.


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", "nothing"),
        ("👍", "nothing"),
        ("48213", "nothing"),
        ("talla mediana color azul", "nothing"),
        ("solo uno", "nothing"),
        ("si", "nothing"),
        ("no tengo", "nothing"),
        ("where are you from", "nothing"),
        ("no funciona :(", "nothing"),
        ("I paid! :-)", "finished"),
        ("Hola", "greeting"),
        ("hola, buenos días!", "greeting"),
        ("Good morning 😊", "greeting"),
        ("Oi, tudo bem?", "greeting"),
        ("Hola, quiero una cita", "nothing"),
        ("quería preguntar por la", "unfinished"),
        ("I saw your ad and", "unfinished"),
        ("preciso de um horário para", "unfinished"),
        ("if I pay by card,", "unfinished"),
        ("tengo dos dudas:", "unfinished"),
        ("let me see...", "unfinished"),
        ("el otro (el azul", "unfinished"),
        ("¿cuánto cuesta?", "question"),
        ("e o frete? 🙏", "question"),
        ("muchas gracias", "closing"),
        ("Thanks for your help.", "closing"),
        ("obrigada!", "closing"),
        (LONG * 3 + "so please call. Thanks a lot", "closing"),
        ("Thanks. The parcel that came was not mine", "nothing"),
        ("thank you, but the parcel that came yesterday was not mine", "nothing"),
        ("Ya hice la transferencia.", "finished"),
        ("I paid!", "finished"),
        (LONG * 3 + "so please call.", "paragraph"),
        (" " * 5_000 + "¿cuándo?", "question"),
    ],
)
def test_the_end_of_a_text_has_a_shape(text: str, shape: Shape) -> None:
    assert shape_of(text) == shape


def test_a_paragraph_is_told_from_a_sentence_by_its_length() -> None:
    assert shape_of("a" * (PARAGRAPH_CHARS - 2) + ".") == "finished"
    assert shape_of("a" * (PARAGRAPH_CHARS - 1) + ".") == "paragraph"


# The window of the company.


def test_a_fixed_pace_has_the_companys_window_whoever_writes() -> None:
    for memory in (Memory(), FAST, SLOW):
        window = window_of(said((0, "and")), memory, Pace(quiet_window_ms=6_500))
        assert (window.length_ms, window.reason) == (6_500, "6.5 s: the company's window")


def test_the_first_message_of_a_conversation_may_have_a_window_of_its_own() -> None:
    long = "the blue one, size medium, to the old address please"
    for learned in (False, True):
        pace = Pace(first_window_ms=2_000, learned=learned, quiet_window_ms=9_000)
        first = window_of(said((0, long)), Memory(), pace)
        assert first.length_ms == 2_000
        assert first.reason == "2 s: the company's window for a first message"
        assert window_of(said((0, long), (1_000, long)), Memory(), pace).length_ms == 9_000
        assert window_of(said((0, long)), Memory(begun=True), pace).length_ms == 9_000


# The learned window.


@pytest.mark.parametrize(
    ("text", "window_s"),
    [
        ("the blue one in size medium for the old address, you know", 10),
        ("I would like to ask about the order that I placed yesterday and", 15),
        ("Hola", 15),
        ("Could you tell me when the parcel that I ordered arrives?", 8),
        ("I would like it to be sent to the address of my office.", 8),
        ("the blue one", 6),
        ("when?", 4.8),
        ("thanks", 3.6),
    ],
)
def test_an_unknown_customer_has_the_companys_window_as_far_as_the_text_lets(
    text: str, window_s: float
) -> None:
    window = window_of(said((0, text)), Memory(), LEARNED)
    assert window.length_ms == window_s * 1_000
    fitted = "" if window_s == 10 else " of 10 s made to fit"
    assert window.reason.startswith(
        f"{window_s:g} s: the company's window{fitted}, this customer is not known yet"
    )


def test_an_unknown_customer_is_left_the_models_time_also_with_early_drafts() -> None:
    long = "the blue one in size medium for the old address, you know"
    early = Pace(learned=True, early_lead_ms=4_000)
    assert learned_ms(Memory(), long, early) == learned_ms(Memory(), long) + 4_000
    assert learned_ms(Memory(), "the blue one", early) == learned_ms(Memory(), "the blue one")


def test_it_is_known_from_two_thoughts_or_three_intervals_on() -> None:
    for memory, known in [
        (knows((), (1,)), False),
        (knows((2, 2), (2,)), False),
        (knows((), (1, 1)), True),
        (knows((2, 2, 2), (4,)), True),
    ]:
        reason = window_of(said((0, "the blue one")), memory, LEARNED).reason
        assert ("this customer is not known yet" not in reason) == known


def test_who_writes_slowly_is_waited_for_longer() -> None:
    assert learned_ms(FAST) < 7_000
    assert learned_ms(SLOW) > 12_000


def test_who_writes_single_messages_is_answered_soon() -> None:
    assert learned_ms(LONE) == LEARNED.window_min_ms


def test_the_text_lengthens_and_shortens_the_window() -> None:
    unfinished, nothing, question = (
        learned_ms(SLOW, text) for text in ("I want the", "the blue one", "which one?")
    )
    assert unfinished > nothing > question


def test_a_slow_model_needs_a_shorter_window() -> None:
    slow_model = knows(tuple(ms / 1_000 for ms in SLOW.rhythm.intervals_ms), (3, 2, 4, 1), 4)
    assert learned_ms(SLOW) - 4_500 <= learned_ms(slow_model) <= learned_ms(SLOW) - 3_500


def test_an_early_draft_takes_the_models_time_out_of_the_window() -> None:
    slow_model = knows(tuple(ms / 1_000 for ms in SLOW.rhythm.intervals_ms), (3, 2, 4, 1), 4)
    early = Pace(learned=True, early_lead_ms=4_000)
    assert abs(learned_ms(slow_model, pace=early) - learned_ms(SLOW)) <= 250


def test_the_reason_says_what_is_known() -> None:
    reasons = [
        window_of(said((0, text)), memory, LEARNED).reason.partition(": ")[2]
        for memory, text in [(FAST, "I want the"), (LONE, "when does it arrive?")]
    ]
    assert reasons == [
        "this customer's messages come 1 to 3 s apart (6 seen); 9 of 10 such messages are followed "
        "by another; the text ends unfinished",
        "how fast this customer writes is not known yet; 0 of 10 such messages are followed by "
        "another; the text ends with a question mark",
    ]


@pytest.mark.parametrize(
    ("thoughts", "written", "likely"),
    [((), 1, 0.5), ((1, 1, 1, 1), 1, 0.06), ((3, 3, 3, 3), 1, 0.89), ((3, 3, 3, 3), 3, 0.13)],
)
def test_earlier_thoughts_say_whether_this_one_goes_on(
    thoughts: tuple[int, ...], written: int, likely: float
) -> None:
    assert goes_on(thoughts, written) == pytest.approx(likely, abs=0.01)


# The closing.


def test_the_turn_begins_when_the_customer_was_quiet() -> None:
    open_ = said((0, "one"), (4_000, "two"))
    waits = closes(open_, Memory(), Pace(), START_MS + 13_999)
    assert (waits.closed, waits.at_ms) == (False, START_MS + 14_000)
    assert waits.reason == "the customer may be writing more"
    begins = closes(open_, Memory(), Pace(), START_MS + 14_000)
    assert (begins.closed, begins.reason) == (True, "the customer was quiet for 10 s")


def test_the_turn_begins_at_the_latest_after_the_longest_wait() -> None:
    open_ = said((0, "one"), (9_000, "two"), (18_000, "three"), (27_000, "four"))
    waits = closes(open_, Memory(), Pace(), START_MS + 29_999)
    assert (waits.closed, waits.at_ms) == (False, START_MS + 30_000)
    assert waits.reason == "the customer keeps writing, up to the longest wait"
    begins = closes(open_, Memory(), Pace(), START_MS + 30_000)
    assert begins.closed
    assert begins.reason == "the first message has waited 30 s, the longest wait"


def test_so_many_messages_begin_the_turn_at_once() -> None:
    open_ = said((0, "one"), (10, "two"), (20, "three"))
    begins = closes(open_, Memory(), Pace(largest_batch=3), START_MS + 20)
    assert (begins.closed, begins.at_ms) == (True, START_MS + 20)
    assert begins.reason == "3 messages, the largest batch"


@pytest.mark.parametrize(
    ("typing_ms", "typed_ms", "at_ms", "waits", "begins"),
    [
        (
            2_000,
            2_000,
            2_000 + TYPING_LASTS_MS,
            "the customer is typing",
            "the customer began to type 15 s ago and sent nothing",
        ),
        (
            0,
            7_000,
            17_000,
            "the customer was typing just now",
            "the customer stopped typing and was quiet for 10 s",
        ),
        (
            28_000,
            28_000,
            30_000,
            "the customer is typing, up to the longest wait",
            "the first message has waited 30 s, the longest wait",
        ),
        # Whoever began so long ago must have stopped: the window counts, not what was lost.
        (
            -9_000,
            -9_000,
            10_000,
            "the customer may be writing more",
            "the customer was quiet for 10 s",
        ),
    ],
)
def test_typing_extends_the_window_within_the_longest_wait(
    typing_ms: int, typed_ms: int, at_ms: int, waits: str, begins: str
) -> None:
    memory = Memory(
        typing_ms=typing_ms and START_MS + typing_ms, typed_ms=typed_ms and START_MS + typed_ms
    )
    open_ = said((0, "one"))
    before = closes(open_, memory, Pace(), START_MS + at_ms - 1)
    assert (before.closed, before.at_ms, before.reason) == (False, START_MS + at_ms, waits)
    after = closes(open_, memory, Pace(), START_MS + at_ms)
    assert (after.closed, after.reason) == (True, begins)


texts = st.sampled_from(
    ["Hola", "and", "when?", "thanks", "ok", "It came.", "the blue one", "", "("]
)
rhythms = st.builds(
    Rhythm,
    intervals_ms=st.lists(st.integers(0, 30_000), max_size=INTERVALS_MAX).map(tuple),
    thoughts=st.lists(st.integers(1, 40), max_size=THOUGHTS_MAX).map(tuple),
)
memories = st.builds(
    Memory,
    rhythm=rhythms,
    begun=st.booleans(),
    typing_ms=st.sampled_from([0, START_MS + 1_000, START_MS + 90_000]),
    typed_ms=st.sampled_from([0, START_MS + 1_000, START_MS + 90_000]),
    answers_ms=st.lists(st.integers(0, 60_000), max_size=ANSWERS_MAX).map(tuple),
)
paces = st.builds(
    Pace,
    quiet_window_ms=st.integers(0, 60_000),
    longest_wait_ms=st.integers(500, 60_000),
    window_min_ms=st.integers(0, 10_000),
    window_max_ms=st.integers(10_000, 40_000),
    early_lead_ms=st.integers(0, 40_000),
    largest_batch=st.integers(1, 10),
    learned=st.just(True),
)


@given(st.lists(st.tuples(st.integers(0, 60_000), texts), min_size=1, max_size=8), memories, paces)
def test_a_learned_window_keeps_its_bounds(
    messages: list[tuple[int, str]], memory: Memory, pace: Pace
) -> None:
    window = window_of(said(*sorted(messages)), memory, pace)
    assert window.length_ms <= min(pace.window_max_ms, pace.longest_wait_ms)
    assert window.length_ms >= min(pace.window_min_ms, pace.longest_wait_ms)


@given(
    st.lists(st.tuples(st.integers(0, 60_000), texts), min_size=1, max_size=8),
    memories,
    paces,
    st.lists(st.integers(0, 120_000), min_size=2, max_size=6),
)
def test_a_window_closes_once_within_the_longest_wait_and_stays_closed(
    messages: list[tuple[int, str]], memory: Memory, pace: Pace, times: list[int]
) -> None:
    open_ = said(*sorted(messages))
    last_ms = max(entry.at_ms for entry in open_)
    seen = [closes(open_, memory, pace, last_ms + after_ms) for after_ms in sorted(times)]
    assert [closing.closed for closing in seen] == sorted(closing.closed for closing in seen)
    assert len({closing.at_ms for closing in seen}) == 1
    first_ms = min(entry.at_ms for entry in open_)
    assert seen[0].at_ms <= max(first_ms + pace.longest_wait_ms, last_ms)
    assert closes(open_, memory, pace, max(seen[0].at_ms, last_ms)).closed


# What the memory keeps for it.


def lived(*events: Event) -> Memory:
    memory = Memory()
    for seq, event in enumerate(events, start=1):
        memory = remember(memory, seq, event)
    return memory


def wrote(at_s: float, text: str = "x") -> MessageReceived:
    return MessageReceived(at_ms=round(at_s * 1_000), message=Message("1", text, "chatwoot"))


def replied(at_s: float) -> ReplySent:
    return ReplySent(
        at_ms=round(at_s * 1_000), reply_id="r", answers=(1,), channel_message_id="c", how="sent"
    )


def test_thoughts_are_told_apart_by_a_pause_or_a_reply() -> None:
    rhythm = lived(wrote(1), wrote(3), replied(15), wrote(25), wrote(90), wrote(92)).rhythm
    assert (rhythm.thoughts, rhythm.thought, rhythm.intervals_ms) == ((2, 1), 2, (2_000, 2_000))


def test_a_message_begun_before_the_reply_belongs_to_the_thought_that_we_cut_in_on() -> None:
    for text, at_s, cut_in in [("x", 14, True), ("x", 19, False), ("x" * 300, 19, True)]:
        rhythm = lived(wrote(1), replied(10), wrote(at_s, text)).rhythm
        assert (rhythm.thought == 2) == cut_in


def test_the_model_is_timed_from_the_last_start_unless_that_was_early() -> None:
    def started(at_s: int, *, early: bool = False) -> TurnStarted:
        return TurnStarted(
            at_ms=at_s * 1_000,
            turn="t",
            covers=(1,),
            attempt=1,
            reason="",
            how="",
            join_reason="",
            early=early,
        )

    def promised(at_s: int) -> ReplyCommitted:
        return ReplyCommitted(
            at_ms=at_s * 1_000,
            reply_id="r",
            turn="t",
            answers=(1,),
            text="",
            channel="chatwoot",
            after_message_id="1",
        )

    assert lived(started(1), started(3), promised(7)).answers_ms == (4_000,)
    assert lived(started(1), started(3, early=True), promised(7)).answers_ms == ()
    many = [event for at_s in range(0, 90, 9) for event in (started(at_s + 1), promised(at_s + 3))]
    assert lived(*many).answers_ms == (2_000,) * ANSWERS_MAX


def test_what_is_remembered_of_a_customer_is_bounded() -> None:
    messages = [wrote(60 * thought + second) for thought in range(1, 30) for second in range(5)]
    memory = lived(*messages, CustomerTyping(at_ms=2_000_000, on=True))
    assert len(memory.rhythm.intervals_ms) == INTERVALS_MAX
    assert memory.rhythm.thoughts == (5,) * THOUGHTS_MAX
