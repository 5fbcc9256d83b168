"""The typing indicators of Twilio and of WhatsApp Cloud, and how they stand beside Chatwoot's."""

import asyncio
import base64
import json
from collections.abc import Callable

import httpx
import pytest

from actors.channels import chatwoot
from actors.channels.chatwoot import Chatwoot
from actors.channels.message import Cue
from actors.channels.typing import TWILIO, WHATSAPP, Indicator, indicators
from actors.channels.webchat import JournalChannel
from actors.companies.company import ChatwootAccount, Twilio, WhatsAppCloud
from actors.conversation.events import CustomerTyping
from actors.conversation.ports import Channel
from actors.errors import Permanent, Retryable
from actors.journal.keys import Key
from actors.web import typing_gate
from actors.web.typing_gate import TypingGate

ACCOUNT = ChatwootAccount("https://chat.example", 3, "the-chatwoot-key", ())
TWILIO_KEYS = Twilio("AC42", "the-twilio-token")
WHATSAPP_KEYS = WhatsAppCloud("1055", "the-meta-token")
SECRETS = ("the-chatwoot-key", "the-twilio-token", "the-meta-token")

Answer = Callable[[httpx.Request], httpx.Response]


class Networks:
    """Records the calls to each host and answers them."""

    def __init__(self, **answers: Answer) -> None:
        self.calls: list[httpx.Request] = []
        self._answers = answers
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        name = {"chat.example": "chatwoot", "messaging.twilio.com": "twilio"}.get(
            request.url.host, "meta"
        )
        answer = self._answers.get(name)
        return answer(request) if answer else httpx.Response(200, json={"success": True})

    @property
    def known(self) -> dict[str, Indicator]:
        return indicators(self.http, twilio=TWILIO_KEYS, whatsapp=WHATSAPP_KEYS)

    @property
    def chatwoot(self) -> Chatwoot:
        return Chatwoot(
            self.http,
            ACCOUNT,
            typing_http=self.http,
            places=asyncio.Semaphore(1),
            indicators=self.known,
        )

    @property
    def hosts(self) -> list[str]:
        return sorted(call.url.host for call in self.calls)


async def test_twilio_is_called_as_documented() -> None:
    networks = Networks()
    await networks.known[TWILIO].show("SM0123")
    (call,) = networks.calls
    assert str(call.url) == "https://messaging.twilio.com/v2/Indicators/Typing.json"
    assert call.method == "POST"
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert call.content == b"messageId=SM0123&channel=whatsapp"
    basic = base64.b64encode(b"AC42:the-twilio-token").decode()
    assert call.headers["authorization"] == f"Basic {basic}"


async def test_whatsapp_cloud_is_called_as_documented() -> None:
    networks = Networks()
    await networks.known[WHATSAPP].show("wamid.HBgN")
    (call,) = networks.calls
    assert str(call.url) == "https://graph.facebook.com/v23.0/1055/messages"
    assert call.method == "POST"
    assert call.headers["authorization"] == "Bearer the-meta-token"
    assert json.loads(call.content) == {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": "wamid.HBgN",
        "typing_indicator": {"type": "text"},
    }


@pytest.mark.parametrize(
    ("via", "source_id", "on", "hosts"),
    [
        (TWILIO, "SM01", True, ["chat.example", "messaging.twilio.com"]),
        (TWILIO, "MM01", True, ["chat.example", "messaging.twilio.com"]),
        (WHATSAPP, "wamid.HBgN", True, ["chat.example", "graph.facebook.com"]),
        # Each network has its own ids; no call exists to take an indicator away.
        (TWILIO, "wamid.HBgN", True, ["chat.example"]),
        (WHATSAPP, "SM01", True, ["chat.example"]),
        (TWILIO, None, True, ["chat.example"]),
        (TWILIO, "", True, ["chat.example"]),
        (WHATSAPP, "wamid.HBgN", False, ["chat.example"]),
        ("Channel::WebWidget", "wamid.HBgN", True, ["chat.example"]),
        ("", "SM01", True, ["chat.example"]),
    ],
)
async def test_the_network_is_chosen_by_the_conversations_channel(
    via: str,
    source_id: str | None,
    on: bool,  # noqa: FBT001 -- a column of the table
    hosts: list[str],
) -> None:
    networks = Networks()
    await networks.chatwoot.typing(Cue("77", on, source_id, via))
    assert networks.hosts == hosts
    (switch,) = [call for call in networks.calls if call.url.host == "chat.example"]
    assert str(switch.url).endswith("/conversations/77/toggle_typing_status")
    assert json.loads(switch.content) == {
        "typing_status": "on" if on else "off",
        "is_private": False,
    }


