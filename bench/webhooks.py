"""Makes signed webhooks as Chatwoot sends them, with about as many fields."""

import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from bench.connection import request

COMPANY = "bench"
ACCOUNT = 1
SECRET = "bench-webhook-secret"

_message_ids = itertools.count(1)


def _contact(conversation: int) -> dict[str, Any]:
    return {
        "id": conversation,
        "name": "A customer",
        "email": None,
        "phone_number": "+573000000000",
        "identifier": None,
        "thumbnail": "",
        "avatar": "",
        "blocked": False,
        "additional_attributes": {"city": "Bogotá", "country_code": "CO"},
        "custom_attributes": {},
        "type": "contact",
    }


def _event(conversation: int, message: int) -> dict[str, Any]:
    contact = _contact(conversation)
    inbox = {"id": 1, "name": "WhatsApp"}
    return {
        "account": {"id": ACCOUNT, "name": "Bench"},
        "additional_attributes": {},
        "content_attributes": {},
        "content_type": "text",
        "content": f"#{conversation}# where is my order?",
        "conversation": {
            "additional_attributes": {},
            "can_reply": True,
            "channel": "Channel::Whatsapp",
            "contact_inbox": {
                "id": conversation,
                "contact_id": conversation,
                "inbox_id": inbox["id"],
                "source_id": "573000000000",
                "hmac_verified": False,
                "pubsub_token": "0123456789abcdef01234567",
            },
            "id": conversation,
            "inbox_id": inbox["id"],
            "messages": [{"id": message, "content": "where is my order?", "message_type": 0}],
            "labels": [],
            "meta": {"sender": contact, "assignee": None, "team": None, "hmac_verified": False},
            "status": "open",
            "custom_attributes": {},
            "snoozed_until": None,
            "unread_count": 1,
            "first_reply_created_at": None,
            "priority": None,
            "waiting_since": 1_700_000_000,
            "timestamp": 1_700_000_000,
            "created_at": 1_700_000_000,
        },
        "created_at": "2026-01-01T00:00:00.000Z",
        "id": message,
        "inbox": inbox,
        "message_type": "incoming",
        "private": False,
        "sender": contact,
        "source_id": f"wamid.{message}",
        "event": "message_created",
    }


def webhook(conversation: int) -> bytes:
    """The request that brings one new message of this conversation; good for five minutes.

    The text names the conversation between `#`, so that the model's side can tell whose it is.
    """
    body = json.dumps(_event(conversation, next(_message_ids))).encode()
    timestamp = str(int(time.time()))
    signed = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return request(
        "POST",
        f"/webhook/chatwoot/{COMPANY}",
        body,
        {
            "X-Chatwoot-Timestamp": timestamp,
            "X-Chatwoot-Signature": f"sha256={signed.hexdigest()}",
        },
    )
