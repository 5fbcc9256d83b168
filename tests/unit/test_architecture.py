"""House rules that a machine can hold: Lua heads, sizes, names, who may say BaseModel."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LUA = sorted((ROOT / "actors").rglob("*.lua"))
PYTHON = sorted((ROOT / "actors").rglob("*.py"))
BANNED = {"utils", "helpers", "common", "base", "core", "misc"}


@pytest.mark.parametrize("script", LUA, ids=lambda path: path.name)
def test_a_script_states_its_keys_arguments_and_returns(script: Path) -> None:
    text = script.read_text()
    code = [line for line in text.splitlines() if line.strip() and not line.startswith("--")]
    assert len(code) <= 60
    head = "".join(takewhile(lambda line: line.startswith("--"), text.splitlines(keepends=True)))
    for word in ("KEYS[1]", "ARGV[1]", "Returns {"):
        assert word in head, f"{script.name} does not state {word}"
    used = {int(n) for n in re.findall(r"KEYS\[(\d)\]", text[len(head) :])}
    stated = {int(n) for n in re.findall(r"KEYS\[(\d)\]", head)}
    assert used == stated, "every key is declared in the head and used"


def test_there_are_scripts() -> None:
    assert {path.stem for path in LUA} >= {"append", "activate", "record", "trim"}


@pytest.mark.parametrize("module", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_does_and_is_named_for_it(module: Path) -> None:
    text = module.read_text()
    assert module.stem not in BANNED
    if text:
        assert text.startswith('"""'), "opens with one sentence that says what it does"
    names = re.findall(r"^class (\w+)", text, re.MULTILINE)
    wrong = re.compile(r"(Manager|Service|Helper|Processor|Handler|Impl)$")
    assert not [name for name in names if wrong.search(name)]
    assert len(text.splitlines()) <= 400, "a file of this size holds two nouns"


def test_pydantic_stays_at_the_edges() -> None:
    # What Chatwoot sends and what it lists is read by one set of shapes.
    edges = (
        "actors/web/",
        "actors/settings.py",
        "actors/tables.py",
        "actors/channels/chatwoot_shapes.py",
    )
    inside = [
        str(path.relative_to(ROOT))
        for path in PYTHON
        if "BaseModel" in path.read_text() and not str(path.relative_to(ROOT)).startswith(edges)
    ]
    assert inside == []
