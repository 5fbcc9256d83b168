"""Reads from a company's counters what they say, as plain JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

from actors.analytics.counters import (
    BATCHES,
    BEGAN,
    INTERVALS,
    JOINED,
    LEFT,
    SET_ASIDE,
    WAITS_FIRST,
    WAITS_LAST,
    WITHHELD,
    Count,
)
from actors.analytics.histogram import Histogram


def totalled(days: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The counters of several days together."""
    total: dict[str, int] = {}
    for counts in days:
        for field, count in counts.items():
            total[field] = total.get(field, 0) + count
    return total


def figures(counts: Mapping[str, int]) -> dict[str, Any]:
    """What these counters say. Times in milliseconds; null where nothing was counted to say it.

    `p50_ms` and `p90_ms` are estimated from the buckets, everything else is counted.
    """
    return {
        "messages": {
            "count": _of(counts, Count.MESSAGES),
            "mean_chars": _ratio(
                _of(counts, Count.MESSAGE_CHARS), _of(counts, Count.MESSAGES), digits=1
            ),
            "caught_up": _of(counts, Count.CAUGHT_UP),
            "missed": _of(counts, Count.MISSED),
            "attachments": _of(counts, Count.ATTACHMENTS),
            "attachments_read": _of(counts, Count.ATTACHMENTS_READ),
        },
        "intervals": _times(INTERVALS, counts),
        "batches": _batches(counts),
        "turns": _turns(counts),
        "waits": {
            "from_last_message": _times(WAITS_LAST, counts),
            "from_first_message": _times(WAITS_FIRST, counts),
        },
        "replies": {
            "count": _of(counts, Count.REPLIES),
            "parts_sent": _of(counts, Count.PARTS_SENT),
            "send_failures": _of(counts, Count.SEND_FAILURES),
            "withheld": WITHHELD.total(counts),
            "withheld_why": WITHHELD.shown(counts),
        },
        "unanswered": {
            "left_to_people": LEFT.total(counts),
            "left_why": LEFT.shown(counts),
            "dead_letters": SET_ASIDE.total(counts),
            "dead_letters_why": SET_ASIDE.shown(counts),
            "dead_letters_revived": _of(counts, Count.REVIVED),
            "dead_letters_discarded": _of(counts, Count.DISCARDED),
        },
        "people": {
            "hand_overs": _of(counts, Count.HAND_OVERS),
            "replies": _of(counts, Count.PERSON_REPLIES),
            "pauses": _of(counts, Count.PAUSES),
            "resumes": _of(counts, Count.RESUMES),
        },
        "tokens": _tokens(counts),
        "tools": {
            "calls": _of(counts, Count.TOOL_CALLS),
            "failures": _of(counts, Count.TOOL_FAILURES),
            "mean_ms": _ratio(_of(counts, Count.TOOL_MS), _of(counts, Count.TOOL_CALLS), digits=0),
        },
    }


def _batches(counts: Mapping[str, int]) -> dict[str, Any]:
    """`joined_messages` came after the first of their batch: a call of the model each that was not
    made. `success` is their share of the messages that went on with a thought (R1.4)."""
    count, messages = BATCHES.count(counts), BATCHES.total(counts)
    went_on = INTERVALS.count(counts)
    joined = messages - count
    return {
        "count": count,
        "mean_size": _ratio(messages, count, digits=2),
        "sizes": BATCHES.shown(counts),
        "of_several": count - BATCHES.buckets(counts)[0][1],
        "joined_messages": joined,
        # A batch may join two thoughts, so that more are joined than went on.
        "success": _ratio(min(joined, went_on), went_on, digits=4),
    }


def _turns(counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "count": _of(counts, Count.TURNS),
        "drafts": _of(counts, Count.DRAFTS),
        "began_why": BEGAN.shown(counts),
        "joined_how": JOINED.shown(counts),
        "superseded": _of(counts, Count.SUPERSEDED),
        "superseded_early": _of(counts, Count.SUPERSEDED_EARLY),
        "interrupted": _of(counts, Count.INTERRUPTED),
        "model_failures": _of(counts, Count.MODEL_FAILURES),
    }


def _tokens(counts: Mapping[str, int]) -> dict[str, Any]:
    """`used` holds the wasted ones; `of_one_call_per_message` is their share of what answering
    every message by itself would have used."""
    answered = _of(counts, Count.TOKENS_IN) + _of(counts, Count.TOKENS_OUT)
    wasted = {
        "early": _of(counts, Count.WASTED_EARLY),
        "superseded": _of(counts, Count.WASTED_SUPERSEDED),
        "cancelled": _of(counts, Count.WASTED_CANCELLED),
    }
    used, saved = answered + sum(wasted.values()), _of(counts, Count.TOKENS_SAVED)
    return {
        "in": _of(counts, Count.TOKENS_IN),
        "out": _of(counts, Count.TOKENS_OUT),
        "wasted": wasted,
        "used": used,
        "saved_by_joining": saved,
        "of_one_call_per_message": _ratio(used, answered + saved, digits=4),
    }


def _times(histogram: Histogram, counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "count": histogram.count(counts),
        "mean_ms": _whole(histogram.mean(counts)),
        "p50_ms": _whole(histogram.quantile(counts, 0.5)),
        "p90_ms": _whole(histogram.quantile(counts, 0.9)),
        "buckets_ms": histogram.shown(counts),
    }


def _of(counts: Mapping[str, int], count: Count) -> int:
    return counts.get(count, 0)


def _ratio(part: int, whole: int, *, digits: int) -> float | None:
    return round(part / whole, digits) if whole else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
