"""The README fits the code: settings, files, commands, events, examples. Starts nothing."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from actors.cli import app
from actors.clock import SystemClock
from actors.companies.company import Company
from actors.companies.making import company_of
from actors.conversation import events
from actors.layers import Layer
from actors.llm.custom import responder_of, tools_of
from actors.llm.prompt import Prompt
from actors.llm.tools import Asked, Toolbox
from actors.llm.voice import VARIABLES, check_template
from actors.settings import (
    ChatwootSettings,
    CompanySettings,
    Settings,
    ToolSettings,
    TwilioSettings,
    WhatsAppSettings,
    company_settings,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MACHINE = re.compile(r"(?<![\w.:/}>-])/(?:home|root|tmp|work|usr|opt|mnt|var|Users|private)\b")
"""A path of the machine that somebody wrote on; an address of the service is none."""

TABLES = (ChatwootSettings, ToolSettings, TwilioSettings, WhatsAppSettings)
MADE_BY_THE_USER = {".env", ".venv", ".turnwise/env", "companies.toml", "shop.py"}
FILE_ENDINGS = ("py", "toml", "yaml", "lua", "md", "png", "txt", "sh")


def section(title: str) -> str:
    """The text below a heading, up to the next heading of any level."""
    after = README.split(f" {title}\n", 1)[1]
    return re.split(r"^#{1,3} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> dict[str, list[str]]:
    """The tables below a heading: by the first cell, the others."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


def in_code(text: str) -> list[str]:
    """What stands in fenced blocks and between backticks."""
    return FENCED.findall(text) + re.findall(r"`([^`\n]+)`", FENCED.sub("", text))


