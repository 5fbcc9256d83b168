"""The catch-up through the real service: nobody delivers a webhook, and all is answered once.

The conversations are in an inbox of their own, which the company names: no other test's are found.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.places import ADMIN_TOKEN, TOKEN, Place, message_created, until

pytestmark = pytest.mark.cluster

INBOX = 77
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def setting(place: Place, inboxes: list[int] | None) -> None:
    answer = place.http.patch(
        "/api/companies/acme",
        json={"catch_up_inboxes": inboxes},
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture(autouse=True)
def named_inbox(place: Place) -> Iterator[None]:
    setting(place, [INBOX])
    yield
    setting(place, None)


def wrote(place: Place, conversation: int, *texts: str) -> None:
    """The customer writes, and no webhook comes."""
    written = [{"content": text, "created_at": int(time.time()) - 60} for text in texts]
    place.steer(
        conversations={str(conversation): {"inbox_id": INBOX}},
        customers={str(conversation): written},
    )


def caught_up(place: Place) -> dict[str, Any]:
    """A search by hand; one of the timetable may be at work."""

    def found() -> dict[str, Any] | None:
        answer = place.http.post("/api/companies/acme/catch-up", headers=BEARER)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return None if said["state"] in ("busy", "goes on") else said

    return until("the catch-up", found)


def ours(place: Place, conversation: int) -> list[str]:
    """What we posted there."""
    return [
        message["content"]
        for message in place.posted(conversation)
        if "turnwise_reply_id" in message["content_attributes"]
    ]


def test_what_no_webhook_told_of_is_answered_once(place: Place) -> None:
    first, second, taken = (place.conversation() for _ in range(3))
    wrote(place, first, "one", "two")
    wrote(place, second, "three")
    wrote(place, taken, "four")
    at_s = int(time.time()) - 50
    place.steer(people={str(taken): [{"content": "I am here", "created_at": at_s}]})
    said = caught_up(place)
    assert said["state"] == "complete" and str(INBOX) in said["inboxes"], said
    assert until("the answers", lambda: ours(place, first) and ours(place, second))
    assert ours(place, first) == ["You said: one two"]
    late = message_created(first, "one", id=place.posted(first)[0]["id"])
    assert place.webhook("acme", late).json()["status"] == "duplicate"
    assert caught_up(place)["to_answer"] == 0
    shown = place.show(first)
    assert [e["how"] for e in shown["timeline"] if e["type"] == "message_received"] == [
        "caught up",
        "caught up",
    ]
    assert shown["unanswered"] == []
    assert (len(ours(place, first)), len(ours(place, second))) == (1, 1)
    kinds = [event["type"] for event in place.show(taken)["timeline"]]
    assert kinds[:2] == ["message_missed", "person_replied"]
    assert ours(place, taken) == []


def test_a_bots_token_says_so(place: Place) -> None:
    place.steer(bot_token=True)
    try:
        said = caught_up(place)
    finally:
        place.steer(bot_token=False)
    assert said["state"] == "refused"
    assert "an agent bot's, which may not list conversations" in said["reason"]
