"""People first, through the real service: whoever of the company speaks, the bot is silent.

The company `desk` of tests/places.py has an API token, no Chatwoot, and a window of 3 s.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.places import TOKEN, Place, message_created, until

pytestmark = pytest.mark.cluster

BEARER = {"Authorization": f"Bearer {TOKEN}"}
AGENT = {"id": 9, "name": "Bia", "email": "bia@acme.example", "type": "user"}
ASSIGNED = {"assignee": AGENT, "assignee_type": "User"}


@pytest.fixture(autouse=True)
def slow_model(place: Place) -> Iterator[None]:
    """Long enough for somebody to speak in the middle of a turn."""
    place.steer(model_delay_s=1.5)
    yield
    place.steer(model_delay_s=0)


def wrote(place: Place, conversation: int, text: str, **about: Any) -> None:
    """The customer writes; `about` replaces fields of the conversation."""
    event = message_created(conversation, text)
    event["conversation"] |= about
    answer = place.webhook("acme", event)
    assert answer.status_code == 202, answer.text


def answered_by_agent(place: Place, conversation: int, text: str, **fields: Any) -> httpx.Response:
    """A webhook: somebody of the company wrote to the customer."""
    fields = {"message_type": "outgoing", "sender": AGENT, "source_id": None} | fields
    return place.webhook("acme", message_created(conversation, text, **fields))


def reported(place: Place, conversation: int, **about: Any) -> httpx.Response:
    """A webhook: the conversation changed."""
    whole = message_created(conversation, "")["conversation"] | about
    return place.webhook("acme", {"event": "conversation_updated", **whole})


def kinds(place: Place, conversation: int | str, company: str = "acme") -> list[str]:
    return [event["type"] for event in place.show(conversation, company)["timeline"]]


def last(place: Place, conversation: int | str, kind: str, company: str = "acme") -> dict[str, Any]:
    """The newest event of a kind, waited for."""

    def found() -> dict[str, Any] | None:
        timeline = place.show(conversation, company)["timeline"]
        return next((event for event in reversed(timeline) if event["type"] == kind), None)

    return until(f"{kind} in {conversation}", found)


def left_to_people(place: Place, conversation: int, reason: str) -> None:
    """Waits until the bot has let go of it, and checks why, and that it said nothing."""
    assert reason in last(place, conversation, "left_unanswered")["reason"]
    assert place.posted(conversation) == []
    shown = place.show(conversation)
    assert shown["unanswered"] == []
    assert reason in shown["memory"]["silence"]["reason"]


def drafting(place: Place, conversation: int) -> None:
    until("the turn", lambda: "turn_started" in kinds(place, conversation))


def test_an_answer_by_a_person_silences_the_bot_before_the_turn(place: Place) -> None:
    conversation = place.conversation()
    wrote(place, conversation, "hola")
    answer = answered_by_agent(place, conversation, "I am here")
    assert (answer.status_code, answer.json()["status"]) == (202, "noted")
    left_to_people(place, conversation, "Bia answered")
    replied = last(place, conversation, "person_replied")
    assert (replied["text"], replied["name"], replied["how"]) == ("I am here", "Bia", "user")
    wrote(place, conversation, "thanks")
    until("the second", lambda: kinds(place, conversation).count("left_unanswered") == 2)
    assert place.posted(conversation) == []


def test_an_answer_by_a_person_cancels_the_running_turn(place: Place) -> None:
    conversation = place.conversation()
    wrote(place, conversation, "hola")
    drafting(place, conversation)
    echo = {"content_attributes": {"external_echo": True}, "sender": None}
    assert answered_by_agent(place, conversation, "from the phone", **echo).status_code == 202
    left_to_people(place, conversation, "on the phone")


def test_the_same_answer_from_two_paths_is_one(place: Place) -> None:
    conversation = place.conversation()
    event = message_created(conversation, "hi", message_type="outgoing", sender=AGENT)
    answers = [place.webhook("acme", event) for _ in range(2)]
    assert [answer.json()["status"] for answer in answers] == ["noted", "ignored"]
    assert kinds(place, conversation) == ["person_replied"]


def test_our_own_reply_is_nobodys_answer(place: Place) -> None:
    conversation = place.conversation()
    wrote(place, conversation, "one")
    posted = until("the reply", lambda: place.posted(conversation))[0]
    own = answered_by_agent(
        place,
        conversation,
        posted["content"],
        id=posted["id"],
        content_attributes=posted["content_attributes"],
    )
    assert own.json() == {"status": "ignored", "reason": "our own reply"}
    wrote(place, conversation, "two")
    until("the second reply", lambda: len(place.posted(conversation)) == 2)


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"status": "resolved"}, "the status is resolved"),
        ({"can_reply": False}, "takes no reply"),
        ({"meta": {"sender": {"id": 77, "blocked": True}}}, "the contact is blocked"),
        ({"status": "open", "meta": ASSIGNED}, "assigned to a person"),
    ],
)
def test_a_conversation_that_is_not_the_bots_is_left_to_people(
    place: Place, about: dict[str, Any], reason: str
) -> None:
    conversation = place.conversation()
    wrote(place, conversation, "hola", **about)
    left_to_people(place, conversation, reason)


def test_an_assignment_cancels_the_turn_and_its_end_brings_the_bot_back(place: Place) -> None:
    conversation = place.conversation()
    now_s = time.time()  # Chatwoot's clock is ours here: an older report gives nothing back
    wrote(place, conversation, "hola")
    drafting(place, conversation)
    report = reported(place, conversation, status="open", meta=ASSIGNED, updated_at=now_s + 1)
    assert report.json()["status"] == "noted"
    left_to_people(place, conversation, "assigned to a person")
    again = reported(place, conversation, status="open", meta=ASSIGNED, updated_at=now_s + 1)
    assert again.json()["status"] == "ignored", "status webhooks come doubled"
    reported(place, conversation, status="pending", updated_at=now_s + 60)
    until("no silence", lambda: place.show(conversation)["memory"]["silence"] is None or None)
    wrote(place, conversation, "still there?", updated_at=now_s + 61)
    assert until("the reply", lambda: place.posted(conversation))


def test_a_report_about_an_unknown_conversation_leaves_no_trace(place: Place) -> None:
    conversation = place.conversation()
    assert reported(place, conversation, status="open").json()["status"] == "ignored"
    url = f"/api/companies/acme/conversations/{conversation}"
    assert place.http.get(url, headers=BEARER).status_code == 404


def test_what_no_webhook_said_is_seen_right_before_sending(place: Place) -> None:
    conversation = place.conversation()
    wrote(place, conversation, "hola")
    drafting(place, conversation)
    place.steer(people={str(conversation): [{"content": "I am here"}]})
    until(
        "the bot lets go",
        lambda: {"left_unanswered", "reply_withheld"} & set(kinds(place, conversation)),
    )
    assert [message["content"] for message in place.posted(conversation)] == ["I am here"]
    assert place.show(conversation)["unanswered"] == []


def test_a_transcript_that_comes_later_is_part_of_the_turn(place: Place) -> None:
    conversation = place.conversation()
    event = message_created(conversation, "befor")
    place.webhook("acme", event)
    answer = place.webhook("acme", event | {"event": "message_updated", "content": "after"})
    assert answer.json()["status"] == "noted"
    posted = until("the reply", lambda: place.posted(conversation))
    assert posted[0]["content"] == "You said: after"
    last(place, conversation, "reply_sent")
    late = place.webhook("acme", event | {"event": "message_updated", "content": "too late"})
    assert late.json()["status"] == "ignored"


# By the API


def url_of(company: str, conversation: int | str) -> str:
    return f"/api/companies/{company}/conversations/{conversation}"


def post(place: Place, path: str, body: Any = None, **options: Any) -> httpx.Response:
    return place.http.post(path, json=body, headers=options.pop("headers", BEARER))


def desk(place: Place, text: str | None = "hi") -> str:
    """A conversation of the company without a Chatwoot, in which the customer wrote."""
    conversation = f"sms-{uuid.uuid4().hex}"
    if text is not None:
        path = f"{url_of('desk', conversation)}/messages"
        assert post(place, path, {"text": text}).status_code == 202
    return conversation


def test_a_person_answers_through_the_api_and_the_bot_is_silent_until_resumed(
    place: Place,
) -> None:
    conversation = desk(place)
    own = {"text": "I am here", "name": "Bia", "message_id": "r1"}
    path = f"{url_of('desk', conversation)}/replies"
    first, again = post(place, path, own), post(place, path, own)
    assert (first.status_code, first.json()["status"]) == (202, "noted")
    assert (again.status_code, again.json()["status"]) == (202, "left out")
    assert "Bia answered" in last(place, conversation, "left_unanswered", "desk")["reason"]
    replied = last(place, conversation, "person_replied", "desk")
    assert (replied["text"], replied["how"]) == ("I am here", "api")
    assert post(place, f"{url_of('desk', conversation)}/resume").status_code == 202
    until(
        "no silence",
        lambda: place.show(conversation, "desk")["memory"]["silence"] is None or None,
    )
    post(place, f"{url_of('desk', conversation)}/messages", {"text": "and you?"})
    assert "You said" in last(place, conversation, "reply_committed", "desk")["text"]


def test_a_pause_holds_until_it_ends(place: Place) -> None:
    conversation = desk(place)
    pause = {"seconds": 3_600, "reason": "Bia looks into it"}
    answer = post(place, f"{url_of('desk', conversation)}/pause", pause)
    assert answer.status_code == 202
    left = last(place, conversation, "left_unanswered", "desk")
    assert left["reason"] == "paused: Bia looks into it"
    paused = last(place, conversation, "paused", "desk")
    assert paused["until_ms"] - paused["at_ms"] == 3_600_000
    memory = place.show(conversation, "desk")["memory"]
    assert memory["pause"] == {"reason": "Bia looks into it", "until_ms": paused["until_ms"]}
    post(place, f"{url_of('desk', conversation)}/pause", {"seconds": 0.2})
    until(
        "the end of the pause",
        lambda: place.show(conversation, "desk")["memory"]["silence"] is None or None,
    )
    post(place, f"{url_of('desk', conversation)}/messages", {"text": "now?"})
    assert last(place, conversation, "reply_committed", "desk")


def test_a_customer_who_types_is_waited_for(place: Place) -> None:
    conversation = desk(place)
    path = f"{url_of('desk', conversation)}/typing"
    assert post(place, path, {"on": True}).json()["status"] == "noted"
    assert place.show(conversation, "desk")["memory"]["customer_typing"]
    until("the wait", lambda: "typing" in str(place.show(conversation, "desk")["actor"]["reason"]))
    post(place, f"{url_of('desk', conversation)}/messages", {"text": "more"})
    reply = last(place, conversation, "reply_committed", "desk")
    assert reply["answers"] == [1, 3]
    last(place, conversation, "reply_sent", "desk")
    assert post(place, path, {"on": True}).json()["status"] == "left out", "nothing waits"


@pytest.mark.parametrize(
    ("company", "action", "body", "headers", "status", "says"),
    [
        ("acme", "replies", {"text": "x"}, BEARER, 409, "answers in Chatwoot"),
        ("acme", "replies", {"text": "x"}, {}, 401, "bearer token"),
        ("acme", "pause", {}, {}, 401, "bearer token"),
        ("acme", "resume", None, {}, 401, "bearer token"),
        ("acme", "typing", {"on": True}, {}, 401, "bearer token"),
        ("desk", "pause", {}, BEARER, 404, "no conversation"),
        ("desk", "resume", None, BEARER, 404, "no conversation"),
        ("desk", "replies", {}, BEARER, 422, "text: Field required"),
        ("desk", "typing", {"on": "yes"}, BEARER, 422, "on: Input should be a valid boolean"),
        ("desk", "pause", {"seconds": 0}, BEARER, 422, "seconds: Input should be greater than 0"),
        ("nobody", "pause", {}, BEARER, 404, "'nobody'"),
    ],
)
def test_the_api_refuses_people_with_a_reason(
    place: Place,
    company: str,
    action: str,
    body: Any,
    headers: dict[str, str],
    status: int,
    says: str,
) -> None:
    path = f"{url_of(company, f'unheard-of-{uuid.uuid4().hex}')}/{action}"
    answer = post(place, path, body, headers=headers)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]
