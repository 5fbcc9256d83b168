"""Decides how long a customer must be quiet before their turn begins, and whether it does."""

import math
from collections.abc import Sequence

import msgspec

from actors.conversation.memory import Memory
from actors.conversation.pace import Pace
from actors.conversation.shape import SAID, Shape, shape_of
from actors.conversation.state import Open

INTERVALS_MIN = 3
"""With fewer intervals of the customer, the company's window says how long they take."""

THOUGHTS_MIN = 2
"""With fewer completed thoughts, nothing is said about how often this customer goes on."""

CUT_IN_COSTS_MS = 20_000
"""Speaking before the customer has finished is held to be as bad as letting them wait so much
longer: they get an answer to half of what they said, and another one soon after it."""

PRIOR_WEIGHT = 1.5
"""What is not known of a customer counts like so many thoughts of which every second goes on."""

MARGIN = 1.15
"""A customer's next interval may be a little longer than those seen: so much is added to them."""

TYPING_LASTS_MS = 15_000
"""A customer who began to type and did not say that they stopped has, after so long: the end of
typing can be lost."""

GRAIN_MS = 100
"""Learned windows are whole tenths of a second."""

ASSUMED = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Where a customer's intervals are not known, they are taken to be these parts of the company's
window: it was chosen to hold their messages together."""

# How the shape of the last text changes the odds that another message follows: to one that says
# nothing. A company with too few observations stretches its own window by STRETCH instead.
ODDS: dict[Shape, float] = {
    "nothing": 1.0,
    "greeting": 4.0,
    "unfinished": 6.0,
    "closing": 0.3,
    "question": 0.35,
    "paragraph": 0.6,
    "finished": 0.5,
}
STRETCH: dict[Shape, float] = {
    "nothing": 1.0,
    "greeting": 1.2,
    "unfinished": 1.4,
    "closing": 0.6,
    "question": 0.6,
    "paragraph": 0.8,
    "finished": 0.8,
}


MAY_WRITE_MORE = "the customer may be writing more"


class Window(msgspec.Struct, frozen=True):
    """How long the customer must be quiet now, and why, in one sentence for the operator."""

    length_ms: int
    reason: str


class Closing(msgspec.Struct, frozen=True):
    """Whether the turn begins now; if not, when it does unless something happens, and why."""

    closed: bool
    at_ms: int
    reason: str
    window: Window


def window_of(open_: Sequence[Open], memory: Memory, pace: Pace) -> Window:
    """The window after the last of these messages; at least one, in the journal's order.

    A learned one lies between `window_min_ms` and `window_max_ms`, never over `longest_wait_ms`.
    """
    if pace.first_window_ms is not None and not memory.begun and len(open_) == 1:
        return _told(pace.first_window_ms, "the company's window for a first message")
    if not pace.learned:
        return _told(pace.quiet_window_ms, "the company's window")
    shape = shape_of(open_[-1].message.text)
    rhythm = memory.rhythm
    if len(rhythm.thoughts) < THOUGHTS_MIN and len(rhythm.intervals_ms) < INTERVALS_MIN:
        length_ms = pace.quiet_window_ms * STRETCH[shape]
        why = "the company's window, this customer is not known yet"
    else:
        length_ms, why = _learned(shape, len(open_), memory, pace)
    if SAID[shape]:
        why = f"{why}; {SAID[shape]}"
    return _told(_within(pace, length_ms), why)


def _told(length_ms: int, why: str) -> Window:
    return Window(length_ms, f"{length_ms / 1_000:g} s: {why}")


def _within(pace: Pace, length_ms: float) -> int:
    upper_ms = min(pace.window_max_ms, pace.longest_wait_ms)
    lower_ms = min(pace.window_min_ms, upper_ms)
    return round(max(lower_ms, min(math.ceil(length_ms / GRAIN_MS) * GRAIN_MS, upper_ms)))


def _learned(shape: Shape, written: int, memory: Memory, pace: Pace) -> tuple[float, str]:
    """The window that costs this customer least, and what is known of them.

    Whoever waits for another message that does not come has waited the window for nothing; whoever
    does not wait for one that comes has cut in. Tried are the least window and each interval seen.
    """
    rhythm = memory.rhythm
    known = len(rhythm.intervals_ms) >= INTERVALS_MIN
    assumed_ms = [] if known else [round(pace.quiet_window_ms * part) for part in ASSUMED]
    intervals_ms = [*rhythm.intervals_ms, *assumed_ms]
    share = goes_on(rhythm.thoughts, written)
    odds = ODDS[shape] * share / (1 - share)
    chance = odds / (1 + odds)

    model_ms = 0 if pace.early_lead_ms else _usual(memory.answers_ms)

    def cost_ms(window_ms: int) -> float:
        reply_ms = max(window_ms + model_ms, pace.early_lead_ms)
        late = sum(interval_ms > reply_ms for interval_ms in intervals_ms)
        cut_in = (late + 0.5) / (len(intervals_ms) + 1)
        return chance * cut_in * CUT_IN_COSTS_MS + (1 - chance) * reply_ms

    lead_ms = _within(pace, pace.early_lead_ms)
    windows = {lead_ms, *(_within(pace, each * MARGIN - model_ms) for each in intervals_ms)}
    # Of windows that cost the same the longest: an early draft is not ready before.
    length_ms = min(sorted(windows, reverse=True), key=cost_ms)
    apart = (
        f"this customer's messages come {min(intervals_ms) / 1_000:.0f} to "
        f"{max(intervals_ms) / 1_000:.0f} s apart ({len(intervals_ms)} seen)"
        if known
        else "how fast this customer writes is not known yet"
    )
    return length_ms, f"{apart}; {10 * chance:.0f} of 10 such messages are followed by another"


def _usual(answers_ms: Sequence[int]) -> int:
    """The middle one of these times, 0 where there is none."""
    return sorted(answers_ms)[(len(answers_ms) - 1) // 2] if answers_ms else 0


def goes_on(thoughts: Sequence[int], written: int) -> float:
    """How likely a thought of so many messages goes on, by the sizes of those before; in (0, 1)."""
    messages = sum(thoughts)
    overall = (messages - len(thoughts) + PRIOR_WEIGHT / 2) / (messages + PRIOR_WEIGHT)
    as_long = sum(size >= written for size in thoughts)
    longer = sum(size > written for size in thoughts)
    return (longer + PRIOR_WEIGHT * overall) / (as_long + PRIOR_WEIGHT)


def closes(open_: Sequence[Open], memory: Memory, pace: Pace, now_ms: int) -> Closing:
    """Whether the turn of these messages begins now; at least one, in the journal's order.

    All that wait count, also those that will not be joined: the customer is still writing.
    """
    window = window_of(open_, memory, pace)
    if len(open_) >= pace.largest_batch:
        full_ms = min(now_ms, max(entry.at_ms for entry in open_))
        return Closing(True, full_ms, f"{len(open_)} messages, the largest batch", window)
    longest_ms = min(entry.at_ms for entry in open_) + pace.longest_wait_ms
    last_ms = max(entry.at_ms for entry in open_)
    at_ms, was, waits = _quiet(window, last_ms, memory)
    if at_ms > longest_ms:
        at_ms = longest_ms
        was = f"the first message has waited {pace.longest_wait_ms / 1_000:g} s, the longest wait"
        doing = "the customer keeps writing" if waits == MAY_WRITE_MORE else waits
        waits = f"{doing}, up to the longest wait"
    return Closing(now_ms >= at_ms, at_ms, was if now_ms >= at_ms else waits, window)


def _quiet(window: Window, last_ms: int, memory: Memory) -> tuple[int, str, str]:
    """When the customer will have been quiet for the window, what is said then and until then."""
    quiet = f"quiet for {window.length_ms / 1_000:g} s"
    quiet_ms = last_ms + window.length_ms
    if memory.typing_ms:
        lost_ms = memory.typing_ms + TYPING_LASTS_MS
        if lost_ms > quiet_ms:
            was = f"the customer began to type {TYPING_LASTS_MS / 1_000:g} s ago and sent nothing"
            return lost_ms, was, "the customer is typing"
    elif memory.typed_ms > last_ms:
        was = f"the customer stopped typing and was {quiet}"
        return memory.typed_ms + window.length_ms, was, "the customer was typing just now"
    return quiet_ms, f"the customer was {quiet}", MAY_WRITE_MORE
