"""Asks a model that speaks OpenAI's chat completions API for one answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from actors.errors import Permanent, Retryable
from actors.llm.prompt import Prompt

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class Answer(msgspec.Struct, frozen=True):
    """What the model said, and what it cost."""

    text: str
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


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


class OpenAIResponder:
    """One company's model."""

    def __init__(
        self,
        client: "AsyncOpenAI",
        model: str,
        *,
        temperature: float | None,
        max_tokens: int | None,
        max_tokens_name: str,
    ) -> None:
        """`max_tokens_name`: OpenAI's newer models take `max_completion_tokens` only, most other
        servers of the same API take `max_tokens` only."""
        self.name = model
        self._client = client
        self._options: dict[str, Any] = {"model": model}
        if temperature is not None:
            self._options["temperature"] = temperature
        if max_tokens is not None:
            self._options[max_tokens_name] = max_tokens

    async def answer(self, prompt: Prompt) -> Answer:
        messages: list[Any] = [
            {"role": "system", "content": prompt.system},
            *({"role": line.role, "content": line.text} for line in prompt.history),
            {"role": "user", "content": prompt.question},
        ]
        with translating():
            completion = await self._client.chat.completions.create(
                messages=messages, **self._options
            )
        text = (completion.choices[0].message.content or "") if completion.choices else ""
        if not text.strip():
            raise Retryable("the model answered with an empty text")
        usage = completion.usage
        return Answer(
            text.strip(),
            model=completion.model or self.name,
            tokens_in=usage.prompt_tokens if usage else 0,
            tokens_out=usage.completion_tokens if usage else 0,
        )
