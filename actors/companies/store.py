"""Keeps in Redis the companies' tables that came through the API, their secrets sealed."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError

from actors import lua
from actors.conditions import Outage, condition_of
from actors.errors import Misconfigured, Retryable

TABLES_KEY = "turnwise:{companies}"
VERSION_KEY = "turnwise:{companies}:version"
COMPANIES_MAX = 1_000
"""Companies with a stored table: every process reads all of them after a change."""

TABLE_BYTES_MAX = 64 << 10

Written = Literal["stored", "removed", "changed", "full"]


@dataclass(frozen=True, slots=True)
class Stored:
    """All stored tables by company, as JSON with sealed secrets, and the version of them all."""

    version: int
    tables: Mapping[str, bytes]


class CompanyStore:
    """The stored tables. All calls raise Retryable where Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def version(self) -> int:
        """Changes with every write."""
        with _translating():
            return int(await self._redis.get(VERSION_KEY) or 0)

    async def read(self) -> Stored:
        """All of them, at one moment."""
        with _translating():
            async with self._redis.pipeline(transaction=True) as both:
                both.get(VERSION_KEY)
                both.hgetall(TABLES_KEY)
                version, tables = await both.execute()
                # Whoever writes here by hand may break one company, not the reading of all.
        named = {name.decode(errors="replace"): raw for name, raw in tables.items()}
        return Stored(int(version or 0), named)

    async def write(
        self, company_id: str, sealed: Mapping[str, Any] | None, at_version: int
    ) -> Written:
        """Stores the table of a company, or removes it (None).

        `changed`: since `at_version` somebody else wrote, read again. Raises Misconfigured
        where the table is too large.
        """
        raw = b"" if sealed is None else json.dumps(sealed).encode()
        if len(raw) > TABLE_BYTES_MAX:
            raise Misconfigured(
                f"companies.{company_id}: the table has {len(raw)} bytes, {TABLE_BYTES_MAX} are "
                "allowed"
            )
        store = lua.load(self._redis, __package__, "store")
        with _translating():
            outcome, _ = await store(
                keys=[TABLES_KEY, VERSION_KEY],
                args=[company_id, raw, at_version, COMPANIES_MAX],
            )
        written: Written = outcome.decode()
        return written


def table_in(company_id: str, raw: bytes) -> dict[str, Any]:
    """The table that is stored so. Raises Misconfigured where it is none."""
    try:
        table = json.loads(raw)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise Misconfigured(
            f"companies.{company_id}: what is stored in Redis is no table; store it again"
        )
    return table


@contextmanager
def _translating() -> Iterator[None]:
    """Redis's errors as ours. A write may be repeated: it takes effect at one version only."""
    try:
        yield
    except (RedisError, OSError) as error:
        condition = condition_of(error)
        if condition is not None:
            raise Outage(condition, doubtful=False) from error
        # Such as a key that somebody wrote by hand. Redis's words may hold what it was sent.
        raise Retryable(
            f"the companies cannot be read or stored: Redis refuses it ({type(error).__name__}); "
            f"look at its keys {TABLES_KEY} and {VERSION_KEY}"
        ) from error
