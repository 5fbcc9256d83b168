"""The way in, over HTTP through the real Serve endpoint: what is taken, ignored, refused."""

import json
import time
import uuid
from typing import Any

import httpx
import pytest

from tests.places import TOKEN, Place, message_created, signed, until

pytestmark = pytest.mark.cluster


def test_a_signed_webhook_is_answered_in_chatwoot_once(place: Place) -> None:
    conversation = place.conversation()
    for text in ("Hola", "quiero saber", "el precio"):
        answer = place.webhook("acme", message_created(conversation, text))
        assert answer.status_code == 202, answer.text
    posted = until("the reply", lambda: place.posted(conversation))
    assert [message["content"] for message in posted] == ["You said: Hola quiero saber el precio"]
    marker = posted[0]["content_attributes"]["turnwise_reply_id"]
    shown = until(
        "the reply is recorded as sent",
        lambda: (s := place.show(conversation))["timeline"][-1]["type"] == "reply_sent" and s,
    )
    assert shown["timeline"][-1]["reply_id"] == marker
    assert shown["timeline"][-1]["channel_message_id"] == str(posted[0]["id"])
    assert shown["unanswered"] == []
    assert [str(conversation), "on"] in place.seen()["typing"]


def test_the_answer_to_an_accepted_message_says_where_it_stands(place: Place) -> None:
    conversation = place.conversation()
    first = place.webhook("acme", message_created(conversation, "one")).json()
    assert first == {
        "status": "queued",
        "company_id": "acme",
        "conversation_id": str(conversation),
        "seq": 1,
        "queue_position": 1,
        "task_id": f"acme:{conversation}:1",
        "estimated_wait_seconds": 1,
    }
    second = place.webhook("acme", message_created(conversation, "two")).json()
    assert (second["seq"], second["queue_position"]) == (2, 2)
    assert second["task_id"] == first["task_id"]
    until("the reply", lambda: place.posted(conversation))
    turn = place.show(conversation)["timeline"][2]
    assert (turn["type"], turn["turn"]) == ("turn_started", first["task_id"])
    assert turn["join"] == {
        "joined": True,
        "how": "space",
        "reason": "2 texts of 3 characters on average",
    }


def test_the_same_message_from_any_path_is_one_message(place: Place) -> None:
    conversation = place.conversation()
    event = message_created(conversation, "once")
    answers = [place.webhook("acme", event).json() for _ in range(3)]
    assert [answer["status"] for answer in answers] == ["queued", "duplicate", "duplicate"]
    assert {answer["seq"] for answer in answers} == {1}
    until("the reply", lambda: place.posted(conversation))
    late = place.webhook("acme", event).json()
    assert (late["status"], late["queue_position"]) == ("duplicate", 0)
    time.sleep(2.5)  # longer than the window: a second turn would have begun
    assert len(place.posted(conversation)) == 1


def test_ids_may_be_strings_and_fields_null_or_absent(place: Place) -> None:
    conversation = place.conversation()
    event = {
        "event": "message_created",
        "id": str(message_created(1, "")["id"]),
        "content": "lean",
        "message_type": "incoming",
        "private": None,
        "sender": None,
        "account": None,
        "attachments": None,
        "conversation": {"id": str(conversation), "meta": None},
    }
    assert place.webhook("acme", event).status_code == 202
    posted = until("the reply", lambda: place.posted(conversation))
    assert posted[0]["content"] == "You said: lean"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event": "conversation_updated"}, "conversation_updated without a status"),
        ({"event": "message_updated"}, "nothing waits for an answer in this conversation"),
        ({"event": "something_new"}, "event something_new is not answered"),
        ({"message_type": "outgoing"}, "message_type is 'outgoing', not incoming"),
        ({"message_type": "template"}, "message_type is 'template', not incoming"),
        ({"message_type": None}, "message_type is None, not incoming"),
        ({"private": True}, "a private note"),
        ({"message_type": "outgoing", "id": None, "conversation": 7}, "message_type is 'outgoing'"),
        ({"account": {"id": 9}}, "account 9 is not this company's"),
    ],
)
def test_what_is_not_ours_is_acknowledged(
    place: Place, change: dict[str, Any], reason: str
) -> None:
    answer = place.webhook("acme", message_created(place.conversation(), "x") | change)
    assert answer.status_code == 200
    assert answer.json()["status"] == "ignored"
    assert answer.json()["reason"].startswith(reason)


