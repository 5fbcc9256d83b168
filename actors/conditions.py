"""Names what is the matter with Redis, from the error that its client raised.

Redis's own words are never passed on: they can hold what it was sent, passwords too.
Source of the codes: Redis 6.2 and 7.0, server.c (shared objects) and script.c.
"""

import re
from functools import partial
from typing import Any

import msgspec
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    DataError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from actors.errors import Retryable


class Condition(msgspec.Struct, frozen=True):
    """What is the matter, and what to do. `says` begins with "Redis".

    `doubtful`: what was asked of it may have taken effect all the same.
    """

    name: str
    says: str
    doubtful: bool = False


AWAY = Condition("away", "Redis cannot be reached; start it or correct REDIS_URL", doubtful=True)
UNTRUSTED = Condition(
    "untrusted",
    "Redis and Turnwise do not agree on TLS; use rediss:// where Redis speaks TLS and nowhere "
    "else, and name its certificate authority: REDIS_URL=rediss://…?ssl_ca_certs=<file>",
)
WRONG_PASSWORD = Condition(
    "wrong-password", "Redis refuses the password; correct it in REDIS_URL and start again"
)
FORBIDDEN = Condition(
    "forbidden",
    "Redis denies its user a command or a key; allow the user of REDIS_URL all commands on the "
    "keys turnwise:*",
)
CROWDED = Condition("crowded", "Redis takes no more connections; raise its maxclients")
LOADING = Condition("loading", "Redis is still loading its data; it goes on by itself")
FULL = Condition(
    "full", "Redis is full and takes no writes; raise its maxmemory, it goes on by itself"
)
READ_ONLY = Condition(
    "read-only",
    "Redis is a read-only replica and takes no writes; let REDIS_URL name the primary, or make "
    "this one the primary (REPLICAOF NO ONE)",
)
DISK = Condition(
    "disk",
    "Redis takes no writes because it could not write its file; see its log, and make room on "
    "its disk",
)
NO_REPLICA = Condition(
    "no-replica",
    "Redis has too few replicas that confirm a write; start them, or change DURABILITY (or "
    "Redis's min-replicas-to-write)",
)
CUT_OFF = Condition(
    "cut-off", "Redis is a replica that lost its primary; let REDIS_URL name the primary"
)
CLUSTER_DOWN = Condition(
    "cluster-down", "Redis Cluster does not serve all slots; bring its nodes back"
)
BUSY = Condition("busy", "Redis is busy with a script; if it does not end, use SCRIPT KILL")
FAILED = Condition(
    "failed", "Redis answered in a way that its client does not understand; see its log", True
)

CONDITIONS = (
    AWAY, UNTRUSTED, WRONG_PASSWORD, FORBIDDEN, CROWDED, LOADING, FULL, READ_ONLY, DISK,
    NO_REPLICA, CUT_OFF, CLUSTER_DOWN, BUSY, FAILED,
)  # fmt: skip

_BY_CLASS: tuple[tuple[tuple[type[Exception], ...], Condition], ...] = (
    ((BusyLoadingError,), LOADING),
    (
        (AuthenticationError, AuthorizationError, AuthenticationWrongNumberOfArgsError),
        WRONG_PASSWORD,
    ),
    ((NoPermissionError,), FORBIDDEN),
    ((OutOfMemoryError,), FULL),
    ((ReadOnlyError,), READ_ONLY),
    ((MasterDownError,), CUT_OFF),
    ((ClusterDownError, TryAgainError), CLUSTER_DOWN),
)
_BY_CODE = {
    "OOM": FULL,
    "READONLY": READ_ONLY,
    "MISCONF": DISK,
    "NOREPLICAS": NO_REPLICA,
    "LOADING": LOADING,
    "MASTERDOWN": CUT_OFF,
    "CLUSTERDOWN": CLUSTER_DOWN,
    "TRYAGAIN": CLUSTER_DOWN,
    "BUSY": BUSY,
    "NOPERM": FORBIDDEN,
    "NOAUTH": WRONG_PASSWORD,
    "WRONGPASS": WRONG_PASSWORD,
}
# First in the text, after a pipeline's "caused error: ", or, where Redis 6.2 wraps what a script's
# command says into a sentence of its own, after a dash: never in the midst of a customer's words.
_CODE = re.compile(rf"(?:^|caused error: |: -)({'|'.join(_BY_CODE)})\b")


def condition_of(error: Exception) -> Condition | None:
    """What the error says of Redis; None for one that is a bug of the caller's."""
    for kinds, condition in _BY_CLASS:
        if isinstance(error, kinds):
            return condition
    text = f"{error} {error.__context__}"
    if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError):
        if "[SSL" in text or "handshake" in text:  # none is answered where no TLS is spoken
            return UNTRUSTED
        return CROWDED if "max number of clients" in text else AWAY
    if isinstance(error, ResponseError):
        found = _CODE.search(str(error))
        return _BY_CODE[found[1]] if found else None
    return FAILED if isinstance(error, RedisError) and not isinstance(error, DataError) else None


class Outage(Retryable):
    """Redis is in this condition; the same call may succeed when it has passed."""

    def __init__(self, condition: Condition, *, doubtful: bool | None = None) -> None:
        super().__init__(
            f"redis {condition.name}: {condition.says}",
            doubtful=condition.doubtful if doubtful is None else doubtful,
        )
        self.condition = condition

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by its text, as exceptions are usually carried from process to process.
        return partial(Outage, doubtful=self.doubtful), (self.condition,)
