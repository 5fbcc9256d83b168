"""Waits until replicas of Redis have what was written, where the settings ask for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from actors.conditions import NO_REPLICA, Outage

REPLICA_ACK_MS = 1_000
"""With durability `replicated`: how long a replica may take to confirm, milliseconds."""


@asynccontextmanager
async def one_connection(redis: Redis, replicas: int) -> AsyncIterator[Redis]:
    """The client for a write and, where replicas have to confirm it, for the question: one
    connection, since WAIT is about the writes of its own connection alone."""
    if not replicas:
        yield redis
        return
    async with redis.client() as one:
        yield one


async def confirmed(redis: Redis, replicas: int) -> None:
    """Returns when so many replicas have what this connection wrote. Raises Retryable, in doubt."""
    if replicas and await redis.wait(replicas, REPLICA_ACK_MS) < replicas:
        raise Outage(NO_REPLICA, doubtful=True)
