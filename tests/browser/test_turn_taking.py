"""The web chat shows the turn-taking: typing, early drafts, a person's word, parts of an answer."""

import re
import shutil
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SECONDS, Chat
from tests.places import Place

pytestmark = [
    pytest.mark.browser,
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="left out: no chromium here"),
]

LONG_WORD = "lamp" * 25
TYPED = "I have been thinking about the desk lamp "
"""Typed at 150 ms a key it takes 6 s, three windows of the company."""

STUCK = {"completion": [{"delay_s": 60, "status": 503}]}
"""The next call of the model is not answered within a test, and never takes another's words."""


def of(events: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] in kinds]


def test_typing_keeps_the_window_open(chat: Chat) -> None:
    chat.write("one moment")
    chat.at("#composer").press_sequentially(TYPED, delay=150)
    expect(chat.at("#countdown-text")).to_have_text("You are typing, the window stays open")
    assert of(chat.timeline(), "turn_started") == []
    chat.stage("window")
    chat.at("#composer").fill("")
    chat.answers(1)
    events = chat.timeline()
    (message,), (started,) = of(events, "message_received"), of(events, "turn_started")
    typed = of(events, "customer_typing")
    assert typed[0]["on"] and not typed[-1]["on"]
    assert started["at_ms"] - message["at_ms"] > 3 * started["window_ms"]
    assert started["at_ms"] - typed[-1]["at_ms"] >= started["window_ms"]
    chat.view("journal")
    expect(chat.at("#journal")).to_contain_text("is typing: the window stays open")
    expect(chat.at("#journal")).to_contain_text("stopped typing: the window counts from here")
    chat.assert_fits()


def know_the_model(chat: Chat, place: Place) -> int:
    """Lets the company time its model; returns how many answers that took."""
    place.steer(model_delay_s=2)
    texts = ("Is it new?", "Is it green?", "Is it large?")
    for number, text in enumerate(texts, 1):
        chat.write(text)
        chat.answers(number)
    return len(texts)


def test_an_early_draft_is_shown_and_thrown_away(eager: Chat, place: Place) -> None:
    before = know_the_model(eager, place)
    place.steer(model_delay_s=0.3, faults=STUCK)
    eager.write("It is the lamp")
    eager.stage("early")
    expect(eager.at("#countdown")).to_be_visible()  # the countdown goes on meanwhile
    expect(eager.at("#countdown-text")).to_contain_text(re.compile("answers (in|any)"))
    expect(eager.at("#countdown-draft")).to_contain_text("Drafting early")
    expect(eager.at("#typing")).to_be_hidden()
    eager.write(f"that is green {LONG_WORD}")
    thrown = eager.at(".note.thrown")
    expect(thrown).to_have_count(1)
    expect(thrown).to_contain_text("A draft was thrown away: you went on writing")
    expect(thrown).to_contain_text(re.compile(r"[1-9]\d* tokens wasted"))
    eager.stage("ready")
    expect(eager.at("#countdown-draft")).to_have_text(
        re.compile("A draft is ready, waiting for you to finish")
    )
    expect(eager.at(".bubble.answer")).to_have_count(before)
    expect(eager.answers(before + 1).last).to_contain_text("It is the lamp that is green")
    events = eager.timeline()
    (superseded,) = of(events, "turn_superseded")
    assert superseded["early"]
    assert len(of(events, "reply_committed")) == before + 1
    drafts = [each["early"] for each in of(events, "turn_started")[before:]]
    assert drafts == [True, True]
    eager.view("journal")
    expect(eager.at("#why-early")).to_contain_text("before the window closes")
    expect(eager.at("#why-window")).to_contain_text("this customer's messages")
    eager.assert_fits()


def answer_as(chat: Chat, name: str, text: str) -> None:
    chat.view("agent")
    chat.at("#agent-name").fill(name)
    chat.at("#agent-text").fill(text)
    chat.at("#agent-send").click()


