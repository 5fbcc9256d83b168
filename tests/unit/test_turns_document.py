"""docs/turns.md fits the code: its picture, settings, sentences, events and numbers."""

import ast
import functools
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import msgspec
import pytest
import typer.main
from pydantic import BaseModel

from actors import cli
from actors.channels.message import FromPerson, Standing
from actors.conversation import decisions, events
from actors.conversation.actor import Glance
from actors.conversation.batching import Batch
from actors.conversation.events import Event
from actors.conversation.lead import lead_ms
from actors.conversation.manners import Manners, silence
from actors.conversation.memory import Memory, Pause, Taken, remember
from actors.conversation.rehearsal import Call, Post, Rehearsal
from actors.conversation.shape import SAID
from actors.conversation.state import Reply, settled_by
from actors.conversation.window import ODDS, STRETCH
from actors.journal.entries import Entry
from actors.settings import Settings
from actors.tables import Behaviour, CompanySettings
from actors.web.views import event_view
from tests.schedules import Schedule, schedule

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "turns.md").read_text(encoding="utf-8")
PICTURE = ROOT / "docs" / "turns.svg"

SEEDS = 1_000
"""Schedules that are walked over the picture: enough that each of its arrows is gone along."""

FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTED = re.findall(r"`([^`\n]+)`", FENCED.sub("", DOCUMENT))
COMMANDS = re.compile(r"(turnwise|make|GET|POST) |\{|.* = ")

OUTCOMES = {"reply_sent", "handed_over", "reply_withheld", "left_unanswered", "set_aside"}
BY_NOTHING = "-"
"""In the picture: the arrow is gone along without an event of its own."""

Rows = list[list[str]]
Arrow = tuple[str, str, str]


def tables(*header: str) -> Rows:
    """The rows of all tables whose header begins so, in the document's order."""
    found: Rows = []
    reading = False
    for line in DOCUMENT.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            reading = False
        elif reading and not set(line) <= set("|- "):
            # A cell that is left empty at the edge is a cell.
            found.append([cell.strip() for cell in line.strip()[1:-1].split("|")])
        elif cells[: len(header)] == list(header):
            reading = True
    assert found, f"no table begins with {header}"
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# The picture.


def arrows_by_path() -> list[set[Arrow]]:
    """What each arrow or note of the picture says: from, to, by which event."""
    return [
        {
            (start, end, event)
            for start in drawn.get("data-from", "").split()
            for end in drawn.get("data-to", "").split()
            for event in drawn.get("data-event", "").split()
        }
        for drawn in ElementTree.parse(PICTURE).iter()
        if drawn.get("data-from")
    ]


def boxes() -> dict[str, str | None]:
    """The boxes of the picture, with the phase of those that are states."""
    drawn = ElementTree.parse(PICTURE).iter()
    return {
        box.get("data-node", ""): box.get("data-phase") for box in drawn if box.get("data-node")
    }


class Walk(Rehearsal):
    """Plays a schedule and notes along which arrows of the picture it goes."""

    node = "idle"
    went: set[Arrow]
    phases: set[tuple[str, str]]
    reasons: set[str]

    def _go(self, to: str, by: str = BY_NOTHING) -> None:
        if to != self.node:
            self.went.add((self.node, to, by))
            self.node = to

    @property
    def _is_silent(self) -> bool:
        return silence(self.state.memory, self.conduct.manners, self.now_ms) is not None

    def _record(self, event: Event) -> None:
        super()._record(event)
        tag = str(event.__struct_config__.tag)
        self.reasons.update(
            getattr(event, name, "") for name in ("reason", "window_reason", "join_reason")
        )
        if settled_by(event):
            self._go(tag, tag)
            self._go("silent" if self._is_silent else "window" if self.state.open else "idle")
            return
        match event:
            case events.TurnStarted(early=early):
                self._go("early" if early else "drafting", tag)
            case events.TurnFailed() | events.SendFailed():
                self._go("retrying", tag)
            case events.ReplyCommitted():
                self._go("sending", tag)
            case events.TurnSuperseded():
                self._go("window", tag)
            case _ if self.state.reply is None:
                self._hear(tag)

    def _hear(self, tag: str) -> None:
        """Something came from outside, and nothing is promised."""
        if self._is_silent:
            return self._go("silent", tag)
        if self.node == "silent":
            # A silence whose time is over ends by itself.
            self._go("idle", tag if tag in ("resumed", "standing_seen") else BY_NOTHING)
        if self.state.open and self.node == "idle":
            self._go("window", tag)
        return None

    def _step(self) -> int | None:
        self._take_answer()
        decision = self._decided()
        match decision:
            case decisions.Send() | decisions.PassOn() | decisions.Wait(phase="sending"):
                self._go("sending")
            case decisions.Wait(phase="window"):
                self._go("ready" if isinstance(self.work, decisions.Drafted) else "window")
            case decisions.Wait(phase="in line"):
                self._go("window")
                self._go("in_line")
            case decisions.Start() if self.node in ("retrying", "in_line"):
                self._go("window")
        if isinstance(decision, decisions.Wait):
            self.reasons.add(decision.reason)
            self.phases.add((self.node, decision.phase))
        return super()._step()


