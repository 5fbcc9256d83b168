"""Answers where the journal itself is the channel: the web chat, and callers of the API.

Such a reply is delivered by being committed; readers take it from the journal.
"""

from collections.abc import Awaitable, Callable

from actors.channels.message import Cue, Outgoing, Seen

Check = Callable[[], Awaitable[None]]


class JournalChannel:
    """A channel with nothing behind it that could fail."""

    async def send(self, reply: Outgoing, check: Check) -> str:
        await check()
        return reply.reply_id

    async def find(self, reply: Outgoing) -> str | None:
        """Never: the journal's own event of the sending is the sending, and it is not written."""

    async def look(
        self, conversation_id: str, after_message_id: str, newest_message_id: str
    ) -> Seen | None:
        """None: all there is to see stands in the journal."""

    async def hand_over(self, note: Outgoing, check: Check) -> None:
        """The journal's own event says it."""

    async def typing(self, cue: Cue) -> None:
        """Readers see from the journal's state that a turn runs."""
