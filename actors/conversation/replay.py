"""Replays a recorded journal under another pace: what would have been answered, and when.

Pure: the journal's events and a pace go in, two timelines come out.
"""

import statistics
from collections.abc import Sequence

import msgspec

from actors.conversation.batching import Batch
from actors.conversation.decisions import Conduct
from actors.conversation.events import (
    Event,
    FromOutside,
    HandedOver,
    LeftUnanswered,
    MessageMissed,
    MessageReceived,
    PartSent,
    PersonReplied,
    ReplyCommitted,
    ReplySent,
    ReplyWithheld,
    SetAside,
    TurnFailed,
    TurnStarted,
    TurnSuperseded,
)
from actors.conversation.rehearsal import Call, Rehearsal

MODEL_MS = 4_000
"""How long the model is taken to need where the journal holds no answer of it."""

HORIZON_MS = 10 * 60 * 1_000
"""So long the rules go on after the last event."""

TEXT_CHARS = 60


class Line(msgspec.Struct, frozen=True):
    """One line of a timeline: when, in ms since the first event, who, and what."""

    at_ms: int
    who: str
    what: str


class Figures(msgspec.Struct, frozen=True):
    """A timeline in figures. Waits are from the last message of a batch to its reply, in ms."""

    messages: int
    replies: int
    calls: int
    superseded: int
    mean_wait_ms: int
    longest_wait_ms: int


class Replayed(msgspec.Struct, frozen=True):
    """What happened, and what would have; `model_ms`: how long the model is taken to need."""

    recorded: tuple[Line, ...]
    replayed: tuple[Line, ...]
    recorded_figures: Figures
    replayed_figures: Figures
    model_ms: int


Numbered = Sequence[tuple[int, Event]]
"""Events with their sequence numbers."""


def model_ms(events: Numbered) -> int:
    """The median of how long the model took in this journal."""
    began: dict[str, int] = {}
    took_ms: list[int] = []
    for _, event in events:
        match event:
            case TurnStarted(turn=turn, at_ms=at_ms, early=early):
                began.pop(turn, None)
                if not early:  # it waits for the window, however fast the model was
                    began[turn] = at_ms
            case ReplyCommitted(turn=turn, at_ms=at_ms) if turn in began:
                took_ms.append(at_ms - began.pop(turn))
    return round(statistics.median(took_ms)) if took_ms else MODEL_MS


def replay(events: Numbered, conduct: Conduct, took_ms: int | None = None) -> Replayed:
    """Both timelines. `took_ms`: how long the model takes, None for what the journal shows."""
    took_ms = model_ms(events) if took_ms is None else took_ms
    outside = sorted(
        (event for _, event in events if isinstance(event, FromOutside)),
        key=lambda event: event.at_ms,
    )

    def answer(batch: Batch) -> Call:
        return Call(took_ms, f"(the answer to {len(batch.entries)})")

    start_ms = outside[0].at_ms if outside else 0
    rehearsal = Rehearsal(conduct, answer, start_ms=start_ms)
    for event in outside:
        rehearsal.happens(event)
    rehearsal.run_until(rehearsal.now_ms + HORIZON_MS)
    log = list(enumerate(rehearsal.log, start=1))
    return Replayed(
        recorded=timeline(events, start_ms),
        replayed=timeline(log, start_ms),
        recorded_figures=figures(events),
        replayed_figures=figures(log),
        model_ms=took_ms,
    )


def timeline(events: Numbered, start_ms: int) -> tuple[Line, ...]:
    """The events as people read them."""
    lines = ((event.at_ms - start_ms, _line(event)) for _, event in events)
    return tuple(Line(at_ms, *line) for at_ms, line in lines if line is not None)


def _line(event: Event) -> tuple[str, str] | None:
    match event:
        case MessageReceived(message=message) | MessageMissed(message=message):
            return "customer", _short(message.readable)
        case PersonReplied(person=person):
            return person.name or "person", _short(person.text)
        case TurnStarted(covers=covers, reason=reason, early=early):
            kind = "drafts early" if early else "drafts"
            return "bot", f"{kind} over {len(covers)}: {reason}"
        case TurnSuperseded(early=early):
            return "bot", "throws the early draft away" if early else "is interrupted"
        case TurnFailed(error=error):
            return "bot", f"the model failed: {_short(error)}"
        case ReplyCommitted(answers=answers, text=text):
            return "bot", f"answers {len(answers)}: {_short(text)}"
        case LeftUnanswered(seqs=seqs, reason=reason):
            return "bot", f"leaves {len(seqs)}: {reason}"
        case ReplyWithheld(reason=reason):
            return "bot", f"withholds its answer: {reason}"
        case HandedOver(reason=reason):
            return "bot", f"hands over: {_short(reason)}"
        case SetAside(seqs=seqs, reason=reason):
            return "bot", f"sets {len(seqs)} aside: {reason}"
    return None


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= TEXT_CHARS else f"{flat[: TEXT_CHARS - 1]}…"


def figures(events: Numbered) -> Figures:
    """A timeline in figures."""
    arrived = {seq: event.at_ms for seq, event in events if isinstance(event, MessageReceived)}
    answers: dict[str, tuple[int, ...]] = {}
    waits_ms: list[int] = []
    for _, event in events:
        match event:
            case ReplyCommitted(reply_id=reply_id, answers=seqs):
                answers[reply_id] = seqs
            case ReplySent(reply_id=reply_id) | PartSent(reply_id=reply_id, part=0):
                came = [arrived[seq] for seq in answers.pop(reply_id, ()) if seq in arrived]
                if came:
                    waits_ms.append(event.at_ms - max(came))
    return Figures(
        messages=len(arrived),
        replies=len(waits_ms),
        calls=sum(isinstance(event, TurnStarted) for _, event in events),
        superseded=sum(isinstance(event, TurnSuperseded) for _, event in events),
        mean_wait_ms=round(statistics.fmean(waits_ms)) if waits_ms else 0,
        longest_wait_ms=max(waits_ms, default=0),
    )
