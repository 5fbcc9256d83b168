"""Builds what the model reads: the company's prompt, as much history as fits, the batch."""

from collections.abc import Sequence

import msgspec

CHARS_PER_TOKEN = 3
"""A low estimate for Spanish, English and Portuguese, so that the budget holds without the model's
own tokenizer (OpenAI's guide gives about 4 for English)."""


class Line(msgspec.Struct, frozen=True):
    """One thing said. `role` is `user` (the customer) or `assistant` (we)."""

    role: str
    text: str


class Prompt(msgspec.Struct, frozen=True):
    """Everything that the model is asked with.

    `question` is the batch as one text, `joined` the number of messages in it, `how` their joining.
    """

    system: str
    history: tuple[Line, ...]
    question: str
    joined: int
    how: str


def tokens(text: str) -> int:
    """About how many tokens a text has; never too few for our customers' languages."""
    return len(text) // CHARS_PER_TOKEN + 1


def within_budget(lines: Sequence[Line], budget: int) -> tuple[Line, ...]:
    """The newest lines that fit in `budget` tokens together."""
    kept: list[Line] = []
    for line in reversed(lines):
        budget -= tokens(line.text)
        if budget < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))
