"""Tells a company's days: they begin at midnight where the company is."""

from datetime import date, datetime
from zoneinfo import ZoneInfo


def local_day(at_ms: int, zone: str) -> date:
    """The day at this time (ms since 1970) in a time zone of the IANA database."""
    return datetime.fromtimestamp(at_ms / 1_000, ZoneInfo(zone)).date()


def days_between(first: date, last: date) -> list[date]:
    """All days from the first to the last, both included."""
    return [date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1)]
