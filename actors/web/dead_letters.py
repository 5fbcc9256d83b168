"""Serves the dead letters of a company: lists them, tries them again, discards them."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse

from actors.companies.company import Company
from actors.conversation.events import Discarded, Revived, decode, encode
from actors.conversation.letters import Letter, letter_of
from actors.journal.entries import Buried, Exhumed
from actors.journal.keys import Key
from actors.journal.stream import READ_PAGE
from actors.placement import Router
from actors.web.access import Access
from actors.web.ingress import Ingress
from actors.web.refusals import Refused
from actors.web.requests import key_of
from actors.wiring import Parts

LETTERS_PAGE = 50
"""Dead letters shown, or tried again, by one call."""

LOOKED_AT_MAX = 500
"""Dead letters looked at by one call that tries them again; some cannot be."""

PAGES_MAX = 8
"""Pages of a journal read for one letter; what lies further back is not shown."""

BY = "api"

Limit = Annotated[int, Query(ge=1, le=LETTERS_PAGE)]
Skip = Annotated[int, Query(ge=0, description="so many of the oldest are left out")]
Seq = Annotated[int, Path(ge=1, description="the event that made it a dead letter")]


class DeadLetterDesk:
    """What the API does with dead letters."""

    def __init__(self, parts: Parts, router: Router) -> None:
        self._parts = parts
        self._router = router

    async def listed(self, company: Company, skip: int, limit: int) -> dict[str, Any]:
        buried = await self._parts.dead_letters.buried(company.company_id)
        letters = [await self._view(place) for place in buried[skip : skip + limit]]
        return {"company_id": company.company_id, "count": len(buried), "letters": letters}

    async def _view(self, buried: Buried) -> dict[str, Any]:
        letter = await self._letter(buried.key, buried.seq)
        shown = {"conversation_id": buried.key.conversation_id, "seq": buried.seq}
        return {**shown, "at_ms": buried.at_ms, **(_view(letter) if letter else {})}

    async def _letter(self, key: Key, seq: int) -> Letter | None:
        journal = self._parts.journal
        entries = [entry for entry in await journal.read(key, seq - 1, 1) if entry.seq == seq]
        found = letter_of([(entry.seq, decode(entry.raw)) for entry in entries], seq)
        if found is None:
            return None
        first = min(found.aside.seqs)
        for _ in range(PAGES_MAX):
            page = await journal.read_last(key, READ_PAGE, entries[0].seq)
            entries = [*page, *entries]
            if len(page) < READ_PAGE or page[0].seq <= first:
                break
        return letter_of([(entry.seq, decode(entry.raw)) for entry in entries], seq)

    async def retry(self, key: Key, seq: int) -> int:
        """Its messages wait again; the number of the event. Raises Refused."""
        letter = await self._letter(key, seq)
        if letter is None:
            raise _nowhere(key, seq)
        if not letter.is_whole:
            raise Refused(
                409,
                f"the journal of conversation {key.conversation_id} does not reach back to the "
                f"messages of dead letter {seq} any more; discard it",
            )
        now_ms = self._parts.clock.now_ms()
        event = Revived(
            at_ms=now_ms,
            letter=seq,
            by=BY,
            messages=letter.messages,
            reply=letter.reply,
            sent=letter.sent,
        )
        return await self._exhume(key, event, letter.aside.seqs)

    async def discard(self, key: Key, seq: int) -> int:
        """It is off the list; the number of the event. Raises Refused."""
        event = Discarded(at_ms=self._parts.clock.now_ms(), letter=seq, by=BY)
        return await self._exhume(key, event, ())

    async def _exhume(self, key: Key, event: Revived | Discarded, waiting: tuple[int, ...]) -> int:
        raw = encode(event)
        exhumed: Exhumed | None = await self._parts.dead_letters.exhume(
            key, event.letter, raw, at_ms=event.at_ms, waiting=waiting
        )
        if exhumed is None:
            raise _nowhere(key, event.letter)
        self._router.deliver(key, exhumed.seq, raw)
        return exhumed.seq

    async def retry_some(self, company: Company, limit: int) -> dict[str, Any]:
        """Tries the oldest again; what could not be is told with its reason."""
        buried = await self._parts.dead_letters.buried(company.company_id)
        results: list[dict[str, Any]] = []
        tried = 0
        for place in buried[:LOOKED_AT_MAX]:
            if tried == limit:
                break
            shown = {"conversation_id": place.key.conversation_id, "letter": place.seq}
            try:
                results.append({**shown, "seq": await self.retry(place.key, place.seq)})
                tried += 1
            except Refused as refused:  # it must not stand in the others' way for ever
                results.append({**shown, "error": refused.detail})
        return {"tried": tried, "left": len(buried) - tried, "results": results}


def _nowhere(key: Key, seq: int) -> Refused:
    return Refused(
        404,
        f"company {key.company_id} has no dead letter {seq} in conversation "
        f"{key.conversation_id}; it may have been tried again or discarded",
    )


def _view(letter: Letter) -> dict[str, Any]:
    return {
        "reason": letter.aside.reason,
        "error": letter.aside.error,
        "attempts": letter.aside.attempts,
        "tried": [msgspec.to_builtins(attempt) for attempt in letter.attempts],
        "messages": [
            {
                "seq": revival.seq,
                "message_id": revival.message.message_id,
                "text": revival.message.readable,
            }
            for revival in letter.messages
        ],
    }


def routes(parts: Parts, router: Router, ingress: Ingress, access: Access) -> APIRouter:
    """GET dead-letters, POST …/retry, DELETE, below a company."""
    desk = DeadLetterDesk(parts, router)
    api = APIRouter(prefix="/api/companies/{company_id}/dead-letters", tags=["dead letters"])

    def own(request: Request, company_id: str) -> Company:
        company = parts.directory.company(company_id)
        access.own(request, company)
        return company

    @api.get("")
    async def list_letters(
        company_id: str, request: Request, skip: Skip = 0, limit: Limit = LETTERS_PAGE
    ) -> JSONResponse:
        """What ran out of retries, oldest first, with its error and every attempt."""
        return JSONResponse(await desk.listed(own(request, company_id), skip, limit))

    @api.post("/retry", status_code=202)
    async def retry_letters(
        company_id: str, request: Request, limit: Limit = LETTERS_PAGE
    ) -> JSONResponse:
        """Tries the oldest dead letters again, such as after an outage."""
        company = own(request, company_id)
        with ingress.counted(company_id):
            return JSONResponse(await desk.retry_some(company, limit), 202)

    @api.post("/{conversation_id}/{seq}/retry", status_code=202)
    async def retry_letter(
        company_id: str, conversation_id: str, seq: Seq, request: Request
    ) -> JSONResponse:
        """Has the messages of a dead letter answered after all."""
        key = key_of(own(request, company_id), conversation_id)
        with ingress.counted(company_id):
            return _answer(key, await desk.retry(key, seq), "queued", 202)

    @api.delete("/{conversation_id}/{seq}")
    async def discard_letter(
        company_id: str, conversation_id: str, seq: Seq, request: Request
    ) -> JSONResponse:
        """Takes a dead letter off the list; its messages stay in the journal, unanswered."""
        key = key_of(own(request, company_id), conversation_id)
        with ingress.counted(company_id):
            return _answer(key, await desk.discard(key, seq), "discarded", 200)

    return api


def _answer(key: Key, seq: int, status: str, code: int) -> JSONResponse:
    return JSONResponse(
        {
            "status": status,
            "company_id": key.company_id,
            "conversation_id": key.conversation_id,
            "seq": seq,
        },
        code,
    )
