"""Takes a customer's message in: bounded, durable, then on its way to its actor."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from fastapi import Request
from pydantic import BaseModel, Field

from actors.channels.message import Message
from actors.clock import Clock
from actors.companies.company import Company
from actors.conversation.events import MessageReceived, encode
from actors.conversation.pace import Pace
from actors.conversation.turns import Wait, window
from actors.errors import Retryable
from actors.journal.keys import SLOTS, Key
from actors.journal.stream import Appended, Full, Journal
from actors.placement import Router
from actors.telemetry import logger
from actors.web.refusals import Refused
from actors.wiring import Parts, pace_of

BODY_BYTES_MAX = 1 << 20
"""The largest request body."""

REDIS_AWAY_S = 4.0
"""A request is held so long while Redis is away; Chatwoot gives up after 5 s."""

REDIS_PAUSE_S = 0.1
LOADS_FRESH_MS = 2_000
"""The number of a company's unanswered messages is read anew after so long."""

_log = logger("ingress")


class Accepted(BaseModel):
    """The answer to a message that is in the journal."""

    status: Literal["queued", "duplicate"]
    company_id: str
    conversation_id: str
    seq: int = Field(description="its number in the conversation's journal")
    queue_position: int = Field(description="unanswered messages up to this one; 0: answered")
    task_id: str = Field(description="the turn that it will belong to, as far as can be said now")
    estimated_wait_seconds: int = Field(description="until its turn begins if nothing more comes")


class _Loads:
    """How many unanswered messages each company has: read from Redis, counted on in between.

    It may lag by LOADS_FRESH_MS and by the other replicas' share, never longer: it is no ledger.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._loads: dict[str, int] = {}
        self._read_ms = 0

    async def of(self, company_id: str) -> int:
        now_ms = self._clock.now_ms()
        if now_ms - self._read_ms > LOADS_FRESH_MS:
            self._read_ms = now_ms
            self._loads = await self._journal.loads(range(SLOTS))
        return self._loads.get(company_id, 0)

    def add(self, company_id: str) -> None:
        self._loads[company_id] = self._loads.get(company_id, 0) + 1


class Ingress:
    """The way in of one replica."""

    def __init__(self, parts: Parts, router: Router) -> None:
        self._journal = parts.journal
        self._clock = parts.clock
        self._router = router
        self._requests_max = parts.settings.requests_per_replica_max
        self._company_max = parts.settings.waiting_per_company_max
        self._requests = 0
        self._loads = _Loads(parts.journal, parts.clock)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts a request of this replica; refuses it if there are too many."""
        if self._requests >= self._requests_max:
            raise Refused(
                429,
                f"{self._requests} requests are being taken in, REQUESTS_PER_REPLICA_MAX allows "
                "no more; repeat this one",
                retry_after_s=1,
            )
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def accept(
        self, company: Company, conversation_id: str, message: Message, message_key: str
    ) -> Accepted:
        """Puts the message in the journal and sends it on its way.

        `message_key` identifies it whatever way it came. Raises Refused where too many wait, and
        Retryable where Redis stays away: then it may be sent again.
        """
        key = Key(company.company_id, conversation_id)
        pace = pace_of(company)
        at_ms = self._clock.now_ms()
        raw = encode(MessageReceived(at_ms=at_ms, message=message))
        appended = await self._append(key, message_key, raw, at_ms, pace.largest_batch)
        if isinstance(appended, Full):
            raise Refused(
                429,
                f"conversation {conversation_id} has {appended.waiting} unanswered messages, "
                "WAITING_PER_CONVERSATION_MAX allows no more",
                retry_after_s=math.ceil(pace.longest_wait_ms / 1_000),
            )
        if appended.position:
            # A duplicate is a reason to look: the first delivery may be lost with its sender.
            self._router.deliver(key, appended.seq, raw if appended.fresh else None)
        return self._answer(key, appended, at_ms, pace)

    async def _append(
        self, key: Key, message_key: str, raw: bytes, at_ms: int, largest_batch: int
    ) -> Appended | Full:
        """Tries for REDIS_AWAY_S. An append that failed in doubt is safely repeated: the message id
        puts it there once."""
        last: Retryable | None = None
        try:
            async with asyncio.timeout(REDIS_AWAY_S):
                while True:
                    try:
                        await self._room_for(key.company_id)
                        appended = await self._journal.append(
                            key, message_key, raw, at_ms=at_ms, largest_batch=largest_batch
                        )
                    except Retryable as error:
                        last = error
                        await self._clock.sleep(REDIS_PAUSE_S)
                    else:
                        break
        except TimeoutError:
            reason = last or f"Redis did not answer within {REDIS_AWAY_S:g} s"
            raise Retryable(f"{reason}; the message was not taken, send it again") from last
        if isinstance(appended, Appended) and appended.fresh:
            self._loads.add(key.company_id)
        return appended

    async def _room_for(self, company_id: str) -> None:
        load = await self._loads.of(company_id)
        if load >= self._company_max:
            raise Refused(
                429,
                f"company {company_id} has {load} unanswered messages, WAITING_PER_COMPANY_MAX "
                "allows no more",
                retry_after_s=30,
            )

    def _answer(self, key: Key, appended: Appended, at_ms: int, pace: Pace) -> Accepted:
        begins = window([appended.oldest_ms, at_ms], pace, at_ms)
        wait_ms = begins.until_ms - at_ms if isinstance(begins, Wait) and begins.until_ms else 0
        return Accepted(
            status="queued" if appended.fresh else "duplicate",
            company_id=key.company_id,
            conversation_id=key.conversation_id,
            seq=appended.seq,
            queue_position=appended.position,
            task_id=f"{key}:{appended.turn_first}",
            estimated_wait_seconds=math.ceil(wait_ms / 1_000) if appended.position else 0,
        )


async def body_of(request: Request) -> bytes:
    """The request's body. Raises Refused 413 above BODY_BYTES_MAX, without reading on."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise Refused(413, f"the body is over {BODY_BYTES_MAX} bytes; send less at once")
        parts.append(part)
    return b"".join(parts)
