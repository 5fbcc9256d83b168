"""The README fits the code: settings, files, targets, events. Reads files, starts nothing."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from actors.conversation import events
from actors.settings import (
    ChatwootSettings,
    CompanySettings,
    Settings,
    ToolSettings,
    TwilioSettings,
    WhatsAppSettings,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MACHINE = re.compile(r"(?<![\w.:/}>-])/(?:home|root|tmp|work|usr|opt|mnt|var|Users|private)\b")
"""A path of the machine that somebody wrote on; an address of the service is none."""

TABLES = (ChatwootSettings, ToolSettings, TwilioSettings, WhatsAppSettings)
MADE_BY_THE_USER = {".env", ".venv", ".turnwise/env", "companies.toml"}
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
    named = {line.split()[0].rstrip("/") for line in block.splitlines()[1:]}
    assert named <= {path.name for path in (ROOT / "actors").iterdir()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_holds_a_path_of_somebodys_machine(document: Path) -> None:
    assert MACHINE.findall(document.read_text(encoding="utf-8")) == []
