"""Counts what happens in conversations for the analytics of their companies."""

from collections.abc import Callable

from actors.analytics.days import local_day
from actors.analytics.tallies import Tallies
from actors.companies.company import Company
from actors.conversation.events import Event, Unknown
from actors.conversation.measures import increments
from actors.conversation.state import State
from actors.errors import Permanent


class Counting:
    """Is the port Tally. An event counts on the day on which it happened where the company is, also
    when it is told of later."""

    def __init__(self, tallies: Tallies, company: Callable[[str], Company]) -> None:
        """`company` finds a company by its id; it raises Permanent where there is none."""
        self._tallies = tallies
        self._company = company

    def count(self, company_id: str, before: State, event: Event | Unknown) -> None:
        """Adds what the event adds; `before` is the state without it. Neither waits nor fails."""
        if isinstance(event, Unknown) or not (found := increments(before, event)):
            return
        try:
            zone = self._company(company_id).zone
        except Permanent:
            return  # a company that is gone: nobody reads its analytics
        self._tallies.add(company_id, local_day(event.at_ms, zone), found)
