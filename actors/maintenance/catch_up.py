"""Finds what a company's Chatwoot holds and the journal does not, and takes it in.

Chatwoot does not repeat most of its webhooks, and none for long: what was written while Turnwise or
the way to it was down is found here, by listing the conversations that were active since the last
search. Whatever webhook comes later or came before, a message is one, by its id.
"""

import asyncio

import msgspec

from actors.channels.inboxes import Inboxes, account_key
from actors.companies.company import Company
from actors.errors import Permanent, Retryable
from actors.maintenance.intake import Deliver
from actors.maintenance.progress import ProgressStore
from actors.maintenance.search import Found, Search
from actors.telemetry import logger
from actors.wiring import Parts

COMPANIES_AT_ONCE = 4
"""Companies searched at the same time; each makes one call of its Chatwoot at a time."""

RUN_S = 60.0
"""A company's run ends after so long; the next one goes on. With its last call it is shorter than
progress.LOCK_MS."""

HAND_S = 20.0
"""The same for a run by hand, which somebody waits for."""

_log = logger("maintenance")


class CaughtUp(msgspec.Struct, frozen=True):
    """What one run over all `companies` found; `unfinished` ones are gone on with in the next."""

    companies: int
    unfinished: int
    to_answer: int
    missed: int
    people: int


class CatchUp:
    """R3.7: what no webhook told of is found and answered."""

    def __init__(self, parts: Parts, deliver: Deliver) -> None:
        self._parts = parts
        self._deliver = deliver
        self._inboxes = Inboxes(parts.redis, parts.clock)
        self._store = ProgressStore(parts.redis)
        self._said: dict[str, str] = {}

    async def run_once(self) -> CaughtUp:
        """Searches every company with a Chatwoot that has not switched it off."""
        companies = [c for c in self._parts.directory if c.catch_up and c.chatwoot is not None]
        places = asyncio.Semaphore(COMPANIES_AT_ONCE)

        async def searched(company: Company) -> Found:
            async with places:
                return await self._by_schedule(company)

        found = await asyncio.gather(*map(searched, companies))
        return CaughtUp(
            companies=len(found),
            unfinished=sum(one.state != "complete" for one in found),
            to_answer=sum(one.to_answer for one in found),
            missed=sum(one.missed for one in found),
            people=sum(one.people for one in found),
        )

    async def _by_schedule(self, company: Company) -> Found:
        try:
            found = await self.search(company, RUN_S)
        except Retryable as error:  # Redis is away: the other companies have their turn
            found = Found(company.company_id, "waiting", str(error))
        self._say(found)
        return found

    def _say(self, found: Found) -> None:
        """Logs what keeps a company from being searched, once for each reason."""
        name, reason = found.company_id, found.reason if found.state == "refused" else ""
        if reason and self._said.get(name) != reason:
            _log.warning("company %s: no catch-up: %s", name, reason)
        self._said = {**self._said, name: reason} if reason else _without(self._said, name)
        if found.to_answer or found.missed or found.people:
            _log.info("company %s: caught up: %s", name, found)

    async def search(self, company: Company, seconds: float = HAND_S) -> Found:
        """Searches one company for at most so long. Raises Retryable where Redis is away."""
        archive, account = self._parts.personas.archive(company), company.chatwoot
        if archive is None or account is None:
            return Found(company.company_id, "no inbox", "the company has no Chatwoot")
        key = account_key(company.company_id, account)
        async with self._store.alone(key, self._parts.ids.new()) as alone:
            if not alone:
                return Found(company.company_id, "busy", "another catch-up is at work there")
            search = Search(self._parts, company, archive, self._store, self._deliver)
            return await search.run(key, await self._inboxes.known(key), seconds)


def as_text(found: Found) -> str:
    """What a run found, for people. Raises errors.Permanent where nothing could be searched."""
    if found.state in ("refused", "no inbox"):
        raise Permanent(f"company {found.company_id}: {found.reason}")
    lines = [
        f"{found.company_id}: {found.state}{f': {found.reason}' if found.reason else ''}",
        f"inboxes searched      {', '.join(found.inboxes) or 'none'}",
        f"conversations read    {found.conversations} ({found.calls} calls of Chatwoot)",
        f"to be answered        {found.to_answer}",
        f"too late, noted       {found.missed}",
        f"answers of people     {found.people}",
        f"left to their webhook {found.young}",
    ]
    return "\n".join(lines)


def _without(said: dict[str, str], name: str) -> dict[str, str]:
    return {other: reason for other, reason in said.items() if other != name}
