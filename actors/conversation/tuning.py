"""Recommends a company's quiet window and joining threshold from its recorded traffic.

The rules are those of R1.4 and R1.5. Pure: journals go in, a recommendation with the figures behind
it comes out; nothing is applied here.
"""

import math
from collections.abc import Iterable, Sequence

import msgspec

from actors.conversation.events import MessageReceived, ReplyCommitted, TurnStarted, decode
from actors.conversation.memory import Memory, interval_ms, remember
from actors.conversation.pace import Pace
from actors.journal.entries import Entry

THOUGHTS_MIN = 50
"""With fewer recorded thoughts nothing is recommended."""

SEVERAL_MIN = 20
"""With fewer thoughts of several messages nothing is said about those."""

WHOLE_MIN = 0.30
"""Below this share of thoughts answered whole the window widens (R1.4: batching success)."""

WIDER_S = (12.0, 15.0)
"""So far it widens (R1.4), by the intervals seen."""

LONE_MIN = 0.80
GOES_ON_MAX = 0.25
"""From this share of thoughts of one message on, and up to this share of messages that another one
follows, the window narrows: few profit from the wait of all the others."""

NARROWER_S = (7.0, 8.0)
"""So far it narrows (R1.4), by the intervals seen."""

HELD_SHARE = 0.8
"""A window that is chosen by the intervals holds this share of them."""

STEP_S = 0.5

JOINED_SHARE = 0.9
"""This share of the thoughts of several messages is to be joined, by their average length."""

JOIN_STEP_CHARS = 100
JOIN_CHARS_MAX = 1_500
"""The threshold is the next hundred above (306 to 377 characters gave 400, R1.5), up to this:
longer texts are better answered one by one."""


LEARNED = "the pace is learned: the quiet window is that of customers who are not known yet"


class Thought(msgspec.Struct, frozen=True):
    """Messages of a customer that belong together, all of them answered by us.

    `whole`: one reply answered them all; `apart`: the joining rule kept them apart, so that no
    window could have helped.
    """

    at_ms: tuple[int, ...]
    chars: tuple[int, ...]
    whole: bool
    apart: bool = False

    @property
    def intervals_ms(self) -> list[int]:
        return [then - now for now, then in zip(self.at_ms, self.at_ms[1:], strict=False)]

    @property
    def average_chars(self) -> float:
        return sum(self.chars) / len(self.chars)


class Figures(msgspec.Struct, frozen=True):
    """What was seen. `several`: thoughts of two messages or more; `windowed`: those of them that
    the joining rule let be joined, of which `whole` were answered by one reply.

    `intervals_ms` and `average_chars` (of the thoughts of several messages): what 1, 5, 8 and 9 of
    10 do not exceed; empty where none was seen.
    """

    thoughts: int = 0
    lone: int = 0
    several: int = 0
    windowed: int = 0
    whole: int = 0
    goes_on: float = 0.0
    intervals_ms: tuple[int, ...] = ()
    average_chars: tuple[int, ...] = ()


class Recommendation(msgspec.Struct, frozen=True):
    """What to set, None: nothing is recommended; each with its reason. A recommendation may be the
    value that is set already."""

    quiet_window_s: float | None
    join_max_avg_chars: int | None
    reasons: tuple[str, ...]
    figures: Figures


SHARES = (0.1, 0.5, HELD_SHARE, JOINED_SHARE)


def observations(entries: Iterable[Entry]) -> list[Thought]:
    """The thoughts in one conversation's journal, oldest first.

    Those that a person answered, or nobody yet, say nothing about our window and are left out.
    """
    memory = Memory()
    thoughts: list[list[tuple[int, int, int]]] = []
    replies: list[frozenset[int]] = []
    apart: set[int] = set()
    for entry in entries:
        event = decode(entry.raw)
        match event:
            case MessageReceived(how="caught up"):
                pass  # when it was found says nothing of the window
            case MessageReceived(at_ms=at_ms, message=message):
                if interval_ms(memory.rhythm, at_ms, len(message.text)) is None or not thoughts:
                    thoughts.append([])
                thoughts[-1].append((entry.seq, at_ms, len(message.text)))
            case ReplyCommitted(answers=answers):
                replies.append(frozenset(answers))
            case TurnStarted(covers=covers, how="apart"):
                apart.update(covers)
            case _:
                pass
        memory = remember(memory, entry.seq, event)
    found = (_thought(messages, replies, apart) for messages in thoughts)
    return [thought for thought in found if thought is not None]


def _thought(
    messages: Sequence[tuple[int, int, int]], replies: Sequence[frozenset[int]], apart: set[int]
) -> Thought | None:
    seqs = {seq for seq, _, _ in messages}
    if not seqs <= frozenset[int]().union(*replies):
        return None
    return Thought(
        at_ms=tuple(at_ms for _, at_ms, _ in messages),
        chars=tuple(chars for _, _, chars in messages),
        whole=any(seqs <= answers for answers in replies),
        apart=bool(seqs & apart),
    )


def recommend(thoughts: Sequence[Thought], pace: Pace) -> Recommendation:
    """What these thoughts, recorded under this pace, speak for."""
    seen = figures(thoughts)
    if seen.thoughts < THOUGHTS_MIN:
        reason = f"{seen.thoughts} thoughts are recorded; {THOUGHTS_MIN} are needed"
        return Recommendation(None, None, (reason,), seen)
    quiet_window_s, why_window = _window(seen, pace)
    join_chars, why_join = _threshold(seen, pace)
    reasons = (why_window, *((LEARNED,) if pace.learned else ()), why_join)
    return Recommendation(quiet_window_s, join_chars, reasons, seen)


