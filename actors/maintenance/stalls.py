"""Decides which hosts stand still: they neither answer nor say that they live."""

import msgspec

STALLED_MS = 10_000
"""A host without a sign of life for so long is replaced. One that is busy for some seconds is not,
and what waits for it finds a live owner within 30 s: the next look, a kill and a start follow."""

UNHEARD_MS = 20_000
"""So long for one that has given no sign since it was made or replaced: it may be starting."""

SILENCES = 2
"""One unanswered question is no proof: the machine, or whoever asks, may have stood still."""


class Sight(msgspec.Struct, frozen=True):
    """What one look at a host shows.

    `answered`: it said what it does, or Ray knows that it is gone and brings it back;
    `renewed_ms`: when it last said that it lives, None if that is too long ago to be known.
    """

    answered: bool
    renewed_ms: int | None


class Heard(msgspec.Struct, frozen=True):
    """What is known of a host: its last sign of life (or, if there was none, since when there is no
    sign) and how many questions in a row it left unanswered since."""

    at_ms: int
    ever: bool = False
    silences: int = 0


def hear(before: Heard | None, sight: Sight, now_ms: int) -> Heard:
    """What is known after a look. All times in ms since 1970, by the same clock."""
    if sight.answered:
        return Heard(now_ms, ever=True)
    known = before or Heard(now_ms)
    # One that was replaced is known since then: what its process before said counts no more.
    if sight.renewed_ms is not None and (before is None or sight.renewed_ms > known.at_ms):
        return Heard(sight.renewed_ms, ever=True, silences=known.silences + 1)
    return msgspec.structs.replace(known, silences=known.silences + 1)


def is_stalled(heard: Heard, now_ms: int) -> bool:
    """Whether the host is to be replaced."""
    limit_ms = STALLED_MS if heard.ever else UNHEARD_MS
    return heard.silences >= SILENCES and now_ms - heard.at_ms >= limit_ms
