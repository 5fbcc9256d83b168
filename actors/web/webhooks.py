"""Takes Chatwoot's webhooks: checks the signature, has the event read, passes it on."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from actors.clock import Clock
from actors.companies.company import Company
from actors.companies.directory import Directory
from actors.journal.entries import Only
from actors.web.access import SECONDS
from actors.web.chatwoot_events import Ignored, Incoming, Observed, Reading, read
from actors.web.chatwoot_shapes import MessageCreated
from actors.web.ingress import Accepted, Ingress, body_of
from actors.web.refusals import Refused

TIMESTAMP_TOLERANCE_S = 300
"""How far a webhook's timestamp may be from our clock (Chatwoot's pull request 13573)."""


class Kept(BaseModel):
    """The answer to an event that stands in the journal and is no customer's message."""

    status: Literal["noted"] = "noted"
    company_id: str
    conversation_id: str
    seq: int = Field(description="its number in the conversation's journal")


WHY_LEFT_OUT: dict[Only, str] = {
    "always": "it stands in the journal already",
    "known": "nobody has written in this conversation yet, or it stands in the journal already",
    "waiting": "nothing waits for an answer in this conversation",
}


def why_unsigned(
    secrets: Iterable[str],
    timestamp: str | None,
    signature: str | None,
    body: bytes,
    now_s: float,
) -> str | None:
    """The reason not to believe a webhook, or None.

    The signature is `sha256=` and the HMAC-SHA256 of "<timestamp>.<raw body>" in lowercase hex
    (Chatwoot's lib/webhooks/trigger.rb). Compared in constant time.
    """
    if not timestamp or not signature:
        missing = "X-Chatwoot-Signature" if timestamp else "X-Chatwoot-Timestamp"
        return f"the signature is missing: no {missing} header"
    signed = f"{timestamp}.".encode() + body
    macs = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    fits = [hmac.compare_digest(f"sha256={mac}".encode(), signature.encode()) for mac in macs]
    if not any(fits):
        return "the signature is wrong: X-Chatwoot-Signature does not fit body and secret"
    if not SECONDS.fullmatch(timestamp) or abs(now_s - int(timestamp)) > TIMESTAMP_TOLERANCE_S:
        return f"the signature is stale: X-Chatwoot-Timestamp is over {TIMESTAMP_TOLERANCE_S} s off"
    return None


def routes(directory: Directory, ingress: Ingress, clock: Clock) -> APIRouter:
    """POST /webhook/chatwoot/{company_id}."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhook/chatwoot/{company_id}",
        status_code=202,
        response_model=Accepted | Kept,
        responses={200: {"model": Ignored}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": MessageCreated.model_json_schema()}},
            }
        },
    )
    async def chatwoot(company_id: str, request: Request) -> JSONResponse:
        """Takes one event of a company's Chatwoot."""
        with ingress.counted():
            company = directory.company(company_id)
            if company.chatwoot is None:
                raise Refused(
                    404,
                    f"company {company_id} has no Chatwoot; set CHATWOOT_BASE_URL, "
                    "CHATWOOT_API_KEY and ACCOUNT_ID, or its table in COMPANIES_FILE",
                )
            body = await body_of(request)
            if company.chatwoot.webhook_secrets:
                why = why_unsigned(
                    company.chatwoot.webhook_secrets,
                    request.headers.get("x-chatwoot-timestamp"),
                    request.headers.get("x-chatwoot-signature"),
                    body,
                    clock.now_ms() / 1_000,
                )
                if why is not None:
                    raise Refused(401, why)
            answer = await _take_in(
                ingress, company, read(body, company.chatwoot.account_id, clock.now_ms())
            )
            return JSONResponse(answer.model_dump(), 200 if isinstance(answer, Ignored) else 202)

    return router


async def _take_in(
    ingress: Ingress, company: Company, reading: Reading
) -> Accepted | Kept | Ignored:
    match reading:
        case Incoming(conversation_id=conversation_id, message=message):
            # It comes under several delivery ids; its own id is one in its account.
            message_key = f"chatwoot:{message.message_id}"
            return await ingress.accept(company, conversation_id, message, message_key)
        case Observed(conversation_id=conversation_id, event=event, note_id=note_id, only=only):
            noted = await ingress.note(company, conversation_id, event, note_id=note_id, only=only)
            if noted is None:
                return Ignored(reason=WHY_LEFT_OUT[only])
            return Kept(
                company_id=company.company_id, conversation_id=conversation_id, seq=noted.seq
            )
        case _:
            return reading