def figures(thoughts: Sequence[Thought]) -> Figures:
    """What was seen, counted."""
    several = [thought for thought in thoughts if len(thought.at_ms) > 1]
    windowed = [thought for thought in several if not thought.apart]
    messages = sum(len(thought.at_ms) for thought in thoughts)
    return Figures(
        thoughts=len(thoughts),
        lone=len(thoughts) - len(several),
        several=len(several),
        windowed=len(windowed),
        whole=sum(thought.whole for thought in windowed),
        goes_on=(messages - len(thoughts)) / messages if messages else 0.0,
        intervals_ms=_shares([ms for thought in several for ms in thought.intervals_ms]),
        average_chars=_shares([thought.average_chars for thought in several]),
    )


def _shares(values: Sequence[float]) -> tuple[int, ...]:
    """What SHARES of the values do not exceed: values that were really seen."""
    ordered = sorted(values)
    return tuple(round(ordered[math.ceil(share * len(ordered)) - 1]) for share in SHARES if ordered)


def _window(seen: Figures, pace: Pace) -> tuple[float | None, str]:
    now_s = pace.quiet_window_ms / 1_000
    lone = seen.lone / seen.thoughts
    if seen.windowed >= SEVERAL_MIN and seen.whole < WHOLE_MIN * seen.windowed:
        why = f"{_of(seen.whole, seen.windowed)} thoughts of several messages were answered whole"
        wider_s = min(max(now_s, _held_s(seen, WIDER_S)), pace.longest_wait_ms / 1_000)
        verb = "widen" if wider_s > now_s else "stay: it is as wide as it may be"
        return wider_s, f"{why}, less than {WHOLE_MIN:.0%}: {verb}"
    if lone >= LONE_MIN and seen.goes_on <= GOES_ON_MAX:
        why = f"{_of(seen.lone, seen.thoughts)} thoughts are one message"
        narrower_s = min(now_s, _held_s(seen, NARROWER_S))
        verb = "narrow" if narrower_s < now_s else "stay: it is as narrow as it may be"
        return narrower_s, f"{why}, {LONE_MIN:.0%} or more: {verb}"
    if seen.windowed < SEVERAL_MIN:
        told = f"{seen.windowed} thoughts of several messages that may be joined are recorded"
        return None, f"{told}; {SEVERAL_MIN} are needed to speak of the window"
    whole = f"{_of(seen.whole, seen.windowed)} thoughts of several messages were answered whole"
    return now_s, f"{whole}, and {_of(seen.lone, seen.thoughts)} thoughts are one message: stay"


def _held_s(seen: Figures, bounds_s: tuple[float, float]) -> float:
    """The window between the bounds that holds HELD_SHARE of the intervals; the least without."""
    least_s, most_s = bounds_s
    if not seen.intervals_ms:
        return least_s
    held_ms = seen.intervals_ms[SHARES.index(HELD_SHARE)]
    return min(max(math.ceil(held_ms / 1_000 / STEP_S) * STEP_S, least_s), most_s)


def _threshold(seen: Figures, pace: Pace) -> tuple[int | None, str]:
    if seen.several < SEVERAL_MIN:
        told = f"{seen.several} thoughts of several messages are recorded"
        return None, f"{told}; {SEVERAL_MIN} are needed to speak of joining"
    usual = seen.average_chars[SHARES.index(JOINED_SHARE)]
    # A text of the threshold's own length is not joined, so the next hundred above it.
    above = min((usual // JOIN_STEP_CHARS + 1) * JOIN_STEP_CHARS, JOIN_CHARS_MAX)
    why = f"9 of 10 thoughts of several messages average {usual} characters or less"
    if above <= pace.join_max_avg_chars:
        return pace.join_max_avg_chars, f"{why}: the threshold joins them already"
    return above, f"{why}: join below {above}"


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})"


def as_text(recommendation: Recommendation, pace: Pace) -> str:
    """The recommendation for a person, beside what is set now; several lines."""
    seen = recommendation.figures
    lines = [
        f"thoughts recorded   {seen.thoughts}, {seen.lone} of them one message",
        f"answered whole      {seen.whole} of {seen.windowed} thoughts that may be joined",
    ]
    if seen.intervals_ms:
        told = _quantiles([f"{ms / 1_000:.1f} s" for ms in seen.intervals_ms])
        lines.append(f"intervals           {told}")
    if seen.average_chars:
        told = _quantiles([f"{chars}" for chars in seen.average_chars])
        lines.append(f"characters, average {told}")
    now_s, now_chars = pace.quiet_window_ms / 1_000, pace.join_max_avg_chars
    window_s, chars = recommendation.quiet_window_s, recommendation.join_max_avg_chars
    then_s = None if window_s is None else f"{window_s:g}"
    lines += [
        "",
        f"quiet_window_s      {_change(f'{now_s:g}', then_s)}",
        f"join_max_avg_chars  {_change(str(now_chars), None if chars is None else str(chars))}",
        *(f"  {reason}" for reason in recommendation.reasons),
    ]
    return "\n".join(lines)


def _quantiles(told: Sequence[str]) -> str:
    shares = (
        f"{10 * share:.0f} of 10 up to {value}" for share, value in zip(SHARES, told, strict=True)
    )
    return ", ".join(shares)


def _change(now: str, then: str | None) -> str:
    if then is None:
        return f"{now} (no recommendation)"
    return f"{now} (stays)" if now == then else f"{now} -> {then}"
