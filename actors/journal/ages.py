"""Says for each company how long its oldest unanswered message has waited: the headline figure."""

from collections.abc import Iterable

import msgspec

from actors.journal.entries import Unanswered


class Oldest(msgspec.Struct, frozen=True):
    """A company's oldest unanswered message: its conversation and its arrival (ms since 1970);
    `conversations` of the company owe an answer."""

    conversation_id: str
    at_ms: int
    conversations: int


def oldest_by_company(owing: Iterable[Unanswered]) -> dict[str, Oldest]:
    """The oldest of each company that owes an answer."""
    found: dict[str, Oldest] = {}
    for entry in owing:
        company_id, own = entry.key.company_id, entry.key.conversation_id
        known = found.get(company_id, Oldest(own, entry.oldest_ms, 0))
        if entry.oldest_ms < known.at_ms:
            known = Oldest(own, entry.oldest_ms, known.conversations)
        found[company_id] = Oldest(known.conversation_id, known.at_ms, known.conversations + 1)
    return found
