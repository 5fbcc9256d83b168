"""How each of Chatwoot's webhooks is read: a row a payload, with what it means to us."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.channels.chatwoot_people import MARKER, changed_ms, last_person, standing_of
from actors.channels.chatwoot_shapes import DELETED
from actors.channels.message import Attachment, FromPerson, Message, Standing
from actors.conversation.events import (
    CustomerTyping,
    MessageAmended,
    PersonReplied,
    StandingSeen,
    encode,
)
from actors.web.chatwoot_events import Ignored, Incoming, Observed, Reading, read
from actors.web.refusals import Refused

NOW_MS = 1_781_700_001_000
CONTACT = {"id": 77, "name": "Ana", "phone_number": "+5511999998888", "blocked": False}
AGENT = {"id": 9, "name": "Bia", "email": "bia@acme.example", "type": "user"}
BOT = {"id": 4, "name": "Turnwise", "type": "agent_bot"}


def conversation(**fields: Any) -> dict[str, Any]:
    """A conversation as Conversations::EventDataPresenter#webhook_data builds it (v4.15.1)."""
    meta = {
        "sender": {**CONTACT, "type": "contact"},
        "assignee": None,
        "assignee_type": None,
        "team": None,
        "hmac_verified": False,
    }
    return {
        "id": 321,
        "inbox_id": 5,
        "status": "pending",
        "channel": "Channel::Whatsapp",
        "can_reply": True,
        "contact_inbox": {"id": 90, "contact_id": 77, "inbox_id": 5, "source_id": "5511999998888"},
        "messages": [{"id": 48_210, "message_type": 1, "content": "another", "private": False}],
        "labels": ["vip"],
        "priority": None,
        "waiting_since": 1_781_700_000,
        "updated_at": 1_781_700_000.41,
        "account": {"id": 1, "name": "Acme"},
        **fields,
        "meta": meta | fields.get("meta", {}),
    }


def message(**fields: Any) -> dict[str, Any]:
    """A message_created as Message#webhook_data builds it (v4.15.1)."""
    return {
        "event": "message_created",
        "id": 48_211,
        "content": "quero saber o preço",
        "content_type": "text",
        "content_attributes": {},
        "additional_attributes": {},
        "message_type": "incoming",
        "private": False,
        "source_id": "wamid.HBgN",
        "created_at": "2026-06-17T12:37:03.412Z",
        "sender": CONTACT,
        "inbox": {"id": 5, "name": "WA"},
        "account": {"id": 1, "name": "Acme"},
        "conversation": conversation(),
        **fields,
    }


def outgoing(**fields: Any) -> dict[str, Any]:
    return message(message_type="outgoing", sender=AGENT, source_id=None, **fields)


def reading(payload: Any) -> Reading:
    return read(json.dumps(payload).encode(), account_id=1, now_ms=NOW_MS)


STANDING = Standing(
    "pending", "", ("vip",), blocked=False, can_reply=True, changed_ms=1_781_700_000_410
)
WHOLE = Message(
    "48211",
    "quero saber o preço",
    "chatwoot",
    "Ana",
    "wamid.HBgN",
    (),
    "Channel::Whatsapp",
    STANDING,
)


def test_a_customers_message_is_taken_with_who_may_speak() -> None:
    assert reading(message()) == Incoming("321", WHOLE, inbox_id="5")


@pytest.mark.parametrize(
    ("fields", "standing"),
    [
        ({"status": "open"}, {"status": "open"}),
        ({"status": "snoozed"}, {"status": "snoozed"}),
        ({"labels": []}, {"labels": ()}),
        ({"labels": None}, {"labels": ()}),
        ({"labels": ["a", 5, None, "b"]}, {"labels": ("a", "b")}),
        ({"can_reply": False}, {"can_reply": False}),
        ({"can_reply": None}, {"can_reply": True}),
        ({"meta": {"sender": {"blocked": True}}}, {"blocked": True}),
        ({"meta": {"assignee": AGENT, "assignee_type": "User"}}, {"assignee": "user"}),
        ({"meta": {"assignee": AGENT}}, {"assignee": "user"}),
        ({"meta": {"assignee": BOT, "assignee_type": "AgentBot"}}, {"assignee": "agent_bot"}),
        ({"meta": {"assignee": BOT}}, {"assignee": "agent_bot"}),
        # The API describes an assignee without a type; before 4.8 without an assignee_type too.
        ({"meta": {"assignee": {"id": 9}, "assignee_type": "User"}}, {"assignee": "user"}),
        ({"meta": {"assignee": {"id": 9, "role": "agent"}}}, {"assignee": "user"}),
        (
            {"meta": {"assignee": {"id": 1}, "assignee_type": "Captain::Assistant"}},
            {"assignee": "captain_assistant"},
        ),
        ({"meta": {"assignee": None, "assignee_type": "User"}}, {"assignee": ""}),
        ({"updated_at": 1_781_700_002}, {"changed_ms": 1_781_700_002_000}),
        ({"updated_at": "2026-06-17T12:37:03.412Z"}, {"changed_ms": 1_781_699_823_412}),
        ({"updated_at": "2026-06-17T12:37:03.412"}, {"changed_ms": 1_781_699_823_412}),
        ({"updated_at": "soon"}, {"changed_ms": 0}),
        ({"updated_at": None}, {"changed_ms": 0}),
        ({"updated_at": True}, {"changed_ms": 0}),
    ],
)
def test_who_may_speak_as_the_conversation_says(
    fields: dict[str, Any], standing: dict[str, Any]
) -> None:
    expected = {name: getattr(STANDING, name) for name in Standing.__struct_fields__} | standing
    assert standing_of(conversation(**fields)) == Standing(**expected)


