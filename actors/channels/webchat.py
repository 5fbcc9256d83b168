"""Answers where the journal itself is the channel: the web chat, and callers of the API.

Such a reply is delivered by being committed; readers take it from the journal.
"""

from collections.abc import Awaitable, Callable

from actors.channels.message import Outgoing

Check = Callable[[], Awaitable[None]]


class JournalChannel:
    """A channel with nothing behind it that could fail."""

    async def send(self, reply: Outgoing, check: Check) -> str:
        await check()
        return reply.reply_id

    async def find(self, reply: Outgoing) -> str | None:
        return reply.reply_id

    async def typing(self, conversation_id: str, *, on: bool) -> None:
        """Readers see from the journal's state that a turn runs."""