def named_in(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def shown(default: Any) -> str:
    """A default as the table has it."""
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    if isinstance(plain, bool | tuple):
        plain = str(plain).lower() if isinstance(plain, bool) else ",".join(plain)
    return "unset" if plain in (None, "") else f"`{plain}`"


def variables() -> dict[str, list[str]]:
    table = rows("Settings")
    return {first.strip("`"): others for first, others in table.items() if first.startswith("`")}


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def paths_named() -> set[str]:
    """Files of the repository that the README links or names in code."""
    words = {word for text in in_code(README) for word in re.split(r"[\s;,]+", text)}
    files = {
        word.rstrip("/")
        for word in words
        if re.fullmatch(r"\.?[\w-]+(?:[/.][\w.-]+)+/?", word)
        and (word.rpartition(".")[2] in FILE_ENDINGS or word.split("/")[0] in ("tests", ".ci"))
    }
    links = set(re.findall(r"\]\(([^)#:]+)\)|src=\"([^\"]+)\"", README))
    return files | {link for pair in links for link in pair if link}


def test_the_table_of_settings_is_the_settings() -> None:
    fields = {name.upper() for name in Settings.model_fields}
    assert set(variables()) == fields


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_has_the_default_that_the_table_shows(name: str) -> None:
    default, _ = variables()[name.upper()]
    if default != "built in":
        assert default == shown(Settings.model_fields[name].default)


@pytest.mark.parametrize("model", [CompanySettings, *TABLES])
def test_the_companies_file_is_described_key_by_key(model: type[BaseModel]) -> None:
    table = rows("The companies file")
    keys = named_in([cell for first, others in table.items() for cell in (first, others[-1])])
    assert set(model.model_fields) <= keys
    of_the_table = named_in(list(table))
    assert of_the_table <= set(CompanySettings.model_fields)


def test_every_event_of_the_journal_is_explained() -> None:
    tags = {event.__struct_config__.tag for event in get_args(events.Event)}
    explained = named_in(list(rows("See what a conversation does")))
    assert tags <= explained


def test_every_answer_of_the_webhook_is_explained() -> None:
    statuses = {"200", "202", "401", "404", "413", "422", "429", "500"}
    assert {first for first in rows("What the webhook answers") if first.isdecimal()} == statuses


def test_every_make_target_that_is_named_exists() -> None:
    named = {target for text in in_code(README) for target in re.findall(r"\bmake ([a-z-]+)", text)}
    assert {"run", "test", "check", "bench", "help"} <= named <= targets()


def test_every_file_that_is_named_exists() -> None:
    named = paths_named()
    assert {"docs/chat.png", "ray-cluster.yaml", "serve_app.py", "tests/unit"} <= named
    missing = {
        name
        for name in named - MADE_BY_THE_USER
        if not ((ROOT / name).exists() or (ROOT / "actors" / name).exists())
    }
    assert not missing


def test_the_layout_is_the_one_of_the_disk() -> None:
    block = next(text for text in FENCED.findall(README) if text.startswith("actors/\n"))
    named = set(re.findall(r"[a-z_]+(?:\.py|/)", block.removeprefix("actors/\n")))
    on_disk = {
        path.name + ("/" if path.is_dir() else "")
        for path in (ROOT / "actors").iterdir()
        if not path.name.startswith("__")
    }
    assert named == on_disk


def test_the_floors_are_those_that_the_imports_are_held_to() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    floors = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    told = section("Work on the code").split("A module imports only", 1)[1].split("Only `", 1)[0]
    assert re.findall(r"`(\w+)`", told) == re.findall(r"actors\.(\w+)", " ".join(floors))


def test_the_tiers_of_tests_are_those_of_the_disk() -> None:
    named = {first for first in rows("Work on the code") if first.startswith("`tests/")}
    tiers = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    assert named == {f"`tests/{tier}/`" for tier in tiers}


def test_every_section_of_the_benches_is_named() -> None:
    source = (ROOT / "bench" / "__main__.py").read_text(encoding="utf-8")
    sections = re.findall(r'^    "(\w+)": \w+\.measure,$', source, re.MULTILINE)
    assert f"one section of the benches: {', '.join(sections)}\n" in README


def test_every_command_that_is_named_exists() -> None:
    callbacks = {(each.name, each.callback) for each in app.registered_commands}
    known = {name or getattr(callback, "__name__", "") for name, callback in callbacks}
    named = {name for text in in_code(README) for name in re.findall(r"\bturnwise ([a-z-]+)", text)}
    assert {"show", "replay", "tune"} <= named <= known


def test_every_route_of_a_conversation_has_its_example() -> None:
    sources = [
        (ROOT / "actors" / "web" / name).read_text("utf-8") for name in ("api.py", "people.py")
    ]
    served = set(re.findall(r'@api\.(?:get|post)\(\s*"/(\w+)"', "".join(sources)))
    assert set(re.findall(r"\$at/(\w+)", section("See what a conversation does"))) == served


def test_every_webhook_that_is_named_is_read() -> None:
    source = (ROOT / "actors" / "web" / "chatwoot_events.py").read_text(encoding="utf-8")
    named = named_in([row for row in rows("Connect a Chatwoot") if "_" in row])
    assert {"message_created", "conversation_updated", "conversation_typing_on"} <= named
    assert {name for name in named if f'"{name}"' not in source} == set()


def company(company_id: str, table: dict[str, Any]) -> Company:
    layers = (Layer("file", table),)
    return company_of(company_id, company_settings(company_id, layers), Settings())


def test_every_variable_of_a_prompt_is_named() -> None:
    parts = re.findall(r"`({{ \w+ }}|{% if \w+ %})`", section("The companies file"))
    assert {re.findall(r"\w+", part)[-1] for part in parts} == set(VARIABLES)
    ends = "{% endif %}" * sum("if" in part.split() for part in parts)
    check_template(company("acme", {"prompt": "".join(parts) + ends}))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The tables of the README's example, with its module in the directory where turnwise runs."""
    blocks = dict(re.findall(r"^```(\w+)\n(.*?)^```$", section("The companies file"), re.M | re.S))
    (tmp_path / "shop.py").write_text(blocks["python"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tomllib.loads(blocks["toml"])["companies"]
    sys.modules.pop("shop", None)


async def test_the_example_of_own_code_works(shop: dict[str, Any]) -> None:
    acme, bolt = (company(name, table) for name, table in shop.items())
    toolbox = Toolbox("acme", tools_of(acme), SystemClock(), hand_over=True)
    asked = Asked("1", "stock", '{"article": "lamp"}')
    question = Prompt(system="", history=(), question="a person", joined=1, how="single")
    ran = await toolbox.run([asked], question)
    assert [result["content"] for result in ran.results] == ['{"left":3}']
    responder = responder_of(bolt, timeout_s=5)
    assert responder is not None
    assert (await responder.answer(question)).hand_over == "the customer asks for a person"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_holds_a_path_of_somebodys_machine(document: Path) -> None:
    assert MACHINE.findall(document.read_text(encoding="utf-8")) == []
