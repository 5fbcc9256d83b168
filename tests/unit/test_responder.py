"""The model's side of a turn: pictures, tools in bounded rounds, hand-overs; the offline responder.

The model's API is played by tests.peers, spoken to by the real client without a socket.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from openai import AsyncOpenAI

from actors.companies.company import ToolSpec
from actors.errors import Permanent, Retryable
from actors.llm.offline import OfflineResponder, wants_person
from actors.llm.prompt import Line, Picture, Prompt
from actors.llm.responder import PICTURES_MAX, TOOL_ROUNDS_MAX, Answer, OpenAIResponder
from actors.llm.tools import HAND_OVER, Tool, Toolbox, ToolCall
from tests.fakes import VirtualClock, settle
from tests.peers import Peers, application

PROMPT = Prompt(
    "Be brief.",
    (Line("user", "hello"), Line("assistant", "hi")),
    "Is it there?",
    1,
    "single",
    conversation="acme:321",
)
PARAMETERS = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}


class Model:
    """A model's API, and responders that ask it."""

    def __init__(self, http: AsyncClient, peers: Peers) -> None:
        self._http = http
        self.peers = peers

    def says(self, *messages: dict[str, Any]) -> None:
        self.peers.said.extend(messages)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return list(self.peers.completions)

    def responder(
        self, *tools: Callable[[ToolCall], Any], hand_over: bool = False
    ) -> OpenAIResponder:
        made = [
            Tool(ToolSpec(call.__name__, "shop:x", "Looks it up.", PARAMETERS, 60), call)
            for call in tools
        ]
        client = AsyncOpenAI(
            api_key="a-key", base_url="http://model/v1", http_client=self._http, max_retries=0
        )
        return OpenAIResponder(
            client,
            "a-model",
            toolbox=Toolbox("acme", made, VirtualClock(), hand_over=hand_over),
            temperature=0.2,
            max_tokens=99,
            max_tokens_name="max_tokens",
        )


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    peers = Peers()
    transport = ASGITransport(app=application(peers))
    async with AsyncClient(transport=transport) as http:
        yield Model(http, peers)


def calling(*calls: tuple[str, Any], text: str | None = None) -> dict[str, Any]:
    """A message with calls of (tool, arguments)."""
    made = [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
            },
        }
        for place, (name, arguments) in enumerate(calls)
    ]
    return {"content": text, "tool_calls": made}


async def stock(call: ToolCall) -> dict[str, int]:
    return {str(call.arguments["item"]): 3}


async def broken(call: ToolCall) -> str:
    raise LookupError("no such shelf")


async def test_without_tools_the_model_is_asked_once(model: Model) -> None:
    assert await model.responder().answer(PROMPT) == Answer(
        "You said: Is it there?", "a-model", 7, 5
    )
    (asked,) = model.asked
    assert asked == {
        "model": "a-model",
        "temperature": 0.2,
        "max_tokens": 99,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "hi"},
            {"role": "user", "content": "Is it there?"},
        ],
    }


