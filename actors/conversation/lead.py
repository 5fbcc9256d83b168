"""Decides how long before a window closes a draft is begun: about as long as the model takes.

So a lone message is answered at about max(window, model) instead of their sum. What it costs are
the drafts that another message makes stale; a company's budget for them bounds a day's waste.
"""

import math
from collections import deque
from collections.abc import Sequence

from actors.analytics.counters import Count
from actors.analytics.days import local_day
from actors.analytics.tallies import Tallies
from actors.clock import Clock
from actors.companies.company import Company

OBSERVATIONS_MAX = 30
"""Calls of the model that are remembered: the newest, so that a slower hour is soon noticed."""

OBSERVATIONS_MIN = 3
"""With fewer calls nothing is said about how long the model takes."""

READY_SHARE = 0.8
"""So many of 10 such calls would have been ready when the window closed. The rest costs the
customer a moment; more lead costs tokens, because a draft begun earlier is more often stale."""

LEAD_MIN_MS = 250
"""A model that is faster is not worth a draft that may be thrown away."""

LEAD_MAX_MS = 30_000
"""A slower model is begun so long before: no customer is waited for longer than that by default."""


def lead_ms(latencies_ms: Sequence[int], wasted: int | None, budget: int) -> tuple[int, str]:
    """How long before the window closes a draft is begun (ms, 0: never), and why.

    `wasted`: tokens that early drafts wasted today, None where that is not known yet; `budget`: the
    tokens that they may waste in a day.
    """
    if budget <= 0:
        return 0, "no early drafts: their budget is 0 tokens"
    if wasted is None:
        return 0, "no early drafts yet: what they wasted today is being looked up"
    if wasted >= budget:
        return 0, f"no early drafts until tomorrow: they wasted {wasted} of {budget} tokens today"
    seen = len(latencies_ms)
    if seen < OBSERVATIONS_MIN:
        return 0, f"no early drafts yet: {seen} of {OBSERVATIONS_MIN} answers of the model timed"
    took_ms = sorted(latencies_ms)[math.ceil(READY_SHARE * seen) - 1]
    if took_ms < LEAD_MIN_MS:
        return 0, f"no early drafts: the model answers in {took_ms} ms"
    lead = min(took_ms, LEAD_MAX_MS)
    return lead, (
        f"drafts begin {lead / 1_000:.1f} s before the window closes: {READY_SHARE * 10:.0f} of 10 "
        f"of the last {seen} answers took at most {took_ms / 1_000:.1f} s; early drafts wasted "
        f"{wasted} of {budget} tokens today"
    )


class CompanyLead:
    """Is the port Lead, for a company as it is now."""

    def __init__(
        self, company: Company, latencies_ms: deque[int], tallies: Tallies, clock: Clock
    ) -> None:
        self._company = company
        self._latencies_ms = latencies_ms
        self._tallies = tallies
        self._clock = clock

    def lead_ms(self) -> int:
        """How long before the window closes a draft is begun; 0: none is begun early."""
        return self._decided()[0]

    def why(self) -> str:
        """What lead_ms says, as a sentence for the operator."""
        return self._decided()[1]

    def took(self, ms: int) -> None:
        """A call of the model took so long."""
        self._latencies_ms.append(max(ms, 0))

    def _decided(self) -> tuple[int, str]:
        company = self._company
        if not company.draft_early:
            return 0, "no early drafts: the company has them switched off"
        today = local_day(self._clock.now_ms(), company.zone)
        wasted = self._tallies.watch(company.company_id, today, Count.WASTED_EARLY)
        return lead_ms(self._latencies_ms, wasted, company.early_waste_tokens_max)


class Leads:
    """What one process has seen of the companies' models; it outlives a change of a company."""

    def __init__(self, tallies: Tallies, clock: Clock) -> None:
        self._tallies = tallies
        self._clock = clock
        # One model a company: another one begins anew, in the place of the one before.
        self._seen: dict[str, tuple[tuple[str, str | None], deque[int]]] = {}

    def of(self, company: Company) -> CompanyLead:
        """The lead of this company; to be asked again when the company is changed."""
        model = (company.model, company.responder)
        known, latencies_ms = self._seen.get(company.company_id, (None, deque[int]()))
        if known != model:
            latencies_ms = deque[int](maxlen=OBSERVATIONS_MAX)
            self._seen[company.company_id] = (model, latencies_ms)
        return CompanyLead(company, latencies_ms, self._tallies, self._clock)
