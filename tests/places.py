"""Runs the whole service in a directory of its own, as a user would, and talks to it."""

import contextlib
import hashlib
import hmac
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

SECRET = "a-test-webhook-secret"
TOKEN = "a-test-api-token"
ADMIN_TOKEN = "a-test-operator-token"
START_S = 90
STOP_S = 30
T = TypeVar("T")

COMPANIES = """
[companies.acme]
name = "Acme"
attachment_private_addresses = true
api_token = "{token}"
quiet_window_s = 1
longest_wait_s = 5
[companies.acme.chatwoot]
base_url = "{peers}"
account_id = 1
api_key = "a-test-key"
webhook_secret = "{secret}"

[companies.open]
quiet_window_s = 0.5
longest_wait_s = 5
[companies.open.chatwoot]
base_url = "{peers}"
account_id = 2
api_key = "a-test-key"

[companies.broken]
longest_wait_s = 1

[companies.desk]
api_token = "{token}"
quiet_window_s = 3
longest_wait_s = 10

[companies.walkin]
webchat = true
quiet_window_s = 2

[companies.eager]
webchat = true
webchat_agent = true
quiet_window_s = 4
longest_wait_s = 20
learned_pace = true
window_min_s = 4
window_max_s = 5
draft_early = true
reply_part_chars = 200
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def until(what: str, check: Callable[[], T | None], seconds: float = 30) -> T:
    """Waits until `check` gives something true, and returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if found := check():
                return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for: {what}")


def signed(body: bytes, secret: str = SECRET, at_s: int | None = None) -> dict[str, str]:
    """The headers of a webhook as Chatwoot makes them."""
    timestamp = str(int(time.time()) if at_s is None else at_s)
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "X-Chatwoot-Delivery": "5d6c1b7e-0000-4000-8000-000000000000",
        "X-Chatwoot-Timestamp": timestamp,
        "X-Chatwoot-Signature": f"sha256={mac.hexdigest()}",
    }


_ids = itertools.count(48_211)


def message_created(conversation: int, content: str | None, **fields: Any) -> dict[str, Any]:
    """A message_created as Chatwoot v4.15 builds it; `fields` replace or add top-level ones."""
    contact = {"id": 77, "name": "Ana", "phone_number": "+5511999998888", "blocked": False}
    return {
        "event": "message_created",
        "id": next(_ids),
        "content": content,
        "content_type": "text",
        "content_attributes": {},
        "additional_attributes": {},
        "message_type": "incoming",
        "private": False,
        "source_id": "wamid.HBgN",
        "created_at": "2026-06-17T12:37:03.412Z",
        "sender": contact,
        "inbox": {"id": 5, "name": "WA"},
        "account": {"id": 1, "name": "Acme"},
        "conversation": {
            "id": conversation,
            "inbox_id": 5,
            "status": "pending",
            "channel": "Channel::Whatsapp",
            "can_reply": True,
            "labels": [],
            "meta": {
                "sender": {**contact, "type": "contact"},
                "assignee": None,
                "assignee_type": None,
            },
        },
        **fields,
    }


class Place:
    """One service in one directory."""

    _conversations = itertools.count(1_000)

    def __init__(self, directory: Path, peers: str, **environment: str) -> None:
        self.directory = directory
        self.peers = peers
        self.port, self.dashboard_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=30)
        companies = directory / "companies.toml"
        companies.write_text(COMPANIES.format(peers=peers, secret=SECRET, token=TOKEN))
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RAY_", "OPENAI_", "CHATWOOT_", "REDIS_", "TURNWISE_"))
        }
        self.environment = {
            **inherited,
            "DATA_DIR": str(directory / "data"),
            "PORT": str(self.port),
            "DASHBOARD_PORT": str(self.dashboard_port),
            "COMPANIES_FILE": str(companies),
            "OPENAI_API_KEY": "a-test-key",
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "SECRETS_KEY": "a-test-key-for-secrets",
            "OPENAI_BASE_URL": f"{peers}/v1",
            **environment,
        }
        self.log = directory / "run.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Starts the service and waits for its `ready`; returns the seconds it took."""
        began = time.monotonic()
        command = [str(Path(sys.executable).with_name("turnwise")), "run"]
        with self.log.open("ab") as log:
            offset = log.tell()
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

        def is_ready() -> bool:
            assert self.process is not None
            said = self.log.read_bytes()[offset:].decode(errors="replace")
            assert self.process.poll() is None, said
            return "\nready\n" in f"\n{said}"

        until("the service says ready", is_ready, START_S)
        return time.monotonic() - began

    def stop(self) -> float:
        """Asks the service to end and waits; returns the seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(STOP_S)
        for process in self.processes():  # of a start that failed; a good stop leaves none
            process.kill()
        self.http.close()
        self.http = httpx.Client(base_url=self.url, timeout=30)
        return time.monotonic() - began

    def processes(self) -> list[psutil.Process]:
        """Everything that this service started and that lives."""
        mark = str((self.directory / "data").resolve())
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("TURNWISE_RUN") == mark:
                    found.append(process)
        return found

    def settings(self) -> dict[str, str]:
        """What the service wrote for the shell."""
        lines = (self.directory / "data" / "env").read_text().splitlines()
        pairs = (line.removeprefix("export ").partition("=") for line in lines)
        return {name: value.strip("'") for name, _, value in pairs}

    def conversation(self) -> int:
        """The id of a conversation that nobody has used."""
        return next(self._conversations)

    def webhook(self, company: str, event: dict[str, Any], **options: Any) -> httpx.Response:
        """Posts a webhook, signed."""
        body = json.dumps(event).encode()
        headers = options.pop("headers", None) or signed(body, **options)
        return self.http.post(f"/webhook/chatwoot/{company}", content=body, headers=headers)

    def posted(self, conversation: int) -> list[dict[str, Any]]:
        """What stands in Chatwoot for a conversation."""
        seen: dict[str, list[dict[str, Any]]] = self.seen()["messages"]
        return seen.get(str(conversation), [])

    def seen(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.peers}/_seen").json()
        return found

    def steer(self, **orders: Any) -> None:
        httpx.post(f"{self.peers}/_steer", json=orders).raise_for_status()

    def show(self, conversation: int | str, company: str = "acme") -> dict[str, Any]:
        """The conversation over the API."""
        answer = self.http.get(
            f"/api/companies/{company}/conversations/{conversation}",
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def ready(self) -> dict[str, Any] | None:
        answer = self.http.get("/readyz")
        found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return found or None


@contextlib.contextmanager
def running(place: Place) -> Iterator[Place]:
    """The service, started, and stopped whatever happens."""
    place.start()
    try:
        yield place
    finally:
        place.stop()