async def test_pictures_go_along_with_the_question(model: Model) -> None:
    prompt = _showing(2)
    answer = await model.responder().answer(prompt)
    assert answer.text == "You said: Is it there? [picture] [picture]"
    assert model.asked[0]["messages"][-1]["content"] == [
        {"type": "text", "text": "Is it there?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,0"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,1"}},
    ]


async def test_of_many_pictures_the_newest_are_shown(model: Model) -> None:
    await model.responder().answer(_showing(PICTURES_MAX + 2))
    text, first, *others = model.asked[0]["messages"][-1]["content"]
    assert text["text"].endswith("[2 earlier pictures are not shown]")
    assert first["image_url"]["url"].endswith(",2")
    assert len(others) == PICTURES_MAX - 1


def _showing(count: int) -> Prompt:
    pictures = tuple(Picture(f"data:image/png;base64,{place}") for place in range(count))
    return Prompt("Be brief.", (), "Is it there?", 1, "single", pictures)


async def test_the_model_reads_what_its_tools_say(model: Model) -> None:
    model.says(
        calling(("stock", {"item": "rake"}), ("broken", {"item": "x"}), text="Let me look."),
        {"content": "Three rakes."},
    )
    answer = await model.responder(stock, broken).answer(PROMPT)
    assert (answer.text, answer.tokens_in, answer.tokens_out) == ("Three rakes.", 14, 10)
    assert [(run.name, run.error) for run in answer.tools] == [
        ("stock", ""),
        ("broken", "the tool failed: LookupError: no such shelf"),
    ]
    first, second = model.asked
    assert [tool["function"]["name"] for tool in first["tools"]] == ["stock", "broken"]
    assert "tool_choice" not in first
    assert second["messages"][:-3] == first["messages"]
    said, *results = second["messages"][-3:]
    assert said["content"] == "Let me look."
    assert [call["id"] for call in said["tool_calls"]] == ["call_0", "call_1"]
    assert results == [
        {"role": "tool", "tool_call_id": "call_0", "content": '{"rake":3}'},
        {
            "role": "tool",
            "tool_call_id": "call_1",
            "content": "error: the tool failed: LookupError: no such shelf",
        },
    ]


async def test_a_model_that_never_stops_calling_must_answer(model: Model) -> None:
    model.says(*[calling(("stock", {"item": "rake"}))] * TOOL_ROUNDS_MAX, {"content": "Enough."})
    answer = await model.responder(stock).answer(PROMPT)
    assert answer.text == "Enough."
    assert len(answer.tools) == TOOL_ROUNDS_MAX
    assert answer.tokens_in == 7 * (TOOL_ROUNDS_MAX + 1)
    choices = [asked.get("tool_choice") for asked in model.asked]
    assert choices == [None] * TOOL_ROUNDS_MAX + ["none"]


async def test_a_model_that_does_not_answer_even_then_may_be_asked_again(model: Model) -> None:
    model.says(*[calling(("stock", {"item": "rake"}))] * (TOOL_ROUNDS_MAX + 1))
    with pytest.raises(Retryable, match="empty text"):
        await model.responder(stock).answer(PROMPT)
    assert len(model.asked) == TOOL_ROUNDS_MAX + 1


async def test_broken_arguments_are_not_sent_back_to_the_server(model: Model) -> None:
    model.says(calling(("stock", '{"item": "ra'), ("stock", "")))
    answer = await model.responder(stock).answer(PROMPT)
    calls = model.asked[1]["messages"][-3]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ["{}", "{}"]
    assert answer.tools[0].error.startswith("the arguments are not JSON")
    assert answer.tools[1].error.startswith("the arguments do not fit")


async def test_calls_without_an_id_are_told_apart(model: Model) -> None:
    message = calling(("stock", {"item": "rake"}), ("stock", {"item": "hoe"}))
    for call in message["tool_calls"]:
        call["id"] = None
    model.says(message, {"content": "Both."})
    await model.responder(stock).answer(PROMPT)
    said, first, second = model.asked[1]["messages"][-3:]
    ids = [call["id"] for call in said["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]]
    assert len(set(ids)) == 2


async def test_half_a_character_does_not_reach_the_journal(model: Model) -> None:
    model.says(calling(("sto\ud83dck", '{"item": "\ud83d"}')), {"content": "cut: \ud83d"})
    answer = await model.responder(stock).answer(PROMPT)
    assert (answer.text, answer.tools[0].name) == ("cut: ?", "sto?ck")
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


async def test_calls_of_a_model_that_was_offered_none_are_ignored(model: Model) -> None:
    model.says(calling(("stock", {"item": "rake"}), text="Hm."))
    answer = await model.responder().answer(PROMPT)
    assert (answer.text, answer.tools, len(model.asked)) == ("Hm.", (), 1)


@pytest.mark.parametrize("text", [None, "A colleague takes over."])
async def test_a_hand_over_alone_ends_the_turn(model: Model, text: str | None) -> None:
    model.says(calling((HAND_OVER, {"reason": "wants a refund"}), text=text))
    answer = await model.responder(stock, hand_over=True).answer(PROMPT)
    assert answer == Answer(text or "", "a-model", 7, 5, hand_over="wants a refund")
    assert len(model.asked) == 1


async def test_a_hand_over_beside_a_tool_ends_with_its_answer(model: Model) -> None:
    model.says(
        calling(("stock", {"item": "rake"}), (HAND_OVER, {"reason": "wants a refund"})),
        {"content": "We have three; a colleague takes over."},
    )
    answer = await model.responder(stock, hand_over=True).answer(PROMPT)
    assert answer.text == "We have three; a colleague takes over."
    assert (answer.hand_over, len(answer.tools)) == ("wants a refund", 1)


async def test_a_hand_over_that_is_switched_off_is_no_tool(model: Model) -> None:
    model.says(calling((HAND_OVER, {"reason": "wants a refund"})), {"content": "I can help."})
    answer = await model.responder(stock).answer(PROMPT)
    assert (answer.text, answer.hand_over) == ("I can help.", "")
    assert answer.tools[0].error.startswith("there is no tool")


async def test_a_failure_between_two_rounds_is_the_models(model: Model) -> None:
    model.says(calling(("stock", {"item": "rake"})))
    model.peers.faults["completion"].extend([{"delay_s": 0, "headers": {}}, {"status": 500}])
    with pytest.raises(Retryable, match="500"):
        await model.responder(stock).answer(PROMPT)
    model.says(calling(("stock", {"item": "rake"})))
    model.peers.faults["completion"].extend([{"delay_s": 0, "headers": {}}, {"status": 400}])
    with pytest.raises(Permanent, match="400"):
        await model.responder(stock).answer(PROMPT)


async def test_a_turn_that_is_cancelled_leaves_no_tool_running(model: Model) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def endless(call: ToolCall) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    before = asyncio.all_tasks()
    model.says(calling(("endless", {"item": "rake"})))
    turn = asyncio.create_task(model.responder(endless).answer(PROMPT))
    await started.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert ended.is_set()
    assert asyncio.all_tasks() == before


def offline(clock: VirtualClock, *, hand_over: bool = True) -> OfflineResponder:
    return OfflineResponder(clock, latency_s=1.5, hand_over=hand_over)


async def said_offline(prompt: Prompt, *, hand_over: bool = True) -> Answer:
    clock = VirtualClock()
    answering = asyncio.create_task(offline(clock, hand_over=hand_over).answer(prompt))
    await clock.advance(1.499)
    assert not answering.done()
    await clock.advance(0.001)
    await settle()
    return await answering


async def test_the_offline_responder_takes_its_time_and_says_what_it_got() -> None:
    answer = await said_offline(PROMPT)
    assert answer.text.startswith("This is the offline responder: no model is connected")
    assert "one message as one thought" in answer.text
    assert "picture" not in answer.text
    assert answer.text.endswith("“Is it there?”")
    assert (answer.model, answer.hand_over) == ("offline responder", "")


async def test_the_offline_responder_says_which_pictures_it_got() -> None:
    assert "I was given one picture" in (await said_offline(_showing(1))).text
    assert "I was given 3 pictures" in (await said_offline(_showing(3))).text


async def test_the_offline_responder_passes_to_a_person() -> None:
    prompt = Prompt("", (), "Quiero hablar con una persona", 1, "single")
    answer = await said_offline(prompt)
    assert answer.hand_over == "the customer asked for a person"
    assert "I pass you to one" in answer.text
    kept = await said_offline(prompt, hand_over=False)
    assert (kept.hand_over, "I pass you" in kept.text) == ("", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I want a human", True),
        ("HUMANO!", True),
        ("can I speak to someone?", True),
        ("I need a real person", True),
        ("Quiero hablar con una persona", True),
        ("quiero una persona", True),
        ("¿puedo hablar con alguien?", True),
        ("pásame con un agente", True),
        ("quero falar com um atendente", True),
        ("preciso de uma pessoa", True),
        ("Quero falar com alguém, por favor", True),
        ("una mesa para una persona", False),
        ("quiero una mesa para una persona", False),
        ("a person called me yesterday", False),
        ("I am a travel agent", False),
        ("uma pessoa me disse", False),
        ("la humanidad", False),
        ("", False),
    ],
)
def test_a_clear_wish_for_a_person(text: str, expected: bool) -> None:  # noqa: FBT001
    assert wants_person(text) is expected
