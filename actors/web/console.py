"""Serves the pages: the web chat and what it needs."""

from importlib.resources import files

from fastapi import APIRouter, Request, Response
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

    @property
    def company(self) -> Company:
        """The first company that shows a web chat. Raises Refused 404 where none does."""
        for company in self._parts.directory:
            if company.webchat:
                return company
        raise Refused(404, "no company shows a web chat; set webchat = true in COMPANIES_FILE")

    async def held(self, request: Request) -> str | None:
        """The conversation that the browser's cookie opens."""
        key = await self._access.opened(request.cookies.get(COOKIE, ""))
        return key.conversation_id if key and key.company_id == self.company.company_id else None

    async def begin(self, request: Request, response: Response, conversation_id: str) -> None:
        """Gives the browser a conversation."""
        proto = request.headers.get("x-forwarded-proto", request.url.scheme)
        response.set_cookie(
            COOKIE,
            await self._access.issue(Key(self.company.company_id, conversation_id)),
            max_age=COOKIE_LIFE_S,
            httponly=True,
            secure=proto == "https",
            samesite="strict",
        )

    def new_id(self) -> str:
        return f"web-{self._parts.ids.new()[:16]}"

    def view(self, conversation_id: str) -> dict[str, object]:
        """What the page needs to know."""
        company = self.company
        return {
            "company_id": company.company_id,
            "company_name": company.name,
            "conversation_id": conversation_id,
            "responder": company.model if self._parts.settings.openai_api_key else "offline",
            "pace": {
                "quiet_window_ms": company.quiet_window_ms,
                "longest_wait_ms": company.longest_wait_ms,
                "largest_batch": company.largest_batch,
                "join_max_avg_chars": company.join_max_avg_chars,
            },
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
    async def page(request: Request) -> HTMLResponse:
        """The web chat: a page like a customer's phone, with the journal beside it."""
        response = HTMLResponse(chat, headers=PAGE_HEADERS)
        if await sessions.held(request) is None:
            await sessions.begin(request, response, sessions.new_id())
        return response

    @pages.get("/chat/session")
    async def get_session(request: Request) -> JSONResponse:
        """The conversation that this browser holds."""
        conversation_id = await sessions.held(request)
        if conversation_id is None:
            raise Refused(401, "no web chat is open in this browser; load /chat")
        return JSONResponse(sessions.view(conversation_id))

    @pages.post("/chat/session")
    async def post_session(request: Request) -> JSONResponse:
        """Begins a new conversation."""
        conversation_id = sessions.new_id()
        response = JSONResponse(sessions.view(conversation_id))
        await sessions.begin(request, response, conversation_id)
        return response

    return pages