def test_a_network_without_credentials_has_no_indicator() -> None:
    networks = Networks()
    assert indicators(networks.http, twilio=None, whatsapp=None) == {}
    assert set(indicators(networks.http, twilio=TWILIO_KEYS, whatsapp=None)) == {TWILIO}


def refused(status: int, text: str) -> Answer:
    return lambda _: httpx.Response(status, text=text)


def cut_off(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("the-meta-token took too long", request=request)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"meta": refused(500, "away")}, "WhatsApp, typing for wamid.HBgN: 500 away"),
        ({"chatwoot": refused(500, "away")}, "Chatwoot, typing in conversation 77: 500 away"),
        ({"meta": cut_off}, "WhatsApp, typing for wamid.HBgN: ReadTimeout: *** took"),
        # Meta's own words for a token that it does not know.
        (
            {"meta": refused(401, '{"error":{"message":"Malformed access token the-meta-token"}}')},
            "Malformed access token ***",
        ),
        ({"chatwoot": refused(401, "no such key: the-chatwoot-key")}, "no such key: ***"),
    ],
)
async def test_each_call_fails_alone_and_says_no_secret(
    answers: dict[str, Answer], says: str
) -> None:
    networks = Networks(**answers)
    with pytest.raises(Retryable) as raised:
        await networks.chatwoot.typing(Cue("77", on=True, source_id="wamid.HBgN", via=WHATSAPP))
    assert networks.hosts == ["chat.example", "graph.facebook.com"]
    assert says in str(raised.value)
    assert not [secret for secret in SECRETS if secret in str(raised.value)]


async def test_both_failures_are_told() -> None:
    networks = Networks(chatwoot=refused(500, "one"), twilio=refused(429, "two"))
    with pytest.raises(Retryable, match=r"500 one; .* 429 two"):
        await networks.chatwoot.typing(Cue("77", on=True, source_id="SM1", via=TWILIO))


@pytest.mark.parametrize(
    ("status", "error"), [(400, Permanent), (401, Permanent), (429, Retryable), (503, Retryable)]
)
async def test_twilios_errors_are_ours_without_its_credentials(
    status: int, error: type[Exception]
) -> None:
    networks = Networks(twilio=refused(status, "AC42 with the-twilio-token may not"))
    with pytest.raises(error) as raised:
        await networks.known[TWILIO].show("SM1")
    assert str(raised.value) == f"Twilio, typing for SM1: {status} *** with *** may not"


async def test_more_calls_than_useful_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chatwoot, "TYPING_WAITING_MAX", 0)
    networks = Networks()
    with pytest.raises(Retryable, match="are under way already"):
        await networks.chatwoot.typing(Cue("77", on=True))
    assert networks.calls == []


async def test_the_journal_as_a_channel_has_nobody_to_ask() -> None:
    channel: Channel = JournalChannel()
    assert await channel.look("web-1", "5", "5") is None
    await channel.typing(Cue("web-1", on=True))


def test_the_gate_lets_news_through_and_repeats_seldom() -> None:
    gate, key = TypingGate(), Key("demo", "web-1")

    def passes(at_ms: int, *, on: bool) -> bool:
        return gate.passes(key, CustomerTyping(at_ms=at_ms, on=on))

    assert passes(10_000, on=True)
    assert not passes(11_999, on=True)
    assert passes(12_000, on=True)
    assert not passes(12_499, on=False)
    assert passes(12_500, on=False)
    assert passes(13_000, on=True)
    assert passes(9_000, on=True), "a clock that was set back stops nobody"
    gate.forget(key)
    assert passes(9_001, on=True)


def test_the_gate_remembers_so_many_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing_gate, "CONVERSATIONS_MAX", 2)
    gate = TypingGate()
    on = CustomerTyping(at_ms=1, on=True)
    for name in ("a", "b", "c"):
        assert gate.passes(Key("demo", name), on)
    assert not gate.passes(Key("demo", "c"), on)
    assert gate.passes(Key("demo", "a"), on)
