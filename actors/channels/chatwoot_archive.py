"""Lists what stands in a company's Chatwoot: the conversations of an inbox, and their messages.

Source of every fact: Chatwoot (app/finders/conversation_finder.rb, app/finders/message_finder.rb,
app/models/concerns/sort_handler.rb, app/views/api/v1/accounts/conversations/index.json.jbuilder,
app/views/api/v1/conversations/partials/_conversation.json.jbuilder,
app/views/api/v1/models/_message.json.jbuilder, access_token_auth_helper.rb). A page of
conversations has CONVERSATION_RESULTS_PER_PAGE of them (25 unless the operator of that Chatwoot
says otherwise), so only an empty one is known to be the last. `updated_within` would answer all at
once, without pages, and is not used. Nothing there tells a listed campaign's message from a
person's: it counts as a person's.
"""

import asyncio
from typing import Any

import httpx
import msgspec
from pydantic import ValidationError

from actors.channels.calls import checked, object_in, translating
from actors.channels.chatwoot_messages import ByPerson, FromCustomer, said_in
from actors.channels.chatwoot_people import (
    MARKER,
    OUTGOING,
    changed_ms,
    is_ours,
    object_of,
)
from actors.companies.company import ChatwootAccount

CALL_S = 10.0
"""A call ends within so long."""


class Row(msgspec.Struct, frozen=True):
    """A conversation as it is listed. `active_ms`: its last message, of any kind; `newest`: the id
    of that message, 0 where it is not said; `raw`: all that is said of the conversation."""

    conversation_id: str
    inbox_id: str
    active_ms: int
    newest: int
    raw: dict[str, Any]


class Ours(msgspec.Struct, frozen=True):
    """A message that we posted ourselves, under this id."""

    reply_id: str


class Other(msgspec.Struct, frozen=True):
    """A message to the customer that neither we nor a person wrote, nor a rule: another bot's."""


class Written(msgspec.Struct, frozen=True):
    """A message as it is listed; `said` None: nobody wrote it to anybody."""

    number: int
    written_ms: int
    said: FromCustomer | ByPerson | Ours | Other | None


def row_of(raw: Any) -> Row | None:
    """The conversation, None where it has no number or no inbox."""
    found = object_of(raw)
    number, inbox = _number(found.get("id")), _number(found.get("inbox_id"))
    if not number or not inbox:
        return None
    last = [*_list(found.get("messages")), found.get("last_non_activity_message")]
    active = found.get("last_activity_at") or found.get("timestamp")
    return Row(
        conversation_id=str(number),
        inbox_id=str(inbox),
        active_ms=changed_ms(active),
        newest=max(_number(object_of(message).get("id")) for message in last),
        raw=found,
    )


def written_of(raw: Any, row: Row) -> Written | None:
    """The message of this conversation, None where it has no number."""
    message = object_of(raw)
    number = _number(message.get("id"))
    if not number:
        return None
    return Written(number, changed_ms(message.get("created_at")), _said(message, row))


def _said(message: dict[str, Any], row: Row) -> FromCustomer | ByPerson | Ours | Other | None:
    attributes = object_of(message.get("content_attributes"))
    if message.get("private") or attributes.get("deleted"):
        return None
    if message.get("message_type") in OUTGOING and is_ours(message):
        return Ours(str(attributes[MARKER]))
    # A webhook's conversation names its channel itself, a listed one in `meta`.
    channel = object_of(row.raw.get("meta")).get("channel")
    event = {**message, "conversation": {**row.raw, "channel": channel}}
    try:
        said = said_in({**event, "inbox": {"id": row.inbox_id}})
    except ValidationError:
        return None  # its webhook would have been refused
    if not isinstance(said, str):
        return said
    by_rule = attributes.get("automation_rule_id")
    return Other() if message.get("message_type") in OUTGOING and not by_rule else None


def _number(value: Any) -> int:
    """The number of something in Chatwoot, 0 where it is none."""
    is_one = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if is_one else 0


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


class Archive:
    """What one company's Chatwoot holds. Every call raises Retryable, or Permanent: an agent bot's
    token may not list, a user's sees the inboxes that the user belongs to."""

    def __init__(self, http: httpx.AsyncClient, account: ChatwootAccount) -> None:
        self._http = http
        self._url = f"{account.base_url}/api/v1/accounts/{account.account_id}/conversations"
        self._api_key = account.api_key
        self._headers = {"api-access-token": account.api_key}

    async def conversations(self, inbox_id: str, page: int) -> list[Row]:
        """A page of an inbox's conversations, the last active first; pages count from 1."""
        params = {
            "inbox_id": inbox_id,
            "status": "all",
            "assignee_type": "all",
            "sort_by": "last_activity_at_desc",
            "page": str(page),
        }
        what = f"Chatwoot, listing the conversations of inbox {inbox_id}"
        data = object_of((await self._get(self._url, params, what)).get("data"))
        return [row for raw in _list(data.get("payload")) if (row := row_of(raw)) is not None]

    async def messages(self, row: Row, before: int | None) -> list[Written]:
        """The last 20 messages of a conversation (before this one), by their numbers."""
        params = {} if before is None else {"before": str(before)}
        what = f"Chatwoot, listing the messages of conversation {row.conversation_id}"
        page = await self._get(f"{self._url}/{row.conversation_id}/messages", params, what)
        found = [written_of(raw, row) for raw in _list(page.get("payload"))]
        return sorted(filter(None, found), key=lambda written: written.number)

    async def _get(self, url: str, params: dict[str, str], what: str) -> dict[str, Any]:
        with translating(what, self._api_key):
            async with asyncio.timeout(CALL_S):
                response = await self._http.get(url, headers=self._headers, params=params)
        return object_in(checked(response, what, self._api_key), what)
