"""Counts in Redis what companies use of their limits a minute, for all processes together."""

from typing import Literal

from redis.asyncio import Redis

from actors import lua
from actors.analytics.bucket import Level
from actors.journal.outages import translating

What = Literal["messages", "tokens"]


def bucket_key(company_id: str, what: What) -> str:
    """Hash: what is in the company's bucket, as of when. It goes by itself when it is empty."""
    return f"turnwise:bucket:{company_id}:{what}"


class Spending:
    """The buckets of all companies. Every method raises Retryable while Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._spend = lua.load(redis, __package__, "spend")

    async def take(
        self, company_id: str, what: What, amount: int, per_minute: int, now_ms: int
    ) -> tuple[bool, Level]:
        """Takes so much if there is room; whether it did, and the bucket after it."""
        return await self._run(bucket_key(company_id, what), amount, per_minute, now_ms, "fits")

    async def charge(
        self, company_id: str, what: What, amount: int, per_minute: int, now_ms: int
    ) -> Level:
        """Adds what was used, whether there is room or not; below zero gives back, and zero only
        looks. The bucket after it."""
        key = bucket_key(company_id, what)
        return (await self._run(key, amount, per_minute, now_ms, "always"))[1]

    async def _run(
        self, key: str, amount: int, per_minute: int, now_ms: int, how: str
    ) -> tuple[bool, Level]:
        with translating():
            answer = await self._spend(keys=[key], args=[amount, per_minute, now_ms, how])
        return answer[0] == b"taken", Level(float(answer[1]), int(answer[2]))
