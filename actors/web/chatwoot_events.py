"""Reads Chatwoot's webhooks: what a customer wrote, what else is worth noting, what is neither.

A message that cannot be read is refused, so that somebody learns of it. Anything else that cannot
be read is ignored with the reason: to an agent bot, a refusal opens the conversation for a person.
Source of every field: Chatwoot v4.15.1 (Message#webhook_data, Attachment#push_event_data,
Conversations::EventDataPresenter, app/listeners/webhook_listener.rb, agent_bot_listener.rb).
"""

import json
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ValidationError

from actors.channels.chatwoot_messages import (
    INCOMING,
    ByPerson,
    FromCustomer,
    message_key,
    said_in,
    standing_note_id,
)
from actors.channels.chatwoot_people import object_of, standing_of
from actors.channels.chatwoot_shapes import MessageCreated, Place, id_of
from actors.channels.message import Message
from actors.conversation.events import (
    CustomerTyping,
    FromOutside,
    MessageAmended,
    PersonReplied,
    StandingSeen,
)
from actors.journal.entries import Only
from actors.tables import one_sentence
from actors.web.refusals import Refused

ABOUT_STANDING = (
    "conversation_updated",
    "conversation_status_changed",
    "conversation_opened",
    "conversation_resolved",
)
"""These come doubled, and more than one of them for one change (Chatwoot's issue 9277)."""

SPEAKING = ("status", "assignee", "label", "cached_label")
"""The changed attributes of a conversation that decide who may speak begin so."""


class Incoming(msgspec.Struct, frozen=True):
    """A customer's message, and the inbox that it came in by."""

    conversation_id: str
    message: Message
    inbox_id: str = ""


class Observed(msgspec.Struct, frozen=True):
    """Something else to note of a conversation; the same `note_id` once, "" any number of times."""

    conversation_id: str
    event: FromOutside
    note_id: str
    only: Only


class Ignored(BaseModel):
    """The answer to an event that is not answered here."""

    status: Literal["ignored"] = "ignored"
    reason: str


Reading = Incoming | Observed | Ignored


def read(body: bytes, account_id: int, now_ms: int) -> Reading:
    """What a webhook's body says. Raises Refused 422, which names the field."""
    event = _object_in(body)
    name = event.get("event")
    if not isinstance(name, str):
        raise Refused(422, "event: the name of the event is missing or not a string")
    if (why := _why_elsewhere(event, account_id)) is not None:
        return Ignored(reason=why)
    if name == "message_created":
        return _created(event, now_ms)
    try:
        if name == "message_updated":
            return _updated(event, now_ms)
        if name in ABOUT_STANDING:
            return _standing(event, now_ms)
        if name in ("conversation_typing_on", "conversation_typing_off"):
            return _typing(event, now_ms)
    except ValidationError as error:
        return Ignored(reason=f"{name} cannot be read: {one_sentence(error)}")
    return Ignored(reason=f"event {_shown(name)} is not answered")


def _object_in(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(422, f"the body is not JSON: {error}") from error
    if not isinstance(event, dict):
        raise Refused(422, f"the body is a JSON {type(event).__name__}, not an object")
    return event


def _shown(name: str) -> str:
    return ascii(name[:64])[1:-1]


def _why_elsewhere(event: dict[str, Any], account_id: int) -> str | None:
    """The reason why the event is another company's, or None. Not every event names an account."""
    for holder in (event, object_of(event.get("conversation"))):
        named = id_of(object_of(holder.get("account")).get("id"))
        if isinstance(named, str) and named.strip() != str(account_id):
            return f"account {_shown(named.strip())} is not this company's"
    return None


def _created(event: dict[str, Any], now_ms: int) -> Reading:
    try:
        said = said_in(event)
    except ValidationError as error:
        raise Refused(422, one_sentence(error)) from error
    match said:
        case FromCustomer(conversation_id=conversation_id, message=message, inbox_id=inbox_id):
            return Incoming(conversation_id, message, inbox_id)
        case ByPerson(conversation_id=conversation_id, person=person):
            replied = PersonReplied(at_ms=now_ms, person=person)
            return Observed(conversation_id, replied, message_key(person.message_id), "always")
        case reason:
            return Ignored(reason=reason)


def _updated(event: dict[str, Any], now_ms: int) -> Reading:
    if event.get("message_type") not in INCOMING or event.get("private"):
        return Ignored(reason="message_updated of a message that is no customer's")
    updated = MessageCreated.model_validate(event)
    amended = MessageAmended(at_ms=now_ms, message=updated.to_message(event))
    return Observed(updated.conversation.id, amended, "", "waiting")


def _standing(event: dict[str, Any], now_ms: int) -> Reading:
    # At the top level by intention (Chatwoot's issues 13993, 14285); `id` is the display id.
    names = _changed(event.get("changed_attributes"))
    if names and not any(name.startswith(SPEAKING) for name in names):
        return Ignored(reason=f"who may speak did not change: {_shown(', '.join(names))}")
    standing = standing_of(event)
    if not standing.status:
        return Ignored(reason=f"{event['event']} without a status")
    conversation_id = Place.model_validate(event).id
    seen = StandingSeen(at_ms=now_ms, standing=standing)
    return Observed(conversation_id, seen, standing_note_id(standing), "known")


def _changed(changes: Any) -> list[str]:
    """The names of the changed attributes, as far as they are said."""
    if not isinstance(changes, list):
        return []
    return [str(name) for change in changes for name in object_of(change)]


def _typing(event: dict[str, Any], now_ms: int) -> Reading:
    # A contact comes without a type; our own switch comes back here as a bot's or an agent's.
    user = event.get("user")
    if not isinstance(user, dict) or user.get("type") not in (None, "contact"):
        return Ignored(reason="somebody types who is not the customer")
    if event.get("is_private"):
        return Ignored(reason="somebody types a private note")
    conversation_id = Place.model_validate(object_of(event.get("conversation"))).id
    typing = CustomerTyping(at_ms=now_ms, on=event["event"] == "conversation_typing_on")
    return Observed(conversation_id, typing, "", "waiting")
