"""Serves the pages: the web chat and what it needs."""

from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from actors.companies.company import Company
from actors.journal.keys import Key
from actors.web.access import COOKIE, COOKIE_LIFE_S, Access
from actors.web.refusals import Refused
from actors.wiring import Parts

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Sessions:
    """Which conversation of the web chat a browser holds."""

    def __init__(self, parts: Parts, access: Access) -> None:
        self._parts = parts
        self._access = access

    def shown(self, company_id: str | None) -> Company:
        """The company that the page shows: the one asked for, else the first with a web chat.

        Raises Refused 404 where there is none.
        """
        shown = [company for company in self._parts.directory if company.webchat]
        if company_id is not None:
            shown = [company for company in shown if company.company_id == company_id]
        if not shown:
            who = "no company shows a web chat" if company_id is None else "no such web chat"
            raise Refused(404, f"{who}; set webchat = true in its table of COMPANIES_FILE")
        return shown[0]

    async def held(self, request: Request) -> Key | None:
        """The conversation that the browser's cookie opens."""
        key = await self._access.opened(request.cookies.get(COOKIE, ""))
        if key is None:
            return None
        shown = (each.company_id for each in self._parts.directory if each.webchat)
        return key if key.company_id in shown else None

    async def begin(self, request: Request, response: Response, key: Key) -> None:
        """Gives the browser a conversation."""
        proto = request.headers.get("x-forwarded-proto", request.url.scheme)
        response.set_cookie(
            COOKIE,
            await self._access.issue(key),
            max_age=COOKIE_LIFE_S,
            httponly=True,
            secure=proto == "https",
            samesite="strict",
        )

    def new(self, company_id: str | None) -> Key:
        """A conversation that nobody has used. Raises Refused 404 as `shown` does."""
        return Key(self.shown(company_id).company_id, f"web-{self._parts.ids.new()[:16]}")

    def view(self, key: Key) -> dict[str, object]:
        """What the page needs to know."""
        company = self.shown(key.company_id)
        model = company.model if self._parts.settings.openai_api_key else "offline"
        return {
            "company_id": company.company_id,
            "company_name": company.name,
            "conversation_id": key.conversation_id,
            "responder": company.responder or model,
            "webchat_agent": company.webchat_agent and company.chatwoot is None,
            "pace": pace_view(company),
        }


def pace_view(company: Company) -> dict[str, object]:
    """The company's pace: all that the page tells of it (times in ms)."""
    return {
        "quiet_window_ms": company.quiet_window_ms,
        "first_window_ms": company.first_window_ms,
        "longest_wait_ms": company.longest_wait_ms,
        "largest_batch": company.largest_batch,
        "join_max_avg_chars": company.join_max_avg_chars,
        "learned": company.learned_pace,
        "window_min_ms": company.window_min_ms,
        "window_max_ms": company.window_max_ms,
        "draft_early": company.draft_early,
        "on_new_message": company.on_new_message,
        "supersede_max": company.supersede_max,
    }


def routes(parts: Parts, access: Access) -> APIRouter:
    """GET /chat and its session."""
    pages = APIRouter(tags=["web chat"])
    chat = files("actors.web").joinpath("templates/chat.html").read_text(encoding="utf-8")
    sessions = Sessions(parts, access)

    @pages.get("/", include_in_schema=False)
    async def home() -> Response:
        return Response(status_code=307, headers={"Location": "/chat"})

    @pages.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> Response:
        return Response(status_code=204)

    @pages.get("/chat", response_class=HTMLResponse)
    async def page(
        request: Request,
        company: Annotated[str | None, Query(description="one that shows a web chat")] = None,
    ) -> HTMLResponse:
        """The web chat: a page like a customer's phone, with the journal beside it."""
        response = HTMLResponse(chat, headers=PAGE_HEADERS)
        held = await sessions.held(request)
        if held is None or company not in (None, held.company_id):
            await sessions.begin(request, response, sessions.new(company))
        return response

    @pages.get("/chat/session")
    async def get_session(request: Request) -> JSONResponse:
        """The conversation that this browser holds."""
        held = await sessions.held(request)
        if held is None:
            raise Refused(401, "no web chat is open in this browser; load /chat")
        return JSONResponse(sessions.view(held))

    @pages.post("/chat/session")
    async def post_session(request: Request) -> JSONResponse:
        """Begins a new conversation, with the same company."""
        held = await sessions.held(request)
        key = sessions.new(held.company_id if held else None)
        response = JSONResponse(sessions.view(key))
        await sessions.begin(request, response, key)
        return response

    return pages
