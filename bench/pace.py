"""Measures what each pace does to invented customers: thoughts answered whole, waits, tokens.

The production rules decide, on a clock of their own; bench/public.py says who the customers are.
"""

import asyncio
import random
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from actors.conversation.pace import Pace
from bench.figures import Findings, Row, at_least, at_most, quantile, told
from bench.public import FAST, MODEL_MEDIAN_MS, OLDER, THOUGHTS, customer
from bench.rehearsals import Company, Met, play

CONVERSATIONS = 200
"""Conversations of each public."""

SEED = 7
WAIT_PART = 0.6
TOKENS_PART = 0.6
WORKERS = 2

EACH_ALONE = "one call per message"
REFERENCE = "10 s"


@dataclass(frozen=True)
class Setting:
    """A line of the comparison. `early`: drafts are begun early; `tells`: texts' ends say
    something."""

    name: str
    pace: Pace
    early: bool = False
    tells: bool = True


SETTINGS = (
    Setting(EACH_ALONE, Pace(quiet_window_ms=0, largest_batch=1, on_new_message="queue")),
    Setting("3 s", Pace(quiet_window_ms=3_000)),
    Setting(REFERENCE, Pace()),
    Setting("learned", Pace(learned=True)),
    Setting("learned, early", Pace(learned=True), early=True),
)
SENSITIVITY = (
    Setting(EACH_ALONE, SETTINGS[0].pace, tells=False),
    Setting(REFERENCE, Pace(), tells=False),
    Setting("learned", Pace(learned=True), tells=False),
    Setting("learned, early", Pace(learned=True), early=True, tells=False),
)

Publics = dict[str, list[Met]]
"""What the thoughts of each public met with."""


def met(setting: Setting) -> Publics:
    """Plays every customer under a setting. The same seed gives the same customers to each."""
    found: Publics = {}
    for public in (OLDER, FAST):
        company = Company(setting.pace, early=setting.early)
        chance = random.Random(f"{SEED} {public.name}")
        people = [customer(public, chance, tells=setting.tells) for _ in range(CONVERSATIONS)]
        found[public.name] = [
            thought
            for number, person in enumerate(people)
            for thought in play(person, company, f"{SEED} {public.name} {number}")
        ]
    return found


@dataclass(frozen=True)
class Summary:
    """What the thoughts of one line met with, against the same ones answered one by one."""

    whole: float
    wait_s: float
    p90_s: float
    calls: float
    tokens: float

    @property
    def told(self) -> str:
        return (
            f"{self.whole:6.1%} whole, wait {self.wait_s:5.2f} s (p90 {self.p90_s:5.2f} s), "
            f"{self.calls:.2f} calls a burst, tokens {self.tokens:.2f} x"
        )


def summary(thoughts: Sequence[Met], alone: Sequence[Met]) -> Summary:
    """The figures of one line. Waits are of all thoughts, shares and calls of the bursts."""
    bursts = [thought for thought in thoughts if thought.size > 1]
    waits_s = [thought.wait_ms / 1_000 for thought in thoughts]
    return Summary(
        whole=statistics.fmean(thought.whole for thought in bursts),
        wait_s=statistics.fmean(waits_s),
        p90_s=quantile(waits_s, 0.9),
        calls=statistics.fmean(thought.calls for thought in bursts),
        tokens=sum(thought.tokens for thought in thoughts)
        / sum(thought.tokens for thought in alone),
    )


def _lines(settings: Sequence[Setting], found: Sequence[Publics]) -> dict[str, dict[str, Summary]]:
    """By setting, then by public; `both` are the two together."""
    publics = [{**each, "both": [*each[OLDER.name], *each[FAST.name]]} for each in found]
    alone = publics[0]
    return {
        setting.name: {name: summary(thoughts, alone[name]) for name, thoughts in each.items()}
        for setting, each in zip(settings, publics, strict=True)
    }


def _aims(lines: dict[str, dict[str, Summary]], *, without: str = "") -> list[Row]:
    """Whether the learned pace reaches what the 10 s window does, sooner and cheaper."""
    fixed, learned = lines[REFERENCE]["both"], lines["learned, early"]["both"]
    share = round(fixed.whole * 100, 1)
    part = learned.wait_s / fixed.wait_s
    return [
        at_least(f"learned, early{without}: bursts whole", learned.whole * 100, share, " %"),
        at_most(f"learned, early{without}: mean wait", part, WAIT_PART, " x that of 10 s"),
        at_most(f"learned, early{without}: tokens", learned.tokens, TOKENS_PART, " x one by one"),
    ]


async def measure() -> Findings:
    """All settings, each public and both; then the learned ones with texts that say nothing."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(WORKERS) as pool:
        found = await asyncio.gather(
            *(loop.run_in_executor(pool, met, each) for each in (*SETTINGS, *SENSITIVITY))
        )
    lines = _lines(SETTINGS, found[: len(SETTINGS)])
    mute = _lines(SENSITIVITY, found[len(SETTINGS) :])
    rows = _aims(lines)
    rows += [
        told(f"{name}: {public}", figures.told)
        for name, publics in lines.items()
        for public, figures in publics.items()
    ]
    rows += [
        told(f"{name}, texts that tell nothing: both", publics["both"].told)
        for name, publics in mute.items()
        if name != EACH_ALONE
    ]
    return Findings(
        f"{CONVERSATIONS} conversations of {THOUGHTS} thoughts of each public (bench/public.py), "
        f"seed {SEED}; model lognormal, median {MODEL_MEDIAN_MS / 1_000:g} s; virtual clock; wait: "
        "from a thought's last message to its reply; tokens of all calls begun, against one call "
        "per message",
        tuple(rows),
    )