def walked(plan: Schedule) -> Walk:
    calls, posts = iter(plan.calls), iter(plan.posts)

    def ask(_: Batch) -> Call:
        return next(calls, Call(500))

    def post(_: Reply) -> Post:
        return next(posts, Post())

    walk = Walk(plan.conduct, ask, post, line=plan.line)
    walk.went, walk.phases, walk.reasons = set(), set(), set()
    for happening in plan.happenings:
        walk.happens(happening)
    walk.run_until(walk.now_ms + 60 * 60_000)
    return walk


@pytest.fixture(scope="module")
def walks() -> list[Walk]:
    return [walked(schedule(seed)) for seed in range(SEEDS)]


def test_every_transition_is_in_the_picture(walks: list[Walk]) -> None:
    drawn = set().union(*arrows_by_path())
    went = set().union(*(walk.went for walk in walks))
    assert went - drawn == set()


def test_every_arrow_of_the_picture_is_gone_along(walks: list[Walk]) -> None:
    went = set().union(*(walk.went for walk in walks))
    assert [path for path in arrows_by_path() if not path & went] == []


def test_every_arrow_joins_two_boxes_by_an_event() -> None:
    tags = {event.__struct_config__.tag for event in get_args(Event)}
    for start, end, event in set().union(*arrows_by_path()):
        assert {start, end} <= set(boxes()), (start, end)
        assert event in tags | {BY_NOTHING}, event
    assert {box for box, phase in boxes().items() if phase is None} == OUTCOMES


def test_a_box_bears_the_phase_that_the_rules_give_it(walks: list[Walk]) -> None:
    phases = set().union(*(walk.phases for walk in walks))
    assert {(node, boxes()[node]) for node, _ in phases} == phases


def test_the_states_of_the_picture_are_the_phases_of_an_actor() -> None:
    listed = re.search(r"`phase`: ([a-z |]+);", str(Glance.__doc__))
    assert listed is not None
    phases = set(listed[1].split(" | "))
    assert {phase for phase in boxes().values() if phase} == phases
    told = {name for row in tables("phase", "in the picture") for name in code(row[0])}
    assert told == phases | {"asleep", "unreachable"}


def test_the_picture_can_be_read_in_light_and_dark_and_without_eyes() -> None:
    text = PICTURE.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "href" not in text, "it stands alone: an <img> fetches nothing"
    root = ElementTree.parse(PICTURE).getroot()
    named = {child.get("id"): child.text for child in root}
    assert all(named[name] for name in str(root.get("aria-labelledby")).split())
    embedded = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", DOCUMENT)
    assert [place for _, place in embedded] == ["turns.svg"]
    assert all(len(alternative) > 40 for alternative, _ in embedded)


# The settings.

NO_DEFAULT: dict[str, tuple[Any, ...]] = {"unset": (None, "", ()), "none": ({},)}
MODELS: tuple[type[BaseModel], ...] = (Settings, CompanySettings)
SETTINGS = tables("variable", "key", "default")


