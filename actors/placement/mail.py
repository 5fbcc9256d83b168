"""Holds what is on its way to one actor: bounded, and shared fairly between companies."""

from collections import deque

Mail = tuple[str, int, bytes | None]
"""Conversation, sequence number, event; without the event the actor reads it from the journal."""

DELIVERIES_WAITING_MAX = 20_000
"""Deliveries buffered for one actor; beyond, they are dropped: the host finds the messages."""

DELIVERIES_PER_COMPANY_MAX = DELIVERIES_WAITING_MAX // 2
"""Of one company at most so many: its flood drops its own deliveries, not the others'."""


class Bag:
    """Deliveries by company. A page is taken from the companies in turn."""

    def __init__(self) -> None:
        self._of: dict[str, deque[Mail]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, mail: Mail) -> bool:
        """Whether there was room for it."""
        company_id = mail[0].partition(":")[0]
        own = self._of.get(company_id)
        if self._count >= DELIVERIES_WAITING_MAX:
            return False
        if own is not None and len(own) >= DELIVERIES_PER_COMPANY_MAX:
            return False
        if own is None:
            own = self._of[company_id] = deque()
        own.append(mail)
        self._count += 1
        return True

    def take(self, count: int) -> list[Mail]:
        """Up to `count` deliveries, each company's in the order in which they were put."""
        page: list[Mail] = []
        while self._of and len(page) < count:
            company_id, own = next(iter(self._of.items()))
            del self._of[company_id]
            page.append(own.popleft())
            if own:
                self._of[company_id] = own  # behind the others
        self._count -= len(page)
        return page
