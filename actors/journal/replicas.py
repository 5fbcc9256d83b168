"""Waits until replicas of Redis have what was written, where the settings ask for it."""

from redis.asyncio import Redis

from actors.errors import Retryable

REPLICA_ACK_MS = 1_000
"""With durability `replicated`: how long a replica may take to confirm, milliseconds."""


async def confirmed(redis: Redis, replicas: int) -> None:
    """Returns when so many replicas have what was written so far. Raises Retryable, in doubt."""
    if not replicas:
        return
    found = await redis.wait(replicas, REPLICA_ACK_MS)
    if found < replicas:
        raise Retryable(f"{found} of {replicas} Redis replicas have it", doubtful=True)
