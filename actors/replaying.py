"""Reads a recorded conversation for `turnwise replay` and prints both timelines."""

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from actors.conversation.decisions import Conduct
from actors.conversation.events import Event, Unknown, decode
from actors.conversation.pace import Pace
from actors.conversation.replay import Figures, Line, Replayed, replay
from actors.conversation.replay import model_ms as usual_ms
from actors.errors import Misconfigured
from actors.journal.keys import Key
from actors.journal.stream import EVENTS_KEPT_MAX
from actors.personas import manners_of, pace_of
from actors.wiring import Parts

Change = int | str | bool | None
"""A setting of the pace; None leaves it as the company has it."""


async def replayed(
    parts: Parts, key: Key, changes: dict[str, Change], model_ms: int | None
) -> Replayed:
    """The conversation under the company's pace with these changes (fields of Pace).

    Raises Misconfigured where there is no such conversation or the pace does not fit.
    """
    company = parts.directory.company(key.company_id)
    entries = await parts.journal.read_last(key, EVENTS_KEPT_MAX)
    if not entries:
        raise Misconfigured(
            f"company {key.company_id} has no conversation {key.conversation_id!r}; "
            "name it as company:conversation, acme:321"
        )
    decoded = [(entry.seq, decode(entry.raw)) for entry in entries]
    events: list[tuple[int, Event]] = [
        (seq, event) for seq, event in decoded if not isinstance(event, Unknown)
    ]
    took_ms = usual_ms(events) if model_ms is None else model_ms
    given = {name: value for name, value in changes.items() if value is not None}
    if company.draft_early:
        # A draft is begun so early that it is ready when the window closes.
        given.setdefault("early_lead_ms", took_ms)
    pace = msgspec.structs.replace(pace_of(company), **given)
    require_sound(pace)
    return replay(events, Conduct(pace, manners_of(company)), took_ms)


def require_sound(pace: Pace) -> None:
    """Raises Misconfigured if the windows do not fit together."""
    if pace.longest_wait_ms < max(pace.quiet_window_ms, pace.first_window_ms or 0):
        raise Misconfigured(
            f"--longest-wait ({pace.longest_wait_ms / 1_000:g}) is below the quiet window "
            f"({pace.quiet_window_ms / 1_000:g}); make it at least as long"
        )
    if pace.window_min_ms > pace.window_max_ms:
        raise Misconfigured("--window-min is above --window-max; lower the one or raise the other")


def printed(replayed: Replayed, console: Console) -> None:
    """Both timelines and their figures, one below the other."""
    console.print(_table("as it was", replayed.recorded))
    console.print(
        _table(f"as it would have been (model: {replayed.model_ms / 1_000:g} s)", replayed.replayed)
    )
    console.print(_figures(replayed.recorded_figures, replayed.replayed_figures))


def _table(title: str, lines: Sequence[Line]) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("s", justify="right")
    table.add_column("who")
    table.add_column("what", overflow="fold")
    for line in lines:
        table.add_row(f"{line.at_ms / 1_000:.1f}", line.who, line.what)
    return table


def _figures(was: Figures, would_be: Figures) -> Table:
    table = Table(title="in figures", title_justify="left", show_edge=False, pad_edge=False)
    for heading in ("", "as it was", "as it would have been"):
        table.add_column(heading, justify="right" if heading else "left")
    rows = (
        ("messages", was.messages, would_be.messages),
        ("replies", was.replies, would_be.replies),
        ("model calls", was.calls, would_be.calls),
        ("drafts thrown away", was.superseded, would_be.superseded),
    )
    for name, *counts in rows:
        table.add_row(name, *map(str, counts))
    table.add_row(
        "mean wait after the last message",
        f"{was.mean_wait_ms / 1_000:.1f} s",
        f"{would_be.mean_wait_ms / 1_000:.1f} s",
    )
    table.add_row(
        "longest such wait",
        f"{was.longest_wait_ms / 1_000:.1f} s",
        f"{would_be.longest_wait_ms / 1_000:.1f} s",
    )
    return table
