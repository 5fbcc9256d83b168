"""Lays tables of settings over one another, and says from which of them each value comes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["default", "environment", "file", "api"]

WHOLE = {"parameters"}
"""Tables that replace another as a whole: half of one JSON schema and half of another is none."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One table, and where it was written down. Not shown: it may hold secrets."""

    source: Source
    table: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Layer({self.source!r}, {sorted(self.table)})"


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """One table: of the layers that have a key the last wins, also within tables of tables."""
    whole: dict[str, Any] = {}
    for layer in layers:
        _lay(layer.table, whole)
    return whole


def _lay(table: Mapping[str, Any], over: dict[str, Any]) -> None:
    for key, value in table.items():
        if isinstance(value, Mapping) and key not in WHOLE:
            below = over.get(key)
            over[key] = dict(below) if isinstance(below, Mapping) else {}
            _lay(value, over[key])
        else:
            over[key] = value


def patched(table: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The table after a change: None removes a key, and a table that became empty goes too
    (JSON Merge Patch, RFC 7396, but for WHOLE)."""
    result = dict(table)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and key not in WHOLE:
            below = result.get(key)
            inner = patched(below if isinstance(below, Mapping) else {}, value)
            result[key] = inner
            if not inner:
                del result[key]
        else:
            result[key] = value
    return result


def leaves(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every value that is no table of settings."""
    for key, value in table.items():
        if isinstance(value, Mapping) and key not in WHOLE:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key)


def source_of(path: tuple[str, ...], layers: Iterable[Layer]) -> Source:
    """The last layer that has the value at this path; `default` where none has."""
    found: Source = "default"
    for layer in layers:
        if _has(layer.table, path):
            found = layer.source
    return found


def _has(table: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(table, Mapping) or key not in table:
            return False
        table = table[key]
    return True
