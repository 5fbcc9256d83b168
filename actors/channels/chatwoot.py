"""Speaks Chatwoot's application API: posts a reply with its marker, finds it again, looks who has
the word, hands over to a person, shows typing.

Source of every fact here: Chatwoot v4.15.1 (app/builders/messages/message_builder.rb,
app/finders/message_finder.rb, app/controllers/concerns/access_token_auth_helper.rb,
app/controllers/api/v1/accounts/conversations_controller.rb).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

import httpx

from actors.channels.calls import checked, checking, object_in, translating
from actors.channels.chatwoot_people import MARKER, last_person, object_of, standing_of
from actors.channels.message import TEXT_CHARS_MAX, Cue, Outgoing, Seen, Unreadable
from actors.channels.typing import Indicator
from actors.companies.company import ChatwootAccount
from actors.errors import Permanent, Retryable

PAGE = 100
"""GET messages?after=… answers so many, oldest first."""

PAGES_MAX = 20
"""Pages read in search of a reply, or of a person's."""

POST_S = 8.0
"""A post ends within so long, whatever it waits for: turns.READ_BACK_GRACE_MS is longer."""

LOOK_S = 8.0
"""A look at a conversation ends within so long."""

LOOKS_MAX = 32
"""Looks of a company under way at once, each of one call or two; others wait. They have places of
their own: a look may be part of the check for which a post holds one."""

TYPING_WAITING_MAX = 20
"""Typing calls of a company under way or in line; more are left out: they would come too late."""

NOTES_KEPT_MAX = 1_000
"""Hand-over notes remembered as posted, for tokens that may not read them back."""

NOT_FOR_BOTS = "not authorized for bots"
"""What a 401 says when the token is good, but an agent bot's."""

Check = Callable[[], Awaitable[None]]


