"""Serves the API: messages of any channel in, a conversation's state, timeline and events out."""

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field, StringConstraints

from actors.channels.message import TEXT_CHARS_MAX, Message
from actors.companies.company import Company
from actors.errors import Retryable
from actors.journal.keys import Key
from actors.placement import Router
from actors.web import people
from actors.web.access import Access
from actors.web.ingress import Accepted, Ingress, body_of
from actors.web.refusals import Refused
from actors.web.requests import key_of, read_as, takes
from actors.web.views import actor_view, event_view, memory_view, state_of, unanswered_view
from actors.wiring import Parts

TIMELINE_PAGE = 200
"""Events of a timeline in one answer at most."""

SEQ_MAX = 10**15 - 1
SEQ = re.compile(r"[0-9]{1,15}")
"""A number in a journal, as anybody may send it: Redis knows none above 2^64."""

STREAMS_MAX = 64
"""Live views of one replica."""

STREAM_LIFE_S = 30 * 60
"""A live view is closed after so long; the browser opens the next one by itself."""

STREAM_LOOK_S = 0.25
"""How often a live view looks for something new."""

STREAM_ALIVE_S = 15
"""A live view without news says so this often, so that no proxy closes it."""


class MessageIn(BaseModel):
    """A message of any channel. Sent again under the same `message_id`, it is one message."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARS_MAX)]
    message_id: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")] | None = Field(
        None, description="the sender's own id of the message; without one, a repeat is a new one"
    )
    sender: Annotated[str, StringConstraints(max_length=200)] = ""


class Conversations:
    """What the API shows of conversations."""

    def __init__(self, parts: Parts, router: Router) -> None:
        self._journal = parts.journal
        self._clock = parts.clock
        self._router = router
        self._streams = 0

    async def actor(self, key: Key) -> dict[str, Any]:
        counters = await self._journal.counters(key) or (0, 0)
        return actor_view(await self._router.glance(key), counters, self._clock.now_ms())

    async def whole(self, company: Company, key: Key, before: int | None) -> dict[str, Any]:
        """State, unanswered messages and the end of the timeline (before `before`)."""
        if await self._journal.counters(key) is None:
            raise Refused(
                404, f"company {key.company_id} has no conversation {key.conversation_id}"
            )
        state = state_of(await self._journal.replay(key))
        now_ms = self._clock.now_ms()
        timeline = await self._journal.read_last(key, TIMELINE_PAGE, before)
        earlier = timeline[0].seq if len(timeline) == TIMELINE_PAGE else None
        return {
            "company_id": key.company_id,
            "conversation_id": key.conversation_id,
            "actor": await self.actor(key),
            **unanswered_view(state, now_ms),
            "memory": memory_view(state.memory, company, now_ms),
            "timeline": [event_view(entry) for entry in timeline],
            "earlier_before": earlier,
        }

    async def stream(self, key: Key, after: int) -> AsyncIterator[str]:
        """The conversation's events after `after`, and what its actor does, as they come."""
        if self._streams >= STREAMS_MAX:
            raise Refused(429, f"{self._streams} live views are open here", retry_after_s=10)
        self._streams += 1
        try:
            async for sent in self._news(key, after):
                yield sent
        finally:
            self._streams -= 1

    async def _news(self, key: Key, after: int) -> AsyncIterator[str]:
        opened_ms = spoke_ms = self._clock.now_ms()
        shown: dict[str, Any] = {}
        yield "retry: 1000\n\n"
        while (now_ms := self._clock.now_ms()) - opened_ms < STREAM_LIFE_S * 1_000:
            try:
                entries = await self._journal.read(key, after)
                actor = await self.actor(key)
            except Retryable:
                return  # the browser comes back
            for entry in entries:
                yield _sse("journal", event_view(entry), event_id=entry.seq)
                after = entry.seq
            state = {name: value for name, value in actor.items() if name != "now_ms"}
            if state != shown:
                shown = state
                yield _sse("state", actor)
                spoke_ms = now_ms
            elif now_ms - spoke_ms > STREAM_ALIVE_S * 1_000:
                yield ": still here\n\n"
                spoke_ms = now_ms
            await self._clock.sleep(STREAM_LOOK_S)


def _sse(event: str, data: dict[str, Any], event_id: int | None = None) -> str:
    named = f"id: {event_id}\n" if event_id is not None else ""
    return f"{named}event: {event}\ndata: {json.dumps(data)}\n\n"


def routes(parts: Parts, router: Router, ingress: Ingress, access: Access) -> APIRouter:
    """The API under /api/companies/{company_id}/conversations."""
    conversations = Conversations(parts, router)
    api = APIRouter(
        prefix="/api/companies/{company_id}/conversations/{conversation_id}", tags=["api"]
    )

    @api.post(
        "/messages",
        status_code=202,
        response_model=Accepted,
        openapi_extra=takes(MessageIn),
    )
    async def post_message(company_id: str, conversation_id: str, request: Request) -> JSONResponse:
        """Takes a customer's message from any channel; the answer stands in the conversation."""
        with ingress.counted():
            company = parts.directory.company(company_id)
            channel = await access.check(request, company, conversation_id)
            key = key_of(company, conversation_id)
            message = read_as(MessageIn, await body_of(request))
            message_id = message.message_id or parts.ids.new()
            accepted = await ingress.accept(
                company,
                key.conversation_id,
                Message(message_id, message.text, channel, message.sender),
                f"api:{message_id}",
            )
            return JSONResponse(accepted.model_dump(), 202)

    @api.get("")
    async def get_conversation(
        company_id: str,
        conversation_id: str,
        request: Request,
        before: Annotated[
            int | None, Query(ge=1, le=SEQ_MAX, description="the timeline before this")
        ] = None,
    ) -> JSONResponse:
        """What a conversation's actor does, what is unanswered, and what happened."""
        company = parts.directory.company(company_id)
        await access.check(request, company, conversation_id)
        return JSONResponse(
            await conversations.whole(company, key_of(company, conversation_id), before)
        )

    @api.get("/events")
    async def get_events(
        company_id: str,
        conversation_id: str,
        request: Request,
        after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
    ) -> StreamingResponse:
        """The conversation's journal and its actor's state, live (server-sent events)."""
        company = parts.directory.company(company_id)
        await access.check(request, company, conversation_id)
        last = request.headers.get("last-event-id", "")
        news = conversations.stream(
            key_of(company, conversation_id), int(last) if SEQ.fullmatch(last) else after
        )
        first = await anext(news)  # a refusal comes before the answer's head

        async def whole() -> AsyncIterator[str]:
            yield first
            async for part in news:
                yield part

        return StreamingResponse(
            whole(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    api.include_router(people.routes(parts, ingress, access))
    return api
