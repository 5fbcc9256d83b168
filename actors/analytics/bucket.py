"""Says how full a company's bucket is: what it used of a limit a minute, draining steadily.

Pure. So many a minute in the long run, and after a rest a minute's worth at once (a leaky bucket).
spend.lua computes the same, for all processes together; tests/contract holds the two together.
"""

import math

import msgspec

MINUTE_MS = 60_000

AHEAD_MS_MAX = 60_000
"""A bucket written at a time further ahead than this was written by a clock that was wrong."""


class Level(msgspec.Struct, frozen=True):
    """So much was in the bucket at that time (ms since 1970). An amount, not a time, so that
    another limit counts from its change on."""

    used: float = 0.0
    at_ms: int = 0


def used_at(level: Level, per_minute: int, now_ms: int) -> float:
    """What is in the bucket now."""
    elapsed_ms = max(0, now_ms - level.at_ms)
    return max(0.0, level.used - elapsed_ms * per_minute / MINUTE_MS)


def spent(level: Level, amount: float, per_minute: int, now_ms: int) -> Level:
    """The bucket after this, whether it fits or not. The clocks of several machines differ a
    little: its time never goes back by less than AHEAD_MS_MAX."""
    if level.at_ms - now_ms > AHEAD_MS_MAX:
        level = Level(level.used, now_ms)
    used = max(0.0, used_at(level, per_minute, now_ms) + amount)
    return Level(used, max(level.at_ms, now_ms))


def fits(level: Level, amount: float, per_minute: int, now_ms: int) -> bool:
    """Whether there is room for so much now."""
    return used_at(level, per_minute, now_ms) + amount <= per_minute


def room_at_ms(level: Level, amount: float, per_minute: int, now_ms: int) -> int | None:
    """When there is room for so much, now at the earliest; None: never, it is over the limit."""
    if amount > per_minute:
        return None
    excess = used_at(level, per_minute, now_ms) + amount - per_minute
    if excess <= 0:
        return now_ms
    return max(now_ms, level.at_ms) + math.ceil(excess * MINUTE_MS / per_minute)
