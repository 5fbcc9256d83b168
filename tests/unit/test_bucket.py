"""The rule of a limit a minute: what fits, when there is room again, how much in the long run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.analytics.bucket import MINUTE_MS, Level, fits, room_at_ms, spent, used_at

NOW = 1_760_000_000_000


@pytest.mark.parametrize(
    ("used", "amount", "at_s"),
    [
        (0, 1, 0),
        (0, 60, 0),  # a minute's worth at once
        (0, 61, None),  # never
        (60, 1, 1),
        (60, 60, 60),
        (59.5, 1, 0.5),
        (6_000, 0, 99 * 60),  # a debt is paid first
    ],
)
def test_when_there_is_room(used: float, amount: int, at_s: float | None) -> None:
    room_ms = room_at_ms(Level(used, NOW), amount, 60, NOW)
    assert room_ms == (None if at_s is None else NOW + at_s * 1_000)


amounts = st.floats(0, 1e6)
limits = st.integers(1, 1_000_000)
times = st.integers(0, 600_000)


@given(amounts, amounts, limits, times, times)
def test_there_is_room_then_and_not_before(
    used: float, amount: float, per_minute: int, at_ms: int, later_ms: int
) -> None:
    level, now_ms = Level(used, NOW + at_ms), NOW + later_ms
    room_ms = room_at_ms(level, amount, per_minute, now_ms)
    if room_ms is None:
        assert amount > per_minute
        return
    # Floats are rounded.
    slack = 1e-9 * (used + amount + per_minute)
    assert used_at(level, per_minute, room_ms) + amount <= per_minute + slack
    if room_ms > now_ms:
        assert not fits(level, amount + slack, per_minute, room_ms - 1)


@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 40)), max_size=60), limits)
def test_in_the_long_run_no_more_than_the_limit_and_one_minute(
    takes: list[tuple[int, int]], per_minute: int
) -> None:
    level, now_ms, taken = Level(), NOW, 0
    for pause_ms, amount in takes:
        now_ms += pause_ms
        if fits(level, amount, per_minute, now_ms):
            level = spent(level, amount, per_minute, now_ms)
            taken += amount
    assert taken <= per_minute * (1 + (now_ms - NOW) / MINUTE_MS) + 1e-6


def test_a_time_that_goes_back_a_little_drains_nothing_twice() -> None:
    level = Level(0, NOW)
    for _ in range(100):
        level = spent(level, 1, 60, NOW + 50)
        level = spent(level, 1, 60, NOW)
    assert level.used == pytest.approx(200, abs=0.1)
