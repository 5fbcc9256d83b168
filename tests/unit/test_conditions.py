"""What is the matter with Redis, by the error that its client raised; nothing of it leaks."""

import asyncio
import pickle
import re
import ssl
from pathlib import Path

import pytest
from redis import exceptions as redis

from actors import conditions
from actors.conditions import CONDITIONS, Condition, Outage, condition_of
from actors.errors import Retryable
from actors.journal.outages import translating
from actors.web.health import SLOW

HASH = "f_c2a5e0d1b1f0e2d3c4b5a6978877665544332211"


def in_script(says: str) -> redis.ResponseError:
    """As Redis 6.2 wraps what a script's command says."""
    return redis.ResponseError(
        f"Error running script (call to {HASH}): @user_script:31: @user_script: 31: -{says}"
    )


def in_pipeline(says: str) -> redis.ResponseError:
    """As redis-py tells which command of a pipeline failed."""
    return redis.ResponseError(
        f"Command # 2 (HINCRBY turnwise:analytics:acme x 1) of pipeline caused error: {says}"
    )


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (redis.ConnectionError("Error 111 connecting to h:1. Connection refused."), "away"),
        (redis.ConnectionError("Connection closed by server."), "away"),
        (redis.TimeoutError("Timeout reading from socket"), "away"),
        (ConnectionResetError(104, "Connection reset by peer"), "away"),
        (TimeoutError(), "away"),
        (
            redis.ConnectionError(
                "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
                "failed: self-signed certificate (_ssl.c:1006)."
            ),
            "untrusted",
        ),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "untrusted"),
        (redis.AuthenticationError("invalid username-password pair"), "wrong-password"),
        (redis.AuthenticationError("Authentication required."), "wrong-password"),
        (redis.AuthorizationError("x"), "wrong-password"),
        (redis.AuthenticationWrongNumberOfArgsError("x"), "wrong-password"),
        (in_pipeline("NOAUTH Authentication required."), "wrong-password"),
        (redis.NoPermissionError("this user has no permissions"), "forbidden"),
        (in_script("NOPERM this user has no permissions to run the 'xadd' command"), "forbidden"),
        (redis.ConnectionError("max number of clients reached"), "crowded"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "full"),
        (in_script("OOM command not allowed when used memory > 'maxmemory'."), "full"),
        (in_pipeline("OOM command not allowed"), "full"),
        (redis.ReadOnlyError("You can't write against a read only replica."), "read-only"),
        (in_script("READONLY You can't write against a read only replica."), "read-only"),
        (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots, but"), "disk"),
        (in_script("MISCONF Errors writing to the AOF file: No space left on device"), "disk"),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), "no-replica"),
        (redis.MasterDownError("Link with MASTER is down"), "cut-off"),
        (redis.ClusterDownError("The cluster is down"), "cluster-down"),
        (redis.TryAgainError("x"), "cluster-down"),
        (redis.ResponseError("BUSY Redis is busy running a script."), "busy"),
        (redis.InvalidResponse("Protocol Error: b'x'"), "failed"),
    ],
)
def test_an_error_names_the_condition(error: Exception, condition: str) -> None:
    found = condition_of(error)
    assert found is not None and found.name == condition


@pytest.mark.parametrize(
    "error",
    [
        redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        # What a customer wrote says nothing of Redis.
        redis.ResponseError("unknown command 'X', with args beginning with: 'OOM READONLY BUSY'"),
        redis.DataError("Invalid input of type: 'NoneType'"),
        ValueError("OOM"),
    ],
)
def test_a_bug_is_no_condition(error: Exception) -> None:
    assert condition_of(error) is None
    with pytest.raises(type(error)), translating():
        raise error


def test_every_condition_has_a_name_of_its_own_and_a_sentence_that_says_what_to_do() -> None:
    made = [value for value in vars(conditions).values() if isinstance(value, Condition)]
    assert set(made) == set(CONDITIONS)
    assert len({condition.name for condition in CONDITIONS}) == len(CONDITIONS)
    for condition in CONDITIONS:
        assert condition.says.startswith("Redis ") and "; " in condition.says


def test_the_readme_has_a_row_for_each() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme.split("### When Redis is in trouble", 1)[1].split("\n## ", 1)[0]
    named = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert named.pop(0) == "redis"
    assert set(named) == {condition.name for condition in CONDITIONS} | {SLOW}


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_an_outage_is_retryable_and_survives_the_way_between_processes(
    condition: Condition,
) -> None:
    for doubtful in (None, True, False):
        outage = Outage(condition, doubtful=doubtful)
        assert isinstance(outage, Retryable)
        assert outage.doubtful == (condition.doubtful if doubtful is None else doubtful)
        again = pickle.loads(pickle.dumps(outage))
        assert (again.condition, str(again)) == (condition, str(outage))
        assert again.doubtful == outage.doubtful


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("Error 8 connecting to hunter2:6379. not known"),
        redis.AuthenticationError("invalid password hunter2"),
        in_script("OOM hunter2"),
        in_pipeline("READONLY hunter2"),
        redis.InvalidResponse("Protocol Error: b'hunter2'"),
    ],
)
def test_nothing_of_redis_own_words_is_passed_on(error: Exception) -> None:
    with pytest.raises(Outage) as outage, translating():
        raise error
    assert "hunter2" not in str(outage.value)


def test_a_cancelled_call_stays_cancelled() -> None:
    with pytest.raises(asyncio.CancelledError), translating():
        raise asyncio.CancelledError
