"""Says the company's instructions to the model: its prompt template, filled in for this turn."""

import traceback
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from actors.companies.company import Company
from actors.errors import Misconfigured

PROMPT_CHARS_MAX = 50_000
"""The longest prompt, as written and as filled in, characters: about 15,000 tokens."""

CUSTOMER_CHARS_MAX = 80
"""What the model reads of a customer's name: they choose it, so it may be no text of its own."""

WEEKDAYS = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}

Hours = Mapping[str, tuple[tuple[int, int], ...]]
"""Opening hours by weekday (mon … sun), as pairs of minutes since midnight: from, up to. A weekday
without a pair is closed; where no hours are known ({}), it is always open."""

VARIABLES = ("company", "customer", "now", "time_zone", "hours", "open_now")
FILTERS = ("capitalize", "default", "lower", "title", "trim", "upper")

_ALLOWED = (
    "a prompt may insert {{ a variable }} and choose with {% if %}, {% elif %} and {% else %}; "
    f"variables: {', '.join(VARIABLES)}; filters: {', '.join(FILTERS)}"
)

_PARTS = (
    nodes.Template,
    nodes.TemplateData,
    nodes.Output,
    nodes.Name,
    nodes.Const,
    nodes.Filter,
    nodes.Keyword,
    nodes.Getitem,
    nodes.Slice,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)
"""What a template may be made of. Without loops, calls and arithmetic it can be neither slow nor
large, so that one company's template never holds up another's conversations."""

_FILE = "<template>"
"""The name that jinja2 gives to the code of a template made from a string."""


def is_open(hours: Hours, zone: ZoneInfo, now_ms: int) -> bool:
    """Whether the company is open, by the clock on its wall: an hour that a change of the clocks
    repeats is open both times."""
    local = _local(zone, now_ms)
    minute = local.hour * 60 + local.minute
    pairs = hours.get(list(WEEKDAYS)[local.weekday()], ())
    return not hours or any(start <= minute < end for start, end in pairs)


def readable_hours(hours: Hours) -> str:
    """The hours in words: `Monday to Friday 09:00–13:00 and 15:00–18:00; Sunday closed`."""
    if not hours:
        return "at any time"
    by_day = [(name, hours.get(day, ())) for day, name in WEEKDAYS.items()]
    parts = []
    for pairs, days in groupby(by_day, key=lambda named: named[1]):
        names = [name for name, _ in days]
        span = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        parts.append(f"{span} {' and '.join(map(_readable_pair, pairs)) or 'closed'}")
    return "; ".join(parts)


def _readable_pair(pair: tuple[int, int]) -> str:
    start, end = pair
    return f"{start // 60:02}:{start % 60:02}–{end // 60:02}:{end % 60:02}"


def _local(zone: ZoneInfo, now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms // 1_000, UTC).astimezone(zone)


def readable_time(zone: ZoneInfo, now_ms: int) -> str:
    """The local time, as `2026-11-22 18:05, Sunday`, whatever the machine's language."""
    local = _local(zone, now_ms)
    return f"{local:%Y-%m-%d %H:%M}, {list(WEEKDAYS.values())[local.weekday()]}"


def plain_name(name: str) -> str:
    """A customer's name as one short line, without what cannot be seen."""
    line = "".join(char for char in " ".join(name.split()) if char.isprintable())
    return line[:CUSTOMER_CHARS_MAX].strip()


class CompanyVoice:
    """One company's prompt, filled in. Raises Misconfigured if the template is wrong; the message
    begins with `companies.<id>.prompt`."""

    def __init__(self, company: Company) -> None:
        self._path = f"companies.{company.company_id}.prompt"
        self._company = company
        self._zone = ZoneInfo(company.zone)
        try:
            self._template = _compiled(company.prompt)
        except _Flaw as flaw:
            raise self._misconfigured(str(flaw)) from flaw

    def __call__(self, *, customer: str, now_ms: int) -> str:
        open_now = is_open(self._company.hours, self._zone, now_ms)
        return self._filled(customer, now_ms, open_now=open_now)

    def try_out(self) -> None:
        """Fills it in for every case that there is; raises Misconfigured."""
        for customer in ("", "W" * CUSTOMER_CHARS_MAX):
            for open_now in (True, False):
                self._filled(customer, 0, open_now=open_now)

    def _filled(self, customer: str, now_ms: int, *, open_now: bool) -> str:
        if self._template is None:
            return self._company.prompt
        try:
            text = self._template.render(
                company=self._company.name,
                customer=plain_name(customer),
                now=readable_time(self._zone, now_ms),
                time_zone=self._company.zone,
                hours=readable_hours(self._company.hours),
                open_now=open_now,
            )
        # A template compares and cuts as Python does, and fails as it does.
        except (TemplateError, TypeError, ValueError, RecursionError) as error:
            raise self._misconfigured(f"{_line_of(error)}{error}") from error
        if len(text) > PROMPT_CHARS_MAX:
            raise self._misconfigured(
                f"it has {len(text)} characters when filled in, {PROMPT_CHARS_MAX} are allowed"
            )
        return text

    def _misconfigured(self, why: str) -> Misconfigured:
        return Misconfigured(f"{self._path}: {why}")


def check_template(company: Company) -> None:
    """Raises Misconfigured if the company's prompt cannot be filled in: key's path, line, reason,
    and what is allowed."""
    CompanyVoice(company).try_out()


class _Flaw(Exception):
    """What is wrong with a template, with its line."""


def _compiled(source: str) -> Template | None:
    """The template, or None where there is nothing to fill in. Raises _Flaw."""
    if len(source) > PROMPT_CHARS_MAX:
        raise _Flaw(f"it has {len(source)} characters, {PROMPT_CHARS_MAX} are allowed")
    if not any(mark in source for mark in ("{{", "{%", "{#")):
        return None
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.globals.clear()
    try:
        tree = environment.parse(source)
        _check_parts(tree)
        return environment.from_string(tree)
    except TemplateSyntaxError as error:
        raise _Flaw(f"line {error.lineno}: {error.message}; {_ALLOWED}") from error
    except (RecursionError, SyntaxError, MemoryError) as error:
        raise _Flaw("it is nested too deeply") from error


def _check_parts(tree: nodes.Template) -> None:
    """Raises _Flaw if the template is made of more than it may be."""
    waiting: deque[nodes.Node] = deque([tree])
    while waiting:
        node = waiting.popleft()
        why = None
        if not isinstance(node, _PARTS):
            why = f"{type(node).__name__} is not possible in a prompt"
        elif isinstance(node, nodes.Name) and node.name not in VARIABLES:
            why = f"there is no variable {node.name!r}"
        elif isinstance(node, nodes.Filter) and node.name not in FILTERS:
            why = f"there is no filter {node.name!r}"
        if why is not None:
            raise _Flaw(f"line {node.lineno}: {why}; {_ALLOWED}")
        waiting.extend(node.iter_child_nodes())


def _line_of(error: Exception) -> str:
    """Where in the template an error rose: jinja2 puts the template's lines in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == _FILE]
    return f"line {lines[-1]}: " if lines else ""
