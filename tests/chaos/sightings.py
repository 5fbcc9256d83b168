"""Names what a run of faults sees: messages, requests, posts, the model's calls, faults."""

import re
from collections.abc import Set
from dataclasses import dataclass, field

TOKEN = re.compile(r"\bc(\d+)n(\d+)\b")
"""Each message's text holds one, and so does each answer to it: conversation and number."""


@dataclass
class Message:
    """A message as its sender knows it; times in ms since 1970.

    `acked_ms`: when its first 202 came; `seqs`: the numbers that these told, one if all is well.
    """

    conversation: int
    number: int
    message_id: int
    acked_ms: float | None = None
    seqs: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Attempt:
    """One request of a sender; status 0: no answer."""

    began_ms: float
    ended_ms: float
    status: int

    @property
    def failed(self) -> bool:
        return self.status != 202


@dataclass(frozen=True)
class Post:
    """One request to Chatwoot; `numbers`: the messages that its text answers, in its order.
    `visible`: it stands there now."""

    conversation: int
    numbers: tuple[int, ...]
    began_ms: float
    ended_ms: float
    visible: bool


@dataclass(frozen=True)
class Call:
    """One request to the model."""

    conversation: int
    at_ms: float


@dataclass
class Fault:
    """What was done, and when it was over (a kill: at once); `conversations`: whom it concerns.

    `ready_ms`: when the service said that it is ready again, if it had ended. `remarks`: what went
    otherwise than it should.
    """

    kind: str
    began_ms: float
    ended_ms: float
    conversations: Set[int]
    ready_ms: float | None = None
    remarks: list[str] = field(default_factory=list)


def numbers_in(text: str) -> tuple[tuple[int, int], ...]:
    """Conversation and number of each message that a text holds."""
    return tuple((int(conversation), int(number)) for conversation, number in TOKEN.findall(text))
