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


class Picture(msgspec.Struct, frozen=True):
    """A picture for the model, as a `data:` URL; nothing is fetched by the model's provider."""

    data_url: str


class Content(msgspec.Struct, frozen=True):
    """An attachment as the model gets it: words in its place, and the picture if it is one.

    `text` also says what could not be read and why; `is_read` is False then.
    """

    text: str
    picture: Picture | None = None
    is_read: bool = True


class Prompt(msgspec.Struct, frozen=True):
    """Everything that the model is asked with.

    `question` is the batch as one text, `joined` the number of messages in it, `how` their joining;
    `conversation` is its key, `customer` the name under which the customer writes.
    """

    system: str
    history: tuple[Line, ...]
    question: str
    joined: int
    how: str
    pictures: tuple[Picture, ...] = ()
    conversation: str = ""
    customer: str = ""


class ToolRun(msgspec.Struct, frozen=True):
    """One call of a tool during a turn. `error` is empty where it answered."""

    name: str
    took_ms: int
    error: str = ""


def tokens(text: str) -> int:
    """About how many tokens a text has; never too few for our customers' languages."""
    return len(text) // CHARS_PER_TOKEN + 1


def whole(text: str) -> str:
    """The text with halves of characters replaced by `?`. JSON carries them (a lone `\\ud83d`,
    where a model's answer or a tool's result was cut); UTF-8, and so the journal, cannot."""
    return text.encode("utf-8", "replace").decode()


def within_budget(lines: Sequence[Line], budget: int) -> tuple[Line, ...]:
    """The newest lines that fit in `budget` tokens together."""
    kept: list[Line] = []
    for line in reversed(lines):
        budget -= tokens(line.text)
        if budget < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))