BODY = json.dumps(message_created(1, "x")).encode()


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "the signature is missing: no X-Chatwoot-Timestamp header"),
        ({"X-Chatwoot-Timestamp": "1"}, "the signature is missing: no X-Chatwoot-Signature"),
        (signed(BODY, secret="another"), "the signature is wrong"),
        (signed(b"another body"), "the signature is wrong"),
        (signed(BODY, at_s=1_700_000_000), "the signature is stale"),
    ],
)
def test_a_webhook_without_a_good_signature_is_401(
    place: Place, headers: dict[str, str], says: str
) -> None:
    answer = place.http.post("/webhook/chatwoot/acme", content=BODY, headers=headers)
    assert answer.status_code == 401
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{not json", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b"[" * 20_000, "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[1]", "the body is a JSON list, not an object"),
        (b"{}", "event: the name of the event is missing"),
        (
            b'{"event": "message_created", "message_type": "incoming", "id": 1}',
            "conversation: Field required",
        ),
        (
            b'{"event": "message_created", "message_type": 0, "conversation": {"id": 5}}',
            "id: Field required",
        ),
        (
            b'{"event": "message_created", "message_type": 0, "id": 1,'
            b' "conversation": {"id": "a b"}}',
            "conversation.id: String should match",
        ),
        (
            b'{"event": "message_created", "message_type": 0, "id": [], "conversation": {"id": 5}}',
            "id: Input should be a valid string",
        ),
        (
            b'{"event": "message_created", "message_type": 0, "id": true,'
            b' "conversation": {"id": 5}}',
            "id: Input should be a valid string",
        ),
    ],
)
def test_a_body_of_the_wrong_shape_is_422_and_names_the_field(
    place: Place, body: bytes, says: str
) -> None:
    answer = place.http.post("/webhook/chatwoot/open", content=body)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]


def test_odd_texts_are_taken_as_far_as_they_can_be_written_down(place: Place) -> None:
    conversation = place.conversation()
    event = message_created(conversation, "half \ud83d a pair", attachments=[None])
    assert place.webhook("acme", event).status_code == 202
    posted = until("the reply", lambda: place.posted(conversation))
    assert posted[0]["content"] == "You said: half ? a pair"


def test_an_unknown_company_is_404_and_named(place: Place) -> None:
    answer = place.http.post("/webhook/chatwoot/nobody", content=BODY)
    assert answer.status_code == 404
    assert "'nobody'" in answer.json()["detail"]


