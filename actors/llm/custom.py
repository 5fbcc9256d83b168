"""Finds a company's own code by its name, and lets it answer in the model's place."""

import asyncio
import importlib
import os
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec

from actors.companies.company import Company, ToolSpec
from actors.errors import Misconfigured, Permanent, Retryable
from actors.llm.prompt import Prompt, whole
from actors.llm.responder import Answer
from actors.llm.tools import HAND_OVER, HAND_OVER_REASON_CHARS_MAX, Tool, first_line, is_async
from actors.telemetry import logger

log = logger("custom")

NAMES_SHOWN_MAX = 10

_SPEC = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")


def load(spec: str) -> Callable[..., Any]:
    """The callable that `module:callable` names; raises Misconfigured.

    Modules are found among those installed, and in the directory where turnwise runs. A module is
    read once a process: a change to its file takes effect with the next start.
    """
    found = _SPEC.fullmatch(spec)
    if found is None:
        raise Misconfigured(f"{spec!r} is not of the form module:callable, e.g. shop.answers:reply")
    module, name = _module(found[1]), found[2]
    if not hasattr(module, name):
        known = [other for other, value in vars(module).items() if _is_public(other, value)]
        there = ", ".join(sorted(known)[:NAMES_SHOWN_MAX]) or "nothing that can be called"
        raise Misconfigured(f"module {found[1]!r} has no {name!r}; it has: {there}")
    target: Callable[..., Any] = getattr(module, name)
    if not callable(target):
        raise Misconfigured(f"{spec!r} cannot be called: it is a {type(target).__name__}")
    return target


def _is_public(name: str, value: object) -> bool:
    return callable(value) and not name.startswith("_")


def _module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        # Last, so that a file there never takes the place of an installed module.
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise Misconfigured(f"module {name!r} imports {error.name!r}: not installed") from error
        raise Misconfigured(
            f"there is no module {error.name!r}, neither installed nor in {here}"
        ) from error
    # A company's own module may raise anything while it is read.
    except (Exception, SystemExit) as error:
        raise Misconfigured(f"module {name!r} cannot be read: {first_line(error)}") from error


def tools_of(company: Company) -> tuple[Tool, ...]:
    """The company's tools, ready to run; raises Misconfigured, which names the key's path."""
    return tuple(
        _tool(f"companies.{company.company_id}.tools.{spec.name}", spec) for spec in company.tools
    )


def _tool(path: str, spec: ToolSpec) -> Tool:
    if spec.name == HAND_OVER:
        raise Misconfigured(f"{path}: this name is the built-in hand-over's; choose another")
    try:
        call = load(spec.call)
    except Misconfigured as error:
        raise Misconfigured(f"{path}.call: {error}") from error
    try:
        return Tool(spec, call)
    except Misconfigured as error:
        raise Misconfigured(f"{path}.parameters: {error}") from error


def responder_of(company: Company, *, timeout_s: float) -> "CustomResponder | None":
    """The company's own responder, if it names one; raises Misconfigured with the key's path."""
    if company.responder is None:
        return None
    path = f"companies.{company.company_id}.responder"
    try:
        answer = load(company.responder)
    except Misconfigured as error:
        raise Misconfigured(f"{path}: {error}") from error
    if not is_async(answer):
        raise Misconfigured(
            f"{path}: {company.responder!r} would hold up every other conversation; "
            "write it as `async def answer(prompt)`"
        )
    return CustomResponder(company.responder, answer, timeout_s=timeout_s)


def check_callables(company: Company) -> None:
    """Raises Misconfigured if code that the company names cannot be found or used; the message
    begins with the key's path, such as `companies.acme.tools.stock.call`."""
    responder_of(company, timeout_s=1)
    tools_of(company)


class CustomResponder:
    """A company's own `async def answer(prompt: Prompt) -> Answer | str`.

    errors.Retryable and errors.Permanent of that code pass as they are. A TimeoutError or another
    OSError may pass by itself, so it is Retryable, and so is the time limit; everything else is a
    bug there, which would be met again: Permanent.
    """

    def __init__(self, name: str, answer: Callable[[Prompt], Any], *, timeout_s: float) -> None:
        """`name`: where the code is, `module:callable`; it stands for the model in the journal."""
        self.name = name
        self._answer = answer
        self._timeout_s = timeout_s

    async def answer(self, prompt: Prompt) -> Answer:
        answer = self._read(await self._foreign(prompt))
        if not answer.text and not answer.hand_over:
            raise Retryable(f"{self.name} answered with an empty text")
        return answer

    async def _foreign(self, prompt: Prompt) -> object:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                said: object = await self._answer(prompt)
                return said
        except (Retryable, Permanent):
            raise
        except OSError as error:
            if limit.expired():
                message = f"{self.name} did not answer within {self._timeout_s:g} s"
            else:
                message = f"{self.name}: {first_line(error)}"
            raise Retryable(message) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise Permanent(f"{self.name} cancelled itself") from error
        # Foreign code may raise anything; its bug is that company's, not this process's.
        except (Exception, SystemExit) as error:
            log.exception("%s: %s failed", prompt.conversation, self.name)
            raise Permanent(f"{self.name} failed: {first_line(error)}") from error

    def _read(self, said: object) -> Answer:
        if isinstance(said, str):
            return Answer(whole(said).strip(), model=self.name)
        if not isinstance(said, Answer):
            raise Permanent(f"{self.name} returned a {type(said).__name__}, not an Answer or a str")
        try:
            # Python does not check what a Struct is made with; the journal would meet it later.
            answer = msgspec.convert(msgspec.to_builtins(said), Answer)
        except (msgspec.ValidationError, TypeError) as error:
            raise Permanent(f"{self.name} returned a wrong Answer: {first_line(error)}") from error
        return msgspec.structs.replace(
            answer,
            text=whole(answer.text).strip(),
            hand_over=whole(answer.hand_over).strip()[:HAND_OVER_REASON_CHARS_MAX],
            model=answer.model or self.name,
        )
