"""docs/security.md fits the code: routes, settings, files, anchors. Reads files, starts nothing."""

import re
from pathlib import Path

from actors.settings import CompanySettings, Settings
from tests.contract.test_routes import ROUTES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
OPEN_TO = {
    "public": "anybody",
    "webhook": "who signs with the company's webhook secret; anybody where none is set",
    "conversation": "the company, the browser that holds it",
    "company": "the company, the operator",
    "operator": "the operator",
}
NOT_SETTINGS = {"PUBLISH_ADDRESS", "RAY_AUTH_MODE", "HGETALL"}
"""Of compose.yaml, of Ray, of Redis."""


def test_every_route_is_there_with_those_who_may_call_it() -> None:
    rows = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (.+) \|$", TEXT, re.MULTILINE)
    assert {(method, path): who for method, path, who in rows} == {
        route: OPEN_TO[kind] for route, kind in ROUTES.items()
    }


def test_every_setting_that_is_named_exists() -> None:
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", TEXT)) - NOT_SETTINGS
    assert {"ADMIN_TOKEN", "SECRETS_KEY"} <= named
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    assert {"api_token", "tools", "responder", "retention_days"} <= set(
        CompanySettings.model_fields
    )


def test_every_test_that_shows_something_exists() -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", TEXT))
    assert len(named) > 8
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= anchors
    for target in re.findall(r"\]\((?!#)([^)]+)\)", TEXT):
        assert (ROOT / "docs" / target.partition("#")[0]).exists()


def test_the_readme_leads_here() -> None:
    assert "docs/security.md" in (ROOT / "README.md").read_text(encoding="utf-8")
