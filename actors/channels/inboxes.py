"""Remembers from which inboxes of a company's Chatwoot customers' messages come here.

Chatwoot's list has the conversations of every inbox that a token may see, webhooks come from those
alone that somebody connected: what is found in a list is answered in these and no others.
"""

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from actors import lua
from actors.clock import Clock
from actors.companies.company import ChatwootAccount
from actors.errors import Retryable
from actors.journal.outages import translating

INBOXES_MAX = 100
"""Inboxes remembered of one company; those silent for longest make room."""

CONNECTED_MS = 3 * 24 * 3_600 * 1_000
"""An inbox that no webhook came from for so long counts as connected no more."""

NOTED_MS = 60_000
"""An inbox is noted once in so long by each process, not with every message."""

LIFE_MS = 30 * 24 * 3_600 * 1_000
"""What is remembered of a company that is gone is kept so long."""

NOTES_MAX = 10_000
"""Inboxes whose last note a process remembers; beyond, it notes them anew."""


class Inbox(msgspec.Struct, frozen=True):
    """Where messages come from: the first one since it was connected, the last one; ms."""

    since_ms: int
    last_ms: int


def account_key(company_id: str, account: ChatwootAccount) -> str:
    """The beginning of a company's keys in Redis for this account: in another, the same number is
    another inbox."""
    digest = zlib.crc32(f"{account.base_url}|{account.account_id}".encode())
    return f"turnwise:catch-up:{{{company_id}}}:{digest:08x}"


class Inboxes:
    """The inboxes of all companies."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._note = lua.load(redis, __package__, "inbox")
        self._noted_ms: dict[tuple[str, str], int] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def heard(self, company_id: str, account: ChatwootAccount, inbox_id: str) -> None:
        """A webhook brought a customer's message from this inbox. Neither waits nor fails."""
        place, now_ms = (account_key(company_id, account), inbox_id), self._clock.now_ms()
        if not inbox_id.isdecimal() or now_ms - self._noted_ms.get(place, 0) < NOTED_MS:
            return
        if len(self._noted_ms) >= NOTES_MAX:
            self._noted_ms.clear()
        self._noted_ms[place] = now_ms
        noting = asyncio.create_task(self._noting(place, now_ms))
        self._under_way.add(noting)
        noting.add_done_callback(self._under_way.discard)

    async def _noting(self, place: tuple[str, str], now_ms: int) -> None:
        try:
            await self.note(*place, now_ms)
        except Retryable:
            self._noted_ms.pop(place, None)  # the next message notes it

    async def note(self, key: str, inbox_id: str, now_ms: int) -> None:
        """Notes an inbox of this account_key. Raises Retryable."""
        with translating():
            await self._note(
                keys=[f"{key}:inboxes"],
                args=[inbox_id, now_ms, CONNECTED_MS, INBOXES_MAX, LIFE_MS],
            )

    async def known(self, key: str) -> Mapping[str, Inbox]:
        """The inboxes of this account_key. Raises Retryable."""
        with translating():
            found: Any = await self._redis.hgetall(f"{key}:inboxes")
        pairs = {name.decode(): value.decode().partition(":") for name, value in found.items()}
        return {name: Inbox(int(since), int(last)) for name, (since, _, last) in pairs.items()}
