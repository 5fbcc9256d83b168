"""Our clients of Chatwoot and of the model, against servers that speak the documented API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from actors.channels.calls import checking
from actors.channels.chatwoot import Chatwoot
from actors.channels.chatwoot_people import MARKER
from actors.channels.message import Cue, Outgoing, Seen, Standing, Unreadable
from actors.channels.typing import indicators
from actors.companies.company import ChatwootAccount, Twilio, WhatsAppCloud
from actors.errors import Fenced, Permanent, Retryable
from actors.llm.prompt import Line, Prompt
from actors.llm.responder import Answer, Responder
from actors.settings import Settings
from actors.wiring import build
from tests.conftest import served_peers
from tests.places import free_ports

REPLY = Outgoing("77", "7e0f5a0e-0000-5000-8000-000000000001", "Hello", "900000")
PROMPT = Prompt("Be brief.", (Line("user", "before"), Line("assistant", "yes")), "now", 1, "single")


async def nobody_else() -> None:
    """The check before a post: nobody else holds the pen."""


async def steer(peers: str, **orders: Any) -> None:
    async with httpx.AsyncClient() as http:
        await http.post(
            f"{peers}/_steer", json={"bot_token": False, "bot_reads": True, "forget": True} | orders
        )


async def seen(peers: str) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        found: dict[str, Any] = (await http.get(f"{peers}/_seen")).json()
        return found


@pytest.fixture(scope="module")
def peers() -> Iterator[str]:
    """Of this file alone: a fault here must not meet a reply of the shared service."""
    yield from served_peers()


@pytest.fixture
async def chatwoot(peers: str) -> AsyncIterator[Chatwoot]:
    await steer(peers)
    async with httpx.AsyncClient(timeout=0.5) as http:
        yield Chatwoot(
            http,
            ChatwootAccount(peers, 3, "a-key", ()),
            typing_http=http,
            places=asyncio.Semaphore(1),
        )


async def test_a_reply_goes_out_with_its_marker_and_is_found_again(
    chatwoot: Chatwoot, peers: str
) -> None:
    assert await chatwoot.find(REPLY) is None
    sent = await chatwoot.send(REPLY, nobody_else)
    (message,) = (await seen(peers))["messages"]["77"]
    assert (message["content"], message["private"]) == ("Hello", False)
    assert message["content_attributes"] == {MARKER: REPLY.reply_id}
    assert await chatwoot.find(REPLY) == sent == str(message["id"])


async def test_it_is_found_behind_many_other_messages(chatwoot: Chatwoot) -> None:
    for place in range(105):
        await chatwoot.send(Outgoing("77", f"another-{place}", "x", "0"), nobody_else)
    sent = await chatwoot.send(REPLY, nobody_else)
    assert await chatwoot.find(REPLY) == sent


async def test_a_bot_token_looks_at_the_last_message(chatwoot: Chatwoot, peers: str) -> None:
    await steer(peers, bot_token=True)
    assert await chatwoot.find(REPLY) is None
    sent = await chatwoot.send(REPLY, nobody_else)
    assert await chatwoot.find(REPLY) == sent
    after_it = Outgoing("77", "the next part", "x", sent)
    assert await chatwoot.find(after_it) is None, "what came last is what it follows"
    await steer(peers, people={"77": [{"content": "wait"}]})
    for reply in (REPLY, after_it):
        found = await chatwoot.find(reply)
        assert isinstance(found, Unreadable), "it may stand above what the person wrote"
        assert "sees the last message alone" in found.reason


async def test_a_bot_token_of_an_older_chatwoot_sees_nothing(
    chatwoot: Chatwoot, peers: str
) -> None:
    await steer(peers, bot_token=True, bot_reads=False)
    found = await chatwoot.find(REPLY)
    assert isinstance(found, Unreadable) and "not authorized for bots" in found.reason


@pytest.mark.parametrize(
    ("fault", "doubtful", "after_s"),
    [
        ({"status": 500}, True, None),
        ({"status": 503, "headers": {"Retry-After": "7"}}, True, 7),
        ({"status": 422}, True, None),
        ({"status": 429}, False, None),
        ({"drop": True, "stored": True}, True, None),
        ({"delay_s": 1}, True, None),
    ],
)
async def test_what_may_pass_is_retryable_and_says_whether_it_is_in_doubt(
    chatwoot: Chatwoot,
    peers: str,
    fault: dict[str, Any],
    doubtful: bool,  # noqa: FBT001 -- a column of the table
    after_s: float | None,
) -> None:
    await steer(peers, faults={"message": [fault]})
    with pytest.raises(Retryable) as caught:
        await chatwoot.send(REPLY, nobody_else)
    assert (caught.value.doubtful, caught.value.after_s) == (doubtful, after_s)


@pytest.mark.parametrize(("stale_s", "sent"), [(60.0, True), (-1.0, False)])
async def test_a_request_is_not_sent_on_the_strength_of_an_old_check(
    peers: str,
    stale_s: float,
    sent: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    await steer(peers)

    async def another_holds_the_pen() -> None:
        raise Fenced("conversation acme:77: epoch 1 is over")

    async with httpx.AsyncClient() as http:
        url = f"{peers}/api/v1/accounts/3/conversations/77/messages"
        for _ in range(2):  # over a new connection, and over a kept one
            with contextlib.nullcontext() if sent else pytest.raises(Fenced):
                extensions = checking(another_holds_the_pen, stale_s)
                await http.post(url, json={"content": "x"}, extensions=extensions)
    assert bool((await seen(peers))["messages"]) is sent


async def test_no_connection_leaves_no_doubt() -> None:
    (port,) = free_ports(1)
    account = ChatwootAccount(f"http://127.0.0.1:{port}", 3, "a-key", ())
    async with httpx.AsyncClient() as http:
        with pytest.raises(Retryable) as caught:
            await Chatwoot(http, account, typing_http=http, places=asyncio.Semaphore(1)).send(
                REPLY, nobody_else
            )
    assert not caught.value.doubtful


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_what_cannot_pass_is_permanent(chatwoot: Chatwoot, peers: str, status: int) -> None:
    await steer(peers, faults={"message": [{"status": status}]})
    with pytest.raises(Permanent, match=str(status)):
        await chatwoot.send(REPLY, nobody_else)


NOTE = Outgoing(
    "77", "7e0f5a0e-0000-5000-8000-000000000002", "The customer asks for Ana.", "900000"
)
BIA = {"content": "I will look into it"}
ECHO = {"sender": None, "content_attributes": {"external_echo": True}}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({}, None),
        ({"status": 404}, None),
        ({"status": 401}, Permanent),
        ({"status": 500}, Retryable),
        ({"drop": True}, Retryable),
    ],
)
async def test_the_way_and_the_token_are_tried(
    chatwoot: Chatwoot, peers: str, fault: dict[str, Any], error: type[Exception] | None
) -> None:
    await steer(peers, faults={"show": [fault]})
    if error is None:
        await chatwoot.reach()
    else:
        with pytest.raises(error):
            await chatwoot.reach()


async def test_an_older_chatwoot_that_shows_bots_nothing_is_reached(
    chatwoot: Chatwoot, peers: str
) -> None:
    await steer(peers, bot_token=True, bot_reads=False)
    await chatwoot.reach()


async def test_another_server_at_the_address_is_not_chatwoot(peers: str) -> None:
    async with httpx.AsyncClient() as http:
        account = ChatwootAccount(f"{peers}/elsewhere", 3, "a-key", ())
        place = Chatwoot(http, account, typing_http=http, places=asyncio.Semaphore(1))
        with pytest.raises(Permanent, match="404"):
            await place.reach()


async def test_a_look_tells_who_may_speak(chatwoot: Chatwoot, peers: str) -> None:
    assert await chatwoot.look("77", "900000", "900001") == Seen(Standing(status="pending"))
    told = {
        "status": "open",
        "labels": ["vip"],
        "can_reply": False,
        "updated_at": 1_781_700_000.41,
        "meta": {"assignee": {"id": 9}, "assignee_type": "User", "sender": {"blocked": True}},
    }
    await steer(peers, conversations={"77": told})
    standing = Standing(
        "open", "user", ("vip",), blocked=True, can_reply=False, changed_ms=1_781_700_000_410
    )
    assert await chatwoot.look("77", "900000", "900001") == Seen(standing)


@pytest.mark.parametrize(
    ("said", "channel", "text", "how"),
    [
        ([BIA], "Channel::Whatsapp", "I will look into it", "user"),
        ([BIA, {"content": "and this"}], "Channel::Whatsapp", "and this", "user"),
        (
            [ECHO | {"content": "from the phone"}],
            "Channel::Whatsapp",
            "from the phone",
            "phone app",
        ),
        ([{"content": "bridged", "sender": None}], "Channel::Api", "bridged", "phone app"),
        ([{"content": "greeting", "sender": None}], "Channel::Whatsapp", None, ""),
        ([BIA | {"private": True}], "Channel::Whatsapp", None, ""),
        ([BIA | {"message_type": 0}], "Channel::Whatsapp", None, ""),
        ([BIA | {"message_type": 3}], "Channel::Whatsapp", None, ""),
        ([BIA | {"content_attributes": {"automation_rule_id": 1}}], "Channel::Whatsapp", None, ""),
    ],
)
async def test_a_look_finds_the_last_word_of_a_person(
    chatwoot: Chatwoot,
    peers: str,
    said: list[dict[str, Any]],
    channel: str,
    text: str | None,
    how: str,
) -> None:
    told = {"77": {"meta": {"channel": channel}}}
    await steer(peers, conversations=told, people={"77": said})
    # With a user's token our own reply is a user's too; the marker tells it apart.
    await chatwoot.send(REPLY, nobody_else)
    seen_now = await chatwoot.look("77", "900000", "900001")
    assert seen_now is not None
    person = seen_now.person
    assert (person.text, person.how) == (text, how) if person else text is None


async def test_a_look_begins_after_the_message(chatwoot: Chatwoot, peers: str) -> None:
    await steer(peers, people={"77": [BIA]})
    seen_now = await chatwoot.look("77", "900000", "900001")
    assert seen_now is not None
    assert seen_now.person is not None
    later = await chatwoot.look("77", seen_now.person.message_id, "0")
    assert later == Seen(Standing(status="pending"))
    # From no message on, an answer of long ago would count.
    assert await chatwoot.look("77", "web-1", "web-1") == Seen(Standing(status="pending"))


async def test_a_look_lists_no_messages_where_none_is_newer(chatwoot: Chatwoot, peers: str) -> None:
    await steer(peers, people={"77": [BIA]})
    seen_now = await chatwoot.look("77", "900000", "900000")
    assert seen_now is not None
    assert seen_now.person is not None, "somebody wrote since: they are listed"
    newest = seen_now.person.message_id
    await steer(peers, people={"77": [BIA]}, faults={"list": [{"status": 500}]})
    later = str(int(newest) + 1_000)
    assert await chatwoot.look("77", later, later) == Seen(Standing(status="pending"))
    with pytest.raises(Retryable):  # the fault waited there: between two messages they are listed
        await chatwoot.look("77", newest, later)


async def test_a_bot_token_looks_at_what_it_may_and_asks_once_for_what_it_may_not(
    chatwoot: Chatwoot, peers: str
) -> None:
    await steer(peers, bot_token=True, people={"77": [BIA]})
    for _ in range(2):
        seen_now = await chatwoot.look("77", "900000", "900001")
        assert seen_now is not None
        assert seen_now.person is not None, "the conversation shows its last message"
    # A fault of the list waits there still: nobody asked for a list any more.
    await steer(peers, bot_token=True, faults={"list": [{"status": 500}]})
    assert await chatwoot.look("77", "900000", "900001") == Seen(Standing(status="pending"))
    assert await chatwoot.find(REPLY) is None


async def test_a_token_that_may_not_read_the_conversation_sees_nothing(
    chatwoot: Chatwoot, peers: str
) -> None:
    await steer(peers, bot_token=True, bot_reads=False)
    assert await chatwoot.look("77", "900000", "900001") is None
    await steer(peers, bot_token=True, bot_reads=True)  # Chatwoot was upgraded meanwhile
    assert await chatwoot.look("77", "900000", "900001") is not None


async def test_another_refusal_of_the_list_is_not_for_ever(chatwoot: Chatwoot, peers: str) -> None:
    await steer(peers, people={"77": [BIA, BIA]}, faults={"list": [{"status": 401}]})
    await chatwoot.send(REPLY, nobody_else)
    blind = await chatwoot.look("77", "900000", "900001")
    assert blind is not None
    assert blind.person is None, "the last message alone is ours"
    again = await chatwoot.look("77", "900000", "900001")
    assert again is not None
    assert again.person is not None


@pytest.mark.parametrize("kind", ["list", "show"])
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"drop": True}])
async def test_a_look_that_may_succeed_later_is_retryable(
    chatwoot: Chatwoot, peers: str, kind: str, fault: dict[str, Any]
) -> None:
    await steer(peers, faults={kind: [fault]})
    with pytest.raises(Retryable):
        await chatwoot.look("77", "900000", "900001")


def noted(found: dict[str, Any]) -> list[str]:
    return [message["content"] for message in found["messages"].get("77", []) if message["private"]]


@pytest.mark.parametrize("bot", [False, True])
@pytest.mark.parametrize("status", ["pending", "open", "resolved"])
async def test_a_hand_over_leaves_one_note_and_opens_the_conversation(
    chatwoot: Chatwoot,
    peers: str,
    status: str,
    bot: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    await steer(peers, bot_token=bot, conversations={"77": {"status": status}})
    for _ in range(2):
        await chatwoot.hand_over(NOTE, nobody_else)
    found = await seen(peers)
    assert noted(found) == [NOTE.text]
    assert found["messages"]["77"][0]["content_attributes"] == {MARKER: NOTE.reply_id}
    assert found["statuses"] == [["77", "open"], ["77", "open"]]


async def test_a_hand_over_that_failed_on_the_way_is_repeated_whole(
    chatwoot: Chatwoot, peers: str
) -> None:
    faults = {"message": [{"status": 500, "stored": True}], "status": [{"status": 500}]}
    await steer(peers, faults=faults)
    for _ in range(2):
        with pytest.raises(Retryable):
            await chatwoot.hand_over(NOTE, nobody_else)
    await chatwoot.hand_over(NOTE, nobody_else)
    found = await seen(peers)
    assert noted(found) == [NOTE.text]
    assert found["statuses"] == [["77", "open"]]


@pytest.mark.parametrize(
    ("fault", "notes"),
    [
        ({"status": 500, "stored": True}, 1),
        ({"status": 500}, 0),  # in doubt and not to be read back: rather lost than twice
        ({"status": 429}, 1),
    ],
)
async def test_a_note_that_cannot_be_read_back_is_posted_at_most_once(
    chatwoot: Chatwoot, peers: str, fault: dict[str, Any], notes: int
) -> None:
    await steer(peers, bot_token=True, bot_reads=False, faults={"message": [fault]})
    with pytest.raises(Retryable):
        await chatwoot.hand_over(NOTE, nobody_else)
    await chatwoot.hand_over(NOTE, nobody_else)
    await chatwoot.hand_over(NOTE, nobody_else)
    found = await seen(peers)
    assert len(noted(found)) == notes
    assert found["statuses"] == [["77", "open"], ["77", "open"]]


async def test_typing_goes_to_chatwoot_and_to_the_customers_network(peers: str) -> None:
    await steer(peers)
    async with httpx.AsyncClient(timeout=0.5) as http:
        chatwoot = Chatwoot(
            http,
            ChatwootAccount(peers, 3, "a-key", ()),
            typing_http=http,
            places=asyncio.Semaphore(1),
            indicators=indicators(
                http,
                twilio=Twilio("AC1", "a-token", peers),
                whatsapp=WhatsAppCloud("1055", "a-token", f"{peers}/v23.0"),
            ),
        )
        await chatwoot.typing(Cue("77", on=True, source_id="SM1", via="Channel::TwilioSms"))
        await chatwoot.typing(Cue("77", on=True, source_id="wamid.1", via="Channel::Whatsapp"))
        await chatwoot.typing(Cue("77", on=False, source_id="wamid.1", via="Channel::Whatsapp"))
        found = await seen(peers)
        assert found["typing"] == [["77", "on"], ["77", "on"], ["77", "off"]]
        twilio, whatsapp = found["indicators"]
        assert twilio["path"] == "/v2/Indicators/Typing.json"
        assert twilio["body"] == {"messageId": "SM1", "channel": "whatsapp"}
        assert whatsapp["path"] == "/v23.0/1055/messages"
        assert whatsapp["body"]["typing_indicator"] == {"type": "text"}
        # One of them failing keeps nobody else from it.
        await steer(peers, faults={"indicator": [{"status": 500}]})
        with pytest.raises(Retryable, match="Twilio, typing for SM1: 500"):
            await chatwoot.typing(Cue("77", on=True, source_id="SM1", via="Channel::TwilioSms"))
        assert (await seen(peers))["typing"] == [["77", "on"]]


@pytest.fixture
async def responder(peers: str) -> AsyncIterator[Responder]:
    await steer(peers)
    settings = Settings.model_validate(
        {
            "redis_url": "redis://127.0.0.1:1/0",
            "openai_api_key": "a-key",
            "openai_base_url": f"{peers}/v1",
            "model_name": "a-model",
            "temperature": 0.2,
            "max_tokens": 99,
            "model_timeout_s": 1,
        }
    )
    parts = build(settings)
    persona = parts.ports.personas.persona("demo")
    yield persona.responder
    await parts.ports.personas.aclose()  # type: ignore[attr-defined]


async def test_the_model_is_asked_as_documented(responder: Responder, peers: str) -> None:
    answer = await responder.answer(PROMPT)
    assert answer == Answer("You said: now", "a-model", 7, 5)
    (asked,) = (await seen(peers))["completions"]
    assert [m["role"] for m in asked["messages"]] == ["system", "user", "assistant", "user"]
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("a-model", 0.2, 99)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 429, "headers": {"Retry-After": "3"}}, Retryable),
        ({"status": 500}, Retryable),
        ({"status": 503}, Retryable),
        ({"drop": True}, Retryable),
        ({"delay_s": 2}, Retryable),
        ({"status": 400}, Permanent),
        ({"status": 401}, Permanent),
        ({"status": 404}, Permanent),
    ],
)
async def test_the_models_errors_are_ours(
    responder: Responder, peers: str, fault: dict[str, Any], error: type[Exception]
) -> None:
    await steer(peers, faults={"completion": [fault]})
    with pytest.raises(error) as caught:
        await responder.answer(PROMPT)
    if "headers" in fault:
        assert isinstance(caught.value, Retryable)
        assert caught.value.after_s == 3
    assert len((await seen(peers))["completions"]) == 1, "the client does not retry by itself"
