"""Reads from the journal's events what was said before, as the model is told it."""

from collections.abc import Collection, Sequence

from actors.conversation.events import MessageReceived, ReplyCommitted, decode
from actors.journal.stream import Entry
from actors.llm.prompt import Line


def said_before(entries: Sequence[Entry], leave_out: Collection[int]) -> list[Line]:
    """The lines of the conversation, oldest first, without the messages that still wait."""
    lines: list[Line] = []
    for entry in entries:
        match decode(entry.raw):
            case MessageReceived(message=message) if entry.seq not in leave_out:
                lines.append(Line("user", message.readable))
            case ReplyCommitted(text=text):
                lines.append(Line("assistant", text))
    return lines