@pytest.mark.parametrize(
    "payload",
    [
        message(sender={**CONTACT, "blocked": True}),
        message(conversation=conversation(meta={"sender": {"id": 77, "blocked": True}})),
        message(sender={"blocked": True}, conversation={"id": 321}),
    ],
)
def test_a_blocked_contacts_message_is_taken_and_says_that_they_are_blocked(payload: Any) -> None:
    taken = reading(payload)
    assert isinstance(taken, Incoming)
    assert taken.message.standing is not None
    assert taken.message.standing.blocked


def test_a_description_without_a_status_says_nothing_of_who_may_speak() -> None:
    taken = reading(message(conversation={"id": "321", "meta": None}, sender=None, account=None))
    assert taken == Incoming(
        "321", Message("48211", "quero saber o preço", "chatwoot", "", "wamid.HBgN"), inbox_id="5"
    )


@pytest.mark.parametrize("inbox", [None, {}, {"id": None}, {"id": [5]}, 5, "5"])
def test_an_inbox_that_cannot_be_read_does_not_cost_a_message(inbox: Any) -> None:
    taken = reading(message(inbox=inbox))
    assert isinstance(taken, Incoming)
    assert (taken.message.text, taken.inbox_id) == ("quero saber o preço", "")


VOICE: dict[str, Any] = {
    "id": 3,
    "message_id": 48_211,
    "file_type": "audio",
    "account_id": 1,
    "extension": None,
    "content_type": "audio/ogg",
    "data_url": "https://chat.example/rails/active_storage/blobs/redirect/x/v.ogg?disposition=inline",
    "thumb_url": "",
    "file_size": 4_096,
    "transcribed_text": "",
}


@pytest.mark.parametrize(
    ("file", "text", "attachments"),
    [
        (VOICE, "", (Attachment("audio", VOICE["data_url"], "audio/ogg", 4_096),)),
        (
            VOICE | {"transcribed_text": "oi"},
            "",
            (Attachment("audio", VOICE["data_url"], "audio/ogg", 4_096, "oi"),),
        ),
        ({"file_type": "image", "data_url": None}, "", (Attachment("image"),)),
        ({}, "", (Attachment("file"),)),
        (
            {"file_type": "file", "content_type": 7, "file_size": "big", "transcribed_text": []},
            "",
            (Attachment("file"),),
        ),
        (
            {
                "file_type": "location",
                "coordinates_lat": -23.55,
                "coordinates_long": -46.63,
                "fallback_title": "Praça da Sé",
                "data_url": "https://maps.example",
            },
            "[the customer sent a location: Praça da Sé (-23.55, -46.63)]",
            (),
        ),
        ({"file_type": "location", "coordinates_lat": None}, "", (Attachment("location"),)),
        (
            {"file_type": "contact", "fallback_title": "+551", "meta": {"firstName": "Rui"}},
            "[the customer sent a contact: Rui +551]",
            (),
        ),
        ({"file_type": "contact"}, "", (Attachment("contact"),)),
    ],
)
def test_what_comes_with_a_message(
    file: dict[str, Any], text: str, attachments: tuple[Attachment, ...]
) -> None:
    taken = reading(message(content=None, attachments=[file]))
    assert isinstance(taken, Incoming)
    assert (taken.message.text, taken.message.attachments) == (text, attachments)


