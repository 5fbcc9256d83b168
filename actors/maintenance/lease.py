"""Lets one scheduler at a time do the timetable, and each tick of it happen once."""

from redis.asyncio import Redis

from actors import lua
from actors.journal.outages import translating

LEASE_KEY = "turnwise:scheduler:lease"
"""Of the chores that are done once for all clusters; each cluster's own lease bears its name."""

LEASE_LIFE_MS = 12_000
RENEW_S = 2.0
"""When a scheduler is killed the next one works within LEASE_LIFE_MS: hosts wait for its watch."""


class Lease:
    """The right to run the timetable; whoever stops renewing loses it within LEASE_LIFE_MS."""

    def __init__(self, redis: Redis, holder: str, cluster: str = "") -> None:
        """`cluster`: of one cluster's own chores; "": of those that are done once for all."""
        self._redis = redis
        self._holder = holder
        self._scope = f":{cluster}" if cluster else ""
        self._key = LEASE_KEY + self._scope
        self._take = lua.load(redis, __package__, "lease")
        self._release = lua.load(redis, __package__, "release")

    async def take(self) -> bool:
        """Takes or renews the lease; False while another holds it. Raises Retryable."""
        with translating():
            answer = await self._take(keys=[self._key], args=[self._holder, LEASE_LIFE_MS])
        return bool(answer[0] == b"held")

    async def release(self) -> None:
        """Gives the lease back, so that another need not wait for its end. Raises Retryable."""
        with translating():
            await self._release(keys=[self._key], args=[self._holder])

    async def claim(self, tick: str, life_ms: int) -> bool:
        """Whether this tick is the caller's to do; True once for each tick. Raises Retryable."""
        with translating():
            return bool(
                await self._redis.set(
                    f"turnwise:tick{self._scope}:{tick}", self._holder, nx=True, px=max(life_ms, 1)
                )
            )
