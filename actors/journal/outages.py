"""Translates Redis's errors into ours: what may pass, and what is in doubt."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from actors.conditions import Outage, condition_of


@contextmanager
def translating() -> Iterator[None]:
    """Redis's errors as ours: whatever may pass (away, loading, full, read-only, a wrong password)
    is an Outage, which is Retryable and names the condition."""
    try:
        yield
    except (RedisError, OSError) as error:
        condition = condition_of(error)
        if condition is None:
            raise
        raise Outage(condition) from error
