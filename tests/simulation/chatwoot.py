"""Is the simulated Chatwoot: keeps messages and who may speak, answers its API, sends webhooks.

Field names and answers as in Chatwoot v4.15.1 (see actors/channels/chatwoot.py).
"""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from actors.channels.chatwoot_people import MARKER

PATH = re.compile(r"/api/v1/accounts/(\d+)/conversations/(\d+)(?:/(\w+))?$")

Place = tuple[int, str]
"""An account and one of its conversations."""

EPOCH_S = 1_760_000_000


@dataclass
class Conversation:
    """What stands in one conversation, oldest first."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    status: str = "pending"
    assignee: str | None = None
    updated_s: float = 0.0

    def said_by_bot(self) -> list[dict[str, Any]]:
        """What the customer sees of the bot."""
        return [m for m in self.messages if m["message_type"] == 1 and MARKER in _own(m)
                and not m["private"]]  # fmt: skip

    def notes(self) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["private"]]


def _own(message: dict[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = message["content_attributes"]
    return attributes


class Chatwoot:
    """All accounts. `webhook` is called with the account and the body of each event."""

    def __init__(
        self,
        tokens: dict[int, str],
        now_s: Callable[[], float],
        webhook: Callable[[int, dict[str, Any]], None],
    ) -> None:
        self.conversations: dict[Place, Conversation] = {}
        self._tokens = tokens
        self._now_s = now_s
        self._webhook = webhook
        self._ids = itertools.count(48_211)

    def at(self, place: Place) -> Conversation:
        return self.conversations.setdefault(place, Conversation())

    def writes(self, place: Place, text: str, *, person: str = "") -> dict[str, Any]:
        """The customer writes, or a person of the company."""
        message = self._add(place, text, 1 if person else 0)
        message["sender"] = {"id": 8, "name": person, "type": "user"} if person else {"name": "Ana"}
        created = {
            **message,
            "event": "message_created",
            "message_type": "outgoing" if person else "incoming",
            "conversation": self._described(place),
            "account": {"id": place[0]},
        }
        self._webhook(place[0], created)
        return message

    def changes(self, place: Place, **what: str | None) -> None:
        """Somebody changes who may speak."""
        conversation = self.at(place)
        for name, value in what.items():
            setattr(conversation, name, value)
        conversation.updated_s = self._now_s()
        names = {"status": "status", "assignee": "assignee_id"}
        changed = [{names[name]: {"current_value": value}} for name, value in what.items()]
        described = self._described(place)
        self._webhook(
            place[0],
            {
                **described,
                "event": "conversation_updated",
                "changed_attributes": changed,
                "account": {"id": place[0]},
            },
        )

    def _add(self, place: Place, text: str, message_type: int, **more: Any) -> dict[str, Any]:
        message = {
            "id": next(self._ids),
            "content": text,
            "message_type": message_type,
            "private": False,
            "content_attributes": {},
            "at_s": self._now_s(),
            **more,
        }
        conversation = self.at(place)
        conversation.messages.append(message)
        conversation.updated_s = self._now_s()
        return message

    def _described(self, place: Place) -> dict[str, Any]:
        conversation = self.at(place)
        assignee = conversation.assignee and {"id": 8, "name": conversation.assignee}
        public = [m for m in conversation.messages if not m["private"]]
        return {
            "id": int(place[1]),
            "status": conversation.status,
            "labels": [],
            "can_reply": True,
            "channel": "Channel::Whatsapp",
            "updated_at": EPOCH_S + conversation.updated_s,
            "messages": public[-1:],
            "meta": {
                "assignee": assignee or None,
                "assignee_type": "User" if assignee else None,
                "channel": "Channel::Whatsapp",
                "sender": {"blocked": False},
            },
        }

    # The API.

    def answers(self, request: httpx.Request) -> httpx.Response:
        """What a call does, and its answer."""
        found = PATH.search(request.url.path)
        assert found is not None, request.url
        account, conversation, what = int(found[1]), found[2], found[3]
        if request.headers.get("api-access-token") != self._tokens[account]:
            return httpx.Response(401, json={"error": "Invalid Access Token"})
        place = (account, conversation)
        match request.method, what:
            case "GET", None:
                return httpx.Response(200, json=self._described(place))
            case "GET", "messages":
                after = int(request.url.params["after"])
                later = [m for m in self.at(place).messages if m["id"] > after]
                return httpx.Response(200, json={"payload": later[:100]})
            case "POST", "messages":
                return httpx.Response(200, json=self._posted(place, json.loads(request.content)))
            case "POST", "toggle_status":
                self.changes(place, status=json.loads(request.content)["status"])
        return httpx.Response(200, json={})

    def _posted(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        return self._add(
            place,
            body["content"],
            1,
            private=body["private"],
            content_attributes=body["content_attributes"],
            sender={"id": 4, "name": "Bot", "type": "agent_bot"},
        )
