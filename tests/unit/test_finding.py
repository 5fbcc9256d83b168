"""What is taken of the messages that Chatwoot lists: how each is read, and what becomes of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.channels.chatwoot_archive import Other, Ours, Row, Written, row_of, written_of
from actors.channels.chatwoot_messages import ByPerson, FromCustomer
from actors.channels.chatwoot_people import MARKER
from actors.channels.message import Attachment, FromPerson, Message, Standing
from actors.conversation.events import MessageMissed, MessageReceived, PersonReplied, encode
from actors.conversation.history import said_before
from actors.conversation.memory import Memory, remember
from actors.journal.entries import Entry
from actors.maintenance.finding import SETTLED_MS, Known, Span, Take, finding
from actors.web.chatwoot_events import Incoming, read

S = 1_781_700_000
NOW_MS = S * 1_000
HOUR_MS = 3_600_000
CONTACT = {"id": 77, "name": "Ana", "phone_number": "+55", "blocked": False, "type": "contact"}
AGENT = {"id": 9, "name": "Bia", "type": "user"}


def listed(**fields: Any) -> dict[str, Any]:
    """A conversation as _conversation.json.jbuilder builds it."""
    return {
        "meta": {"sender": CONTACT, "channel": "Channel::Whatsapp", "hmac_verified": False},
        "id": 321,
        "messages": [{"id": 48_213, "message_type": 2, "content": "assigned"}],
        "account_id": 1,
        "can_reply": True,
        "inbox_id": 5,
        "labels": ["vip"],
        "status": "pending",
        "created_at": S - 900,
        "updated_at": S - 60.5,
        "timestamp": S - 60,
        "last_activity_at": S - 60,
        "last_non_activity_message": {"id": 48_212, "message_type": 0, "content": "hi"},
        **fields,
    }


def message(**fields: Any) -> dict[str, Any]:
    """A message as _message.json.jbuilder builds it."""
    return {
        "id": 48_211,
        "content": "quero saber o preço",
        "inbox_id": 5,
        "conversation_id": 321,
        "message_type": 0,
        "content_type": "text",
        "status": "sent",
        "content_attributes": {},
        "created_at": S - 300,
        "private": False,
        "source_id": "wamid.HBgN",
        "sender": CONTACT,
        **fields,
    }


def row(**fields: Any) -> Row:
    found = row_of(listed(**fields))
    assert found is not None
    return found


def said(**fields: Any) -> Any:
    written = written_of(message(**fields), row())
    assert written is not None
    return written.said


# How a list is read.


def test_a_conversation_is_read_with_its_last_message_and_activity() -> None:
    found = row()
    assert (found.conversation_id, found.inbox_id) == ("321", "5")
    assert (found.active_ms, found.newest) == ((S - 60) * 1_000, 48_213)


@pytest.mark.parametrize(
    ("fields", "newest", "active_ms"),
    [
        ({"messages": []}, 48_212, (S - 60) * 1_000),
        ({"messages": None, "last_non_activity_message": None}, 0, (S - 60) * 1_000),
        ({"last_activity_at": None, "timestamp": S - 5}, 48_213, (S - 5) * 1_000),
        ({"last_activity_at": None, "timestamp": None}, 48_213, 0),
    ],
)
def test_what_a_conversation_does_not_say_is_missed(
    fields: dict[str, Any], newest: int, active_ms: int
) -> None:
    found = row(**fields)
    assert (found.newest, found.active_ms) == (newest, active_ms)


@pytest.mark.parametrize(
    "raw", [None, [], {}, listed(id=None), listed(id="x"), listed(inbox_id=None), listed(id=True)]
)
def test_a_conversation_without_a_number_or_an_inbox_is_none(raw: Any) -> None:
    assert row_of(raw) is None


def test_a_customers_message_is_the_one_that_its_webhook_would_have_brought() -> None:
    webhook = {
        **message(message_type="incoming", created_at="2026-06-17T12:35:00.412Z"),
        "event": "message_created",
        "inbox": {"id": 5, "name": "WA"},
        "conversation": {**listed(), "channel": "Channel::Whatsapp"},
    }
    brought = read(json.dumps(webhook).encode(), 1, NOW_MS)
    assert isinstance(brought, Incoming)
    found = said()
    assert isinstance(found, FromCustomer)
    assert found.message == brought.message
    assert (found.conversation_id, found.inbox_id) == ("321", "5")
    assert found.message.standing == Standing(
        status="pending", labels=("vip",), changed_ms=(S - 60) * 1_000 - 500
    )


BY_RULE = {"automation_rule_id": 3}
VOICE = {"id": 3, "file_type": "audio", "data_url": "https://chat.example/v.ogg", "file_size": 9}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"message_type": 2, "content": "assigned", "sender": None}, None),
        ({"message_type": 3, "content": "we are closed", "sender": None}, None),
        ({"private": True}, None),
        ({"message_type": 1, "sender": AGENT, "private": True}, None),
        ({"content_attributes": {"deleted": True}}, None),
        ({"message_type": 1, "content_attributes": {MARKER: "r1"}, "sender": AGENT}, Ours("r1")),
        ({"message_type": 1, "sender": {"id": 4, "type": "agent_bot"}}, Other()),
        ({"message_type": 1, "sender": {"id": 4, "type": "captain_assistant"}}, Other()),
        ({"message_type": 1, "sender": None, "content_attributes": BY_RULE}, None),
        (
            {"message_type": 1, "content": "hi", "sender": AGENT},
            ByPerson("321", FromPerson("48211", "hi", "user", "Bia", 1_781_699_700_000)),
        ),
        (
            {
                "message_type": 1,
                "content": "hi",
                "sender": None,
                "content_attributes": {"external_echo": True},
            },
            ByPerson("321", FromPerson("48211", "hi", "phone app", said_ms=1_781_699_700_000)),
        ),
        ({"sender": "Ana", "content": 7}, None),
    ],
)
def test_who_wrote_a_listed_message(fields: dict[str, Any], expected: Any) -> None:
    assert said(**fields) == expected


def test_files_come_along() -> None:
    found = said(content=None, attachments=[VOICE])
    url = "https://chat.example/v.ogg"
    assert found.message.attachments == (Attachment("audio", url, size_bytes=9),)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(message())), ANYTHING), ANYTHING)
def test_no_list_breaks_the_reading(fields: dict[str, Any], other: Any) -> None:
    written_of({**message(), **fields}, row())
    written_of(other, row())
    row_of({**listed(), **fields})
    row_of(other)


# What is taken.

SPAN = Span(floor_ms=NOW_MS - 8 * HOUR_MS, age_ms=6 * HOUR_MS, now_ms=NOW_MS)
NOTHING = Known((), ())


def customer(number: int, ago_ms: int = HOUR_MS) -> Written:
    text = Message(str(number), f"text {number}", "chatwoot")
    return Written(number, NOW_MS - ago_ms, FromCustomer("321", text, "5"))


def person(number: int, ago_ms: int = HOUR_MS) -> Written:
    return Written(
        number, NOW_MS - ago_ms, ByPerson("321", FromPerson(str(number), "hi", "user", "Bia"))
    )


def posted(number: int, what: Ours | Other | None) -> Written:
    return Written(number, NOW_MS - HOUR_MS, what)


def told(take: Take) -> str:
    """The number of what is taken, and what becomes of it."""
    match take.event:
        case MessageReceived(message=message, how="caught up"):
            return f"{message.message_id} answer"
        case MessageMissed(message=message, reason=reason):
            return f"{message.message_id} {reason}"
        case PersonReplied(person=person):
            return f"{person.message_id} person"
    raise AssertionError(take)


BIA = "Bia had answered"
BOT = "another bot had answered"
LOST = "an answer of ours stands after it that the journal does not know"


@pytest.mark.parametrize(
    ("messages", "known", "taken"),
    [
        ([], NOTHING, []),
        ([customer(1), customer(2)], NOTHING, ["1 answer", "2 answer"]),
        ([customer(2), customer(1)], NOTHING, ["1 answer", "2 answer"]),
        ([customer(1), customer(2)], Known(("chatwoot:2",), ()), ["1 answer"]),
        ([customer(1), customer(2)], Known(("chatwoot:1", "chatwoot:2"), ()), []),
        (
            [customer(1), person(2), customer(3)],
            NOTHING,
            [f"1 {BIA}", "2 person", "3 answer"],
        ),
        ([customer(1), person(2)], Known(("chatwoot:2",), ()), [f"1 {BIA}"]),
        ([person(1), customer(2)], Known(("chatwoot:1",), ()), ["2 answer"]),
        ([customer(1), posted(2, Other()), customer(3)], NOTHING, [f"1 {BOT}", "3 answer"]),
        ([customer(1), posted(2, None)], NOTHING, ["1 answer"]),
        ([customer(1), posted(2, Ours("r"))], NOTHING, [f"1 {LOST}"]),
        ([customer(1), posted(2, Ours("r"))], Known((), ("r",)), ["1 answer"]),
        (
            [customer(1, 7 * HOUR_MS), customer(2)],
            NOTHING,
            ["1 it was written 7.0 h ago, the limit is 6 h", "2 answer"],
        ),
        ([customer(1, 6 * HOUR_MS)], NOTHING, ["1 answer"]),
        ([customer(1, 9 * HOUR_MS), person(2, 9 * HOUR_MS)], NOTHING, []),
        ([customer(1, SETTLED_MS)], NOTHING, ["1 answer"]),
        ([customer(1), customer(2, SETTLED_MS - 1)], NOTHING, ["1 answer"]),
        ([customer(1), person(2, 0)], NOTHING, [f"1 {BIA}", "2 person"]),
    ],
)
def test_what_is_taken_of_a_conversation(
    messages: list[Written], known: Known, taken: list[str]
) -> None:
    found = finding(messages, known, SPAN)
    assert [told(take) for take in found.takes] == taken
    assert all(take.key == f"chatwoot:{told(take).split()[0]}" for take in found.takes)


@pytest.mark.parametrize(
    ("messages", "young", "settled"),
    [
        ([], 0, 0),
        ([customer(1), customer(2)], 0, 2),
        ([customer(1), customer(2, 0), customer(3, 0)], 2, 1),
        ([customer(1, 0), customer(2)], 1, 0),
        ([customer(1), posted(4, None)], 0, 4),
    ],
)
def test_what_need_not_be_looked_at_again(
    messages: list[Written], young: int, settled: int
) -> None:
    found = finding(messages, NOTHING, SPAN)
    assert (found.young, found.settled) == (young, settled)


def test_a_message_already_known_is_not_called_young() -> None:
    assert finding([customer(1, 0)], Known(("chatwoot:1",), ()), SPAN).young == 0


def test_the_events_say_when_it_was_written_and_when_it_was_found() -> None:
    received, replied = (
        take.event
        for take in finding([person(1, 5 * HOUR_MS), customer(2)], NOTHING, SPAN).takes[::-1]
    )
    assert isinstance(received, MessageReceived) and isinstance(replied, PersonReplied)
    assert (received.at_ms, received.written_ms) == (NOW_MS, NOW_MS - HOUR_MS)
    # The bot comes back so long after a person's word, not after it was found.
    assert replied.at_ms == NOW_MS - 5 * HOUR_MS


# What becomes of it.


def test_nothing_is_learned_of_a_customers_rhythm_from_what_was_found() -> None:
    memory = Memory()
    message = Message("1", "hi", "chatwoot", standing=Standing(status="open", assignee="user"))
    for seq in (1, 2):
        event = MessageReceived(at_ms=NOW_MS, message=message, how="caught up", written_ms=5)
        memory = remember(memory, seq, event)
    assert memory.rhythm == Memory().rhythm
    assert memory.standing.assignee == "user"


def test_what_was_found_too_late_is_context_and_no_first_message_follows() -> None:
    missed = MessageMissed(
        at_ms=NOW_MS, message=Message("1", "hi", "chatwoot"), written_ms=5, reason="r"
    )
    assert remember(Memory(), 1, missed).begun
    lines = said_before([Entry(1, encode(missed))], leave_out=())
    assert [(line.role, line.text) for line in lines] == [("user", "hi")]
