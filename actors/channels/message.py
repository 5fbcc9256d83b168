"""Says what a customer's message and our reply are, whatever channel carries them."""

from collections.abc import Sequence

import msgspec

TEXT_CHARS_MAX = 150_000
"""The longest text taken or sent, characters: Chatwoot's own limit on `content`."""


class Attachment(msgspec.Struct, frozen=True):
    """A file that came with a message. `kind` is Chatwoot's file_type: image, audio, file, …

    `content_type` and `size_bytes` are what the channel says of it (0: unknown); `transcript` is
    the channel's own transcription of a voice note, where it makes one.
    """

    kind: str
    url: str | None = None
    content_type: str = ""
    size_bytes: int = 0
    transcript: str = ""


class Standing(msgspec.Struct, frozen=True):
    """Who may speak in a conversation, as its channel says.

    `status`: open | pending | resolved | snoozed, "" where the channel knows none; `assignee`:
    "" for nobody, `user` for a person, else the kind of bot; `changed_ms`: the channel's time of
    its last change to the conversation (0: unknown), by which an older report is told from a newer.
    """

    status: str = ""
    assignee: str = ""
    labels: tuple[str, ...] = ()
    blocked: bool = False
    can_reply: bool = True
    changed_ms: int = 0


class Message(msgspec.Struct, frozen=True):
    """What a customer wrote.

    `message_id` is the provider's, unique in its conversation; `source_id` is the id on the network
    behind the provider (a WhatsApp wamid, a Twilio SM… sid), where there is one; `via` names that
    network as the provider does (`Channel::Whatsapp`, `Channel::TwilioSms`, …).
    """

    message_id: str
    text: str
    channel: str
    sender: str = ""
    source_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    via: str = ""
    standing: Standing | None = None

    @property
    def is_plain_text(self) -> bool:
        return bool(self.text) and not self.attachments

    @property
    def readable(self) -> str:
        """The message as the model reads it; what cannot be read is said, not dropped."""
        files = [f"[the customer sent: {attachment.kind}]" for attachment in self.attachments]
        return "\n".join([self.text, *files] if self.text else files) or "[an empty message]"


class Outgoing(msgspec.Struct, frozen=True):
    """A reply on its way: its id goes along as the marker by which it is found again.

    `after_message_id` is the highest provider id among the messages it answers, so that a search
    for the reply starts there.
    """

    conversation_id: str
    reply_id: str
    text: str
    after_message_id: str


class Unreadable(msgspec.Struct, frozen=True):
    """A channel cannot say whether a reply stands there, for this reason."""

    reason: str


class FromPerson(msgspec.Struct, frozen=True):
    """What a person of the company wrote to the customer. `how`: user | phone app | api; `said_ms`:
    when, by the channel's clock (0: unknown)."""

    message_id: str
    text: str
    how: str
    name: str = ""
    said_ms: int = 0


class Seen(msgspec.Struct, frozen=True):
    """What stands in a channel right now: who may speak, and who of the company last spoke."""

    standing: Standing
    person: FromPerson | None = None


class Cue(msgspec.Struct, frozen=True):
    """The typing indicator of a conversation, to be shown or hidden.

    `source_id` and `via` are those of the customer's newest message.
    """

    conversation_id: str
    on: bool
    source_id: str | None = None
    via: str = ""


def provider_order(message_ids: Sequence[str]) -> list[int]:
    """The places of the messages in the provider's order.

    Chatwoot's ids grow with its processing order, while webhooks arrive in any order; ids that are
    not all whole numbers (a web page's own) say nothing about order, so arrival decides.
    """
    places = list(range(len(message_ids)))
    if all(message_id.isdecimal() for message_id in message_ids):
        places.sort(key=lambda place: int(message_ids[place]))
    return places