def test_a_person_takes_the_word_and_gives_it_back(eager: Chat, place: Place) -> None:
    place.steer(faults=STUCK)
    eager.write("Can a person help me?")
    eager.stage("drafting")
    answer_as(eager, "Bia", f"I am here. {LONG_WORD}")
    eager.stage("silent")
    expect(eager.at("#word")).to_contain_text("A person has the word: Bia answered")
    eager.view("chat")
    person = eager.at(".bubble.person")
    expect(person).to_have_count(1)
    expect(person.locator(".who")).to_contain_text("Bia")
    expect(person).to_contain_text("I am here.")
    expect(eager.at("#silence")).to_contain_text("The bot is silent")
    expect(eager.at("#typing")).to_be_hidden()
    left = of(eager.timeline(), "left_unanswered")
    assert [bool(event["turn"]) for event in left] == [True]  # the draft was cancelled with it

    eager.write("are you there?")
    expect(eager.at(".why")).to_have_count(2)
    eager.at(".why summary").last.click()
    expect(eager.at(".why p").last).to_have_text("Bia answered.")

    eager.view("agent")
    expect(eager.at("#agent-switch")).to_have_text("Give it back to the bot")
    eager.at("#agent-switch").click()
    expect(eager.at("#word")).to_contain_text("The bot has the word")
    eager.view("chat")
    expect(eager.at("#silence")).to_be_hidden()
    eager.write("And now?")
    expect(eager.answers(1)).to_contain_text("You said: And now?")
    kinds = [event["type"] for event in eager.timeline()]
    assert kinds.index("resumed") < kinds.index("reply_committed")
    eager.assert_fits()


def test_a_paused_bot_is_silent_until_it_is_given_the_word(eager: Chat) -> None:
    eager.view("agent")
    expect(eager.at("#agent-switch")).to_be_disabled()  # nobody has written yet
    eager.view("chat")
    eager.write("hello")
    eager.answers(1)
    eager.view("agent")
    eager.at("#agent-switch").click()
    expect(eager.at("#word")).to_contain_text("the bot was paused")
    eager.stage("silent")
    eager.view("chat")
    expect(eager.at(".row.line")).to_contain_text("The bot was paused")
    eager.write("anybody?")
    expect(eager.at(".row.customer[data-status=left]")).to_have_count(1)
    eager.page.reload()  # who has the word is not forgotten
    expect(eager.at("#silence")).to_be_visible(timeout=20 * SECONDS)
    eager.view("agent")
    eager.at("#agent-switch").click()
    expect(eager.at("#word")).to_contain_text("The bot has the word")
    eager.view("chat")
    eager.write("and you?")
    expect(eager.answers(2).last).to_contain_text("You said: and you?")


def test_a_long_answer_comes_in_parts(eager: Chat, place: Place) -> None:
    paragraphs = [f"{number}: {'it left our store on Monday. ' * 5}".strip() for number in "123"]
    place.steer(completions=[{"content": "\n\n".join(paragraphs)}])
    eager.write("Where is it?")
    bubbles = eager.answers(3)
    assert bubbles.locator(".text").all_text_contents() == paragraphs
    for number, bubble in enumerate(bubbles.all(), 1):
        expect(bubble).to_contain_text(f"part {number} of 3")
    eager.view("journal")
    expect(eager.at("#journal .event[data-type=part_sent]")).to_have_count(2)
    expect(eager.at("#journal .event[data-type=reply_sent]")).to_have_count(1)
    expect(eager.at("#journal")).to_contain_text("in 3 parts")
    eager.assert_fits()


def test_a_hand_over_is_told_on_both_sides(eager: Chat, place: Place) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {
            "name": "hand_over_to_person",
            "arguments": '{"reason": "she asks for a refund"}',
        },
    }
    place.steer(completions=[{"content": "A colleague takes over.", "tool_calls": [call]}])
    eager.write("I want my money back")
    eager.stage("silent")
    expect(eager.at(".row.line")).to_contain_text("You are passed to a person")
    expect(eager.at(".row.line")).to_contain_text("She asks for a refund")
    eager.view("journal")
    expect(eager.at("#journal .event[data-type=handed_over]")).to_have_count(1)
    eager.view("agent")
    expect(eager.at("#word")).to_contain_text("handed over to a person: she asks for a refund")
    eager.assert_fits()
