"""Shows the customer that an answer is coming: best effort, never in the way of a turn."""

import asyncio

from actors.conversation.ports import Channel
from actors.errors import Permanent, Retryable
from actors.telemetry import logger

_log = logger("conversation")


class TypingSwitch:
    """The typing indicator of one conversation. At most one call is under way; others are left."""

    __slots__ = ("_call", "_conversation_id", "_shown")

    def __init__(self, conversation_id: str) -> None:
        self._conversation_id = conversation_id
        self._call: asyncio.Task[None] | None = None
        self._shown = 0

    def show(self, channel: Channel | None, first: int) -> None:
        """Once for the turn whose first message has this sequence number."""
        if first > self._shown:
            self._shown = first
            self._toggle(channel, on=True)

    def hide(self, channel: Channel | None) -> None:
        """When nobody waits any more."""
        self._toggle(channel, on=False)

    def _toggle(self, channel: Channel | None, *, on: bool) -> None:
        if channel is not None and (self._call is None or self._call.done()):
            self._call = asyncio.create_task(self._make_call(channel, on=on))

    async def _make_call(self, channel: Channel, *, on: bool) -> None:
        try:
            await channel.typing(self._conversation_id, on=on)
        except (Retryable, Permanent) as error:
            _log.info("no typing indicator: %s", error)