class Chatwoot:
    """One company's Chatwoot account."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        account: ChatwootAccount,
        *,
        typing_http: httpx.AsyncClient,
        places: asyncio.Semaphore,
        indicators: Mapping[str, Indicator] | None = None,
    ) -> None:
        """`places`: so many posts of this company are under way at once; others wait.

        `indicators`: the networks' own, by the channel as Chatwoot names it (channels.typing).
        """
        self._places = places
        self._looks = asyncio.Semaphore(LOOKS_MAX)
        self._http = http
        self._typing_http = typing_http
        self._typing_calls = 0
        self._indicators = dict(indicators or {})
        self._url = f"{account.base_url}/api/v1/accounts/{account.account_id}/conversations"
        self._api_key = account.api_key
        # With dashes: a proxy may drop a header with underscores, Rails reads both alike.
        self._headers = {"api-access-token": account.api_key}
        self._may_list = True
        self._noted: deque[str] = deque(maxlen=NOTES_KEPT_MAX)

    async def reach(self) -> None:
        """Opens the way to Chatwoot and tries the token. Raises Retryable if nobody answers,
        Permanent if the token is refused or the address is another server's."""
        what = "Chatwoot, at the start"
        with translating(what, self._api_key):
            # No conversation has the number 0: whom Chatwoot lets in, it tells just that.
            response = await self._http.get(f"{self._url}/0", headers=self._headers)
        # A bot's token may not read conversations before 4.14.2: another 401, with other words.
        if response.status_code == 401 and NOT_FOR_BOTS in response.text:
            return
        if response.status_code != 404 or not _is_said_by_chatwoot(response):
            checked(response, what, self._api_key)

    async def send(self, reply: Outgoing, check: Check) -> str:
        """Posts the reply and returns Chatwoot's id for it."""
        what = f"Chatwoot, reply {reply.reply_id} to conversation {reply.conversation_id}"
        async with self._places:
            await check()
            response = await self._post_message(
                reply, what, private=False, extensions=checking(check)
            )
        try:
            return str(response.json()["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise Retryable(f"{what}: a success without an id", doubtful=True) from error

    async def find(self, reply: Outgoing) -> str | Unreadable | None:
        """The id of the reply if it stands in the conversation, None if it does not; Unreadable
        where the token may not see enough to say."""
        what = f"Chatwoot, looking for reply {reply.reply_id}"
        after = int(reply.after_message_id) if reply.after_message_id.isdecimal() else 0
        try:
            seen = 0
            async for page in self._pages(reply.conversation_id, after, what):
                if (found := _marked(page, reply.reply_id)) is not None:
                    return found
                seen += len(page)
        except Permanent:
            return await self._find_last(reply, after, what)
        if seen >= PAGE * PAGES_MAX:
            return Unreadable(f"{what}: it is not among the {seen} messages that were read")
        return None

    async def _find_last(self, reply: Outgoing, after: int, what: str) -> str | Unreadable | None:
        """An agent bot's token may not list messages; from 4.14.2 on it may read the conversation,
        which shows the last one: ours, unless somebody wrote after it."""
        try:
            last = _last_messages(await self._get(reply.conversation_id, what))
        except Permanent as error:
            return Unreadable(str(error))
        if (found := _marked(last, reply.reply_id)) is not None:
            return found
        if _none_after(last, after):
            return None
        return Unreadable(
            f"{what}: this token sees the last message alone, and that is another one"
        )

    async def look(
        self, conversation_id: str, after_message_id: str, newest_message_id: str
    ) -> Seen | None:
        """Who may speak now, and the last reply of a person after that message.

        `newest_message_id`: the newest that is known. Where it is that very message, and Chatwoot's
        last one is no newer, the messages are not listed. None where the token may not read the
        conversation (an agent bot's, before 4.14.2).
        """
        what = f"Chatwoot, looking at conversation {conversation_id}"
        # Without a message to begin after, a person's reply of last year would count.
        after = int(after_message_id) if after_message_id.isdecimal() else None
        async with self._looks:
            with translating(what, self._api_key):
                async with asyncio.timeout(LOOK_S):
                    conversation = await self._conversation(conversation_id, what)
                    if conversation is None:
                        return None
                    last = _last_messages(conversation)
                    if after is None or (
                        after_message_id == newest_message_id and _none_after(last, after)
                    ):
                        return Seen(standing_of(conversation), None)
                    messages = await self._messages_after(conversation_id, after, what)
        via = str(object_of(conversation.get("meta")).get("channel") or "")
        return Seen(
            standing_of(conversation),
            last_person(last if messages is None else messages, via, after),
        )

    async def hand_over(self, note: Outgoing, check: Check) -> None:
        """Passes the conversation to a person: a private note with the reason, and status open.

        With an agent's token Chatwoot assigns the conversation to that agent as well.
        """
        await self._leave_note(note, check)
        what = f"Chatwoot, opening conversation {note.conversation_id} for a person"
        async with self._places:
            await check()
            # Always with the status: without one, Chatwoot toggles.
            path, body = f"{note.conversation_id}/toggle_status", {"status": "open"}
            await self._post(path, body, what, checking(check))

    async def typing(self, cue: Cue) -> None:
        """Shows or hides the typing indicator in Chatwoot, and shows it on the customer's network.

        Each call is made whatever becomes of the other; what failed is raised as one Retryable.
        """
        what = f"Chatwoot, typing in conversation {cue.conversation_id}"
        if self._typing_calls >= TYPING_WAITING_MAX:
            raise Retryable(f"{what}: {self._typing_calls} such calls are under way already")
        self._typing_calls += 1
        try:
            calls = [self._switch_typing(cue, what), *self._on_network(cue)]
            ended = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            self._typing_calls -= 1
        failures = [error for error in ended if error is not None]
        for error in failures:
            if not isinstance(error, Retryable | Permanent):
                raise error
        if failures:
            raise Retryable("; ".join(map(str, failures)))

    async def _post_message(
        self,
        post: Outgoing,
        what: str,
        *,
        private: bool,
        extensions: dict[str, Any],
    ) -> httpx.Response:
        body = {
            "content": post.text[:TEXT_CHARS_MAX],
            "message_type": "outgoing",
            "private": private,
            "content_attributes": {MARKER: post.reply_id},
        }
        return await self._post(f"{post.conversation_id}/messages", body, what, extensions)

    async def _post(
        self,
        path: str,
        body: dict[str, Any],
        what: str,
        extensions: dict[str, Any],
    ) -> httpx.Response:
        with translating(what, self._api_key):
            async with asyncio.timeout(POST_S):
                response = await self._http.post(
                    f"{self._url}/{path}",
                    headers=self._headers,
                    json=body,
                    extensions=extensions,
                )
        return checked(response, what, self._api_key)

    async def _get(
        self, path: str, what: str, params: dict[str, int] | None = None
    ) -> dict[str, Any]:
        with translating(what, self._api_key):
            response = await self._http.get(
                f"{self._url}/{path}", headers=self._headers, params=params
            )
        return object_in(checked(response, what, self._api_key), what)

    async def _pages(self, conversation_id: str, after: int, what: str) -> AsyncIterator[list[Any]]:
        """The messages after one, page by page. Raises Permanent where the token may not list."""
        if not self._may_list:
            raise Permanent(f"{what}: this token may not list messages")
        for _ in range(PAGES_MAX):
            try:
                page = await self._get(f"{conversation_id}/messages", what, {"after": after})
            except Permanent as error:
                # Other refusals may end: a suspended account, a token that is set anew.
                self._may_list = NOT_FOR_BOTS not in str(error)
                raise
            messages = page.get("payload") or []
            yield messages
            if len(messages) < PAGE:
                return
            after = max(int(message["id"]) for message in messages)

    async def _messages_after(
        self, conversation_id: str, after: int, what: str
    ) -> list[Any] | None:
        """None where the token may not list messages."""
        try:
            pages = [page async for page in self._pages(conversation_id, after, what)]
        except Permanent:
            return None
        return [message for page in pages for message in page]

    async def _conversation(self, conversation_id: str, what: str) -> dict[str, Any] | None:
        try:
            return await self._get(conversation_id, what)
        except Permanent:
            # Asked again each time: Chatwoot may be upgraded while this runs.
            return None

    async def _leave_note(self, note: Outgoing, check: Check) -> None:
        if note.reply_id in self._noted:
            return
        found = await self.find(note)
        if isinstance(found, str):
            return
        # What cannot be read back is posted once: rather lost than twice.
        blind = isinstance(found, Unreadable)
        what = f"Chatwoot, note {note.reply_id} in conversation {note.conversation_id}"
        try:
            async with self._places:
                await check()
                await self._post_message(note, what, private=True, extensions=checking(check))
        except Retryable as error:
            if blind and error.doubtful:
                self._noted.append(note.reply_id)
            raise
        self._noted.append(note.reply_id)

    async def _switch_typing(self, cue: Cue, what: str) -> None:
        with translating(what, self._api_key):
            response = await self._typing_http.post(
                f"{self._url}/{cue.conversation_id}/toggle_typing_status",
                headers=self._headers,
                json={"typing_status": "on" if cue.on else "off", "is_private": False},
            )
        checked(response, what, self._api_key)

    def _on_network(self, cue: Cue) -> list[Coroutine[Any, Any, None]]:
        indicator = self._indicators.get(cue.via)
        if not cue.on or indicator is None or not indicator.knows(cue.source_id or ""):
            return []
        return [indicator.show(cue.source_id or "")]


def _is_said_by_chatwoot(response: httpx.Response) -> bool:
    """Whether Chatwoot made this error: a page of another server is none of its objects."""
    try:
        return "error" in object_of(response.json())
    except ValueError:
        return False


def _last_messages(conversation: dict[str, Any]) -> list[Any]:
    return [*(conversation.get("messages") or []), conversation.get("last_non_activity_message")]


def _none_after(last: list[Any], after: int) -> bool:
    """Whether none of a conversation's last messages is newer than that id."""
    ids = [object_of(message).get("id") for message in last if message is not None]
    return all(isinstance(name, int) and name <= after for name in ids)


def _marked(messages: list[Any], reply_id: str) -> str | None:
    for message in messages:
        if object_of(object_of(message).get("content_attributes")).get(MARKER) == reply_id:
            return str(message.get("id"))
    return None
