"""Reads from the journal's events what was said before, as the model is told it."""

from collections.abc import Collection, Sequence

from actors.conversation.events import (
    MessageAmended,
    MessageMissed,
    MessageReceived,
    PersonReplied,
    ReplyCommitted,
    ReplyWithheld,
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
    unsaid = {
        event.reply_id: event.parts_sent for _, event in events if isinstance(event, ReplyWithheld)
    }
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
                    said = "\n\n".join(parts[: unsaid[reply_id]])
                if said:
                    lines.append(Line("assistant", said))
            case PersonReplied(person=person) if person.text and person.message_id not in people:
                people.add(person.message_id)
                lines.append(Line("assistant", person.text))
    return lines
