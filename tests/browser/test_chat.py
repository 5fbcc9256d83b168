"""The web chat in a real browser, as a customer uses it and as an operator watches it."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.places import Place

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="left out: no chromium here"),
]

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(params=[(1280, 800), (360, 640)], ids=["desk", "phone"])
def page(
    request: pytest.FixtureRequest, browser: Browser, place: Place
) -> Iterator[tuple[Page, bool]]:
    """The loaded chat, and whether it is a phone's width; errors in the page fail the test."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    shown = context.new_page()
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    shown.on("console", said)
    shown.goto(f"{place.url}/chat")
    yield shown, width < 600
    context.close()
    assert errors == []


def write(page: Page, *texts: str) -> None:
    # The page shows a phase as soon as its script runs and the stream is open.
    expect(page.locator("#phase")).to_have_attribute("data-phase", re.compile("."))
    for text in texts:
        page.locator("#composer").fill(text)
        page.locator("#composer").press("Enter")


def test_fragments_count_down_and_get_one_answer(page: tuple[Page, bool], place: Place) -> None:
    chat, is_phone = page
    place.steer(model_delay_s=1)
    write(chat, "Hola", "quiero saber", "el precio del plan")
    expect(chat.locator(".bubble.customer")).to_have_count(3)
    expect(chat.locator("#countdown")).to_be_visible()
    expect(chat.locator("#typing")).to_be_visible(timeout=20 * SECONDS)
    place.steer(model_delay_s=0)
    answer = chat.locator(".bubble.answer")
    expect(answer).to_have_count(1, timeout=20 * SECONDS)
    expect(answer).to_contain_text("You said: Hola quiero saber el precio del plan")
    expect(chat.locator("#typing")).to_be_hidden()
    expect(chat.locator("#countdown")).to_be_hidden()
    if is_phone:
        chat.locator("#tab-journal").click()
    kinds = ["message_received"] * 3 + ["turn_started", "reply_committed", "reply_sent"]
    events = chat.locator("#journal .event")
    expect(events).to_have_count(len(kinds))
    assert [event.get_attribute("data-type") for event in events.all()] == kinds
    expect(chat.locator("#phase")).to_contain_text(re.compile("idle|asleep", re.IGNORECASE))
    wide = chat.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert not wide, "the page scrolls sideways"


def test_text_is_shown_as_text(page: tuple[Page, bool]) -> None:
    chat, _ = page
    write(chat, "<img src=x onerror=alert(1)> <b>bold</b>")
    expect(chat.locator(".bubble.customer")).to_contain_text("<b>bold</b>")
    expect(chat.locator(".bubble.answer")).to_contain_text(
        "<img src=x onerror=alert(1)>", timeout=20 * SECONDS
    )
    assert chat.locator(".bubble img").count() == 0


def test_the_conversation_survives_a_reload_and_a_new_one_is_empty(
    page: tuple[Page, bool],
) -> None:
    chat, _ = page
    write(chat, "remember me")
    expect(chat.locator(".bubble.answer")).to_have_count(1, timeout=20 * SECONDS)
    chat.reload()
    expect(chat.locator(".bubble.answer")).to_have_count(1, timeout=20 * SECONDS)
    expect(chat.locator(".bubble.customer")).to_have_count(1)
    chat.locator("#new-conversation").click()
    expect(chat.locator(".bubble.customer")).to_have_count(0)
    write(chat, "a fresh start")
    expect(chat.locator(".bubble.answer")).to_have_count(1, timeout=20 * SECONDS)
    expect(chat.locator(".bubble.answer")).to_contain_text("a fresh start")