def test_a_company_without_chatwoot_says_so(place: Place) -> None:
    answer = place.http.post("/webhook/chatwoot/walkin", content=BODY)
    assert answer.status_code == 404
    assert "has no Chatwoot" in answer.json()["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_1_mib_is_413(place: Place, *, chunked: bool) -> None:
    body = b"x" * ((1 << 20) + 1)
    content = iter([body[:700_000], body[700_000:]]) if chunked else body
    answer = place.http.post("/webhook/chatwoot/open", content=content)
    assert answer.status_code == 413


def test_a_body_just_below_1_mib_is_taken(place: Place) -> None:
    event = message_created(place.conversation(), "x", account={"id": 2})
    event["padding"] = "x" * ((1 << 20) - len(json.dumps(event)) - 20)
    assert place.webhook("open", event).status_code == 202


def test_too_many_waiting_in_a_conversation_are_429_with_retry_after(place: Place) -> None:
    conversation = place.conversation()
    place.steer(model_delay_s=30)
    try:
        for _ in range(100):
            event = message_created(conversation, "x" * 500, account={"id": 2})
            assert place.webhook("open", event).status_code == 202
        event = message_created(conversation, "one more", account={"id": 2})
        answer = place.webhook("open", event)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert "100 unanswered messages" in answer.json()["detail"]
    finally:
        place.steer(model_delay_s=0)


# The API


BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_any_channel_may_post_and_read_the_answer(place: Place) -> None:
    url = f"/api/companies/acme/conversations/sms-{uuid.uuid4().hex}"
    sent = place.http.post(f"{url}/messages", headers=BEARER, json={"text": "hi"})
    assert sent.status_code == 202
    shown = until(
        "the answer",
        lambda: (
            (s := place.http.get(url, headers=BEARER).json())["timeline"][-1]["type"]
            == "reply_sent"
            and s
        ),
    )
    kinds = [event["type"] for event in shown["timeline"]]
    assert kinds == ["message_received", "turn_started", "reply_committed", "reply_sent"]
    assert shown["timeline"][2]["text"] == "You said: hi"
    assert shown["actor"]["phase"] == "idle"
    assert shown["actor"]["host"].startswith("conversations-0")


def test_an_unanswered_message_is_shown_while_it_waits(place: Place) -> None:
    url = f"/api/companies/acme/conversations/sms-{uuid.uuid4().hex}"
    place.http.post(f"{url}/messages", headers=BEARER, json={"text": "hi", "message_id": "m1"})
    shown = place.http.get(url, headers=BEARER).json()
    assert [message["text"] for message in shown["unanswered"]] == ["hi"]
    again = {"text": "hi", "message_id": "m1"}
    assert place.http.post(f"{url}/messages", headers=BEARER, json=again).json()["seq"] == 1


@pytest.mark.parametrize(
    ("path", "headers", "status", "says"),
    [
        ("acme/conversations/1", {}, 401, "the bearer token is missing"),
        ("acme/conversations/1", {"Authorization": "Bearer no"}, 401, "not one of company acme"),
        ("open/conversations/1", BEARER, 401, "not one of company open"),
        ("open/conversations/1", {}, 401, "API is closed; set API_TOKEN"),
        ("nobody/conversations/1", BEARER, 404, "'nobody'"),
        ("acme/conversations/unheard-of", BEARER, 404, "no conversation unheard-of"),
        ("acme/conversations/a%20b", BEARER, 422, "conversation_id"),
    ],
)
def test_the_api_refuses_with_a_reason(
    place: Place, path: str, headers: dict[str, str], status: int, says: str
) -> None:
    answer = place.http.get(f"/api/companies/{path}", headers=headers)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "text: Field required"),
        ({"text": ""}, "text: String should have at least 1 character"),
        ({"text": "x", "message_id": "a b"}, "message_id: String should match"),
        ({"text": 5}, "text: Input should be a valid string"),
    ],
)
def test_the_api_names_the_wrong_field(place: Place, body: dict[str, Any], says: str) -> None:
    url = "/api/companies/acme/conversations/1/messages"
    answer = place.http.post(url, headers=BEARER, json=body)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_the_live_view_tells_the_journal_and_the_state(place: Place) -> None:
    url = f"/api/companies/acme/conversations/sms-{uuid.uuid4().hex}"
    place.http.post(f"{url}/messages", headers=BEARER, json={"text": "hi"})
    journal: list[dict[str, Any]] = []
    phases: list[str] = []
    with httpx.stream("GET", f"{place.url}{url}/events", headers=BEARER, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data" and kind == "journal":
                journal.append(json.loads(value))
                if journal[-1]["type"] == "reply_sent":
                    break
            elif name == "data":
                phases.append(json.loads(value)["phase"])
    assert [event["seq"] for event in journal] == [1, 2, 3, 4]
    assert "window" in phases
    resumed = {**BEARER, "Last-Event-ID": "3"}
    with httpx.stream("GET", f"{place.url}{url}/events", headers=resumed, timeout=30) as stream:
        ids = (line for line in stream.iter_lines() if line.startswith("id: "))
        assert next(ids) == "id: 4"


def test_a_browser_holds_its_own_conversation_and_no_other(place: Place) -> None:
    with httpx.Client(base_url=place.url) as browser:
        assert browser.get("/chat").headers["content-security-policy"].startswith("default-src")
        session = browser.get("/chat/session").json()
        assert session["company_id"] == "walkin"
        base = "/api/companies/walkin/conversations"
        own = f"{base}/{session['conversation_id']}/messages"
        assert browser.post(own, json={"text": "hi"}).status_code == 202
        assert browser.post(f"{base}/web-another/messages", json={"text": "hi"}).status_code == 401
        changed = browser.post("/chat/session").json()
        assert changed["conversation_id"] != session["conversation_id"]
        assert browser.post(own, json={"text": "hi"}).status_code == 401
        forged = {"turnwise_chat": f"walkin:web-another:{int(time.time())}:{'0' * 64}"}
    with httpx.Client(base_url=place.url, cookies=forged) as thief:
        assert thief.get("/chat/session").status_code == 401


def test_the_service_documents_itself_and_its_health(place: Place) -> None:
    assert place.http.get("/healthz").json() == {"status": "ok"}
    ready = until("readiness", place.ready)
    assert [host["name"] for host in ready["hosts"]] == ["conversations-00", "conversations-01"]
    paths = place.http.get("/openapi.json").json()["paths"]
    assert "/webhook/chatwoot/{company_id}" in paths
    assert place.http.get("/docs").status_code == 200
