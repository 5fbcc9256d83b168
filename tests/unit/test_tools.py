"""A company's tools: what is offered, what each call of a round comes to, and that none is left."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from actors.companies.company import ToolSpec
from actors.errors import Misconfigured
from actors.llm.prompt import Prompt
from actors.llm.tools import (
    HAND_OVER,
    NO_REASON,
    TOOL_ARGUMENTS_CHARS_MAX,
    TOOL_CALLS_MAX,
    TOOL_RESULT_CHARS_MAX,
    Asked,
    Tool,
    Toolbox,
    ToolCall,
    result_text,
    validator,
)
from tests.fakes import VirtualClock, settle

PROMPT = Prompt("", (), "Is it there?", 1, "single", conversation="acme:321", customer="Ana")
STOCK = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "count": {"$ref": "#/$defs/count"}},
    "required": ["item"],
    "additionalProperties": False,
    "$defs": {"count": {"type": "integer", "minimum": 1}},
}


def tool(
    call: Callable[[ToolCall], Any],
    *,
    name: str = "stock",
    timeout_s: float = 60,
    parameters: dict[str, Any] = STOCK,
) -> Tool:
    return Tool(ToolSpec(name, "shop:stock", "Looks it up.", parameters, timeout_s), call)


def toolbox(*tools: Tool, hand_over: bool = False, clock: VirtualClock | None = None) -> Toolbox:
    return Toolbox("acme", tools, clock or VirtualClock(), hand_over=hand_over)


def ask(name: str = "stock", arguments: str = '{"item": "rake"}', call_id: str = "c1") -> Asked:
    return Asked(call_id, name, arguments)


async def test_a_tool_is_told_who_asks_for_what() -> None:
    seen: list[ToolCall] = []

    async def stock(call: ToolCall) -> dict[str, int]:
        seen.append(call)
        return {"left": 3}

    ended = await toolbox(tool(stock)).run([ask(arguments='{"item": "rake", "count": 2}')], PROMPT)
    assert seen == [ToolCall("acme", "acme:321", "Ana", {"item": "rake", "count": 2})]
    assert ended.results == ({"role": "tool", "tool_call_id": "c1", "content": '{"left":3}'},)
    assert [(run.name, run.error) for run in ended.runs] == [("stock", "")]


async def test_a_plain_function_runs_in_a_thread() -> None:
    def stock(call: ToolCall) -> str:
        return f"{call.arguments['item']} by {threading.current_thread().name[:4]}"

    ended = await toolbox(tool(stock)).run([ask()], PROMPT)
    assert ended.results[0]["content"] == "rake by tool"


class Shop:
    """Tools need not be functions."""

    async def __call__(self, call: ToolCall) -> str:
        return f"an object: {call.arguments['item']}"


async def _wrapped(call: ToolCall) -> str:
    return f"awaited: {call.arguments['item']}"


@pytest.mark.parametrize(
    ("call", "says"),
    [(Shop(), "an object: rake"), (lambda call: _wrapped(call), "awaited: rake")],
)
async def test_whatever_can_be_called_can_be_a_tool(
    call: Callable[[ToolCall], Any], says: str
) -> None:
    ended = await toolbox(tool(call)).run([ask()], PROMPT)
    assert ended.results[0]["content"] == says


async def test_calls_of_a_round_run_side_by_side_and_answer_in_order() -> None:
    both = asyncio.Barrier(2)
    clock = VirtualClock()

    async def stock(call: ToolCall) -> str:
        await both.wait()
        await clock.sleep(2 if call.arguments["item"] == "rake" else 1)
        return str(call.arguments["item"])

    calls = [ask(call_id="a"), ask(arguments='{"item": "hoe"}', call_id="b")]
    running = asyncio.create_task(toolbox(tool(stock), clock=clock).run(calls, PROMPT))
    await clock.advance(2)
    ended = await running
    assert [(r["tool_call_id"], r["content"]) for r in ended.results] == [
        ("a", "rake"),
        ("b", "hoe"),
    ]
    assert [run.took_ms for run in ended.runs] == [2_000, 1_000]


async def _ok(call: ToolCall) -> str:
    return f"ok {sorted(call.arguments)}"


async def _fails(call: ToolCall) -> str:
    raise LookupError("no such shelf\nsecret=hunter2")


async def _leaks(call: ToolCall) -> str:
    raise RuntimeError("GET https://user:hunter2@shop.example failed")


async def _exits(call: ToolCall) -> str:
    raise SystemExit(3)


async def _cancels(call: ToolCall) -> str:
    raise asyncio.CancelledError


async def _impatient(call: ToolCall) -> str:
    raise TimeoutError("the shop is slow")


async def _halved(call: ToolCall) -> str:
    raise ValueError("cut: \ud83d")


async def _opaque(call: ToolCall) -> object:
    return object()


def _exhausted(call: ToolCall) -> object:
    return next(iter(()))


@pytest.mark.parametrize(
    ("asked", "call", "says"),
    [
        (ask("shelf"), _ok, "there is no tool 'shelf'; known: stock, good"),
        (
            ask(HAND_OVER, '{"reason": "x"}'),
            _ok,
            f"there is no tool '{HAND_OVER}'; known: stock, good",
        ),
        (ask(arguments='{"item": '), _ok, "the arguments are not JSON: "),
        (ask(arguments="[" * 60_000), _ok, "the arguments are not JSON: "),
        (ask(arguments="[1]"), _ok, "the arguments are not a JSON object"),
        (ask(arguments=" " * (TOOL_ARGUMENTS_CHARS_MAX + 1)), _ok, "the arguments are longer than"),
        (ask(arguments=""), _ok, "the arguments do not fit: $: 'item' is a required property"),
        (ask(arguments='{"item": 3}'), _ok, "do not fit: $.item: 3 is not of type 'string'"),
        (ask(arguments='{"item": "a", "count": 0}'), _ok, "$.count: 0 is less than the minimum"),
        (ask(arguments='{"item": "a", "x": 1}'), _ok, "Additional properties are not allowed"),
        (ask(), _fails, "the tool failed: LookupError: no such shelf"),
        (ask(), _leaks, "https://user:***@shop.example failed"),
        (ask(), _exits, "the tool failed: SystemExit: 3"),
        (ask(), _cancels, "the tool cancelled itself"),
        (ask(), _impatient, "the tool failed: TimeoutError: the shop is slow"),
        (ask(), _halved, "the tool failed: ValueError: cut: ?"),
        (ask(), _opaque, "the tool failed: TypeError: "),
        (ask(), _exhausted, "the tool failed: RuntimeError: StopIteration"),
    ],
)
async def test_a_call_that_comes_to_nothing_says_why(
    asked: Asked, call: Callable[[ToolCall], Any], says: str
) -> None:
    """And the calls beside it have their results."""
    good = Tool(ToolSpec("good", "shop:good", "", {"type": "object"}, 60), _ok)
    beside = ask("good", '{"a": 1}', "c2")
    ended = await toolbox(tool(call), good).run([asked, beside], PROMPT)
    assert ended.results[0]["content"].startswith("error: ")
    assert says in ended.results[0]["content"]
    assert "hunter2" not in ended.results[0]["content"]
    assert ended.runs[0].error == ended.results[0]["content"].removeprefix("error: ")
    assert ended.results[1]["content"] == "ok ['a']"
    assert ended.hand_over == ""


async def test_a_slow_tool_is_cancelled_and_says_so() -> None:
    cancelled = []

    async def stock(call: ToolCall) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(call.arguments["item"])
            raise
        return "never"

    ended = await toolbox(tool(stock, timeout_s=0.01)).run([ask()], PROMPT)
    assert ended.runs[0].error == "no result within 0.01 s"
    assert cancelled == ["rake"]


async def test_a_thread_that_is_late_is_left_behind() -> None:
    release = threading.Event()

    def stock(call: ToolCall) -> str:
        release.wait()
        return "late"

    ended = await toolbox(tool(stock, timeout_s=0.01)).run([ask()], PROMPT)
    release.set()
    assert ended.runs[0].error == "no result within 0.01 s"


async def test_with_the_turn_all_its_tools_are_cancelled() -> None:
    running: set[str] = set()

    async def stock(call: ToolCall) -> str:
        running.add(call.arguments["item"])
        try:
            await asyncio.Event().wait()
        finally:
            running.remove(call.arguments["item"])
        return "never"

    before = asyncio.all_tasks()
    calls = [ask(arguments=f'{{"item": "{item}"}}') for item in ("rake", "hoe", "spade")]
    turn = asyncio.create_task(toolbox(tool(stock)).run(calls, PROMPT))
    await settle()
    assert running == {"rake", "hoe", "spade"}
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert running == set()
    assert asyncio.all_tasks() == before


async def test_too_many_calls_of_a_round_are_refused() -> None:
    count = TOOL_CALLS_MAX + 2
    calls = [ask(call_id=str(place)) for place in range(count)]
    ended = await toolbox(tool(_ok)).run(calls, PROMPT)
    assert [r["tool_call_id"] for r in ended.results] == [str(place) for place in range(count)]
    assert [bool(run.error) for run in ended.runs] == [False] * TOOL_CALLS_MAX + [True] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ("cut: \ud83d", "cut: ?"),
        ({"año": [1, 2.5, True]}, '{"año":[1,2.5,true]}'),
        ("x" * TOOL_RESULT_CHARS_MAX, "x" * TOOL_RESULT_CHARS_MAX),
        (
            "x" * (TOOL_RESULT_CHARS_MAX + 5),
            "x" * TOOL_RESULT_CHARS_MAX + "\n[cut here: 5 more characters]",
        ),
    ],
)
def test_results_are_text_and_cut(value: object, text: str) -> None:
    assert result_text(value) == text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ('{"reason": "wants a\\nrefund"}', "wants a refund"),
        ('{"reason": ""}', NO_REASON),
        ('{"reason": 7}', NO_REASON),
        ("{}", NO_REASON),
        ("{broken", NO_REASON),
    ],
)
async def test_a_hand_over_is_never_lost(arguments: str, reason: str) -> None:
    ended = await toolbox(hand_over=True).run([ask(HAND_OVER, arguments)], PROMPT)
    assert (ended.hand_over, ended.runs) == (reason, ())


async def test_a_hand_over_beside_other_calls_waits_for_them() -> None:
    box = toolbox(tool(_ok), hand_over=True)
    ended = await box.run([ask(HAND_OVER, '{"reason": "angry"}', "a"), ask(call_id="b")], PROMPT)
    assert ended.hand_over == "angry"
    assert [run.name for run in ended.runs] == ["stock"]
    assert [result["tool_call_id"] for result in ended.results] == ["a", "b"]


def test_what_is_offered() -> None:
    names = [offer["function"]["name"] for offer in toolbox(tool(_ok), hand_over=True).offers]
    assert names == ["stock", HAND_OVER]
    assert toolbox().offers == ()
    offer = toolbox(tool(_ok)).offers[0]
    assert offer == {
        "type": "function",
        "function": {"name": "stock", "description": "Looks it up.", "parameters": STOCK},
    }


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({}, 'type = "object"'),
        ({"type": "string"}, 'type = "object"'),
        ({"type": "thing"}, "is no JSON schema: $.type: 'thing' is not valid"),
        ({"type": "object", "required": "item"}, "$.required: 'item' is not of type 'array'"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}, "'#/$defs/b', which"),
        (
            {"type": "object", "properties": {"a": {"pattern": "("}}},
            "is no JSON schema: $.properties.a.pattern: '(' is not a 'regex'",
        ),
        ({"type": "object", "allOf": [{"$ref": "http://127.0.0.1:1/x"}]}, "only parts of itself"),
        ({"type": "object", "allOf": [{"$ref": "other.json"}]}, "only parts of itself"),
    ],
)
def test_a_wrong_schema_is_refused(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        validator(schema)
    assert says in str(caught.value)


async def test_arguments_without_end_are_refused() -> None:
    nested = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    arguments = '{"a":' * 900 + "{}" + "}" * 900
    box = toolbox(tool(_ok, parameters=nested))
    ended = await box.run([ask(arguments=arguments)], PROMPT)
    assert "nested too deeply" in ended.runs[0].error
