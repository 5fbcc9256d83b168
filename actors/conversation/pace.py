"""Holds the pace of a company: when to wait, when to speak, what to join."""

from typing import Literal

import msgspec


class Pace(msgspec.Struct, frozen=True):
    """All behaviours of turn-taking, as values (R1.4, R1.5).

    `quiet_window_ms`: how long the customer must be silent before the turn begins.
    `longest_wait_ms`: the turn begins at the latest this long after its first message.
    `largest_batch`: so many messages begin the turn at once.
    `join_max_avg_chars`: texts of this average length or more are answered one by one.
    `on_new_message`: what a message does to a draft in the making: `supersede` cancels it and
    drafts again over everything, at most `supersede_max` times; `queue` lets it finish.
    """

    quiet_window_ms: int = 10_000
    longest_wait_ms: int = 30_000
    largest_batch: int = 20
    join_max_avg_chars: int = 400
    on_new_message: Literal["supersede", "queue"] = "supersede"
    supersede_max: int = 3