def replied(how: str, name: str = "Bia", text: str = "quero saber o preço") -> Observed:
    person = FromPerson("48211", text, how, name, said_ms=1_781_699_823_412)
    return Observed("321", PersonReplied(at_ms=NOW_MS, person=person), "chatwoot:48211", "always")


ECHO = {"external_echo": True}
API_INBOX = conversation(channel="Channel::Api")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (outgoing(), replied("user")),
        (outgoing() | {"message_type": 1}, replied("user")),
        (outgoing(content_attributes=ECHO) | {"sender": None}, replied("phone app", "")),
        (outgoing(conversation=API_INBOX) | {"sender": None}, replied("phone app", "")),
        (outgoing(conversation=API_INBOX), replied("user")),
        (
            outgoing(content=None, attachments=[{"file_type": "image"}]),
            replied("user", text="[a file: image]"),
        ),
    ],
)
def test_a_persons_reply_is_noted_whoever_knows_the_conversation(
    payload: dict[str, Any], expected: Observed
) -> None:
    assert reading(payload) == expected


NO_PERSON = "message_type is 'outgoing', not incoming, and no person wrote it"
RULE = {"automation_rule_id": 5}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        # With a user's token our own posts come back as that person's: the marker tells them apart.
        (outgoing(content_attributes={MARKER: "7e0f"}), "our own reply"),
        (outgoing(content_attributes={MARKER: "7e0f"}) | {"sender": BOT}, "our own reply"),
        (
            outgoing(content_attributes={MARKER: "7e0f"}, conversation=API_INBOX)
            | {"sender": None},
            "our own reply",
        ),
        (outgoing() | {"sender": BOT}, NO_PERSON),
        (outgoing() | {"sender": {"id": 1, "type": "captain_assistant"}}, NO_PERSON),
        (outgoing() | {"sender": None}, NO_PERSON),
        (outgoing() | {"sender": CONTACT}, NO_PERSON),
        (outgoing() | {"sender": 5}, NO_PERSON),
        (outgoing(content_attributes=RULE), NO_PERSON),
        (outgoing(content_attributes=RULE | ECHO), NO_PERSON),
        (outgoing(content_attributes=RULE, conversation=API_INBOX) | {"sender": None}, NO_PERSON),
        (outgoing(additional_attributes={"campaign_id": 3}), NO_PERSON),
        (
            outgoing(additional_attributes={"campaign_id": 3}, conversation=API_INBOX)
            | {"sender": None},
            NO_PERSON,
        ),
        (outgoing() | {"conversation": 7, "id": None, "sender": None}, NO_PERSON),
        (outgoing(private=True), "a private note"),
        (message(private=True), "a private note"),
        (message(message_type="template", sender=None), "message_type is 'template', not incoming"),
        (message(message_type="activity"), "message_type is 'activity', not incoming"),
        (message(message_type=None), "message_type is None, not incoming"),
        (message(account={"id": 9}), "account 9 is not this company's"),
        (message(account=None, conversation=conversation(account={"id": "9"})), "account 9 is"),
        (outgoing(account={"id": 9}), "account 9 is not this company's"),
        ({**conversation(), "event": "conversation_updated", "account": {"id": 9}}, "account 9"),
        ({"event": "something_new"}, "event something_new is not answered"),
        ({"event": "conversation_created", **conversation()}, "event conversation_created is not"),
        ({"event": "macro.executed", **conversation()}, "event macro.executed is not answered"),
        ({"event": "webwidget_triggered", "id": 90}, "event webwidget_triggered is not answered"),
        ({"event": "\ud83d\n" * 99}, "event "),
    ],
)
def test_what_is_nobodys_word_is_ignored(payload: dict[str, Any], reason: str) -> None:
    ignored = reading(payload)
    assert isinstance(ignored, Ignored)
    assert ignored.reason.startswith(reason)
    assert ignored.status == "ignored"


def updated(**fields: Any) -> dict[str, Any]:
    return message(**fields) | {"event": "message_updated"}


def amended(text: str, *attachments: Attachment) -> Observed:
    whole = Message(
        "48211", text, "chatwoot", "Ana", "wamid.HBgN", attachments, "Channel::Whatsapp", STANDING
    )
    return Observed("321", MessageAmended(at_ms=NOW_MS, message=whole), "", "waiting")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (updated(content="quero o preço"), amended("quero o preço")),
        (
            updated(content=None, attachments=[VOICE | {"transcribed_text": "quanto custa"}]),
            amended("", Attachment("audio", VOICE["data_url"], "audio/ogg", 4_096, "quanto custa")),
        ),
        (
            updated(content="gone", content_attributes={"deleted": True}, attachments=[VOICE]),
            amended(DELETED),
        ),
    ],
)
def test_a_changed_message_is_noted_while_it_waits(
    payload: dict[str, Any], expected: Observed
) -> None:
    assert reading(payload) == expected


