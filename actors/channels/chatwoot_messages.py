"""Tells of a message of Chatwoot whether a customer wrote it, or a person of the company.

A webhook's message and one that was listed are judged here, by one rule; to a listed one its
conversation is laid (chatwoot_archive).
Source of every field: Chatwoot v4.15.1 (Message#webhook_data, Message#human_response?,
app/views/api/v1/models/_message.json.jbuilder).
"""

import zlib
from typing import Any

import msgspec

from actors.channels.chatwoot_people import OUTGOING, is_ours, object_of, person_of
from actors.channels.chatwoot_shapes import MessageCreated, PersonSaid
from actors.channels.message import FromPerson, Message, Standing

INCOMING = ("incoming", 0, "0")
"""message_type is a string in webhooks, a number elsewhere in Chatwoot."""


class FromCustomer(msgspec.Struct, frozen=True):
    """A customer's message. `inbox_id`: where it came in, "" where that is not said."""

    conversation_id: str
    message: Message
    inbox_id: str = ""


class ByPerson(msgspec.Struct, frozen=True):
    """A message to the customer by a person of the company."""

    conversation_id: str
    person: FromPerson


def message_key(message_id: str) -> str:
    """The id of a message in its conversation's journal, whatever way it came: it comes under
    several delivery ids, its own is one in its installation."""
    return f"chatwoot:{message_id}"


def said_in(event: dict[str, Any]) -> FromCustomer | ByPerson | str:
    """Who wrote the message, and what; for one that is neither, why it is none.

    Raises pydantic.ValidationError for one of these that has not the documented shape.
    """
    # Before its shape is looked at: what nobody wrote to anybody may look as it likes.
    kind = event.get("message_type")
    if kind in OUTGOING:
        return _from_company(event)
    if kind not in INCOMING:
        return f"message_type is {ascii(kind)[:64]}, not incoming"
    if event.get("private"):
        return "a private note"
    created = MessageCreated.model_validate(event)
    return FromCustomer(created.conversation.id, created.to_message(event), created.inbox_id)


def _from_company(event: dict[str, Any]) -> ByPerson | str:
    if event.get("private"):
        return "a private note"
    if is_ours(event):
        return "our own reply"
    channel = object_of(event.get("conversation")).get("channel")
    person = person_of(event, channel if isinstance(channel, str) else "")
    if person is None:
        kind = ascii(event.get("message_type"))[:64]
        return f"message_type is {kind}, not incoming, and no person wrote it"
    said = PersonSaid.model_validate(event)
    return ByPerson(said.conversation.id, msgspec.structs.replace(person, message_id=said.id))


def standing_note_id(standing: Standing) -> str:
    """Under this id a report about who may speak is noted once; "" where that cannot be told."""
    # Not by the time alone: blocking a contact leaves the conversation's unchanged.
    digest = zlib.crc32(msgspec.json.encode(standing))
    return f"chatwoot:standing:{standing.changed_ms}:{digest:08x}" if standing.changed_ms else ""
