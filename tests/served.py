"""The whole HTTP service in this process, over a real Redis and without Ray; asked byte by byte."""

import asyncio
import hashlib
import hmac
import io
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from fastapi import FastAPI

from actors import wiring
from actors.channels.message import Message
from actors.conversation.events import MessageReceived, encode
from actors.journal.keys import Key
from actors.settings import Settings
from actors.web import service

ANSWER_S = 10.0
ADMIN = "an-operators-own-token"
TOKENS = {"acme": "token-of-acme-1", "bolt": "token-of-bolt-1", "shop": "token-of-shop-1"}
PLANTED = "the words of a customer of bolt"
SECRETS = {
    "redis": "redis-pass-word-1",
    "admin": ADMIN,
    "seal": "seal-passphrase-of-a-good-length",
    "model": "sk-model-key-0123456789",
    **{f"token of {name}": token for name, token in TOKENS.items()},
    **{f"{what} of {name}": f"{what}-of-{name}-1" for name in ("acme", "bolt", "open")
       for what in ("key", "webhook", "twilio", "meta")},
}  # fmt: skip

COMPANY = """
[companies.{name}]
name = "{name} Ltd"
api_token = "{token}"
prompt = "The prompt of {name}."
[companies.{name}.chatwoot]
base_url = "https://chat.example"
account_id = 1
api_key = "key-of-{name}-1"
webhook_secret = ["webhook-of-{name}-1"]
[companies.{name}.twilio]
account_sid = "AC1"
auth_token = "twilio-of-{name}-1"
[companies.{name}.whatsapp]
phone_number_id = "1"
access_token = "meta-of-{name}-1"
"""
MORE = f"""
[companies.open.chatwoot]
base_url = "https://chat.example"
account_id = 1
api_key = "key-of-open-1"
[companies.shop]
webchat = true
webchat_agent = true
api_token = "{TOKENS["shop"]}"
[companies.broken]
longest_wait_s = 1
"""


class NoActors:
    """Stands where the way to the actors is: nobody is awake, nothing is delivered."""

    async def turns(self) -> tuple[dict[str, tuple[int, int]], list[str]]:
        return {}, []

    def deliver(self, key: Key, seq: int, raw: bytes | None) -> None:
        del key, seq, raw

    async def glance(self, key: Key) -> dict[str, Any]:
        del key
        return {"host": "conversations-00", "pid": None, "phase": "asleep"}

    async def describe(self) -> list[dict[str, Any]]:
        return []


@dataclass
class Answer:
    """What came back. `crash`: an exception that the service let through to the server."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    crash: Exception | None = None

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def detail(self) -> str:
        return str(json.loads(self.body)["detail"])


NEVER, GONE = b"<never>", b"<gone>"
"""Parts of a body: the next one does not come, the caller hung up."""

Headers = Iterable[tuple[bytes, bytes]]


class Served:
    """The service, and what it wrote into its log."""

    def __init__(self, settings: Settings) -> None:
        self.parts = wiring.build(settings)
        self.app: FastAPI = service.app_of(self.parts, cast(Any, NoActors()))
        self.log = io.StringIO()
        (handler,) = logging.getLogger("turnwise").handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(self.log)

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes | list[bytes] = b"",
        headers: Headers = (),
    ) -> Answer:
        """One request as uvicorn hands it over. A stream ends after its first part.

        Raises TimeoutError for one that is not answered within ANSWER_S.
        """
        path, _, query = target.partition("?")
        parts = [body] if isinstance(body, bytes) else list(body)
        answer, answered = Answer(), asyncio.Event()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("latin-1", "replace"),
            "query_string": query.encode("latin-1", "replace"),
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

        async def receive() -> dict[str, Any]:
            if parts and parts[0] is NEVER:
                await asyncio.Event().wait()
            if parts and parts[0] is GONE:
                return {"type": "http.disconnect"}
            if parts:
                return {
                    "type": "http.request", "body": parts.pop(0), "more_body": bool(parts)
                }  # fmt: skip
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {n.decode(): v.decode("latin-1") for n, v in message["headers"]}
            elif message["type"] == "http.response.body":
                answer.body += message.get("body", b"")
                answered.set()

        async with asyncio.timeout(ANSWER_S):
            try:
                await self.app(scope, receive, send)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the test tells of it
                answer.crash = error
        return answer

    async def plant(self, company_id: str, conversation_id: str, text: str) -> None:
        """A customer's message in the journal."""
        now_ms = self.parts.clock.now_ms()
        raw = encode(MessageReceived(at_ms=now_ms, message=Message("1", text, "chatwoot")))
        key = Key(company_id, conversation_id)
        await self.parts.journal.append(key, "1", raw, at_ms=now_ms, largest_batch=20)

    async def aclose(self) -> None:
        await self.parts.redis.aclose(close_connection_pool=True)


def settings_for(redis_url: str, directory: Path) -> Settings:
    """Two companies with everything, one open, one with a web chat, a broken one."""
    companies = "".join(COMPANY.format(name=n, token=TOKENS[n]) for n in ("acme", "bolt"))
    path = directory / "companies.toml"
    path.write_text(companies + MORE)
    return Settings.model_validate(
        {
            "redis_url": redis_url,
            "companies_file": path,
            "admin_token": ADMIN,
            "secrets_key": SECRETS["seal"],
            "openai_api_key": SECRETS["model"],
            "waiting_per_conversation_max": 1_000,
        }
    )


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())] if token else []


def signed(body: bytes, secret: str, timestamp: str | None = None) -> list[tuple[bytes, bytes]]:
    """The headers by which Chatwoot proves a webhook."""
    at = timestamp or str(int(time.time()))
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return [
        (b"x-chatwoot-timestamp", at.encode()),
        (b"x-chatwoot-signature", f"sha256={mac}".encode()),
    ]
