"""Takes in what happens to a conversation: bounded, durable, then on its way to its actor."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

import msgspec
from fastapi import Request
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from actors.channels.message import Message
from actors.clock import Clock
from actors.companies.company import Company
from actors.conversation.events import CustomerTyping, FromOutside, MessageReceived, encode
from actors.conversation.memory import Memory
from actors.conversation.pace import Pace
from actors.conversation.state import Open
from actors.conversation.window import closes
from actors.errors import Retryable
from actors.journal.entries import Appended, Full, Noted, Only
from actors.journal.keys import SLOTS, Key
from actors.journal.stream import Journal
from actors.personas import pace_of
from actors.placement import Router
from actors.web.refusals import Refused
from actors.web.typing_gate import TypingGate
from actors.wiring import Parts

BODY_BYTES_MAX = 1 << 20
"""The largest request body."""

BODY_S = 10.0
"""So long it may take to come: whoever dawdles holds one of REQUESTS_PER_REPLICA_MAX places."""

REDIS_AWAY_S = 4.0
"""A request is held so long while Redis is away; Chatwoot gives up after 5 s."""

REDIS_PAUSE_S = 0.1
LOADS_FRESH_MS = 2_000
"""The number of a company's unanswered messages is read anew after so long."""

_T = TypeVar("_T")


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
        self._requests = 0
        self._loads = _Loads(parts.journal, parts.clock)
        self._typing = TypingGate()

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

        async def append() -> Appended | Full:
            await self._room_for(company)
            return await self._journal.append(
                key, message_key, raw, at_ms=at_ms, largest_batch=pace.largest_batch
            )

        appended = await self._patiently(append)
        if isinstance(appended, Full):
            raise Refused(
                429,
                f"conversation {conversation_id} has {appended.waiting} unanswered messages, "
                "WAITING_PER_CONVERSATION_MAX allows no more",
                retry_after_s=math.ceil(pace.longest_wait_ms / 1_000),
            )
        if appended.fresh:
            self._loads.add(key.company_id)
            self._typing.forget(key)
        if appended.position:
            # A duplicate is a reason to look: the first delivery may be lost with its sender.
            self._router.deliver(key, appended.seq, raw if appended.fresh else None)
        return self._answer(key, appended, Open(appended.seq, at_ms, message), pace)

    async def note(
        self,
        company: Company,
        conversation_id: str,
        event: FromOutside,
        *,
        note_id: str,
        only: Only,
    ) -> Noted | None:
        """Puts in the journal what is no customer's message, and tells the actor at once.

        See journal.stream.Journal.note for `note_id`, `only` and None. Raises Retryable
        where Redis stays away: then it may be sent again.
        """
        key = Key(company.company_id, conversation_id)
        if isinstance(event, CustomerTyping) and not self._typing.passes(key, event):
            return None
        raw = encode(event)
        noted = await self._patiently(
            lambda: self._journal.note(key, note_id, raw, at_ms=event.at_ms, only=only)
        )
        if noted is not None:
            self._router.deliver(key, noted.seq, raw)
        elif only == "always":
            # A duplicate is a reason to look: the first delivery may be lost with its sender.
            counters = await self._patiently(lambda: self._journal.counters(key))
            self._router.deliver(key, counters[0] if counters else 0, None)
        else:
            self._typing.forget(key)
        return noted

    async def _patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Tries for REDIS_AWAY_S. What failed in doubt is safely repeated: what has an id is
        written once, and the rest does no harm twice."""
        last: Retryable | None = None
        try:
            async with asyncio.timeout(REDIS_AWAY_S):
                while True:
                    try:
                        return await call()
                    except Retryable as error:
                        last = error
                        await self._clock.sleep(REDIS_PAUSE_S)
        except TimeoutError:
            reason = last or f"Redis did not answer within {REDIS_AWAY_S:g} s"
            raise Retryable(f"{reason}; nothing was taken, send it again") from last

    async def _room_for(self, company: Company) -> None:
        load = await self._loads.of(company.company_id)
        if load >= company.waiting_max:
            raise Refused(
                429,
                f"company {company.company_id} has {load} unanswered messages, "
                "WAITING_PER_COMPANY_MAX (or waiting_max, in its table) allows no more",
                retry_after_s=30,
            )

    def _answer(self, key: Key, appended: Appended, newest: Open, pace: Pace) -> Accepted:
        oldest = msgspec.structs.replace(newest, at_ms=min(appended.oldest_ms, newest.at_ms))
        waiting = (oldest, newest) if appended.position > 1 else (newest,)
        # The customer's rhythm is known to their actor alone: this is the company's own window.
        usual = msgspec.structs.replace(pace, learned=False)
        memory = Memory(begun=appended.seq > 1)
        wait_ms = max(0, closes(waiting, memory, usual, newest.at_ms).at_ms - newest.at_ms)
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
    """The request's body. Raises Refused 413 above BODY_BYTES_MAX, without reading on, 408 where
    it takes longer than BODY_S, and 400 where the caller hangs up."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                size += len(part)
                if size > BODY_BYTES_MAX:
                    raise Refused(
                        413, f"the body is over {BODY_BYTES_MAX} bytes; send less at once"
                    )
                parts.append(part)
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_S:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the connection ended before the body did") from None
    return b"".join(parts)
