"""Counts what one replica does at once, for all companies and for each: none takes every place."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from actors.web.refusals import Refused

COMPANY_SHARE = 0.5
"""One company has at most this part of a replica's places, so that its flood leaves some free."""


class Places:
    """So many at once, and of one company at most its share. Nobody waits here: who finds no place
    is told to come back."""

    def __init__(self, places_max: int, *, what: str, limit: str, retry_after_s: int) -> None:
        """`what` is done there, in the words of a refusal; `limit`: the name of `places_max`."""
        self._places_max = places_max
        self._of_company_max = math.ceil(places_max * COMPANY_SHARE)
        self._what = what
        self._limit = limit
        self._retry_after_s = retry_after_s
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, company_id: str) -> Iterator[None]:
        """Holds a place of the company. Raises Refused 429 where there is none."""
        self._check(company_id)
        self._taken[company_id] += 1
        try:
            yield
        finally:
            self._taken[company_id] -= 1
            if not self._taken[company_id]:
                del self._taken[company_id]

    def _check(self, company_id: str) -> None:
        count, own = self._taken.total(), self._taken[company_id]
        if count >= self._places_max:
            told = f"{count} {self._what}, {self._limit} allows no more; repeat this one"
        elif own >= self._of_company_max:
            told = (
                f"{own} {self._what} for company {company_id[:64]}, its share of {self._limit} "
                "allows no more; repeat this one"
            )
        else:
            return
        raise Refused(429, told, retry_after_s=self._retry_after_s)
