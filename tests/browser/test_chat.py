"""The web chat in a real browser, as a customer uses it and as an operator watches it."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SECONDS, Chat
from tests.places import Place

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="left out: no chromium here"),
]


def test_fragments_count_down_and_get_one_answer(chat: Chat, place: Place) -> None:
    place.steer(model_delay_s=1)
    chat.write("Hola", "quiero saber", "el precio del plan")
    expect(chat.at(".bubble.customer")).to_have_count(3)
    expect(chat.at("#countdown")).to_be_visible()
    expect(chat.at("#countdown-text")).to_contain_text("answers in")
    expect(chat.at("#typing")).to_be_visible(timeout=20 * SECONDS)
    place.steer(model_delay_s=0)
    expect(chat.answers(1)).to_contain_text("You said: Hola quiero saber el precio del plan")
    expect(chat.at("#typing")).to_be_hidden()
    expect(chat.at("#countdown")).to_be_hidden()
    chat.view("journal")
    kinds = ["message_received"] * 3 + ["turn_started", "reply_committed", "reply_sent"]
    events = chat.at("#journal .event:not([data-type=customer_typing])")
    expect(events).to_have_count(len(kinds))
    assert [event.get_attribute("data-type") for event in events.all()] == kinds
    expect(chat.at("#journal")).to_contain_text("The window is 2 s: the company's window.")
    expect(chat.at("#why-window")).to_have_text("2 s: the company's window.")
    expect(chat.at("#phase")).to_contain_text(re.compile("idle|asleep", re.IGNORECASE))
    chat.assert_fits()


def test_text_is_shown_as_text(chat: Chat) -> None:
    chat.write("<img src=x onerror=alert(1)> <b>bold</b>")
    expect(chat.at(".bubble.customer")).to_contain_text("<b>bold</b>")
    expect(chat.answers(1)).to_contain_text("<img src=x onerror=alert(1)>")
    assert chat.at(".bubble img").count() == 0


def test_the_conversation_survives_a_reload_and_a_new_one_is_empty(chat: Chat) -> None:
    chat.write("remember me")
    chat.answers(1)
    chat.page.reload()
    chat.answers(1)
    expect(chat.at(".bubble.customer")).to_have_count(1)
    chat.at("#new-conversation").click()
    expect(chat.at(".bubble.customer")).to_have_count(0)
    chat.write("a fresh start")
    expect(chat.answers(1)).to_contain_text("a fresh start")


def test_every_clock_has_twenty_four_hours(chat: Chat) -> None:
    chat.write("what time is it?")
    chat.answers(1)
    chat.view("journal")
    for time in chat.at("time").all():
        assert re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", time.text_content() or "")
        assert not re.search("[AP]M", time.get_attribute("title") or "")


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("It fits.", 8, "It fits."),
        ("I joined them with spaces. And more", 27, "I joined them with spaces…"),
        ("I joined them with spaces. And more", 26, "I joined them with…"),
        ("A comma, then more", 9, "A comma…"),
        ("Unbreakablewords", 8, "Unbreak…"),
        ("two\n\nlines   apart", 40, "two lines apart"),
    ],
)
def test_a_cut_text_ends_in_one_mark(chat: Chat, text: str, most: int, expected: str) -> None:
    script = "async ([text, most]) => (await import('/static/words.js')).excerpt(text, most)"
    assert chat.page.evaluate(script, [text, most]) == expected


def test_a_company_without_it_shows_no_person_to_play(chat: Chat) -> None:
    chat.write("hello")
    chat.answers(1)
    expect(chat.at("#tab-agent")).to_be_hidden()
    expect(chat.at("#panel-agent")).to_be_hidden()
