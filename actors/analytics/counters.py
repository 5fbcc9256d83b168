"""Names everything that is counted of a company's day; nothing else becomes a field in Redis."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from actors.analytics.histogram import Histogram

OTHER = "other"
"""Where a reason is counted that has no kind of its own, such as one of a later release."""


class Count(StrEnum):
    """The plain counters. Times in milliseconds."""

    MESSAGES = "messages"
    MESSAGE_CHARS = "message_chars"
    CAUGHT_UP = "caught_up"
    MISSED = "missed"
    ATTACHMENTS = "attachments"
    ATTACHMENTS_READ = "attachments_read"
    TURNS = "turns"
    DRAFTS = "drafts"
    SUPERSEDED = "superseded"
    SUPERSEDED_EARLY = "superseded_early"
    INTERRUPTED = "interrupted"
    MODEL_FAILURES = "model_failures"
    REPLIES = "replies"
    PARTS_SENT = "parts_sent"
    SEND_FAILURES = "send_failures"
    HAND_OVERS = "hand_overs"
    PERSON_REPLIES = "person_replies"
    PAUSES = "pauses"
    RESUMES = "resumes"
    REVIVED = "revived"
    DISCARDED = "discarded"
    TOKENS_IN = "tokens_in"
    TOKENS_OUT = "tokens_out"
    TOKENS_SAVED = "tokens_saved_by_joining"
    WASTED_EARLY = "tokens_wasted_early"
    WASTED_SUPERSEDED = "tokens_wasted_superseded"
    WASTED_CANCELLED = "tokens_wasted_cancelled"
    TOOL_CALLS = "tool_calls"
    TOOL_FAILURES = "tool_failures"
    TOOL_MS = "tool_ms"


class Kinds(msgspec.Struct, frozen=True):
    """A counter that is split by kind. The kinds are listed here, so that no text that somebody
    wrote becomes a field: what is not listed is counted as `other`."""

    name: str
    kinds: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """All counters that it uses."""
        return tuple(f"{self.name}:{kind}" for kind in (*self.kinds, OTHER))

    def field(self, kind: str) -> str:
        """The counter of this kind."""
        return f"{self.name}:{kind if kind in self.kinds else OTHER}"

    def shown(self, counts: Mapping[str, int]) -> dict[str, int]:
        """The count of every kind."""
        return {field.partition(":")[2]: counts.get(field, 0) for field in self.fields}

    def total(self, counts: Mapping[str, int]) -> int:
        """The count of all kinds together."""
        return sum(counts.get(field, 0) for field in self.fields)


BEGAN = Kinds("began", ("quiet", "longest_wait", "largest_batch", "early", "again"))
"""Why drafts were begun; `again`: over the same messages, after a failure or a restart."""

JOINED = Kinds("joined", ("single", "space", "newline", "blank_line", "apart"))
"""How the messages of a draft were joined, repeats of a draft left out."""

_SILENT = ("person", "handed_over", "assigned", "status", "label", "blocked", "no_reply", "paused")

LEFT = Kinds("left", _SILENT)
"""Messages that the bot left to people, by the signal that silenced it."""

WITHHELD = Kinds("withheld", _SILENT)
"""Promised replies that were not sent, or not their rest, by the signal that silenced the bot."""

SET_ASIDE = Kinds(
    "set_aside",
    ("process_died", "model_failed", "model_refused", "channel_failed", "channel_refused"),
)
"""Messages that ended as dead letters, by what failed."""

ALL_KINDS = (BEGAN, JOINED, LEFT, WITHHELD, SET_ASIDE)

INTERVALS = Histogram(
    "interval_ms",
    (
        *(500, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000),
        *(12_000, 15_000, 17_000, 20_000, 25_000, 30_000),
    ),
)
"""Between two messages of one thought; the bounds are the windows that R1.4 chooses among."""

_WAIT_BOUNDS_MS = (
    *(1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 12_000, 15_000, 20_000, 25_000),
    *(30_000, 40_000, 60_000, 120_000, 300_000, 600_000, 1_800_000),
)

WAITS_LAST = Histogram("wait_from_last_ms", _WAIT_BOUNDS_MS)
"""From the last message of a batch to the first text of its reply."""

WAITS_FIRST = Histogram("wait_from_first_ms", _WAIT_BOUNDS_MS)
"""From the first message of a batch to the first text of its reply."""

BATCHES = Histogram("batch_size", (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50))
"""Messages that were answered together."""

ALL_HISTOGRAMS = (INTERVALS, WAITS_LAST, WAITS_FIRST, BATCHES)

FIELDS = frozenset(
    [
        *map(str, Count),
        *(field for kinds in ALL_KINDS for field in kinds.fields),
        *(field for histogram in ALL_HISTOGRAMS for field in histogram.fields),
    ]
)
"""Every field that a company's day may have."""
