"""Prints the one table: the machine, each section's settings, each figure with its target."""

import platform
import re
import subprocess
from importlib.metadata import version

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from actors import embedded
from actors.settings import Settings
from bench.figures import Findings

PLAIN_COLUMNS = 200
"""Width where the output is not a terminal: nothing is folded."""

VERDICTS = {True: "yes", False: "NO", None: ""}


def machine() -> str:
    """Everything about this machine that the figures depend on, on one line."""
    said = subprocess.run(
        [embedded.redis_server(), "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"v=(\S+)", said)
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} · "
        f"Python {platform.python_version()} · Ray {version('ray')} · "
        f"Redis {found.group(1) if found else '?'}, "
        f"durability {Settings.model_fields['durability'].default}, on the same machine"
    )


def show(findings: dict[str, Findings]) -> None:
    """The table, in the sections' order."""
    console = Console()
    plain = not console.is_terminal
    if plain:
        console = Console(width=PLAIN_COLUMNS)
    table = Table(
        title=f"Turnwise · {machine()}",
        title_justify="left",
        caption="\n".join(f"{name}: {found.settings}" for name, found in findings.items()),
        caption_justify="left",
        box=box.ASCII2 if plain else box.SIMPLE_HEAD,
    )
    for column in ("command", "what", "target", "measured", "met"):
        table.add_column(column, no_wrap=plain, overflow="fold")
    for name, found in findings.items():
        for row in found.rows:
            table.add_row(
                f"python -m bench {name}", row.what, row.target, row.measured, VERDICTS[row.met]
            )
        table.add_section()
    console.print(table)
