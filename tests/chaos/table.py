"""Prints the one table of a run: what was counted, and what each kind of fault cost."""

from collections import defaultdict
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.storm import Recovery, Report

PLAIN_COLUMNS = 200
"""Width where the output is not a terminal: nothing is folded."""

BACK_S = {
    "kill -9 of a host": 3.0,
    "SIGSTOP of a host until it is replaced, SIGCONT": 30.0,
}
"""Within so long after the fault the host's customers are served again."""

TAKEN_UP_S = 5.0
"""What a stop left is taken up within so long after the next version is ready."""

ANSWERED_S = 30.0

Row = tuple[str, str, str, str]


def _met(value: float | None, limit: float) -> str:
    return "yes" if value is not None and value <= limit else "NO"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def _worst(values: Iterable[float | None]) -> float | None:
    found = list(values)
    return None if None in found else max(v for v in found if v is not None)


def counts(report: Report) -> list[Row]:
    """The rows of the messages."""
    verdict = report.verdict
    waits = sorted(verdict.waits_ms.values())
    p50, last = (waits[len(waits) // 2], waits[-1]) if waits else (0.0, 0.0)
    aims = ("lost", "doubled", "reordered", "overlapping")
    return [
        ("messages", "", f"{verdict.messages}, {report.attempts} requests", ""),
        ("accepted, answered", "", f"{verdict.accepted}, {verdict.answered}", ""),
        ("never accepted (given up by their sender)", "", str(verdict.unsure), ""),
        ("set aside", "", str(verdict.set_aside), ""),
        *(
            (name, "0", str(getattr(verdict, name)), _met(getattr(verdict, name), 0))
            for name in aims
        ),
        ("wait for the answer, p50", "", _seconds(p50 / 1_000), ""),
        ("longest wait", "", _seconds(last / 1_000), ""),
        (
            "all answered after the last fault",
            f"≤ {ANSWERED_S:g} s",
            _seconds(report.answered_after_s),
            _met(report.answered_after_s, ANSWERED_S),
        ),
    ]


def kinds(report: Report) -> list[Row]:
    """The rows of the faults, by kind; the worst of each."""
    by_kind: dict[str, list[Recovery]] = defaultdict(list)
    for recovery in report.recoveries:
        by_kind[recovery.fault.kind].append(recovery)
    rows: list[Row] = []
    for kind, of_kind in by_kind.items():
        works_s = _worst(r.works_again_s for r in of_kind)
        limit_s = BACK_S.get(kind)
        failed = sum(r.failed_requests for r in of_kind)
        rows.append(
            (
                f"{kind} × {len(of_kind)}",
                f"answers ≤ {limit_s:g} s" if limit_s else "",
                f"answers again {_seconds(works_s)}, accepts again "
                f"{_seconds(_worst(r.acks_again_s for r in of_kind))}, "
                f"{failed} requests failed, longest wait "
                f"{_seconds(max(r.longest_wait_s for r in of_kind))}",
                _met(works_s, limit_s) if limit_s else "",
            )
        )
        taken_s = [r.taken_up_s for r in of_kind if r.taken_up_s is not None]
        if taken_s:
            deployed = kind.startswith("redeploy")  # a kill leaves posts in doubt, for 9 s
            aim = f"≤ {TAKEN_UP_S:g} s" if deployed else ""
            met = _met(max(taken_s), TAKEN_UP_S) if deployed else ""
            rows.append(
                ("  what was left is taken up after ready", aim, _seconds(max(taken_s)), met)
            )
        if kind.startswith("rolling"):
            rows.append(("  requests dropped", "0", str(failed), _met(failed, 0)))
    return rows


def show(report: Report) -> None:
    """The table, and below it what it does not say in figures."""
    console = Console()
    plain = not console.is_terminal
    if plain:
        console = Console(width=PLAIN_COLUMNS)
    remarks = [f"{r.fault.kind}: {remark}" for r in report.recoveries for remark in r.fault.remarks]
    remarks += [f"answered {status}: {text[:150]}" for status, text in report.refused.items()]
    by_themselves = ", ".join(f"{what} × {count}" for what, count in report.faulted.items())
    table = Table(
        title=f"Chaos · seed {report.seed} · {report.minutes:.1f} minutes",
        title_justify="left",
        caption=f"Chatwoot and the model by themselves: {by_themselves}",
        caption_justify="left",
        box=box.ASCII2 if plain else box.SIMPLE_HEAD,
    )
    for column in ("what", "aim", "measured", "met"):
        table.add_column(column, no_wrap=plain, overflow="fold")
    for row in counts(report):
        table.add_row(*row)
    table.add_section()
    for row in kinds(report):
        table.add_row(*row)
    console.print(table)
    for line in [*report.verdict.findings, *remarks, *report.slowest]:
        console.print(f"  {line}", soft_wrap=True, markup=False)
