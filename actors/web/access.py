"""Decides who may use a conversation over the API: its company, or the browser it was made for."""

import hashlib
import hmac
import re
from typing import Any

from fastapi import Request
from pydantic import SecretStr
from redis.asyncio import Redis

from actors.clock import Clock, Ids
from actors.companies.company import Company
from actors.fields import several
from actors.journal.keys import Key
from actors.journal.outages import translating
from actors.tokens import digest_of, fits
from actors.web.refusals import Refused

COOKIE = "turnwise_chat"
COOKIE_LIFE_S = 7 * 24 * 3_600
SECONDS = re.compile(r"[0-9]{1,12}")
"""A time since 1970 as anybody may send it: thousands of digits are no number to Python."""

SECRET_KEY = "turnwise:webchat:secret"
"""Made at the first use and shared by all replicas."""


def sign(secret: bytes, key: Key, issued_s: int) -> str:
    """A pass to one conversation of the web chat."""
    text = f"{key}:{issued_s}"
    return f"{text}:{hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()}"


def opened(secret: bytes, ticket: str, now_s: float) -> Key | None:
    """The conversation that a pass opens, or None if it is forged or too old."""
    parts = ticket.split(":")
    if len(parts) != 4 or not SECONDS.fullmatch(parts[2]):
        return None
    key, issued_s = Key(parts[0], parts[1]), int(parts[2])
    if not hmac.compare_digest(sign(secret, key, issued_s).encode(), ticket.encode()):
        return None
    return key if now_s - issued_s < COOKIE_LIFE_S else None


def bearer(request: Request) -> str:
    """The token of a request's Authorization header, "" where it has none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    # A header's bytes come as Latin-1; a token outside ASCII was sent in UTF-8.
    told = token.strip().encode("latin-1", "replace").decode(errors="replace")
    return told if scheme.lower() == "bearer" else ""


def _stranger(company: Company, token: str) -> Refused:
    """Why this token opens nothing of the company."""
    if token:
        return Refused(401, f"the bearer token is not one of company {company.company_id}")
    if not company.api_tokens_sha256:
        return Refused(
            401,
            "this company's API is closed; set API_TOKEN, or api_token in its table of "
            "COMPANIES_FILE, to open it",
        )
    return Refused(401, "the bearer token is missing: send Authorization: Bearer <API_TOKEN>")


class Access:
    """Checks the API's callers."""

    def __init__(
        self, redis: Redis, clock: Clock, ids: Ids, admin_token: SecretStr | None = None
    ) -> None:
        """`admin_token`: the operator's, several with commas between; None closes what only the
        operator may do."""
        self._redis = redis
        self._operator = [digest_of(token) for token in several(admin_token)]
        self._clock = clock
        self._ids = ids
        self._secret: bytes | None = None

    async def check(self, request: Request, company: Company, conversation_id: str) -> str:
        """The channel of an authorised request: `api` or `webchat`. Raises Refused 401."""
        token = bearer(request)
        if company.owns_token(token):
            return "api"
        ticket = request.cookies.get(COOKIE)
        if ticket and company.webchat:
            key = await self.opened(ticket)
            if key == Key(company.company_id, conversation_id):
                return "webchat"
        raise _stranger(company, token)

    def company(self, request: Request, company: Company) -> None:
        """Lets the company itself pass, and the operator. Raises Refused 401."""
        token = bearer(request)
        if not (fits(token, self._operator) | company.owns_token(token)):
            raise _stranger(company, token)

    def operator(self, request: Request) -> None:
        """Lets the operator pass. Raises Refused 401, which says what to do."""
        if not self._operator:
            raise Refused(401, "the operator's API is closed; set ADMIN_TOKEN to open it")
        token = bearer(request)
        if not token:
            raise Refused(
                401, "the operator's token is missing: send Authorization: Bearer <ADMIN_TOKEN>"
            )
        if not fits(token, self._operator):
            raise Refused(401, "the bearer token is not the operator's (ADMIN_TOKEN)")

    async def issue(self, key: Key) -> str:
        """A pass to a new conversation of the web chat."""
        return sign(await self._shared_secret(), key, self._clock.now_ms() // 1_000)

    async def opened(self, ticket: str) -> Key | None:
        """The conversation that a pass opens, or None."""
        return opened(await self._shared_secret(), ticket, self._clock.now_ms() / 1_000)

    async def _shared_secret(self) -> bytes:
        if self._secret is None:
            with translating():
                await self._redis.set(SECRET_KEY, self._ids.new() + self._ids.new(), nx=True)
                found: Any = await self._redis.get(SECRET_KEY)
                self._secret = bytes(found)
        return self._secret
