"""Shows the customer that an answer is coming: best effort, never in the way of a turn."""

import asyncio

import msgspec

from actors.channels.message import Cue
from actors.clock import Clock
from actors.conversation.ports import Channel
from actors.errors import Permanent, Retryable
from actors.telemetry import logger

RENEW_S = 20.0
"""An indicator lasts 25 s at WhatsApp (Twilio's and Meta's documents): it is shown again before."""

RENEWALS_MAX = 30
"""It is renewed so often at most; a turn that takes longer than that is not worth a promise."""

_log = logger("conversation")


class TypingSwitch:
    """The typing indicator of one conversation: on while a window is open or a turn runs."""

    __slots__ = ("_channel", "_clock", "_cue", "_hiding", "_showing")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cue: Cue | None = None
        self._channel: Channel | None = None
        self._showing: asyncio.Task[None] | None = None
        self._hiding: asyncio.Task[None] | None = None

    def show(self, channel: Channel, cue: Cue) -> None:
        """Shows it until it is hidden; `cue` may change meanwhile."""
        self._channel, self._cue = channel, cue
        if self._showing is None:
            self._showing = asyncio.create_task(self._keep_showing())

    def hide(self) -> None:
        """When nobody waits any more."""
        if self._showing is None or self._channel is None or self._cue is None:
            return
        self.forget()
        off = msgspec.structs.replace(self._cue, on=False)
        self._hiding = asyncio.create_task(self._call(self._channel, off))

    def forget(self) -> None:
        """Renews it no more."""
        if self._showing is not None:
            self._showing.cancel()
            self._showing = None

    async def _keep_showing(self) -> None:
        for _ in range(RENEWALS_MAX):
            if self._channel is not None and self._cue is not None:
                await self._call(self._channel, self._cue)
            await self._clock.sleep(RENEW_S)

    async def _call(self, channel: Channel, cue: Cue) -> None:
        try:
            await channel.typing(cue)
        except (Retryable, Permanent) as error:
            _log.info("no typing indicator: %s", error)
