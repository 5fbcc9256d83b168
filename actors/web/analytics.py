"""Serves a company's analytics over the API: what its days brought, and all of them together."""

import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from actors.analytics.days import local_day
from actors.analytics.figures import figures, totalled
from actors.analytics.tallies import ANALYTICS_DAYS, FLUSH_S, Day, Tallies
from actors.clock import Clock
from actors.companies.company import Company
from actors.web.access import Access
from actors.web.refusals import Refused

DAYS_SHOWN = 7
"""Days that are shown where the request names none: today and those before it."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def period(first: str | None, last: str | None, today: date) -> tuple[date, date]:
    """The first and the last day that a request asks for. Raises Refused 422, which names the
    parameter that is wrong."""
    to = today if last is None else _day("to", last)
    if first is None:
        return date.fromordinal(max(1, to.toordinal() - DAYS_SHOWN + 1)), to
    since = _day("from", first)
    days = to.toordinal() - since.toordinal() + 1
    if days < 1:
        named = "today" if last is None else "`to`"
        raise Refused(422, f"from: {since} lies after {named}, {to}")
    if days > ANALYTICS_DAYS:
        raise Refused(
            422, f"from: {since} to {to} are {days} days; {ANALYTICS_DAYS} at most can be asked for"
        )
    return since, to


def _day(name: str, text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass  # such as 2025-02-30
    raise Refused(422, f"{name}: a day written YYYY-MM-DD, not {text[:32]!r}")


def shown(company: Company, first: date, last: date, days: list[Day]) -> dict[str, Any]:
    """The answer as plain JSON. Days on which nothing was counted are left out."""
    return {
        "company_id": company.company_id,
        "zone": company.zone,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "behind_s_max": FLUSH_S,
        "total": figures(totalled(day.counts for day in days)),
        "days": [{"day": day.day.isoformat(), **figures(day.counts)} for day in days],
    }


def routes(
    find: Callable[[str], Company], tallies: Tallies, clock: Clock, access: Access
) -> APIRouter:
    """The route. `find` finds a company by its id, or raises UnknownCompany."""
    api = APIRouter(prefix="/api/companies/{company_id}", tags=["api"])

    @api.get("/analytics")
    async def get_analytics(
        company_id: str,
        request: Request,
        from_: Annotated[
            str | None, Query(alias="from", description="YYYY-MM-DD; left out: a week up to `to`")
        ] = None,
        to: Annotated[
            str | None, Query(description="YYYY-MM-DD; left out: today where the company is")
        ] = None,
    ) -> JSONResponse:
        """A company's days from `from` to `to`, each and together: intervals, batches, reasons,
        waits, replies, tokens. At most 400 days; the last seconds may be missing."""
        company = find(company_id)
        access.company(request, company)
        first, last = period(from_, to, local_day(clock.now_ms(), company.zone))
        days = await tallies.read(company.company_id, first, last)
        return JSONResponse(shown(company, first, last, days))

    return api