@pytest.mark.parametrize(
    "payload",
    [
        outgoing() | {"event": "message_updated"},
        outgoing(content_attributes={MARKER: "7e0f"}) | {"event": "message_updated"},
        updated(private=True),
        updated(message_type="template"),
        updated(id=None),
        updated(conversation={"id": "a b"}),
    ],
)
def test_a_change_of_what_is_not_the_customers_is_ignored(payload: dict[str, Any]) -> None:
    assert isinstance(reading(payload), Ignored)


def about(event: str = "conversation_updated", **fields: Any) -> dict[str, Any]:
    return {**conversation(**fields), "event": event, "changed_attributes": None}


@pytest.mark.parametrize(
    "event",
    [
        "conversation_updated",
        "conversation_status_changed",
        "conversation_opened",
        "conversation_resolved",
    ],
)
def test_who_may_speak_is_noted_where_the_conversation_is_known(event: str) -> None:
    payload = about(event, status="open", meta={"assignee": AGENT, "assignee_type": "User"})
    del payload["account"]  # before 4.14.2
    noted = reading(payload)
    assert isinstance(noted, Observed)
    assert isinstance(noted.event, StandingSeen)
    assert (noted.conversation_id, noted.only) == ("321", "known")
    assert (noted.event.standing.status, noted.event.standing.assignee) == ("open", "user")


def changes(*names: str) -> list[dict[str, Any]]:
    return [{name: {"previous_value": 1, "current_value": 2}} for name in names]


@pytest.mark.parametrize(
    ("changed", "noted"),
    [
        (changes("status"), True),
        (changes("waiting_since", "assignee_id"), True),
        (changes("assignee_agent_bot_id"), True),
        (changes("label_list"), True),
        ([], True),
        (None, True),
        ("?", True),
        (changes("waiting_since"), False),
        (changes("custom_attributes", "updated_at"), False),
        (changes("priority"), False),
    ],
)
def test_only_changes_of_who_may_speak_fill_the_journal(
    changed: Any,
    noted: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    payload = about() | {"changed_attributes": changed}
    assert isinstance(reading(payload), Observed) == noted


def note_id(payload: dict[str, Any]) -> str:
    noted = reading(payload)
    assert isinstance(noted, Observed)
    return noted.note_id


def test_a_doubled_report_is_one_and_another_one_is_another() -> None:
    first = note_id(about("conversation_status_changed"))
    assert first == note_id(about("conversation_updated"))
    assert first.startswith("chatwoot:standing:1781700000410:")
    assert first != note_id(about(updated_at=1_781_700_000.42))
    assert first != note_id(about(meta={"sender": {"blocked": True}}))
    assert note_id(about(updated_at=None)) == "", "without a time nothing tells them apart"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (about(status=None), "conversation_updated without a status"),
        (about(id=None), "conversation_updated cannot be read: id: "),
        # The shape of #13993: what a consumer cannot read must not silence an agent bot.
        ({"event": "conversation_updated", "conversation": conversation()}, "conversation_updated"),
    ],
)
def test_a_report_that_cannot_be_read_is_ignored_with_the_reason(
    payload: dict[str, Any], reason: str
) -> None:
    ignored = reading(payload)
    assert isinstance(ignored, Ignored)
    assert ignored.reason.startswith(reason)


def typing(event: str, user: Any, **fields: Any) -> dict[str, Any]:
    shape = {"event": event, "user": user, "conversation": conversation(), "is_private": False}
    return shape | fields


