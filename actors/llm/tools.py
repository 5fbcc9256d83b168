"""Offers a company's tools to the model and runs the calls that it makes of them."""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from actors.clock import Clock
from actors.companies.company import ToolSpec
from actors.errors import Misconfigured
from actors.llm.prompt import Prompt, ToolRun, whole
from actors.telemetry import logger, redact

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

log = logger("tools")

TOOL_CALLS_MAX = 8
"""Calls of one round that are run, in parallel; the model reads an error for each beyond them."""

TOOL_RESULT_CHARS_MAX = 8_000
"""What the model reads of one result, characters: 8 calls in 5 rounds stay below about 110,000
tokens."""

TOOL_ARGUMENTS_CHARS_MAX = 64_000
TOOL_ERROR_CHARS_MAX = 300
TOOL_NAME_CHARS_MAX = 64
"""OpenAI's own limit on a function's name."""

TOOL_THREADS_MAX = 8
"""Plain functions of one company under way at once in one process; more wait in line, within their
time limit. The threads are the company's own, so that its slow tools delay nobody else."""

HAND_OVER = "hand_over_to_person"
HAND_OVER_REASON_CHARS_MAX = 500
NO_REASON = "the model gave no reason"

_HAND_OVER_OFFER = {
    "type": "function",
    "function": {
        "name": HAND_OVER,
        "description": (
            "Passes this conversation to a person of the company, and ends your part in it. Use it "
            "when the customer asks for a person, or when you cannot help. What you write beside "
            "this call is sent to the customer."
        ),
        "parameters": {
            "type": "object",
            "properties": {
                "reason": {
                    "type": "string",
                    "description": "Why, in one sentence; the person reads it, the customer not.",
                }
            },
            "required": ["reason"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a company's tool is called with.

    A tool is `async def tool(call: ToolCall)`, or a plain function of the same shape, which runs in
    a thread. `conversation` is the conversation's key, `company:id`; `customer` the name under
    which the customer writes, "" if it is unknown; `arguments` are the model's and fit the tool's
    JSON schema. It returns a text, or a value that can be written as JSON; the model reads at most
    TOOL_RESULT_CHARS_MAX characters of it. Whatever it raises is told to the model as an error, by
    its type and first line; it never ends the turn.

    After its time limit (`timeout_s`), or when the customer writes on and the turn begins anew, an
    `async` tool is cancelled; a thread cannot be, so what it returns then is dropped. A turn that
    begins anew may call the tool again: an effect must bear being repeated.
    """

    company_id: str
    conversation: str
    customer: str
    arguments: dict[str, Any]


class Asked(msgspec.Struct, frozen=True):
    """A call as the model made it; `arguments` is JSON, or what the model took for it."""

    call_id: str
    name: str
    arguments: str


class Round(msgspec.Struct, frozen=True):
    """What came of one round of calls: the results as messages for the model, one a call, in order.

    `runs` has an entry for each call but those of the hand-over; `hand_over` is the reason given
    there, "" if the model made no such call.
    """

    results: tuple[dict[str, str], ...]
    runs: tuple[ToolRun, ...]
    hand_over: str


class _Failure(Exception):
    """A call has no result; the message tells the model why."""


def first_line(error: BaseException) -> str:
    """The type and first line of a foreign error, short and without secrets."""
    line = next(iter(str(error).splitlines()), "")
    text = f"{type(error).__name__}: {line}" if line else type(error).__name__
    return whole(redact(text)[:TOOL_ERROR_CHARS_MAX])


def is_async(call: Callable[..., Any]) -> bool:
    """Whether it is `async def`, or an object whose `__call__` is."""
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)


def read_arguments(text: str) -> dict[str, Any]:
    """The arguments that a model wrote; nothing at all is no arguments. Raises ValueError."""
    if len(text) > TOOL_ARGUMENTS_CHARS_MAX:
        raise ValueError(f"the arguments are longer than {TOOL_ARGUMENTS_CHARS_MAX} characters")
    try:
        arguments = msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the arguments are not JSON: {first_line(error)}") from error
    if not isinstance(arguments, dict):
        raise ValueError("the arguments are not a JSON object")
    return arguments


def result_text(value: object) -> str:
    """A tool's result as the model reads it. Raises if it cannot be written as JSON."""
    text = whole(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    left_out = len(text) - TOOL_RESULT_CHARS_MAX
    if left_out <= 0:
        return text
    return f"{text[:TOOL_RESULT_CHARS_MAX]}\n[cut here: {left_out} more characters]"


def validator(schema: dict[str, Any]) -> "Validator":
    """What checks arguments against this schema. Raises Misconfigured if it is none for an object,
    or if it refers to anything outside itself: nothing is fetched."""
    from jsonschema import Draft202012Validator  # takes 0.15 s to import; without tools, unneeded
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        why = error.message[:TOOL_ERROR_CHARS_MAX]
        raise Misconfigured(f"is no JSON schema: {error.json_path}: {why}") from error
    if schema.get("type") != "object":
        raise Misconfigured('is no JSON schema of an object: it must say type = "object"')
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise Misconfigured(f"refers to {reference!r}; only parts of itself (#/…) are read")
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            raise Misconfigured(f"refers to {reference!r}, which it does not have") from error
    return Draft202012Validator(schema, registry=Registry())


def _references(schema: object) -> list[str]:
    found: list[str] = []
    parts = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            reference = part.get("$ref")
            found += [reference] if isinstance(reference, str) else []
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return found


class Tool:
    """One tool of a company. Raises Misconfigured if its schema is wrong."""

    def __init__(self, spec: ToolSpec, call: Callable[[ToolCall], Any]) -> None:
        self.name = spec.name
        self.timeout_s = spec.timeout_s
        self.offer = {
            "type": "function",
            "function": {
                "name": spec.name,
                "description": spec.description,
                "parameters": spec.parameters,
            },
        }
        self._call = call
        self._validator = validator(spec.parameters)
        self._is_async = is_async(call)

    def unfit(self, arguments: dict[str, Any]) -> str | None:
        """What is wrong with the arguments, or None."""
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self._validator.iter_errors(arguments))
        except RecursionError:
            return "the arguments are nested too deeply"
        if error is None:
            return None
        return f"{error.json_path}: {error.message}"[:TOOL_ERROR_CHARS_MAX]

    async def run(self, call: ToolCall, threads: ThreadPoolExecutor) -> object:
        """What the tool returns. Raises whatever it raises."""
        if self._is_async:
            return await self._call(call)
        value = await asyncio.get_running_loop().run_in_executor(threads, self._in_thread, call)
        return await value if inspect.isawaitable(value) else value

    def _in_thread(self, call: ToolCall) -> object:
        try:
            return self._call(call)
        except StopIteration as error:
            # asyncio cannot carry it from a thread: the call would seem to hang.
            raise RuntimeError("StopIteration") from error


class Toolbox:
    """All tools that one company's model may call; empty, it offers nothing."""

    def __init__(
        self, company_id: str, tools: Sequence[Tool], clock: Clock, *, hand_over: bool
    ) -> None:
        self._company_id = company_id
        self._tools = {tool.name: tool for tool in tools}
        self._clock = clock
        self._hand_over = hand_over
        self._threads = ThreadPoolExecutor(TOOL_THREADS_MAX, thread_name_prefix="tool")
        self.offers: tuple[dict[str, Any], ...] = (
            *(tool.offer for tool in tools),
            *((_HAND_OVER_OFFER,) if hand_over else ()),
        )

    async def run(self, calls: Sequence[Asked], prompt: Prompt) -> Round:
        """Runs the calls of one round, in parallel. Cancelled, it cancels them all."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._run(asked, place, prompt))
                for place, asked in enumerate(calls)
            ]
        ended = [task.result() for task in tasks]
        reasons = [self._reason(asked) for asked in calls if self._hands_over(asked)]
        return Round(
            results=tuple(
                {"role": "tool", "tool_call_id": asked.call_id, "content": text}
                for asked, (text, _) in zip(calls, ended, strict=True)
            ),
            runs=tuple(run for _, run in ended if run is not None),
            hand_over=reasons[0] if reasons else "",
        )

    def _hands_over(self, asked: Asked) -> bool:
        return self._hand_over and asked.name == HAND_OVER

    def _reason(self, asked: Asked) -> str:
        """A hand-over that is asked for badly is still asked for."""
        try:
            reason = read_arguments(asked.arguments).get("reason")
        except ValueError:
            reason = None
        said = " ".join(reason.split()) if isinstance(reason, str) else ""
        return said[:HAND_OVER_REASON_CHARS_MAX] or NO_REASON

    async def _run(self, asked: Asked, place: int, prompt: Prompt) -> tuple[str, ToolRun | None]:
        if self._hands_over(asked):
            return "noted: a person takes over after your answer", None
        started_ms = self._clock.now_ms()
        error = ""
        try:
            if place >= TOOL_CALLS_MAX:
                raise _Failure(f"not run: at most {TOOL_CALLS_MAX} calls at once; call it again")
            text = await self._result(asked, prompt)
        except _Failure as failure:
            error = str(failure)
            text = f"error: {error}"
        took_ms = max(0, self._clock.now_ms() - started_ms)
        return text, ToolRun(asked.name[:TOOL_NAME_CHARS_MAX], took_ms, error)

    async def _result(self, asked: Asked, prompt: Prompt) -> str:
        tool = self._tools.get(asked.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            raise _Failure(f"there is no tool {asked.name[:TOOL_NAME_CHARS_MAX]!r}; known: {known}")
        try:
            arguments = read_arguments(asked.arguments)
        except ValueError as error:
            raise _Failure(str(error)) from error
        if why := tool.unfit(arguments):
            raise _Failure(f"the arguments do not fit: {why}")
        call = ToolCall(self._company_id, prompt.conversation, prompt.customer, arguments)
        return await self._foreign(tool, call)

    async def _foreign(self, tool: Tool, call: ToolCall) -> str:
        limit = asyncio.timeout(tool.timeout_s)
        try:
            async with limit:
                return result_text(await tool.run(call, self._threads))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise _Failure("the tool cancelled itself") from error
        # A company's own code may raise anything; the turn goes on without its result.
        except (Exception, SystemExit) as error:
            if limit.expired() and isinstance(error, TimeoutError):
                log.warning("%s: tool %s: no result in time", call.conversation, tool.name)
                raise _Failure(f"no result within {tool.timeout_s:g} s") from error
            log.warning("%s: tool %s failed", call.conversation, tool.name, exc_info=True)
            raise _Failure(f"the tool failed: {first_line(error)}") from error
