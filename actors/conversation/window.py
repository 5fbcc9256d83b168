"""Decides how long a customer must be quiet before their turn begins, and whether it does."""

import math
from collections.abc import Sequence

import msgspec

from actors.conversation.memory import Memory, Rhythm
from actors.conversation.pace import Pace
from actors.conversation.shape import SAID, Shape, shape_of
from actors.conversation.state import Open

THOUGHTS_MIN = 2
INTERVALS_MIN = 3
"""With fewer completed thoughts and fewer intervals of the customer, it is the company's window."""

CUT_IN_COSTS_MS = 28_000
"""Speaking before the customer has finished is held to be as bad as letting them wait so much
longer: they get an answer to half of what they said, and another one soon after it."""

PRIOR_THOUGHTS = 2.0
"""What is not known of a customer counts like so many thoughts of which every second goes on."""

GOES_ON_LESS = 0.75
"""Each message makes it less likely that yet another follows: thoughts end."""

PRIOR_INTERVALS = 1.5
PRIOR_PART = 0.8
PRIOR_SPREAD = 0.3
"""Before they are known, a customer's intervals are held to lie around this part of the company's
window, which was chosen to hold their messages together; that counts like so many intervals. The
spread is that of their logarithms: two of three lie within 30 % of the middle one."""

INTERVAL_MS_MIN = 500
"""Shorter intervals are the network's, not the customer's."""

SOONEST_PART = 0.6
"""An early draft is seldom ready within this part of its lead, so a shorter window wins nothing."""

SHORT_CHARS = 50
SHORT_PART = 0.6
"""Who writes texts shorter than this writes their next one sooner (of the two publics of R1.4, one
writes under 50 characters every 1 to 4 s, the other over 300 every 5 to 17 s): an unknown
customer's window after a short text is this part of what it were."""

STEP_MS = 250
"""Learned windows are tried in steps of this."""

TYPING_LASTS_MS = 15_000
"""A customer who began to type and did not say that they stopped has, after so long: the end of
typing can be lost."""

MAY_WRITE_MORE = "the customer may be writing more"

ODDS: dict[Shape, float] = {
    "nothing": 1.0,
    "greeting": 4.0,
    "unfinished": 8.0,
    "closing": 0.2,
    "question": 0.25,
    "paragraph": 0.5,
    "finished": 0.5,
}
"""How many times likelier another message is after a text of this shape than after one whose end
tells nothing. Chosen on invented customers (bench/public.py): no company's traffic was measured."""

STRETCH: dict[Shape, float] = {
    "nothing": 1.0,
    "greeting": 1.5,
    "unfinished": 1.5,
    "closing": 0.6,
    "question": 0.8,
    "paragraph": 1.0,
    "finished": 0.8,
}
"""The parts of the company's window that an unknown customer is given after such a text."""


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
    text = open_[-1].message.text
    shape = shape_of(text)
    rhythm = memory.rhythm
    if len(rhythm.thoughts) < THOUGHTS_MIN and len(rhythm.intervals_ms) < INTERVALS_MIN:
        length_ms, why = _unlearned(shape, len(text), pace)
    else:
        length_ms, why = _learned(shape, len(open_), memory, pace)
    if SAID[shape]:
        why = f"{why}; {SAID[shape]}"
    return _told(_within(pace, length_ms), why)


def _told(length_ms: int, why: str) -> Window:
    return Window(length_ms, f"{length_ms / 1_000:g} s: {why}")


def _within(pace: Pace, length_ms: float) -> int:
    upper_ms = min(pace.window_max_ms, pace.longest_wait_ms)
    return round(min(max(length_ms, pace.window_min_ms), upper_ms))


def _unlearned(shape: Shape, chars: int, pace: Pace) -> tuple[float, str]:
    """The company's window as far as the text alone changes it."""
    length_ms = pace.quiet_window_ms * STRETCH[shape]
    told = ""
    if chars < SHORT_CHARS and shape != "greeting":
        length_ms, told = length_ms * SHORT_PART, "; the text is short"
    elif pace.early_lead_ms:
        # The model's time is part of what the company's window leaves the customer: a message in it
        # is still joined. A draft that is ready when the window closes takes that away.
        length_ms, told = length_ms + pace.early_lead_ms, "; the draft is made meanwhile"
    fitted = ""
    if length_ms != pace.quiet_window_ms:
        fitted = f" of {pace.quiet_window_ms / 1_000:g} s made to fit"
    return length_ms, f"the company's window{fitted}, this customer is not known yet{told}"


