"""Histograms, days and what the counters say; the period that a request asks for."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.analytics.counters import (
    ALL_HISTOGRAMS,
    ALL_KINDS,
    BATCHES,
    FIELDS,
    INTERVALS,
    LEFT,
    Count,
)
from actors.analytics.days import days_between, local_day
from actors.analytics.figures import figures, totalled
from actors.analytics.histogram import Histogram
from actors.web.analytics import period
from actors.web.refusals import Refused

TENS = Histogram("tens", (10, 20, 30))


def filled(histogram: Histogram, *values: int) -> dict[str, int]:
    return totalled(histogram.observed(value) for value in values)


def test_a_value_is_counted_in_the_first_bucket_that_holds_it() -> None:
    counts = filled(TENS, 0, 10, 11, 30, 31, 1_000)
    assert TENS.buckets(counts) == [(10, 2), (20, 1), (30, 1), (None, 2)]
    assert TENS.total(counts) == 1_082
    assert filled(TENS, -5) == filled(TENS, 0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ((), 0.5, None),
        ((10, 10, 10, 10), 0.5, 5.0),
        ((1, 11, 21, 22), 0.5, 20.0),
        ((1, 11, 21, 22), 0.9, 28.0),
        ((1, 1_000), 0.9, 30.0),
    ],
)
def test_quantiles_are_read_off_the_buckets(
    values: tuple[int, ...], share: float, expected: float | None
) -> None:
    assert TENS.quantile(filled(TENS, *values), share) == expected


@given(st.lists(st.integers(0, 30_000), min_size=1), st.sampled_from([0.1, 0.5, 0.9]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[int], share: float) -> None:
    counts = filled(INTERVALS, *values)
    found = INTERVALS.quantile(counts, share)
    # The smallest value that so many do not exceed, in the same arithmetic as the ranks.
    true = next(
        value for place, value in enumerate(sorted(values), start=1) if place >= share * len(values)
    )
    above = next(bound for bound in INTERVALS.bounds if true <= bound)
    below = max((bound for bound in INTERVALS.bounds if bound < above), default=0)
    assert found is not None
    assert below <= found <= above
    assert INTERVALS.mean(counts) == sum(values) / len(values)


def test_no_two_counters_share_a_field() -> None:
    each = [len(Count), *(len(owner.fields) for owner in (*ALL_KINDS, *ALL_HISTOGRAMS))]
    assert sum(each) == len(FIELDS)
    assert len(FIELDS) < 200, "each is a field of a hash for every company and day"


def test_what_somebody_wrote_never_becomes_a_field() -> None:
    assert LEFT.field("Ana says: no!") == "left:other"


def test_a_day_begins_at_midnight_where_the_company_is() -> None:
    ms = 1_741_500_000_000  # 2025-03-09 06:00 UTC
    assert local_day(ms, "America/Bogota") == date(2025, 3, 9)
    assert local_day(ms - 2 * 3_600_000, "America/Bogota") == date(2025, 3, 8)
    assert local_day(ms + 19 * 3_600_000, "Asia/Tokyo") == date(2025, 3, 10)
    assert days_between(date(2025, 2, 27), date(2025, 3, 1)) == [
        date(2025, 2, 27),
        date(2025, 2, 28),
        date(2025, 3, 1),
    ]


def test_nothing_counted_says_nothing() -> None:
    said = figures({})
    assert said["intervals"]["p50_ms"] is None
    assert said["batches"]["success"] is None
    assert said["batches"]["mean_size"] is None
    assert said["tokens"]["of_one_call_per_message"] is None
    assert said["messages"]["count"] == 0
    json.dumps(said)


def test_what_the_counters_say() -> None:
    counts = totalled(
        [
            filled(INTERVALS, 4_000, 6_000, 9_000, 14_000),
            filled(BATCHES, 1, 4, 1),
            {
                Count.MESSAGES: 6,
                Count.MESSAGE_CHARS: 90,
                Count.TOKENS_IN: 900,
                Count.TOKENS_OUT: 100,
                Count.TOKENS_SAVED: 1_000,
                Count.WASTED_EARLY: 50,
                Count.WASTED_SUPERSEDED: 30,
                Count.WASTED_CANCELLED: 20,
                Count.TOOL_CALLS: 4,
                Count.TOOL_MS: 100,
                LEFT.field("paused"): 2,
            },
        ]
    )
    said = figures(counts)
    assert said["messages"]["mean_chars"] == 15.0
    assert said["intervals"]["mean_ms"] == 8_250
    assert said["batches"]["joined_messages"] == 3
    assert said["batches"]["of_several"] == 1
    assert said["batches"]["mean_size"] == 2.0
    assert said["batches"]["success"] == 0.75
    assert said["tokens"]["used"] == 1_100
    assert said["tokens"]["of_one_call_per_message"] == 0.55
    assert said["unanswered"]["left_to_people"] == 2
    assert said["tools"]["mean_ms"] == 25


TODAY = date(2025, 3, 9)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, (date(2025, 3, 3), TODAY)),
        (None, "2025-01-07", (date(2025, 1, 1), date(2025, 1, 7))),
        ("2025-03-09", None, (TODAY, TODAY)),
        ("2024-02-04", "2025-03-09", (date(2024, 2, 4), TODAY)),
        (None, "0001-01-03", (date(1, 1, 1), date(1, 1, 3))),
    ],
)
def test_the_period_that_is_asked_for(
    first: str | None, last: str | None, expected: tuple[date, date]
) -> None:
    assert period(first, last, TODAY) == expected


@pytest.mark.parametrize(
    ("first", "last", "detail"),
    [
        ("yesterday", None, "from: a day written YYYY-MM-DD, not 'yesterday'"),
        (None, "20250309", "to: a day written YYYY-MM-DD, not '20250309'"),
        (None, "2025-02-30", "to: a day written YYYY-MM-DD, not '2025-02-30'"),
        ("٢٠٢٥-٠٣-٠٩", None, "from: a day written"),
        ("2025-03-10", None, "from: 2025-03-10 lies after today, 2025-03-09"),
        ("2025-03-02", "2025-03-01", "from: 2025-03-02 lies after `to`, 2025-03-01"),
        ("2024-02-03", None, "are 401 days; 400 at most"),
    ],
)
def test_a_wrong_period_is_refused_by_the_parameters_name(
    first: str | None, last: str | None, detail: str
) -> None:
    with pytest.raises(Refused) as refused:
        period(first, last, TODAY)
    assert refused.value.status == 422
    assert detail in refused.value.detail
