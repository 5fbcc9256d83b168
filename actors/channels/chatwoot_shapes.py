"""Says which fields of Chatwoot's messages are read, and turns a customer's message into ours.

What a message cannot do without is required; what can be missed is taken if it fits, so that a new
release of Chatwoot does not cost a message.
Source of every field: Chatwoot v4.15.1 (Message#webhook_data, Attachment#push_event_data).
"""

from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, BeforeValidator, StringConstraints

from actors.channels.chatwoot_people import object_of, standing_of, storable, within_bound
from actors.channels.message import Attachment, Message, Standing
from actors.journal.keys import CONVERSATION_ID

DELETED = "[the customer deleted this message]"
SIZE_BYTES_MAX = 1 << 53


def id_of(value: Any) -> Any:
    """Chatwoot's ids are integers in code and strings in its guide's samples."""
    if isinstance(value, str):
        return storable(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _text_if_any(value: Any) -> str | None:
    return storable(value) if isinstance(value, str) else None


def _size(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < SIZE_BYTES_MAX else 0


def _number_if_any(value: Any) -> float | None:
    return value if isinstance(value, int | float) and -360 <= value <= 360 else None


def _objects(value: Any) -> Any:
    return [entry for entry in value if entry is not None] if isinstance(value, list) else value


def _or_empty(value: Any) -> Any:
    return {} if value is None else value


ProviderId = Annotated[
    str,
    BeforeValidator(id_of),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
]
ConversationId = Annotated[
    str, BeforeValidator(id_of), StringConstraints(pattern=f"^{CONVERSATION_ID.pattern}$")
]
OptionalText = Annotated[str | None, BeforeValidator(id_of)]
MissableText = Annotated[str | None, BeforeValidator(_text_if_any)]
MissableNumber = Annotated[float | None, BeforeValidator(_number_if_any)]
MissableObject = Annotated[dict[str, Any], BeforeValidator(object_of)]


class _Account(BaseModel):
    id: ProviderId | None = None


class _Contact(BaseModel):
    name: OptionalText = None
    blocked: Annotated[bool, BeforeValidator(lambda value: value is True)] = False


class _Conversation(BaseModel):
    id: ConversationId
    channel: MissableText = None


class _Attachment(BaseModel):
    file_type: OptionalText = None
    data_url: OptionalText = None
    content_type: MissableText = None
    file_size: Annotated[int, BeforeValidator(_size)] = 0
    transcribed_text: MissableText = None
    fallback_title: MissableText = None
    coordinates_lat: MissableNumber = None
    coordinates_long: MissableNumber = None
    meta: MissableObject = {}

    @property
    def told(self) -> str | None:
        """A place or a contact in words; None for a file, which is to be read."""
        if self.file_type == "location" and None not in (
            self.coordinates_lat,
            self.coordinates_long,
        ):
            place = f"{self.coordinates_lat}, {self.coordinates_long}"
            title = f"{self.fallback_title} " if self.fallback_title else ""
            return f"[the customer sent a location: {title}({place})]"
        if self.file_type == "contact":
            names = (self.meta.get("firstName"), self.meta.get("lastName"), self.fallback_title)
            words = " ".join(storable(name) for name in names if isinstance(name, str) and name)
            return f"[the customer sent a contact: {words}]" if words else None
        return None

    def to_attachment(self) -> Attachment:
        return Attachment(
            kind=self.file_type or "file",
            url=self.data_url,
            content_type=self.content_type or "",
            size_bytes=self.file_size,
            transcript=within_bound(self.transcribed_text or ""),
        )


class PersonSaid(BaseModel):
    """Where a message of the company stands."""

    id: ProviderId
    conversation: _Conversation


class Place(BaseModel):
    """The conversation that a webhook is about, and nothing else of it."""

    id: ConversationId


class MessageCreated(BaseModel):
    """The fields of a customer's message that are read; all others are let pass."""

    id: ProviderId
    conversation: _Conversation
    content: OptionalText = None
    source_id: OptionalText = None
    sender: Annotated[_Contact, BeforeValidator(_or_empty)] = _Contact()
    account: Annotated[_Account, BeforeValidator(_or_empty)] = _Account()
    inbox: MissableObject = {}
    attachments: Annotated[list[_Attachment] | None, BeforeValidator(_objects)] = None
    content_attributes: MissableObject = {}

    @property
    def inbox_id(self) -> str:
        """Where it came in, "" where that is not said."""
        found = id_of(self.inbox.get("id"))
        return found.strip()[:64] if isinstance(found, str) else ""

    def to_message(self, event: dict[str, Any]) -> Message:
        """The message of this event, with who may speak in its conversation."""
        deleted = bool(self.content_attributes.get("deleted"))
        files = () if deleted else tuple(self.attachments or ())
        told = [entry.told for entry in files if entry.told]
        text = "\n".join(filter(None, [self.content, *told]))
        return Message(
            message_id=self.id,
            text=DELETED if deleted else within_bound(text),
            channel="chatwoot",
            sender=self.sender.name or "",
            source_id=self.source_id,
            attachments=tuple(entry.to_attachment() for entry in files if not entry.told),
            via=self.conversation.channel or "",
            standing=self._standing(object_of(event.get("conversation"))),
        )

    def _standing(self, conversation: dict[str, Any]) -> Standing | None:
        standing = standing_of(conversation)
        blocked = standing.blocked or self.sender.blocked
        if not standing.status and not blocked:
            return (
                None  # a description without a status says nothing; it must not undo what is known
            )
        return msgspec.structs.replace(standing, blocked=blocked)
