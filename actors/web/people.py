"""Serves the API's part for people: who types, who answers instead of the bot, who stops it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StrictBool, StringConstraints

from actors.channels.message import TEXT_CHARS_MAX, FromPerson
from actors.companies.company import Company
from actors.conversation.events import CustomerTyping, Paused, PersonReplied, Resumed
from actors.journal.entries import Noted
from actors.journal.keys import Key
from actors.web.access import Access
from actors.web.ingress import Ingress, body_of
from actors.web.refusals import Refused
from actors.web.requests import key_of, read_as, takes
from actors.wiring import Parts

PAUSE_S_MAX = 365 * 24 * 3_600
"""The longest pause with an end, seconds; one without an end is lifted by hand."""

BY = "api"
"""Who did it, in the journal."""

MessageId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")]
Name = Annotated[str, StringConstraints(max_length=200)]


class TypingIn(BaseModel):
    """Whether the customer is typing."""

    on: StrictBool


class ReplyIn(BaseModel):
    """What a person of the company says to the customer. Sent again under the same `message_id`, it
    is one reply."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARS_MAX)]
    name: Name = ""
    message_id: MessageId | None = Field(
        None, description="the sender's own id of it; without one, a repeat is a new reply"
    )


class PauseIn(BaseModel):
    """For how long the bot is silent in a conversation, and why."""

    seconds: float | None = Field(
        None, gt=0, le=PAUSE_S_MAX, description="null: until somebody resumes it"
    )
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)] = "by hand"


class Taken(BaseModel):
    """The answer: what was said stands in the journal, or need not."""

    status: Literal["noted", "left out"]
    company_id: str
    conversation_id: str
    seq: int | None = Field(description="its number in the conversation's journal")


def _answer(key: Key, noted: Noted | None) -> JSONResponse:
    taken = Taken(
        status="left out" if noted is None else "noted",
        company_id=key.company_id,
        conversation_id=key.conversation_id,
        seq=None if noted is None else noted.seq,
    )
    return JSONResponse(taken.model_dump(), 202)


class People:
    """Takes in what people do in a conversation."""

    def __init__(self, parts: Parts, ingress: Ingress, access: Access) -> None:
        self._parts = parts
        self._ingress = ingress
        self._access = access

    async def typing(self, company: Company, key: Key, request: Request) -> JSONResponse:
        await self._access.check(request, company, key.conversation_id)
        typing = read_as(TypingIn, await body_of(request))
        event = CustomerTyping(at_ms=self._now_ms(), on=typing.on)
        noted = await self._ingress.note(
            company, key.conversation_id, event, note_id="", only="waiting"
        )
        return _answer(key, noted)

    async def reply(self, company: Company, key: Key, request: Request) -> JSONResponse:
        await self._check_agent(company, key, request)
        if company.chatwoot is not None:
            raise Refused(
                409,
                f"company {company.company_id} answers in Chatwoot: write to the customer there, "
                "and the bot falls silent here",
            )
        reply = read_as(ReplyIn, await body_of(request))
        message_id = reply.message_id or self._parts.ids.new()
        person = FromPerson(message_id, reply.text, BY, reply.name)
        noted = await self._ingress.note(
            company,
            key.conversation_id,
            PersonReplied(at_ms=self._now_ms(), person=person),
            note_id=f"reply:{message_id}",
            only="always",
        )
        return _answer(key, noted)

    async def pause(self, company: Company, key: Key, request: Request) -> JSONResponse:
        await self._check_agent(company, key, request)
        pause = read_as(PauseIn, await body_of(request))
        now_ms = self._now_ms()
        until_ms = None if pause.seconds is None else now_ms + round(pause.seconds * 1_000)
        event = Paused(at_ms=now_ms, by=BY, reason=pause.reason, until_ms=until_ms)
        return await self._note_by_hand(company, key, event)

    async def resume(self, company: Company, key: Key, request: Request) -> JSONResponse:
        await self._check_agent(company, key, request)
        return await self._note_by_hand(company, key, Resumed(at_ms=self._now_ms(), by=BY))

    async def _note_by_hand(
        self, company: Company, key: Key, event: Paused | Resumed
    ) -> JSONResponse:
        noted = await self._ingress.note(
            company, key.conversation_id, event, note_id="", only="known"
        )
        if noted is None:
            # A slip in the id would otherwise pause nothing without a word.
            raise Refused(
                404, f"company {key.company_id} has no conversation {key.conversation_id}"
            )
        return _answer(key, noted)

    async def _check_agent(self, company: Company, key: Key, request: Request) -> None:
        """Lets the company itself pass, and the browser where it may play the company's person."""
        caller = await self._access.check(request, company, key.conversation_id)
        if caller == "webchat" and not company.webchat_agent:
            raise Refused(
                403,
                "only the company may do this: send its API token, or set webchat_agent = true in "
                "its table of COMPANIES_FILE to let the web chat play both sides",
            )

    def _now_ms(self) -> int:
        return self._parts.clock.now_ms()


def routes(parts: Parts, ingress: Ingress, access: Access) -> APIRouter:
    """POST typing, replies, pause and resume, below a conversation."""
    people = People(parts, ingress, access)
    api = APIRouter(tags=["people"])

    @api.post("/typing", status_code=202, response_model=Taken, openapi_extra=takes(TypingIn))
    async def typing(company_id: str, conversation_id: str, request: Request) -> JSONResponse:
        """The customer began to type, or stopped: an open window waits for them."""
        with ingress.counted(company_id):
            company = parts.directory.company(company_id)
            return await people.typing(company, key_of(company, conversation_id), request)

    @api.post("/replies", status_code=202, response_model=Taken, openapi_extra=takes(ReplyIn))
    async def reply(company_id: str, conversation_id: str, request: Request) -> JSONResponse:
        """A person of the company answers: the bot falls silent in this conversation."""
        with ingress.counted(company_id):
            company = parts.directory.company(company_id)
            return await people.reply(company, key_of(company, conversation_id), request)

    @api.post("/pause", status_code=202, response_model=Taken, openapi_extra=takes(PauseIn))
    async def pause(company_id: str, conversation_id: str, request: Request) -> JSONResponse:
        """Makes the bot silent, for a time or until it is resumed."""
        with ingress.counted(company_id):
            company = parts.directory.company(company_id)
            return await people.pause(company, key_of(company, conversation_id), request)

    @api.post("/resume", status_code=202, response_model=Taken)
    async def resume(company_id: str, conversation_id: str, request: Request) -> JSONResponse:
        """Gives the word back to the bot, after a pause or a person's answer."""
        with ingress.counted(company_id):
            company = parts.directory.company(company_id)
            return await people.resume(company, key_of(company, conversation_id), request)

    return api
