"""R1.8: five retries after 2, 4, 8, 16, 32 s, with jitter, honouring Retry-After."""

import pytest

from actors.backoff import JITTER, RETRY_AFTER_MAX_S, retry_delay_s


@pytest.mark.parametrize(
    ("failures", "expected"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, None), (60, None)]
)
def test_waits_of_r1_8(failures: int, expected: float | None) -> None:
    assert retry_delay_s(failures, jitter=0) == expected


def test_jitter_only_stretches() -> None:
    assert retry_delay_s(1, jitter=1) == pytest.approx(2 * (1 + JITTER))


@pytest.mark.parametrize(("asked_s", "expected"), [(1, 2), (7, 7), (9_999, RETRY_AFTER_MAX_S)])
def test_retry_after_is_a_bounded_lower_bound(asked_s: float, expected: float) -> None:
    assert retry_delay_s(1, jitter=0, asked_s=asked_s) == expected


def test_before_the_first_failure_there_is_nothing_to_retry() -> None:
    with pytest.raises(ValueError, match="nothing to retry"):
        retry_delay_s(0, jitter=0)
