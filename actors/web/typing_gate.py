"""Lets few of a customer's typing events through: a journal keeps so many events and no more."""

from actors.conversation.events import CustomerTyping
from actors.journal.keys import Key

REPEAT_MS = 2_000
"""The same news again is let through after so long: it says that it still holds."""

CHANGE_MS = 500
"""Other news is let through after so long; what is left out expires with the typing itself."""

CONVERSATIONS_MAX = 10_000
"""Conversations remembered; beyond, the one that is longest unheard of is forgotten."""


class TypingGate:
    """What one replica last let through of each conversation."""

    def __init__(self) -> None:
        self._last: dict[Key, CustomerTyping] = {}

    def passes(self, key: Key, event: CustomerTyping) -> bool:
        """Whether to note this event; it is remembered if so."""
        last = self._last.pop(key, None)
        if last is not None:
            pause_ms = REPEAT_MS if last.on == event.on else CHANGE_MS
            if 0 <= event.at_ms - last.at_ms < pause_ms:
                self._last[key] = last
                return False
        elif len(self._last) >= CONVERSATIONS_MAX:
            del self._last[next(iter(self._last))]
        self._last[key] = event
        return True

    def forget(self, key: Key) -> None:
        """What was let through holds no more: a message came, or it was not written down."""
        self._last.pop(key, None)
