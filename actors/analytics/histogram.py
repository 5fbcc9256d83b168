"""Counts measurements into buckets, and estimates from the counts what their values were."""

from collections.abc import Mapping
from typing import Any

import msgspec

OVER = "over"
"""The bucket of all values above the last bound."""

SUM = "sum"


class Histogram(msgspec.Struct, frozen=True):
    """A row of buckets under a name; a value is counted in the first bucket whose bound it reaches
    at most (not cumulative, unlike Prometheus: every value is one increment).

    Counts of other days stand under these bounds: other bounds need another name.
    """

    name: str
    bounds: tuple[int, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """All counters that it uses."""
        return (*(self._field(bound) for bound in self._buckets), self._field(SUM))

    def observed(self, value: int) -> dict[str, int]:
        """What one value adds; a negative one (clocks differ) counts as 0."""
        value = max(value, 0)
        bucket = next((bound for bound in self.bounds if value <= bound), OVER)
        return {self._field(bucket): 1, self._field(SUM): value}

    def buckets(self, counts: Mapping[str, int]) -> list[tuple[int | None, int]]:
        """Each bucket's bound and count; None bounds the last one, of all greater values."""
        bounds = (*self.bounds, None)
        found = (counts.get(self._field(bucket), 0) for bucket in self._buckets)
        return list(zip(bounds, found, strict=True))

    def count(self, counts: Mapping[str, int]) -> int:
        """How many values were counted."""
        return sum(found for _, found in self.buckets(counts))

    def total(self, counts: Mapping[str, int]) -> int:
        """The sum of all values, exactly."""
        return counts.get(self._field(SUM), 0)

    def mean(self, counts: Mapping[str, int]) -> float | None:
        """The mean of all values, exactly; None of none."""
        count = self.count(counts)
        return self.total(counts) / count if count else None

    def quantile(self, counts: Mapping[str, int], share: float) -> float | None:
        """About the value that this share of the values does not exceed; None of none.

        Values are taken to lie evenly within their bucket. Above the last bound nothing more is
        known than that bound.
        """
        rank, passed, low = share * self.count(counts), 0, 0
        for bound, found in self.buckets(counts):
            if found and passed + found >= rank:
                return float(
                    low if bound is None else low + (bound - low) * (rank - passed) / found
                )
            passed += found
            low = low if bound is None else bound
        return None

    def shown(self, counts: Mapping[str, int]) -> list[dict[str, Any]]:
        """The buckets as plain JSON: `le` is the bound, null for all above the last."""
        return [{"le": bound, "count": found} for bound, found in self.buckets(counts)]

    @property
    def _buckets(self) -> tuple[int | str, ...]:
        return (*self.bounds, OVER)

    def _field(self, bucket: int | str) -> str:
        return f"{self.name}:{bucket}"
