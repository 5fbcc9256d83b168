"""Reads a dead letter from its conversation's journal: what was asked, and every attempt at it."""

from collections.abc import Sequence

import msgspec

from actors.conversation.events import (
    Event,
    MessageAmended,
    MessageReceived,
    PartSent,
    ReplyCommitted,
    ReplyHeld,
    Revival,
    Revived,
    SendDoubted,
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
    the journal still holds, as they stand now; `reply`: what was promised to them, of which `sent`
    parts are known to stand in the channel, None if nothing was."""

    seq: int
    aside: SetAside
    messages: tuple[Revival, ...]
    attempts: tuple[Attempt, ...]
    reply: ReplyCommitted | None = None
    sent: int = 0

    @property
    def is_whole(self) -> bool:
        return len(self.messages) == len(self.aside.seqs)


def letter_of(entries: Numbered, seq: int) -> Letter | None:
    """The dead letter that is event `seq`; None where that is no such event."""
    aside = next((event for place, event in entries if place == seq), None)
    if not isinstance(aside, SetAside):
        return None
    before = [(place, event) for place, event in entries if place < seq]
    reply, sent = _promised(before, aside.seqs)
    messages, attempts = _messages(before, aside.seqs), _attempts(before, aside.seqs)
    return Letter(seq, aside, messages, attempts, reply, sent)


def _promised(entries: Numbered, seqs: Sequence[int]) -> tuple[ReplyCommitted | None, int]:
    """What was promised last to exactly these messages, and how many of its parts were sent. What
    was held back for a person in between is drafted anew."""
    reply: ReplyCommitted | None = None
    sent = 0
    for _, event in entries:
        match event:
            case ReplyCommitted(answers=answers) if set(answers) == set(seqs):
                reply, sent = event, 0
            case Revived(reply=again) if again is not None and set(again.answers) == set(seqs):
                reply, sent = again, event.sent
            case PartSent(reply_id=reply_id, part=part) if reply and reply_id == reply.reply_id:
                sent = part + 1
            case ReplyHeld() | SendDoubted(choice="hold"):
                reply, sent = None, 0
    return reply, sent


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
