"""Our clients of Chatwoot and of the model, against servers that speak the documented API."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from actors.channels.chatwoot import MARKER, Chatwoot
from actors.channels.message import Outgoing
from actors.companies.company import ChatwootAccount
from actors.errors import Permanent, Retryable
from actors.llm.prompt import Line, Prompt
from actors.llm.responder import Answer, Responder
from actors.settings import Settings
from actors.wiring import build
from tests.places import free_ports

REPLY = Outgoing("77", "7e0f5a0e-0000-5000-8000-000000000001", "Hello", "900000")
PROMPT = Prompt("Be brief.", (Line("user", "before"), Line("assistant", "yes")), "now", 1, "single")


async def nobody_else() -> None:
    """The check before a post: nobody else holds the pen."""


async def steer(peers: str, **orders: Any) -> None:
    async with httpx.AsyncClient() as http:
        await http.post(f"{peers}/_steer", json={"bot_token": False, "forget": True} | orders)


async def seen(peers: str) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        found: dict[str, Any] = (await http.get(f"{peers}/_seen")).json()
        return found


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
