"""Runs the sections that are named, or all, and prints the table. Stops by itself."""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable

from bench import ack, fair, known, mailbox, pace, turns, waiting
from bench.figures import Findings, Row, Unmeasured
from bench.service import no_other_ray
from bench.table import show

SECTIONS: dict[str, Callable[[], Awaitable[Findings]]] = {
    "ack": ack.measure,
    "turns": turns.measure,
    "mailbox": mailbox.measure,
    "waiting": waiting.measure,
    "known": known.measure,
    "pace": pace.measure,
    "fair": fair.measure,
}

SECTION_S = 180.0
"""No section may take longer, whatever hangs."""


async def _findings(name: str) -> Findings:
    began_s = time.monotonic()
    print(f"measuring {name} …", file=sys.stderr, flush=True)
    try:
        await no_other_ray()
        async with asyncio.timeout(SECTION_S):
            return await SECTIONS[name]()
    except (Unmeasured, TimeoutError, OSError, ExceptionGroup) as error:
        print(f"  {error!r}", file=sys.stderr)
        reason = str(error) or f"nothing within {SECTION_S:g} s"
        return Findings("not measured", (Row(name, "", reason[:300], False),))
    finally:
        print(f"  {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)


async def _all(names: list[str], into: dict[str, Findings]) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    for name in names:
        into[name] = await _findings(name)


def main() -> None:
    """Exits with 1 if a section could not be measured; a missed target is a finding, no error."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("section", nargs="*", metavar="section", help=", ".join(SECTIONS))
    names = parser.parse_args().section or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    findings: dict[str, Findings] = {}
    try:
        asyncio.run(_all(names, findings))
    except (KeyboardInterrupt, asyncio.CancelledError):
        show(findings)
        sys.exit(130)
    show(findings)
    sys.exit(any(found.settings == "not measured" for found in findings.values()))


if __name__ == "__main__":
    main()