def default_of(model: type[BaseModel], name: str) -> Any:
    return model.model_fields[name].default


def is_shown(default: Any, cell: str) -> bool:
    if cell in NO_DEFAULT:
        return default in NO_DEFAULT[cell]
    if isinstance(default, tuple):
        default = ",".join(default)
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return cell == f"`{shown}`"


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row[0] or row[1])
def test_a_setting_exists_with_its_default(row: list[str]) -> None:
    variables, keys, default = code(row[0]), code(row[1]), row[2]
    assert len(variables) + len(keys) in (1, 2)
    for variable in variables:
        assert variable.isupper()
        assert is_shown(default_of(Settings, variable.lower()), default)
    for key in keys:
        assert is_shown(default_of(CompanySettings, key), default)
    if variables and keys:
        assert variables[0].lower() == keys[0]


def test_every_behaviour_of_a_company_is_described() -> None:
    keys = {key for row in SETTINGS for key in code(row[1])}
    assert set(Behaviour.model_fields) <= keys
    assert {"hand_over", "tools", "responder", "tune"} <= keys
    both = {key for row in SETTINGS if code(row[0]) for key in code(row[1])}
    assert both == set(Behaviour.model_fields), "these have a variable, and no others"


def test_what_is_set_to_change_a_sentence_is_a_setting() -> None:
    named = [
        name for row in tables("the sentence", "the rule", "the setting") for name in code(row[2])
    ]
    assert {"quiet_window_s", "longest_wait_s", "learned_pace"} <= set(named)
    assert set(named) <= set(CompanySettings.model_fields)


# The events.


def test_every_event_is_explained_and_no_other() -> None:
    tags = {event.__struct_config__.tag for event in get_args(Event)}
    told = [tag for row in tables("event", "says", "the rule") for tag in code(row[0])]
    assert sorted(told) == sorted(tags)


def test_the_event_that_is_shown_is_one() -> None:
    shown = [json.loads(block) for block in FENCED.findall(DOCUMENT)]
    assert [event["type"] for event in shown] == ["turn_started"]
    (event,) = shown
    started = events.TurnStarted(
        at_ms=event["at_ms"],
        turn=event["turn"],
        covers=tuple(event["covers"]),
        attempt=event["attempt"],
        reason=event["reason"],
        how=event["join"]["how"],
        join_reason=event["join"]["reason"],
        early=event["early"],
        alone=event["alone"],
        window_ms=event["window_ms"],
        window_reason=event["window_reason"],
    )
    viewed = event_view(Entry(event["seq"], events.encode(started)))
    assert json.loads(json.dumps(viewed)) == event
    for reason in (event["reason"], event["window_reason"], event["join"]["reason"]):
        assert told_by(reason)


SOURCES = {
    path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "actors").rglob("*.py"))
}


def test_every_name_that_is_quoted_occurs_in_the_code() -> None:
    names = {word for text in QUOTED for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text)}
    assert {"turnwise_reply_id", "conversation_typing_on", "tokens_wasted"} <= names
    known = set(re.findall(r"\w+", "\n".join(SOURCES.values())))
    assert names - known == set()


# The sentences.

LETTERS_MIN = 5
"""Letters that a text of the code has beside its placeholders, to be told as a sentence."""

STAND_INS = {"Eva", "lunch", "by hand", "asks for a person", "resolved", "snoozed", "pending, open"}
STAND_INS |= {
    "'no-bot'",
    "'stop'",
    "Ana Díaz",
    "Calle 10 ",
    "4.6, -74.1",
    "I would like to order again",
}
STAND_INS |= {"14 of 60 (23%)", "48 of 60 (80%)", "widen", "narrow"}
"""What people say and set: it stands for whatever is put in there."""

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?: s| MiB|%)?")


def _is_value(text: str) -> bool:
    return not text or text in STAND_INS or NUMBER.fullmatch(text) is not None


