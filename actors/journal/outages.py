"""Translates Redis's errors into ours: what may pass, and what is in doubt."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from actors.errors import Retryable

_PASSING = re.compile(
    r"\b(OOM|READONLY|MISCONF|NOREPLICAS|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY)\b"
)


@contextmanager
def translating() -> Iterator[None]:
    """Redis's errors as ours: whatever may pass (away, loading, full, read-only) is Retryable."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise Retryable(f"Redis is away: {error}", doubtful=True) from error
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise Retryable(f"Redis takes no writes: {error}") from error
    except ResponseError as error:
        # Redis 6.2 wraps what a script's command says into a sentence of its own.
        if _PASSING.search(str(error)):
            raise Retryable(f"Redis takes no writes: {error}") from error
        raise
    except RedisError as error:
        raise Retryable(f"Redis failed: {error}", doubtful=True) from error
