"""Opens the web chat of a company in a real browser, at the width of a desk and of a phone."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.places import Place

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 1_000

_CONVERSATION = """async () => {
  const held = await (await fetch("/chat/session")).json();
  const path = `/api/companies/${held.company_id}/conversations/${held.conversation_id}`;
  return await (await fetch(path)).json();
}"""

_TOO_WIDE = """() => [...document.body.querySelectorAll("*")]
  .filter((node) => !node.closest(".sr-only, svg, h1, .quiet-button span"))
  .filter((node) => {
    const box = node.getBoundingClientRect();
    return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
  })
  .map((node) => `${node.tagName}.${node.className}#${node.id}`)"""


class Chat:
    """The web chat as a customer uses it and as an operator watches it."""

    def __init__(self, page: Page, *, is_phone: bool) -> None:
        self.page = page
        self.is_phone = is_phone

    def at(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def write(self, *texts: str) -> None:
        """Sends each text at once, as a paste does: without typing."""
        # The page shows a phase as soon as its script runs and the stream is open.
        expect(self.at("#phase")).to_have_attribute("data-phase", re.compile("."))
        for text in texts:
            self.at("#composer").fill(text)
            self.at("#composer").press("Enter")

    def view(self, name: str) -> None:
        """Turns to the tab; on a desk all are there at once."""
        if self.is_phone:
            self.at(f"#tab-{name}").click()
        elif name == "agent" and self.at("#agent-fold").get_attribute("aria-expanded") == "false":
            self.at("#agent-fold").click()

    def stage(self, *names: str) -> None:
        """Waits until the turn is in one of these stages."""
        wanted = re.compile("|".join(f"^{name}$" for name in names))
        expect(self.at("body")).to_have_attribute("data-phase", wanted, timeout=30 * SECONDS)

    def answers(self, count: int) -> Locator:
        """Waits until the bot has written so many bubbles, and returns them."""
        bubbles = self.at(".bubble.answer")
        expect(bubbles).to_have_count(count, timeout=30 * SECONDS)
        return bubbles

    def timeline(self) -> list[dict[str, Any]]:
        """The conversation's journal, as the API tells it."""
        found: dict[str, Any] = self.page.evaluate(_CONVERSATION)
        return list(found["timeline"])

    def assert_fits(self) -> None:
        """Nothing of any tab is wider than the window."""
        shown = [name for name in ("journal", "agent", "chat") if self._has(name)]
        for name in shown:
            self.view(name)
            assert self.page.evaluate(_TOO_WIDE) == [], name
        wide = "document.documentElement.scrollWidth > window.innerWidth"
        assert not self.page.evaluate(wide), "the page scrolls sideways"

    def _has(self, name: str) -> bool:
        return self.at(f"#panel-{name}").get_attribute("hidden") is None


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for this folder: its event loop has to end before other tests run theirs."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(params=[(1280, 800), (360, 640)], ids=["desk", "phone"])
def opened(
    request: pytest.FixtureRequest, browser: Browser, place: Place
) -> Iterator[Callable[[str], Chat]]:
    """Opens the chat of a company; errors in the page fail the test."""
    width, height = request.param
    # Where clocks have twelve hours: the page's have twenty-four everywhere.
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-US")
    shown = context.new_page()
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    shown.on("console", said)

    def open_chat(company: str) -> Chat:
        shown.goto(f"{place.url}/chat?company={company}")
        return Chat(shown, is_phone=width < 600)

    yield open_chat
    place.steer(forget=True, model_delay_s=0)
    context.close()
    assert errors == []


@pytest.fixture
def chat(opened: Callable[[str], Chat]) -> Chat:
    """The chat of a company with a plain window of 2 s."""
    return opened("walkin")


@pytest.fixture
def eager(opened: Callable[[str], Chat]) -> Chat:
    """The chat of a company that learns, drafts early and lets its visitor play the person."""
    return opened("eager")
