"""Asks a model that speaks OpenAI's chat completions API for one answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from actors.errors import Permanent, Retryable
from actors.llm.prompt import Prompt, ToolRun, whole
from actors.llm.tools import Asked, Toolbox, read_arguments

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletion

TOOL_ROUNDS_MAX = 5
"""Rounds of tools in one turn; after them the model is asked once more and must answer."""

PICTURES_MAX = 10
"""Pictures shown to the model in one turn: the newest."""


class Answer(msgspec.Struct, frozen=True):
    """What the model said, and what it cost over all its calls in the turn.

    `hand_over` is the reason to pass the conversation to a person, "" where there is none; only
    then `text` may be empty.
    """

    text: str
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    hand_over: str = ""
    tools: tuple[ToolRun, ...] = ()


class Responder(Protocol):
    """Turns a prompt into an answer. Raises Retryable or Permanent."""

    async def answer(self, prompt: Prompt) -> Answer: ...


@contextmanager
def translating() -> Iterator[None]:
    """The client's errors as ours, by R1.8: connection, timeout, 408, 409, 429 and 5xx may pass."""
    import openai  # takes 0.5 s to import; a process that asks no model does without

    try:
        yield
    except openai.APIConnectionError as error:
        raise Retryable(f"the model cannot be reached: {error.__cause__ or error}") from error
    except openai.APIStatusError as error:
        message = f"the model's API answered {error.status_code}: {error.message[:300]}"
        if error.status_code in (408, 409, 429) or error.status_code >= 500:
            asked = error.response.headers.get("retry-after", "")
            after_s = float(asked) if asked.replace(".", "", 1).isdecimal() else None
            raise Retryable(message, after_s=after_s) from error
        raise Permanent(message) from error
    except openai.APIError as error:
        raise Retryable(f"the model's answer cannot be read: {error.message[:300]}") from error


class _Said(msgspec.Struct, frozen=True):
    """One message of the model."""

    text: str
    calls: tuple[Asked, ...]
    model: str
    tokens_in: int
    tokens_out: int


def _said(completion: "ChatCompletion") -> _Said:
    message = completion.choices[0].message if completion.choices else None
    calls = (message and message.tool_calls) or ()
    return _Said(
        text=whole((message and message.content) or "").strip(),
        calls=tuple(
            # Some servers of the same API give no ids; the results must name the calls somehow.
            Asked(
                whole(call.id or f"call-{place}"),
                whole(call.function.name or ""),
                whole(call.function.arguments or ""),
            )
            for place, call in enumerate(calls)
            if call.type == "function"
        ),
        model=completion.model or "",
        tokens_in=completion.usage.prompt_tokens if completion.usage else 0,
        tokens_out=completion.usage.completion_tokens if completion.usage else 0,
    )


def _readable(arguments: str) -> str:
    """The arguments as the model reads them back: some servers refuse a history with broken JSON,
    and the call's result says what was wrong with it."""
    try:
        read_arguments(arguments)
    except ValueError:
        return "{}"
    return arguments.strip() or "{}"


def _repeated(said: _Said) -> dict[str, Any]:
    """The model's own message with its calls, as the next request must repeat it."""
    return {
        "role": "assistant",
        "content": said.text or None,
        "tool_calls": [
            {
                "id": asked.call_id,
                "type": "function",
                "function": {"name": asked.name, "arguments": _readable(asked.arguments)},
            }
            for asked in said.calls
        ],
    }


def _question(prompt: Prompt) -> str | list[dict[str, Any]]:
    """The batch as the content of a message: with its pictures, if it has any."""
    if not prompt.pictures:
        return prompt.question
    shown = prompt.pictures[-PICTURES_MAX:]
    left_out = len(prompt.pictures) - len(shown)
    note = f"\n[{left_out} earlier pictures are not shown]" if left_out else ""
    return [
        {"type": "text", "text": prompt.question + note},
        *({"type": "image_url", "image_url": {"url": picture.data_url}} for picture in shown),
    ]


def messages_of(prompt: Prompt) -> list[Any]:
    """The prompt as OpenAI's chat completions take it."""
    return [
        {"role": "system", "content": prompt.system},
        *({"role": line.role, "content": line.text} for line in prompt.history),
        {"role": "user", "content": _question(prompt)},
    ]


def _with(total: Answer, said: _Said) -> Answer:
    """The answer so far and one more message: its text counts, its tokens are added."""
    return msgspec.structs.replace(
        total,
        text=said.text,
        model=said.model or total.model,
        tokens_in=total.tokens_in + said.tokens_in,
        tokens_out=total.tokens_out + said.tokens_out,
    )


class OpenAIResponder:
    """One company's model, with its tools."""

    def __init__(
        self,
        client: "AsyncOpenAI",
        model: str,
        *,
        toolbox: Toolbox,
        temperature: float | None,
        max_tokens: int | None,
        max_tokens_name: str,
    ) -> None:
        """`max_tokens_name`: OpenAI's newer models take `max_completion_tokens` only, most other
        servers of the same API take `max_tokens` only."""
        self.name = model
        self._client = client
        self._toolbox = toolbox
        self._options: dict[str, Any] = {"model": model}
        if temperature is not None:
            self._options["temperature"] = temperature
        if max_tokens is not None:
            self._options[max_tokens_name] = max_tokens

    async def answer(self, prompt: Prompt) -> Answer:
        """The model's answer, after at most TOOL_ROUNDS_MAX rounds of tools. Cancelled, it cancels
        the tools under way."""
        messages = messages_of(prompt)
        total = Answer("", model=self.name)
        rounds = TOOL_ROUNDS_MAX if self._toolbox.offers else 0
        for rounds_left in range(rounds, -1, -1):
            said = await self._ask(messages, rounds_left=rounds_left)
            total = _with(total, said)
            if not said.calls or not rounds_left:
                break
            ended = await self._toolbox.run(said.calls, prompt)
            total = msgspec.structs.replace(
                total,
                tools=total.tools + ended.runs,
                hand_over=total.hand_over or ended.hand_over,
            )
            if not ended.runs:
                # Nothing but a hand-over: there is no result that the model waits for.
                break
            messages += [_repeated(said), *ended.results]
        if not total.text and not total.hand_over:
            raise Retryable("the model answered with an empty text")
        return total

    async def _ask(self, messages: list[Any], *, rounds_left: int) -> _Said:
        options = dict(self._options)
        if self._toolbox.offers:
            options["tools"] = list(self._toolbox.offers)
            if not rounds_left:
                options["tool_choice"] = "none"
        with translating():
            completion = await self._client.chat.completions.create(messages=messages, **options)
        return _said(completion)
