"""Reads from the journal's events what was said before, as the model is told it."""

from collections.abc import Collection, Iterable, Sequence

from actors.conversation.events import (
    Event,
    HandedOver,
    MessageAmended,
    MessageMissed,
    MessageReceived,
    PartSent,
    PersonReplied,
    ReplyCommitted,
    ReplyHeld,
    ReplySent,
    ReplyWithheld,
    SendDoubted,
    SetAside,
    Unknown,
    decode,
)
from actors.journal.entries import Entry
from actors.llm.prompt import Line


def said_before(entries: Sequence[Entry], leave_out: Collection[int]) -> list[Line]:
    """The lines of the conversation, oldest first, without the messages that still wait.

    What a person of the company said counts as ours; what was promised and never sent as unsaid.
    """
    events = [(entry.seq, decode(entry.raw)) for entry in entries]
    read = {
        note.seq: note.text
        for _, event in events
        if isinstance(event, ReplyCommitted)
        for note in event.read
    }
    amended = {
        event.message.message_id: event.message
        for _, event in events
        if isinstance(event, MessageAmended)
    }
    unsaid = _unsaid(event for _, event in events)
    lines: list[Line] = []
    people: set[str] = set()
    for seq, event in events:
        match event:
            case MessageReceived(message=message) if seq not in leave_out:
                now = amended.get(message.message_id, message)
                lines.append(Line("user", read.get(seq) or now.readable))
            case MessageMissed(message=message):
                lines.append(Line("user", message.readable))
            case ReplyCommitted(reply_id=reply_id, parts=parts, text=text):
                said = text
                if reply_id in unsaid:
                    said = "\n\n".join((parts or (text,))[: unsaid[reply_id]])
                if said:
                    lines.append(Line("assistant", said))
            case PersonReplied(person=person) if person.text and person.message_id not in people:
                people.add(person.message_id)
                lines.append(Line("assistant", person.text))
    return lines


def _unsaid(events: Iterable[Event | Unknown]) -> dict[str, int]:
    """Of the replies that were promised and given up, how many parts the customer has seen."""
    unsaid: dict[str, int] = {}
    promised, seen = "", 0
    for event in events:
        match event:
            case ReplyCommitted(reply_id=reply_id):
                promised, seen = reply_id, 0
            case PartSent(part=part):
                seen = part + 1
            case ReplyWithheld() | SetAside() | ReplyHeld() if promised:
                unsaid[promised] = seen
                promised = ""
            case SendDoubted(choice="hold") if promised:
                unsaid[promised] = seen
                promised = ""
            case ReplySent() | HandedOver():
                promised = ""
    return unsaid
