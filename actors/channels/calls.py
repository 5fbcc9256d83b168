"""Turns what a provider's HTTP API answers, and how it fails, into our errors, without secrets."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from actors.errors import Permanent, Retryable

ERROR_CHARS_MAX = 300

STALE_S = 2.0
"""A check that was made longer ago is made once more before a post."""


def scrubbed(text: str, *secrets: str) -> str:
    """The text without the secrets: Meta's errors hold the token, a client's a bad header."""
    for secret in secrets:
        if secret.strip():
            text = text.replace(secret.strip(), "***")
    return text


def checking(check: Callable[[], Awaitable[None]], stale_s: float = STALE_S) -> dict[str, Any]:
    """The extensions of a request that is not sent on the strength of an old check.

    A process that stood still (or waited long for its connection) between the check and the first
    byte checks once more, and sends nothing if that raises: somebody else may have sent it since.
    """
    loop = asyncio.get_running_loop()
    checked_s = loop.time()

    async def trace(event: str, _: dict[str, Any]) -> None:
        # httpcore's name for the moment at which it has a connection and nothing is written yet.
        if event.endswith("send_request_headers.started") and loop.time() - checked_s > stale_s:
            await check()

    return {"trace": trace}


@contextmanager
def translating(what: str, *secrets: str) -> Iterator[None]:
    """httpx's errors as ours. Only a connection that was never made leaves no doubt."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        reason = scrubbed(str(error), *secrets)
        raise Retryable(f"{what}: no connection: {reason}") from error
    except (httpx.HTTPError, TimeoutError) as error:
        reason = scrubbed(str(error), *secrets)
        raise Retryable(f"{what}: {type(error).__name__}: {reason}", doubtful=True) from error


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def checked(response: httpx.Response, what: str, *secrets: str) -> httpx.Response:
    """The response if it is a success.

    422 counts as doubtful and passing: Chatwoot answers it for errors after the message was stored,
    and for its limit of 200 messages a minute in a conversation.
    """
    status = response.status_code
    if response.is_success:
        return response
    message = f"{what}: {status} {scrubbed(response.text, *secrets)[:ERROR_CHARS_MAX]}"
    if status == 429:
        raise Retryable(message, after_s=_retry_after_s(response))
    if status >= 500 or status in (408, 422):
        raise Retryable(message, after_s=_retry_after_s(response), doubtful=True)
    raise Permanent(message)


def object_in(response: httpx.Response, what: str) -> dict[str, Any]:
    """The JSON object of a success, an empty one for any other JSON."""
    try:
        body = response.json()
    except ValueError as error:
        raise Retryable(f"{what}: the answer is not JSON") from error
    return body if isinstance(body, dict) else {}
