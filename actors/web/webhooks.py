"""Takes Chatwoot's webhooks: checks the signature, reads the event, decides whether it is ours.

Source of every field: Chatwoot v4.15.1 (Message#webhook_data, Conversations::EventDataPresenter).
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, StringConstraints, ValidationError

from actors.channels.message import Attachment, Message
from actors.clock import Clock
from actors.companies.company import ChatwootAccount
from actors.companies.directory import Directory
from actors.journal.keys import CONVERSATION_ID
from actors.settings import one_sentence
from actors.web.ingress import Accepted, Ingress, body_of
from actors.web.refusals import Refused

TIMESTAMP_TOLERANCE_S = 300
"""How far a webhook's timestamp may be from our clock (Chatwoot's pull request 13573)."""

WEBHOOK_CHARS_MAX = 65_536
"""The longest text taken from a webhook: WhatsApp carries 65,536 characters in a message, and a
longer one fits no model's prompt."""

INCOMING = ("incoming", 0, "0")
"""message_type is a string in webhooks, a number elsewhere in Chatwoot."""


def _id(value: Any) -> Any:
    """Chatwoot's ids are integers in code and strings in its guide's samples."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _storable(value: Any) -> Any:
    """Half a surrogate pair, which JSON may hold and UTF-8 may not, becomes a question mark."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else _id(value)


def _objects(value: Any) -> Any:
    return [entry for entry in value if entry is not None] if isinstance(value, list) else value


def _or_empty(value: Any) -> Any:
    return {} if value is None else value


ProviderId = Annotated[
    str, BeforeValidator(_id), StringConstraints(strip_whitespace=True, min_length=1, max_length=64)
]
ConversationId = Annotated[
    str, BeforeValidator(_id), StringConstraints(pattern=f"^{CONVERSATION_ID.pattern}$")
]
OptionalText = Annotated[str | None, BeforeValidator(_storable)]


class _Account(BaseModel):
    id: ProviderId | None = None


class _Contact(BaseModel):
    name: OptionalText = None
    type: str | None = None
    blocked: bool | None = None


class _Meta(BaseModel):
    sender: Annotated[_Contact, BeforeValidator(_or_empty)] = _Contact()


class _Conversation(BaseModel):
    id: ConversationId
    meta: Annotated[_Meta, BeforeValidator(_or_empty)] = _Meta()


class _Attachment(BaseModel):
    file_type: OptionalText = None
    data_url: str | None = None


class MessageCreated(BaseModel):
    """The fields of a `message_created` that are read; all others are let pass."""

    id: ProviderId
    conversation: _Conversation
    content: OptionalText = None
    source_id: OptionalText = None
    sender: Annotated[_Contact, BeforeValidator(_or_empty)] = _Contact()
    account: Annotated[_Account, BeforeValidator(_or_empty)] = _Account()
    attachments: Annotated[list[_Attachment] | None, BeforeValidator(_objects)] = None

    def to_message(self) -> Message:
        return Message(
            message_id=self.id,
            text=_within_bound(self.content or ""),
            channel="chatwoot",
            sender=self.sender.name or "",
            source_id=self.source_id,
            attachments=tuple(
                Attachment(kind=entry.file_type or "file", url=entry.data_url)
                for entry in self.attachments or ()
            ),
        )


def _within_bound(text: str) -> str:
    """The text, cut where no channel of ours would carry more; the cut is said, not hidden."""
    if len(text) <= WEBHOOK_CHARS_MAX:
        return text
    return f"{text[:WEBHOOK_CHARS_MAX]} [… {len(text) - WEBHOOK_CHARS_MAX} characters cut]"


class Ignored(BaseModel):
    """The answer to an event that is not answered here."""

    status: str = "ignored"
    reason: str


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
    if not timestamp.isdecimal() or abs(now_s - int(timestamp)) > TIMESTAMP_TOLERANCE_S:
        return f"the signature is stale: X-Chatwoot-Timestamp is over {TIMESTAMP_TOLERANCE_S} s off"
    return None


def why_not_ours(message: MessageCreated, account: ChatwootAccount) -> str | None:
    """The reason not to answer this message, or None."""
    if message.account.id not in (None, str(account.account_id)):
        return f"account {message.account.id} is not this company's"
    if message.sender.blocked or message.conversation.meta.sender.blocked:
        return "the contact is blocked"
    return None


def read(body: bytes) -> MessageCreated | Ignored:
    """The event in a webhook's body. Raises Refused 422, which names the field."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(422, f"the body is not JSON: {error}") from error
    if not isinstance(event, dict):
        raise Refused(422, f"the body is a JSON {type(event).__name__}, not an object")
    name = event.get("event")
    if not isinstance(name, str):
        raise Refused(422, "event: the name of the event is missing or not a string")
    if name != "message_created":
        return Ignored(reason=f"event {ascii(name[:64])[1:-1]} is not answered")
    # Before its shape is looked at: what is not a customer's message may look as it likes.
    if (kind := event.get("message_type")) not in INCOMING:
        return Ignored(reason=f"message_type is {ascii(kind)[:64]}, not incoming")
    if event.get("private"):
        return Ignored(reason="a private note")
    try:
        return MessageCreated.model_validate(event)
    except ValidationError as error:
        raise Refused(422, one_sentence(error)) from error


def routes(directory: Directory, ingress: Ingress, clock: Clock) -> APIRouter:
    """POST /webhook/chatwoot/{company_id}."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhook/chatwoot/{company_id}",
        status_code=202,
        response_model=Accepted,
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
            event = read(body)
            if isinstance(event, MessageCreated):
                why = why_not_ours(event, company.chatwoot)
                event = Ignored(reason=why) if why is not None else event
            if isinstance(event, Ignored):
                return JSONResponse(event.model_dump(), 200)
            # The same message comes under several delivery ids; its own id is one in its account.
            accepted = await ingress.accept(
                company, event.conversation.id, event.to_message(), f"chatwoot:{event.id}"
            )
            return JSONResponse(accepted.model_dump(), 202)

    return router
