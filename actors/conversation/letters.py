"""Reads a dead letter from its conversation's journal: what was asked, and every attempt at it."""

from collections.abc import Sequence

import msgspec

from actors.conversation.events import (
    Event,
    MessageAmended,
    MessageReceived,
    ReplyCommitted,
    Revival,
    SendFailed,
    SetAside,
    TurnFailed,
    TurnStarted,
    Unknown,
)

Numbered = Sequence[tuple[int, Event | Unknown]]
"""Events with their sequence numbers, oldest first."""


class Attempt(msgspec.Struct, frozen=True):
    """A failure on the way: of the `model` or of the `channel`."""

    at_ms: int
    of: str
    error: str


class Letter(msgspec.Struct, frozen=True):
    """A dead letter. `aside`: the event that made it one; `messages`: those of its messages that
    the journal still holds, as they stand now."""

    seq: int
    aside: SetAside
    messages: tuple[Revival, ...]
    attempts: tuple[Attempt, ...]

    @property
    def is_whole(self) -> bool:
        return len(self.messages) == len(self.aside.seqs)


def letter_of(entries: Numbered, seq: int) -> Letter | None:
    """The dead letter that is event `seq`; None where that is no such event."""
    aside = next((event for place, event in entries if place == seq), None)
    if not isinstance(aside, SetAside):
        return None
    before = [(place, event) for place, event in entries if place < seq]
    return Letter(seq, aside, _messages(before, aside.seqs), _attempts(before, aside.seqs))


def _messages(entries: Numbered, seqs: Sequence[int]) -> tuple[Revival, ...]:
    found = {
        place: event.message
        for place, event in entries
        if place in seqs and isinstance(event, MessageReceived)
    }
    places = {message.message_id: place for place, message in found.items()}
    for _, event in entries:
        if isinstance(event, MessageAmended) and event.message.message_id in places:
            found[places[event.message.message_id]] = event.message
    return tuple(Revival(place, found[place]) for place in sorted(found))


def _attempts(entries: Numbered, seqs: Sequence[int]) -> tuple[Attempt, ...]:
    about: set[str] = set()
    attempts: list[Attempt] = []
    for _, event in entries:
        match event:
            case TurnStarted(turn=turn, covers=covers) if set(covers) & set(seqs):
                about.add(turn)
            case ReplyCommitted(reply_id=reply_id, answers=answers) if set(answers) & set(seqs):
                about.add(reply_id)
            case TurnFailed(turn=turn, at_ms=at_ms, error=error) if turn in about:
                attempts.append(Attempt(at_ms, "model", error))
            case SendFailed(reply_id=reply_id, at_ms=at_ms, error=error) if reply_id in about:
                attempts.append(Attempt(at_ms, "channel", error))
    return tuple(attempts)