def _learned(shape: Shape, written: int, memory: Memory, pace: Pace) -> tuple[float, str]:
    """The window that costs this customer least, and what is known of them.

    Whoever waits for another message that does not come has waited until the reply for nothing;
    whoever does not wait for one that comes has cut in.
    """
    share = goes_on(memory.rhythm.thoughts, written)
    odds = ODDS[shape] * share / (1 - share)
    chance = odds / (1 + odds)
    middle, spread = _tempo(memory.rhythm.intervals_ms, pace)
    model_ms = 0 if pace.early_lead_ms else _usual(memory.answers_ms)
    soonest_ms = round(pace.early_lead_ms * SOONEST_PART)

    def cost_ms(window_ms: int) -> float:
        reply_ms = max(window_ms + model_ms, soonest_ms)
        later = math.erfc((math.log(max(reply_ms, 1)) - middle) / spread / math.sqrt(2)) / 2
        return chance * later * CUT_IN_COSTS_MS + (1 - chance) * reply_ms

    windows = range(_within(pace, soonest_ms), _within(pace, math.inf) + 1, STEP_MS)
    why = f"{_apart(memory.rhythm)}; {10 * chance:.0f} of 10 such messages are followed by another"
    return min(windows, key=cost_ms), why


def _tempo(intervals_ms: Sequence[int], pace: Pace) -> tuple[float, float]:
    """Middle and spread of the logarithms of the customer's intervals in milliseconds: as people's
    pauses do, they are held to spread evenly in their logarithms rather than in themselves."""
    logs = [math.log(max(interval_ms, INTERVAL_MS_MIN)) for interval_ms in intervals_ms]
    prior = math.log(max(PRIOR_PART * pace.quiet_window_ms, INTERVAL_MS_MIN))
    weight = len(logs) + PRIOR_INTERVALS
    middle = (sum(logs) + PRIOR_INTERVALS * prior) / weight
    squares = sum((log - middle) ** 2 for log in logs) + PRIOR_INTERVALS * PRIOR_SPREAD**2
    # The middle itself is known no better than so many intervals allow.
    return middle, math.sqrt(squares / weight * (1 + 1 / weight))


def _apart(rhythm: Rhythm) -> str:
    seen = len(rhythm.intervals_ms)
    if seen < INTERVALS_MIN:
        return "how fast this customer writes is not known yet"
    least_s, most_s = min(rhythm.intervals_ms) / 1_000, max(rhythm.intervals_ms) / 1_000
    return f"this customer's messages come {least_s:.0f} to {most_s:.0f} s apart ({seen} seen)"


def _usual(answers_ms: Sequence[int]) -> int:
    """The middle one of these times, 0 where there is none."""
    return sorted(answers_ms)[(len(answers_ms) - 1) // 2] if answers_ms else 0


def goes_on(thoughts: Sequence[int], written: int) -> float:
    """How likely a thought of so many messages goes on, by the sizes of those before; in (0, 1)."""
    messages = sum(thoughts)
    overall = (messages - len(thoughts) + PRIOR_THOUGHTS / 2) / (messages + PRIOR_THOUGHTS)
    prior = overall * GOES_ON_LESS ** (written - 1)
    as_long = sum(size >= written for size in thoughts)
    longer = sum(size > written for size in thoughts)
    return (longer + PRIOR_THOUGHTS * prior) / (as_long + PRIOR_THOUGHTS)


def closes(open_: Sequence[Open], memory: Memory, pace: Pace, now_ms: int) -> Closing:
    """Whether the turn of these messages begins now; at least one, in the journal's order.

    All that wait count, also those that will not be joined: the customer is still writing.
    """
    window = window_of(open_, memory, pace)
    if len(open_) >= pace.largest_batch:
        full_ms = min(now_ms, max(entry.at_ms for entry in open_))
        return Closing(True, full_ms, f"{len(open_)} messages, the largest batch", window)
    if open_[0].letter:
        return Closing(True, now_ms, "it is tried again by hand", window)
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
