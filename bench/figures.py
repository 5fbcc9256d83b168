"""Holds what a measurement gives: rows with target and verdict, and the settings behind them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


class Unmeasured(Exception):
    """A figure could not be taken; the message says why."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `met` is None where a figure is told without a target."""

    what: str
    target: str
    measured: str
    met: bool | None


@dataclass(frozen=True)
class Findings:
    """What one section found, and under which settings."""

    settings: str
    rows: tuple[Row, ...]


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile: a value that was really measured."""
    if not values:
        raise Unmeasured("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def at_most(what: str, value: float, limit: float, unit: str, detail: str = "") -> Row:
    """A row whose value must not exceed its limit."""
    return Row(what, f"≤ {limit:g}{unit}", f"{value:,.2f}{unit}{_told(detail)}", value <= limit)


def at_least(what: str, value: float, limit: float, unit: str, detail: str = "") -> Row:
    """A row whose value must reach its limit."""
    return Row(what, f"≥ {limit:,g}{unit}", f"{value:,.2f}{unit}{_told(detail)}", value >= limit)


def told(what: str, measured: str) -> Row:
    """A row without a target, for reading the others."""
    return Row(what, "", measured, None)


def _told(detail: str) -> str:
    return f"  ({detail})" if detail else ""