@pytest.mark.parametrize(
    ("payload", "on"),
    [
        (typing("conversation_typing_on", CONTACT), True),
        (typing("conversation_typing_off", CONTACT), False),
        (typing("conversation_typing_on", {**CONTACT, "type": "contact"}), True),
        # Our own switch comes back, as whoever the token is.
        (typing("conversation_typing_on", AGENT), None),
        (typing("conversation_typing_on", BOT), None),
        (typing("conversation_typing_on", None), None),
        (typing("conversation_typing_on", CONTACT, is_private=True), None),
        (typing("conversation_typing_on", CONTACT, conversation=None), None),
    ],
)
def test_only_the_customers_typing_is_noted(
    payload: dict[str, Any],
    on: bool | None,  # noqa: FBT001 -- a column of the table
) -> None:
    found = reading(payload)
    if on is None:
        assert isinstance(found, Ignored)
    else:
        assert found == Observed("321", CustomerTyping(at_ms=NOW_MS, on=on), "", "waiting")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{not json", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b"[" * 20_000, "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[1]", "the body is a JSON list, not an object"),
        (b"{}", "event: the name of the event is missing"),
        (b'{"event": 5}', "event: the name of the event is missing"),
        (json.dumps(message(conversation=None)).encode(), "conversation: "),
        (json.dumps(message(conversation={"id": "a b"})).encode(), "conversation.id: String"),
        (json.dumps(message(id=None)).encode(), "id: Input should be a valid string"),
        (json.dumps(message(id=True)).encode(), "id: Input should be a valid string"),
        (json.dumps(message(id=[])).encode(), "id: Input should be a valid string"),
        (json.dumps(message(account={"id": []})).encode(), "account.id: Input should be a valid"),
        (json.dumps(message(content=[])).encode(), "content: Input should be a valid string"),
        (json.dumps(message(attachments=5)).encode(), "attachments: Input should be a valid list"),
        (json.dumps(outgoing(id=None)).encode(), "id: Input should be a valid string"),
        (json.dumps(outgoing(conversation=None)).encode(), "conversation: "),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_and_the_field_named(
    body: bytes, says: str
) -> None:
    with pytest.raises(Refused) as refused:
        read(body, account_id=1, now_ms=NOW_MS)
    assert refused.value.status == 422
    assert says in refused.value.detail


PLACES = [
    *("sender", "conversation", "content_attributes", "attachments", "meta", "user", "labels"),
    *("content", "additional_attributes", "updated_at", "changed_attributes", "status"),
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    event=st.sampled_from(
        [
            "message_created",
            "message_updated",
            "conversation_updated",
            "conversation_typing_on",
        ]
    ),
    kind=st.sampled_from(["incoming", "outgoing", "template"]),
    place=st.sampled_from(PLACES),
    value=anything,
)
def test_whatever_stands_in_a_field_a_webhook_is_read_or_refused(
    event: str, kind: str, place: str, value: Any
) -> None:
    payload = message(**conversation(), message_type=kind, user=CONTACT, event=event)
    payload["conversation"] = conversation(**({place: value} if place != "meta" else {}))
    payload[place] = value
    try:
        found = reading(payload)
    except Refused as refused:
        assert refused.status == 422
        return
    if isinstance(found, Observed):
        encode(found.event)


@given(anything)
def test_any_time_is_a_time_or_none(value: Any) -> None:
    assert 0 <= changed_ms(value) <= 10**14


def listed(message_id: int, **fields: Any) -> dict[str, Any]:
    """A message as GET messages shows it (app/views/api/v1/models/_message.json.jbuilder)."""
    return {
        "id": message_id,
        "content": f"text {message_id}",
        "message_type": 1,
        "content_attributes": {},
        "private": False,
        "sender": AGENT,
        **fields,
    }


@pytest.mark.parametrize(
    ("messages", "via", "found"),
    [
        ([listed(11), listed(12)], "Channel::Whatsapp", "12"),
        ([listed(12), listed(11)], "Channel::Whatsapp", "12"),
        ([listed(10)], "Channel::Whatsapp", None),
        ([listed(11), listed(12, content_attributes={MARKER: "x"})], "Channel::Whatsapp", "11"),
        ([listed(11, private=True)], "Channel::Whatsapp", None),
        ([listed(11, message_type=0, sender=CONTACT)], "Channel::Whatsapp", None),
        ([listed(11, message_type=2)], "Channel::Whatsapp", None),
        ([listed(11, message_type=3)], "Channel::Whatsapp", None),
        ([listed(11, sender=BOT)], "Channel::Whatsapp", None),
        ([listed(11, content_attributes={"deleted": True})], "Channel::Whatsapp", None),
        ([listed(11, sender=None)], "Channel::Api", "11"),
        ([listed(11, sender=None)], "Channel::Whatsapp", None),
        # As the conversation shows its last message: a class, and perhaps no sender.
        ([listed(11, sender=None, sender_type="User")], "Channel::Whatsapp", "11"),
        ([listed(11, sender=None, sender_type="AgentBot")], "Channel::Api", None),
        ([None, 5, {}, {"id": "x"}], "Channel::Api", None),
    ],
)
def test_the_last_person_who_spoke_after_a_message(
    messages: list[Any], via: str, found: str | None
) -> None:
    person = last_person(messages, via, after=10)
    assert (person.message_id if person else None) == found
