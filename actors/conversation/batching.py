"""Decides which messages are answered together, and how their texts are joined (R1.5, R1.6)."""

import itertools
from collections.abc import Sequence

import msgspec

from actors.channels.message import Message, provider_order
from actors.conversation.pace import Pace
from actors.conversation.state import Open

SPACE_BELOW_CHARS = 50
"""Texts shorter than this on average read as one sentence: a space between them."""

NEWLINE_BELOW_CHARS = 150
"""Texts shorter than this on average read as lines: a line break; longer ones are paragraphs."""


class Batch(msgspec.Struct, frozen=True):
    """The messages of one turn, in the provider's order.

    `how`: single | space | newline | blank line | apart; `reason` says why, as a sentence.
    """

    entries: tuple[Open, ...]
    how: str
    reason: str

    @property
    def seqs(self) -> tuple[int, ...]:
        return tuple(entry.seq for entry in self.entries)

    @property
    def text(self) -> str:
        return joined_text([entry.message.readable for entry in self.entries])


def separator(average_chars: float) -> tuple[str, str]:
    """What stands between joined texts of this average length, and its name."""
    if average_chars < SPACE_BELOW_CHARS:
        return " ", "space"
    if average_chars < NEWLINE_BELOW_CHARS:
        return "\n", "newline"
    return "\n\n", "blank line"


def _average_chars(texts: Sequence[str]) -> float:
    return sum(map(len, texts)) / len(texts)


def joined_text(texts: Sequence[str]) -> str:
    """The texts as the model reads them."""
    return separator(_average_chars(texts))[0].join(texts)


def _why_apart(messages: Sequence[Message], pace: Pace) -> str | None:
    """The reason not to join these messages, or None."""
    if not all(message.is_plain_text for message in messages):
        return "not all of them are plain text"
    average = _average_chars([message.text for message in messages])
    if average >= pace.join_max_avg_chars:
        return f"{average:.0f} characters on average, {pace.join_max_avg_chars} or more"
    return None


def looked_at(open_: Sequence[Open], pace: Pace) -> Sequence[Open]:
    """The messages among which the next turn finds its own: the oldest. A dead letter that is tried
    again is kept apart, so that its answer has the id of the first try; at least one message."""
    letter = open_[0].letter
    return tuple(
        itertools.takewhile(lambda entry: entry.letter == letter, open_[: pace.largest_batch])
    )


def next_batch(open_: Sequence[Open], pace: Pace) -> Batch:
    """The messages that the next turn answers: all together, or the first alone.

    `open_` holds at least one message, in the journal's order.
    """
    oldest = looked_at(open_, pace)
    order = provider_order([entry.message.message_id for entry in oldest])
    entries = tuple(oldest[place] for place in order)
    if len(entries) == 1:
        return Batch(entries, "single", "one message")
    messages = [entry.message for entry in entries]
    if (apart := _why_apart(messages, pace)) is not None:
        return Batch(entries[:1], "apart", f"{len(entries)} messages, one by one: {apart}")
    average = _average_chars([message.text for message in messages])
    _, name = separator(average)
    return Batch(entries, name, f"{len(entries)} texts of {average:.0f} characters on average")
