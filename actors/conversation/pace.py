"""Holds the pace of a company: when to wait, when to speak, what to join."""

from typing import Literal

import msgspec


class Pace(msgspec.Struct, frozen=True):
    """All behaviours of turn-taking, as values (R1.4, R1.5). Times in milliseconds.

    `quiet_window_ms`: how long the customer must be silent before the turn begins;
    `first_window_ms`: the same for the first message of a conversation, None for no difference.
    `longest_wait_ms`: the turn begins at the latest this long after its first message.
    `largest_batch`: so many messages begin the turn at once.
    `join_max_avg_chars`: texts of this average length or more are answered one by one.
    `on_new_message`: what a message does to a draft in the making: `supersede` cancels it and
    drafts again over everything, at most `supersede_max` times; `queue` lets it finish.
    `learned`: the window follows the customer's own intervals and the shape of the text, between
    `window_min_ms` and `window_max_ms`.
    `answer_age_max_ms`: what nobody answered for longer than this goes to a person, None: never.
    `early_lead_ms`: a draft is begun so long before the window closes; 0: never.
    """

    quiet_window_ms: int = 10_000
    first_window_ms: int | None = None
    longest_wait_ms: int = 30_000
    largest_batch: int = 20
    join_max_avg_chars: int = 400
    on_new_message: Literal["supersede", "queue"] = "supersede"
    supersede_max: int = 3
    learned: bool = False
    window_min_ms: int = 3_000
    window_max_ms: int = 20_000
    early_lead_ms: int = 0
    answer_age_max_ms: int | None = None
