"""Reads from Chatwoot's JSON who may speak in a conversation, and who of the company spoke.

Webhooks and the API shape the same things differently (a message's type is a word in one, a number
in the other); both are read here, so that both are judged by one rule.
Source of every field: Chatwoot v4.15.1 (Conversations::EventDataPresenter, Message#webhook_data,
Message#human_response?, app/views/api/v1/conversations/partials/_conversation.json.jbuilder).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from actors.channels.message import FromPerson, Standing

MARKER = "turnwise_reply_id"
"""Our key under `content_attributes`; echo_id is not stored, source_id would stop the delivery."""

OUTGOING = ("outgoing", 1, "1")

WEBHOOK_CHARS_MAX = 65_536
"""The longest text taken from Chatwoot: WhatsApp carries 65,536 characters in a message, and a
longer one fits no model's prompt."""

LABELS_MAX = 100
WORD_CHARS_MAX = 200
"""The longest name, status or label taken."""

SECONDS_MAX = 1e11
"""No time of Chatwoot is later than this, seconds since 1970."""

BRIDGE = "Channel::Api"
"""An inbox behind which another program carries the messages to the customer and back."""

_KINDS = {"agentbot": "agent_bot", "captain::assistant": "captain_assistant"}
"""Classes of Chatwoot, in lower case, as its events name them."""


def object_of(value: Any) -> dict[str, Any]:
    """The object, or an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def storable(text: str) -> str:
    """Half a surrogate pair, which JSON may hold and UTF-8 may not, becomes a question mark."""
    return text.encode(errors="replace").decode()


def within_bound(text: str) -> str:
    """The text, cut where no channel of ours would carry more; the cut is said, not hidden."""
    if len(text) <= WEBHOOK_CHARS_MAX:
        return text
    return f"{text[:WEBHOOK_CHARS_MAX]} [… {len(text) - WEBHOOK_CHARS_MAX} characters cut]"


def _word(value: Any) -> str:
    return storable(value)[:WORD_CHARS_MAX] if isinstance(value, str) else ""


def _kind(type_: Any) -> str:
    """A sender or assignee by its `type` (user) or its class (User), in one writing."""
    kind = _word(type_).lower()
    return _KINDS.get(kind, kind)


def changed_ms(value: Any) -> int:
    """A time of Chatwoot (seconds with a fraction, or ISO 8601) in milliseconds; 0: unknown."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return 0
        # A time without a zone is one of the server, which keeps UTC.
        value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return round(value * 1_000) if 0 < value < SECONDS_MAX else 0


def _assignee(meta: dict[str, Any]) -> str:
    assignee = object_of(meta.get("assignee"))
    if not assignee:
        return ""
    # Releases before 4.8 name no kind in the API, and assign to persons only.
    return _kind(meta.get("assignee_type")) or _kind(assignee.get("type")) or "user"


def standing_of(conversation: dict[str, Any]) -> Standing:
    """Who may speak in the conversation, from a webhook's or the API's description of it."""
    meta = object_of(conversation.get("meta"))
    labels = _list(conversation.get("labels"))[:LABELS_MAX]
    return Standing(
        status=_word(conversation.get("status")),
        assignee=_assignee(meta),
        labels=tuple(filter(None, map(_word, labels))),
        blocked=object_of(meta.get("sender")).get("blocked") is True,
        can_reply=conversation.get("can_reply") is not False,
        changed_ms=changed_ms(conversation.get("updated_at")),
    )


def is_ours(message: dict[str, Any]) -> bool:
    """Whether Turnwise posted it. With a user's token our posts look like a person's but for it."""
    return MARKER in object_of(message.get("content_attributes"))


def person_of(message: dict[str, Any], via: str) -> FromPerson | None:
    """The message if a person of the company wrote it to the customer, else None.

    `via` names the conversation's channel.
    """
    attributes = object_of(message.get("content_attributes"))
    if message.get("message_type") not in OUTGOING or message.get("private"):
        return None
    if is_ours(message) or attributes.get("deleted"):
        return None
    campaign = object_of(message.get("additional_attributes")).get("campaign_id")
    if attributes.get("automation_rule_id") or campaign:
        return None
    how = _how(message, attributes, via)
    if how is None:
        return None
    name = _word(object_of(message.get("sender")).get("name"))
    said_ms = changed_ms(message.get("created_at"))
    return FromPerson(str(message.get("id")), _said(message), how, name, said_ms)


def _how(message: dict[str, Any], attributes: dict[str, Any], via: str) -> str | None:
    if attributes.get("external_echo"):
        return "phone app"
    sender = message.get("sender")
    kind = _kind(object_of(sender).get("type")) or _kind(message.get("sender_type"))
    if kind == "user":
        return "user"
    # Such a bridge brings in what was typed on the phone without a word of who typed it.
    return "phone app" if via == BRIDGE and sender is None and not kind else None


def _said(message: dict[str, Any]) -> str:
    content = message.get("content")
    text = within_bound(storable(content)) if isinstance(content, str) else ""
    files = message.get("attachments")
    kinds = [_word(object_of(file).get("file_type")) or "file" for file in _list(files)]
    return "\n".join(filter(None, [text, *(f"[a file: {kind}]" for kind in kinds)]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def last_person(messages: Iterable[Any], via: str, after: int) -> FromPerson | None:
    """The newest message of a person of the company whose id is above `after`."""
    last: FromPerson | None = None
    for message in sorted(filter(_has_id, messages), key=lambda message: int(message["id"])):
        if int(message["id"]) > after:
            last = person_of(message, via) or last
    return last


def _has_id(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("id"), int)
