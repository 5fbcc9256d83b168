"""Decides how long to wait before a failed call is repeated, and when to stop."""

RETRY_AFTER_S = (2.0, 4.0, 8.0, 16.0, 32.0)
"""The waits of R1.8, seconds: five retries after the first attempt."""

RETRY_AFTER_MAX_S = 120.0
"""The longest wait that we accept from another side's Retry-After, seconds."""

JITTER = 0.25
"""A wait is stretched by up to this share, so that many who failed together come back apart."""


def retry_delay_s(failures: int, jitter: float, asked_s: float | None = None) -> float | None:
    """Seconds until the next attempt after `failures` failed ones, or None: give up.

    `jitter` is in [0, 1]; `asked_s` is the other side's Retry-After, honoured as a lower bound.
    """
    if failures < 1:
        raise ValueError("there is nothing to retry before the first failure")
    if failures > len(RETRY_AFTER_S):
        return None
    delay = RETRY_AFTER_S[failures - 1]
    if asked_s is not None:
        delay = max(delay, min(asked_s, RETRY_AFTER_MAX_S))
    return delay * (1 + JITTER * jitter)
