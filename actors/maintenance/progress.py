"""Keeps in Redis how far the catch-up of each company has come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from redis.asyncio import Redis

from actors import lua
from actors.channels.inboxes import LIFE_MS
from actors.errors import Retryable
from actors.journal.outages import translating

MARKS_MAX = 20_000
"""Conversations whose last message looked at is remembered: those with the highest numbers."""

LOCK_MS = 120_000
"""A run that died stands in the way of others for so long; none takes longer."""


class Progress(msgspec.Struct, frozen=True):
    """How far it has come; times in ms, 0 for never.

    `complete_ms`: when the last search that was completed began; `began_ms`: when the one in
    progress did. Of that one `done` names the inboxes that are finished, `page` is the next one of
    the inbox that is not. `wait_ms`: until then Chatwoot asked to be left alone.
    """

    complete_ms: int = 0
    began_ms: int = 0
    done: tuple[str, ...] = ()
    page: int = 1
    wait_ms: int = 0

    def begun(self, now_ms: int) -> "Progress":
        """The search in progress, or a new one."""
        if self.began_ms:
            return self
        return Progress(complete_ms=self.complete_ms, began_ms=now_ms)

    def on_page(self, page: int) -> "Progress":
        """The next page of the inbox that is not finished."""
        return msgspec.structs.replace(self, page=page)

    def finished(self, inbox_id: str) -> "Progress":
        """With an inbox more that is finished."""
        return msgspec.structs.replace(self, done=(*self.done, inbox_id), page=1)

    def completed(self) -> "Progress":
        """After the search is through."""
        return Progress(complete_ms=self.began_ms)


_decoder = msgspec.json.Decoder(Progress)


class ProgressStore:
    """The progress by account_key (channels.inboxes). Every call raises Retryable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._release = lua.load(redis, __package__, "release")

    @asynccontextmanager
    async def alone(self, key: str, holder: str) -> AsyncIterator[bool]:
        """Whether the caller, by a name of its own, is the only one at work there, for as long as
        the block lasts."""
        lock = f"{key}:lock"
        with translating():
            alone = bool(await self._redis.set(lock, holder, nx=True, px=LOCK_MS))
        try:
            yield alone
        finally:
            if alone:
                # What cannot be given back ends by itself.
                with suppress(Retryable), translating():
                    await self._release(keys=[lock], args=[holder])

    async def read(self, key: str) -> Progress:
        """As it was written; one of a later release, which cannot be read, is begun anew."""
        with translating():
            raw: Any = await self._redis.get(f"{key}:progress")
        try:
            return _decoder.decode(raw) if raw else Progress()
        except msgspec.DecodeError:
            return Progress()

    async def write(self, key: str, progress: Progress) -> None:
        with translating():
            await self._redis.set(f"{key}:progress", msgspec.json.encode(progress), px=LIFE_MS)

    async def mark(self, key: str, conversation_id: str) -> int:
        """The last message of the conversation that was looked at; 0: none."""
        with translating():
            return int(await self._redis.zscore(f"{key}:marks", conversation_id) or 0)

    async def set_mark(self, key: str, conversation_id: str, number: int) -> None:
        marks = f"{key}:marks"
        with translating():
            async with self._redis.pipeline(transaction=True) as together:
                together.zadd(marks, {conversation_id: number}, gt=True)
                together.zremrangebyrank(marks, 0, -1 - MARKS_MAX)
                together.pexpire(marks, LIFE_MS)
                await together.execute()
