"""Speaks Chatwoot's application API: posts a reply with its marker, finds it again, shows typing.

Source of every fact here: Chatwoot v4.15.1 (app/builders/messages/message_builder.rb,
app/finders/message_finder.rb, app/controllers/concerns/access_token_auth_helper.rb).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from actors.channels.message import TEXT_CHARS_MAX, Outgoing
from actors.companies.company import ChatwootAccount
from actors.errors import Permanent, Retryable

MARKER = "turnwise_reply_id"
"""Our key under `content_attributes`; echo_id is not stored, source_id would stop the delivery."""

PAGE = 100
"""GET messages?after=… answers so many, oldest first."""

PAGES_MAX = 20
"""Pages read in search of a reply."""

ERROR_CHARS_MAX = 300

POST_S = 8.0
"""A post ends within so long, whatever it waits for: turns.READ_BACK_GRACE_MS is longer."""

Check = Callable[[], Awaitable[None]]

TYPING_WAITING_MAX = 20
"""Typing calls of a company under way or in line; more are left out: they would come too late."""


@contextmanager
def translating(what: str) -> Iterator[None]:
    """httpx's errors as ours. Only a connection that was never made leaves no doubt."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Retryable(f"{what}: no connection: {error}") from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise Retryable(f"{what}: {type(error).__name__}: {error}", doubtful=True) from error


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def checked(response: httpx.Response, what: str) -> httpx.Response:
    """The response if it is a success.

    422 counts as doubtful and passing: Chatwoot answers it for errors after the message was stored,
    and for its limit of 200 messages a minute in a conversation.
    """
    status = response.status_code
    if response.is_success:
        return response
    message = f"{what}: {status} {response.text[:ERROR_CHARS_MAX]}"
    if status == 429:
        raise Retryable(message, after_s=_retry_after_s(response))
    if status >= 500 or status in (408, 422):
        raise Retryable(message, after_s=_retry_after_s(response), doubtful=True)
    raise Permanent(message)


class Chatwoot:
    """One company's Chatwoot account."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        account: ChatwootAccount,
        *,
        typing_http: httpx.AsyncClient,
        places: asyncio.Semaphore,
    ) -> None:
        """`places`: so many posts are under way at once, of all companies; others wait."""
        self._places = places
        self._http = http
        self._typing_http = typing_http
        self._typing_calls = 0
        self._url = f"{account.base_url}/api/v1/accounts/{account.account_id}/conversations"
        # With dashes: a proxy may drop a header with underscores, Rails reads both alike.
        self._headers = {"api-access-token": account.api_key}

    async def send(self, reply: Outgoing, check: Check) -> str:
        """Posts the reply and returns Chatwoot's id for it."""
        what = f"Chatwoot, reply {reply.reply_id} to conversation {reply.conversation_id}"
        async with self._places:
            await check()
            with translating(what):
                async with asyncio.timeout(POST_S):
                    response = await self._http.post(
                        f"{self._url}/{reply.conversation_id}/messages",
                        headers=self._headers,
                        json={
                            "content": reply.text[:TEXT_CHARS_MAX],
                            "message_type": "outgoing",
                            "private": False,
                            "content_attributes": {MARKER: reply.reply_id},
                        },
                    )
        checked(response, what)
        try:
            return str(response.json()["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise Retryable(f"{what}: a success without an id", doubtful=True) from error

    async def find(self, reply: Outgoing) -> str | None:
        """The id of the reply if it stands in the conversation, else None."""
        try:
            return await self._find_in_messages(reply)
        except Permanent:
            # An agent bot's token may not list messages; from 4.14.2 on it may read the
            # conversation, which shows the last one: ours, unless somebody wrote after it.
            return await self._find_in_conversation(reply)

    async def _find_in_messages(self, reply: Outgoing) -> str | None:
        after = int(reply.after_message_id) if reply.after_message_id.isdecimal() else 0
        for _ in range(PAGES_MAX):
            page = await self._get(f"{reply.conversation_id}/messages", reply, {"after": after})
            messages = page.get("payload") or []
            found = _marked(messages, reply.reply_id)
            if found is not None or len(messages) < PAGE:
                return found
            after = max(int(message["id"]) for message in messages)
        return None

    async def _find_in_conversation(self, reply: Outgoing) -> str | None:
        conversation = await self._get(reply.conversation_id, reply, {})
        last = conversation.get("last_non_activity_message")
        return _marked([*(conversation.get("messages") or []), last], reply.reply_id)

    async def _get(self, path: str, reply: Outgoing, params: dict[str, int]) -> dict[str, Any]:
        what = f"Chatwoot, looking for reply {reply.reply_id}"
        with translating(what):
            response = await self._http.get(
                f"{self._url}/{path}", headers=self._headers, params=params
            )
        checked(response, what)
        try:
            body = response.json()
        except ValueError as error:
            raise Retryable(f"{what}: the answer is not JSON") from error
        return body if isinstance(body, dict) else {}

    async def typing(self, conversation_id: str, *, on: bool) -> None:
        """Shows or hides the typing indicator in Chatwoot."""
        what = f"Chatwoot, typing in conversation {conversation_id}"
        if self._typing_calls >= TYPING_WAITING_MAX:
            raise Retryable(f"{what}: {self._typing_calls} such calls are under way already")
        self._typing_calls += 1
        try:
            with translating(what):
                response = await self._typing_http.post(
                    f"{self._url}/{conversation_id}/toggle_typing_status",
                    headers=self._headers,
                    json={"typing_status": "on" if on else "off", "is_private": False},
                )
            checked(response, what)
        finally:
            self._typing_calls -= 1


def _marked(messages: list[Any], reply_id: str) -> str | None:
    for message in messages:
        if not isinstance(message, dict):
            continue
        attributes = message.get("content_attributes")
        if isinstance(attributes, dict) and attributes.get(MARKER) == reply_id:
            return str(message.get("id"))
    return None
