"""Tunes companies by their recorded traffic: recommends, and applies where it is asked to."""

import msgspec
from redis.asyncio import Redis

from actors.companies import changing
from actors.companies.company import Company
from actors.companies.directory import Directory
from actors.conversation.tuning import Recommendation, observations, recommend
from actors.errors import Misconfigured
from actors.journal.stream import EVENTS_KEPT_MAX, Journal
from actors.personas import pace_of
from actors.telemetry import logger

CONVERSATIONS_MAX = 500
"""Conversations read of one company: those written in last."""

_log = logger("maintenance")


class Tuned(msgspec.Struct, frozen=True):
    """`companies` were looked at because they ask for it; `changed` of them got another pace."""

    companies: int
    changed: int


async def recommendation(journal: Journal, company: Company) -> Recommendation:
    """What the company's recorded traffic speaks for. Raises Retryable."""
    thoughts = []
    for key in await journal.latest(company.company_id, CONVERSATIONS_MAX):
        thoughts.extend(observations(await journal.read_last(key, EVENTS_KEPT_MAX)))
    return recommend(thoughts, pace_of(company))


def changes(recommended: Recommendation, company: Company) -> dict[str, float]:
    """The keys of the company's table that the recommendation changes, with their values."""
    found: dict[str, float] = {}
    window_s, chars = recommended.quiet_window_s, recommended.join_max_avg_chars
    if window_s is not None and round(window_s * 1_000) != company.quiet_window_ms:
        found["quiet_window_s"] = window_s
    if chars is not None and chars != company.join_max_avg_chars:
        found["join_max_avg_chars"] = chars
    return found


async def apply(
    directory: Directory, redis: Redis, company: Company, table: dict[str, float]
) -> None:
    """Stores the changed keys over the company's own. Raises Misconfigured, Retryable, Crowded."""
    name = company.company_id
    await changing.change(directory, redis, name, dict(table), changing.merging(name, dict(table)))


class Tune:
    """R1.4: companies with `tune` on follow the recommendation, once a day."""

    def __init__(self, journal: Journal, directory: Directory, redis: Redis) -> None:
        self._journal = journal
        self._directory = directory
        self._redis = redis

    async def run_once(self) -> Tuned:
        companies = [company for company in self._directory if company.tune]
        changed = 0
        for company in companies:
            recommended = await recommendation(self._journal, company)
            table = changes(recommended, company)
            if not table:
                continue
            try:
                await apply(self._directory, self._redis, company, table)
            except (Misconfigured, changing.Crowded) as error:
                _log.warning("company %s is not tuned: %s", company.company_id, error)
                continue
            changed += 1
            _log.info(
                "company %s is tuned to %s: %s",
                company.company_id,
                table,
                "; ".join(recommended.reasons),
            )
        return Tuned(len(companies), changed)