def _texts(tree: ast.AST) -> Iterator[str]:
    """The texts of a module as patterns, with (.*) where a value is put in; no docstrings."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.JoinedStr):
                yield "".join(
                    re.escape(str(part.value)) if isinstance(part, ast.Constant) else "(.*)"
                    for part in child.values
                )
            elif isinstance(node, ast.Expr | ast.JoinedStr):
                continue
            elif isinstance(child, ast.Constant) and isinstance(child.value, str):
                yield re.escape(child.value)


@functools.cache
def patterns() -> tuple[re.Pattern[str], ...]:
    """The longest first: it says most about where a sentence comes from."""
    found = {text for source in SOURCES.values() for text in _texts(ast.parse(source))}
    letters = {text: len(re.findall(r"[a-z]", text)) for text in found}
    told = [text for text in found if letters[text] >= LETTERS_MIN and r"\ " in text]
    told.sort(key=lambda text: (-letters[text], text))
    return tuple(re.compile(text, re.DOTALL) for text in told)


@functools.cache
def told_by(sentence: str) -> frozenset[str]:
    """The texts of the code that make this sentence; none if the code does not say it."""
    for pattern in patterns():
        if (found := pattern.fullmatch(sentence)) is None:
            continue
        if all(_is_value(part) or told_by(part) for part in found.groups()):
            parts = [told_by(part) for part in found.groups() if not _is_value(part)]
            return frozenset({pattern.pattern}).union(*parts)
    # Sentences are put together with these marks.
    for mark in re.finditer(r"; |: ", sentence):
        left, right = sentence[: mark.start()], sentence[mark.end() :]
        if (_is_value(left) or told_by(left)) and told_by(right):
            return told_by(right) if _is_value(left) else told_by(left) | told_by(right)
    return frozenset()


ENDS = re.compile(r"(its\\ process\\ died|the\\ model\\ (failed\\ \(|refused)|the\\ channel\\ )")
"""How the reasons begin for which a message is set aside."""

SENTENCES = [text for text in QUOTED if " " in text and not COMMANDS.match(text)]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_code_says_what_is_quoted(sentence: str) -> None:
    assert told_by(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["the customer was eating", "the moon is full", "6 s: because it is Monday", "10 s"],
)
def test_what_the_code_does_not_say_would_be_noticed(sentence: str) -> None:
    assert not told_by(sentence)


def all_told() -> frozenset[str]:
    return frozenset().union(*(told_by(sentence) for sentence in SENTENCES))


def test_every_reason_of_a_turn_is_in_the_document(walks: list[Walk]) -> None:
    heard = set().union(*(walk.reasons for walk in walks)) - {""} - STAND_INS
    reasons = {re.sub(r"\d+(?:\.\d+)?", "10", reason) for reason in heard}
    # The rehearsal's own word for a refusal; an actor's are among those of the next test.
    reasons -= {"the channel refused the reply"}
    assert len(reasons) > 30
    assert {reason for reason in reasons if not told_by(reason)} == set()
    assert {reason for reason in reasons if not told_by(reason) <= all_told()} == set()


def test_every_end_of_a_turn_is_in_its_table() -> None:
    """The reasons of set_aside stand where they are made, in the rules and in their shell."""
    told = [text for row in tables("the sentence in `set_aside`") for text in code(row[0])]
    made = set[str]()
    for name in ("turns.py", "actor.py"):
        source = SOURCES[ROOT / "actors" / "conversation" / name]
        made |= {text for text in _texts(ast.parse(source)) if re.match(ENDS, text)}
    assert made == {text for sentence in told for text in told_by(sentence)}


STANDINGS = (
    Standing(blocked=True),
    Standing(can_reply=False),
    Standing(labels=("no-bot",)),
    Standing(assignee="user"),
    Standing(status="snoozed"),
)


def memories() -> Iterator[Memory]:
    """One for each signal by which a person has the word."""
    yield from (Memory(standing=standing) for standing in STANDINGS)
    yield Memory(pause=Pause("by hand"))
    for how in ("user", "phone app"):
        person = FromPerson("1", "hello", how)
        yield remember(Memory(), 1, events.PersonReplied(at_ms=1, person=person))
    handed = events.HandedOver(at_ms=1, reply_id="r", answers=(1,), reason="lunch")
    yield remember(Memory(), 1, handed)
    pending = Memory(standing=Standing(status="pending"))
    opened = events.StandingSeen(at_ms=1, standing=Standing(status="open"))
    yield remember(pending, 1, opened)


@pytest.mark.parametrize("memory", list(memories()))
def test_every_signal_of_a_person_is_in_its_table(memory: Memory) -> None:
    silent = silence(memory, Manners(stop_labels=("no-bot",)), now_ms=2)
    assert silent is not None
    signals = [text for row in tables("signal", "the sentence") for text in code(row[1])]
    said = told_by(silent.reason)
    assert said and said <= frozenset().union(*map(told_by, signals))


@pytest.mark.parametrize(
    ("latencies_ms", "wasted", "budget"),
    [
        ([3_200] * 30, 840, 50_000),
        ([3_200] * 30, 840, 0),
        ([3_200] * 30, 50_120, 50_000),
        ([3_200] * 2, 0, 50_000),
        ([3_200] * 30, None, 50_000),
        ([180] * 30, 0, 50_000),
    ],
)
def test_the_sentences_about_early_drafts_are_word_for_word(
    latencies_ms: list[int], wasted: int | None, budget: int
) -> None:
    quoted = [text for row in tables("the sentence under `lead`") for text in code(row[0])]
    assert lead_ms(latencies_ms, wasted, budget)[1] in quoted


def test_the_shapes_of_a_text_have_the_factors_of_the_table() -> None:
    rows = tables("the end of the text")
    told = {(code(row[0]) or [""])[0]: (float(row[1]), float(row[2])) for row in rows}
    assert told == {said: (STRETCH[shape], ODDS[shape]) for shape, said in SAID.items()}


@pytest.mark.parametrize("taken", [Taken(5_000, "Eva answered")])
def test_the_four_ways_back_after_a_person(taken: Taken) -> None:
    """As the paragraph "Back" tells them."""
    memory = Memory(standing=Standing(status="open"), taken=taken)
    manners = Manners(resume_after_ms=1_000)
    assert silence(memory, manners, 5_999) and not silence(memory, manners, 6_000)
    resumed = remember(memory, 1, events.Resumed(at_ms=6_000, by="api"))
    back = events.StandingSeen(at_ms=6_000, standing=Standing(status="pending"))
    assert not silence(resumed, Manners(), 6_000)
    assert not silence(remember(memory, 1, back), Manners(), 6_000)
    assigned = msgspec.structs.replace(
        memory, standing=Standing(status="open", assignee="user"), taken=None
    )
    assert silence(remember(assigned, 1, events.Resumed(at_ms=6_000, by="api")), manners, 9_000)


# The numbers, and the links.

NUMBERS = tables("number", "of what", "in the code")


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: row[2])
def test_a_number_is_the_codes(row: list[str]) -> None:
    (place,) = code(row[2])
    module, _, name = place.rpartition(".")
    value = getattr(importlib.import_module(f"actors.{module}"), name)
    values = value if isinstance(value, tuple) else (value,)
    number, _, unit = row[0].rpartition(" ") if row[0].endswith(" s") else (row[0], "", "")
    told = tuple(float(part) for part in number.split(","))
    assert (unit == "s") == name.endswith(("_S", "_MS"))
    assert told == tuple(each / 1_000 if name.endswith("_MS") else each for each in values)


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", DOCUMENT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
    links = re.findall(r"\]\(([^)]+)\)", DOCUMENT)
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    files = [link for link in links if not link.startswith("#")]
    assert "turns.svg" in files
    assert all((ROOT / "docs" / link).exists() for link in files)


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {text.split()[1] for text in QUOTED if text.startswith("make ")}
    assert targets == {"simulate"}
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@pytest.mark.parametrize("text", [text for text in QUOTED if text.startswith("turnwise ")])
def test_a_command_that_is_named_exists_with_its_options(text: str) -> None:
    _, command, *given = text.split()
    known = typer.main.get_group(cli.app).commands
    assert command in known
    options = {option for each in known[command].params for option in each.opts} | {"--help"}
    assert {word for word in given if word.startswith("--")} <= options
