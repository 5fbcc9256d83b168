"""Plays the other sides on loopback: a Chatwoot and a model's API, with faults on demand.

`python -m tests.peers PORT` serves both: Chatwoot below `/`, the model below `/v1`. Behaviour is
steered and read below `/_`.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter, defaultdict, deque
from email import message_from_bytes
from typing import Any, cast
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

COMPLETIONS_KEPT = 1_000
"""Requests to the model kept whole; the newest."""


def _now_ms() -> float:
    return time.time_ns() / 1_000_000


INBOX = 5
"""The inbox of a conversation that is not said to be of another."""

CONVERSATIONS_PAGE = 25


class Peers:
    """The state of both sides.

    A fault is taken by the next call of its kind (`message`, `list`, `conversations`, `show`,
    `status`, `typing`, `indicator`, `completion`, `file`, `transcription`):
    `status` answers with it, `stored` (messages only) takes effect all the same, `delay_s` waits
    first, `drop` closes the connection without an answer, `headers` go along.
    Where none waits, `chances` may give one: by kind, pairs of a probability and a fault.
    """

    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.typing: list[tuple[str, str]] = []
        self.conversations: dict[str, dict[str, Any]] = defaultdict(dict)
        self.listed: dict[str, int] = {}
        self.queries: list[dict[str, str]] = []
        self.statuses: list[tuple[str, str]] = []
        self.indicators: list[dict[str, Any]] = []
        self.completions: deque[dict[str, Any]] = deque(maxlen=COMPLETIONS_KEPT)
        self.files: dict[str, tuple[bytes, str]] = {}
        self.transcriptions: list[dict[str, Any]] = []
        self.faults: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self.said: deque[dict[str, Any]] = deque()
        self.model_delay_s = 0.0
        self.chances: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        self.dice = random.Random(0)
        self.faulted: Counter[str] = Counter()
        self.posts: list[dict[str, Any]] = []
        self.calls: list[tuple[float, str]] = []
        self.bot_token = False
        self.bot_reads = True
        self._ids = itertools.count(900_001)

    async def fault(self, kind: str) -> dict[str, Any]:
        fault = self.faults[kind].popleft() if self.faults[kind] else self.by_chance(kind)
        await asyncio.sleep(fault.get("delay_s", 0))
        return fault

    def by_chance(self, kind: str) -> dict[str, Any]:
        left = self.dice.random()
        for probability, fault in self.chances.get(kind, []):
            left -= probability
            if left < 0:
                self.faulted[f"{kind}: {', '.join(f'{k} {v}' for k, v in fault.items())}"] += 1
                return fault
        return {}

    def add(self, conversation: str, body: dict[str, Any]) -> dict[str, Any]:
        message = {
            "id": next(self._ids),
            "content": body.get("content"),
            "inbox_id": self.conversations[conversation].get("inbox_id", INBOX),
            "created_at": int(time.time()),
            "conversation_id": int(conversation) if conversation.isdecimal() else conversation,
            "message_type": 1,
            "content_type": "text",
            "status": "sent",
            "content_attributes": body.get("content_attributes") or {},
            "private": bool(body.get("private")),
            "source_id": None,
            "sender": {"id": 4, "name": "Bot", "type": "agent_bot" if self.bot_token else "user"},
        }
        self.messages[conversation].append(message)
        return message

    def write(self, conversation: str, account: int = 1, **fields: Any) -> dict[str, Any]:
        """A customer writes, and no webhook is sent; the conversation is listed from here on."""
        self.listed.setdefault(conversation, account)
        contact = {"id": 77, "name": "Ana", "blocked": False, "type": "contact"}
        message = self.add(conversation, fields)
        message.update({"message_type": 0, "source_id": "wamid.HBgN", "sender": contact, **fields})
        return message

    def answer(self, conversation: str, **fields: Any) -> dict[str, Any]:
        """A person of the company writes, and no webhook is sent."""
        person = {"sender": {"id": 9, "name": "Bia", "type": "user"}, **fields}
        message = self.add(conversation, fields)
        message.update(person)
        return message

    def page(self, account: int, query: dict[str, str]) -> list[dict[str, Any]]:
        """A page of an account's conversations, the last active first."""
        found = [
            self.describe(name)
            for name, its_account in self.listed.items()
            if its_account == account and self.messages[name]
        ]
        wanted = [
            one
            for one in found
            if query.get("inbox_id") in (None, str(one["inbox_id"]))
            and query.get("status", "open") in ("all", one["status"])
        ]
        wanted.sort(key=lambda one: int(one["last_activity_at"]), reverse=True)
        first = (int(query.get("page", "1")) - 1) * CONVERSATIONS_PAGE
        return wanted[first : first + CONVERSATIONS_PAGE]

    def describe(self, conversation: str) -> dict[str, Any]:
        """The conversation as GET shows it; what was steered replaces the usual."""
        steered = self.conversations[conversation]
        messages = self.messages[conversation][-1:]
        active = max((int(m["created_at"]) for m in self.messages[conversation]), default=0)
        meta = {
            "sender": {"id": 77, "name": "Ana", "blocked": False},
            "channel": "Channel::Whatsapp",
            **steered.get("meta", {}),
        }
        return {
            "id": int(conversation) if conversation.isdecimal() else conversation,
            "inbox_id": INBOX,
            "status": "pending",
            "labels": [],
            "can_reply": True,
            "timestamp": active,
            "last_activity_at": active,
            "messages": messages,
            "last_non_activity_message": messages[-1] if messages else None,
            **steered,
            "meta": meta,
        }


class Droppable(HttpToolsProtocol):
    """A connection that a route can drop: the transport stands in the request's scope."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        cast(dict[str, Any], self.scope)["transport"] = self.transport


def _failed(fault: dict[str, Any], request: Request) -> Response | None:
    if fault.get("drop"):
        request.scope["transport"].abort()
        return Response()
    status = fault.get("status")
    if status is None:
        return None
    headers = fault.get("headers")
    if status == 429:
        return PlainTextResponse("Retry later\n", status, headers)
    return JSONResponse({"error": f"a fault: {status}"}, status, headers)


def _text(content: str | list[dict[str, Any]]) -> str:
    """A message's content as one text, pictures as [picture]."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "[picture]") for part in content)


def application(peers: Peers) -> Starlette:  # noqa: C901 -- one small function a route
    """The HTTP service of both sides."""

    async def post_message(request: Request) -> Response:
        if request.headers.get("api-access-token", "") == "wrong":
            return JSONResponse({"error": "Invalid Access Token"}, 401)
        body = await request.json()
        conversation = request.path_params["conversation"]
        post = {"conversation": conversation, "began_ms": _now_ms(), "id": None}
        fault = await peers.fault("message")
        stored = None
        if not fault or fault.get("stored") or set(fault) == {"delay_s"}:
            stored = peers.add(conversation, body)
            post |= {"id": stored["id"], "content": stored["content"]}
        peers.posts.append(post | {"ended_ms": _now_ms()})
        return _failed(fault, request) or JSONResponse(stored)

    async def list_messages(request: Request) -> Response:
        if failed := _failed(await peers.fault("list"), request):
            return failed
        if peers.bot_token:
            error = "Access to this endpoint is not authorized for bots"
            return JSONResponse({"error": error}, 401)
        found = peers.messages[request.path_params["conversation"]]
        if after := request.query_params.get("after"):
            page = [m for m in found if m["id"] > int(after)][:100]
        else:
            before = int(request.query_params.get("before", 1 << 53))
            page = [m for m in found if m["id"] < before][-20:]
        return JSONResponse({"meta": {}, "payload": page})

    async def list_conversations(request: Request) -> Response:
        if failed := _failed(await peers.fault("conversations"), request):
            return failed
        if peers.bot_token:
            error = "Access to this endpoint is not authorized for bots"
            return JSONResponse({"error": error}, 401)
        query = dict(request.query_params)
        peers.queries.append(query)
        page = peers.page(request.path_params["account"], query)
        return JSONResponse({"data": {"meta": {"all_count": len(page)}, "payload": page}})

    async def show(request: Request) -> Response:
        if failed := _failed(await peers.fault("show"), request):
            return failed
        if peers.bot_token and not peers.bot_reads:
            error = "Access to this endpoint is not authorized for bots"
            return JSONResponse({"error": error}, 401)
        return JSONResponse(peers.describe(request.path_params["conversation"]))

    async def toggle_status(request: Request) -> Response:
        conversation = request.path_params["conversation"]
        status = (await request.json())["status"]
        if failed := _failed(await peers.fault("status"), request):
            return failed
        peers.statuses.append((conversation, status))
        peers.conversations[conversation]["status"] = status
        shown = {"success": True, "conversation_id": conversation, "current_status": status}
        return JSONResponse({"meta": {}, "payload": shown})

    async def indicate(request: Request) -> Response:
        """Twilio's indicator (form) or Meta's (JSON)."""
        if failed := _failed(await peers.fault("indicator"), request):
            return failed
        is_json = request.headers["content-type"].startswith("application/json")
        body = await request.json() if is_json else dict(parse_qsl((await request.body()).decode()))
        call = {"path": request.url.path, "body": body}
        peers.indicators.append(call | {"authorization": request.headers["authorization"]})
        return JSONResponse({"success": True})

    async def toggle_typing(request: Request) -> Response:
        if failed := _failed(await peers.fault("typing"), request):
            return failed
        body = await request.json()
        peers.typing.append((request.path_params["conversation"], body["typing_status"]))
        return Response(status_code=200)

    async def completions(request: Request) -> Response:
        body = await request.json()
        peers.completions.append(body)
        peers.calls.append((_now_ms(), _text(body["messages"][-1]["content"])))
        if failed := _failed(await peers.fault("completion"), request):
            return failed
        echo = {"content": f"You said: {_text(body['messages'][-1]['content'])}"}
        message = {"role": "assistant", **(peers.said.popleft() if peers.said else echo)}
        await asyncio.sleep(peers.model_delay_s)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        completion = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
        }
        # Written in ASCII, as models' servers may: so it can carry half a character.
        return Response(json.dumps(completion), media_type="application/json")

    async def transcribe(request: Request) -> Response:
        """Multipart: `model` and `file`. Says how many bytes it heard."""
        kind = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = {
            str(part.get_param("name", header="content-disposition")): part
            for part in message_from_bytes(kind + await request.body()).walk()
            if not part.is_multipart()
        }
        model, file = (form[name].get_payload(decode=True) for name in ("model", "file"))
        assert isinstance(model, bytes) and isinstance(file, bytes)
        call = {"model": model.decode(), "name": form["file"].get_filename(), "bytes": len(file)}
        peers.transcriptions.append(call)
        if failed := _failed(await peers.fault("transcription"), request):
            return failed
        return JSONResponse({"text": f"{len(file)} bytes of speech"})

    async def keep_file(request: Request) -> Response:
        kind = request.headers.get("content-type", "application/octet-stream")
        peers.files[request.path_params["name"]] = (await request.body(), kind)
        return Response(status_code=201)

    async def give_file(request: Request) -> Response:
        """A file as it was PUT here; a fault may send elsewhere (status 302 and its headers)."""
        if failed := _failed(await peers.fault("file"), request):
            return failed
        data, kind = peers.files.get(request.path_params["name"], (b"", ""))
        return Response(data, 200 if kind else 404, media_type=kind)

    async def steer(request: Request) -> Response:
        """{"chances": {kind: [[probability, fault], …]}, "seed": …, "model_delay_s": …,
        "bot_token": …, "bot_reads": …, "faults": {kind: [fault, …]},
        "conversations": {id: {"status": …, …}}, "people": {id: [{"content": …, …}, …]} (messages
        of the company's people, to stand there), "customers": {…} (the same of customers),
        "forget": true, "completions": [{"content": …, "tool_calls": […]}, …] (what the model says
        next)}"""
        body = await request.json()
        if body.get("forget"):
            peers.messages.clear()
            peers.typing.clear()
            peers.conversations.clear()
            peers.listed.clear()
            peers.statuses.clear()
            peers.indicators.clear()
            peers.completions.clear()
            peers.files.clear()
            peers.transcriptions.clear()
            peers.faults.clear()
            peers.said.clear()
            peers.posts.clear()
            peers.calls.clear()
        if "chances" in body:
            peers.chances, peers.dice = body["chances"], random.Random(body.get("seed", 0))
        peers.model_delay_s = body.get("model_delay_s", peers.model_delay_s)
        peers.bot_token = body.get("bot_token", peers.bot_token)
        peers.bot_reads = body.get("bot_reads", peers.bot_reads)
        for conversation, fields in body.get("conversations", {}).items():
            peers.conversations[conversation].update(fields)
        for conversation, said in body.get("customers", {}).items():
            for fields in said:
                peers.write(conversation, **fields)
        for conversation, said in body.get("people", {}).items():
            for fields in said:
                peers.answer(conversation, **fields)
        peers.said.extend(body.get("completions", []))
        for kind, faults in body.get("faults", {}).items():
            peers.faults[kind].extend(faults)
        return JSONResponse({})

    async def seen(_: Request) -> Response:
        return JSONResponse(
            {
                "messages": peers.messages,
                "typing": peers.typing,
                "statuses": peers.statuses,
                "indicators": peers.indicators,
                "completions": list(peers.completions),
                "transcriptions": peers.transcriptions,
            }
        )

    async def record(request: Request) -> Response:
        """What came since: the posts after the first ?posts=, the model's calls after ?calls=."""
        posts, calls = (int(request.query_params[name]) for name in ("posts", "calls"))
        return JSONResponse(
            {"posts": peers.posts[posts:], "calls": peers.calls[calls:], "faulted": peers.faulted}
        )

    base = "/api/v1/accounts/{account:int}/conversations/{conversation}"
    return Starlette(
        routes=[
            Route(f"{base}/messages", post_message, methods=["POST"]),
            Route(f"{base}/messages", list_messages, methods=["GET"]),
            Route(f"{base}/toggle_typing_status", toggle_typing, methods=["POST"]),
            Route(f"{base}/toggle_status", toggle_status, methods=["POST"]),
            Route(base, show, methods=["GET"]),
            Route(base.rpartition("/")[0], list_conversations, methods=["GET"]),
            Route("/v2/Indicators/Typing.json", indicate, methods=["POST"]),
            Route("/{version}/{number:int}/messages", indicate, methods=["POST"]),
            Route("/v1/chat/completions", completions, methods=["POST"]),
            Route("/v1/audio/transcriptions", transcribe, methods=["POST"]),
            Route("/files/{name}", give_file, methods=["GET"]),
            Route("/files/{name}", keep_file, methods=["PUT"]),
            Route("/_steer", steer, methods=["POST"]),
            Route("/_seen", seen, methods=["GET"]),
            Route("/_record", record, methods=["GET"]),
        ]
    )


def main() -> None:
    """Serves until it is ended."""
    port = int(sys.argv[1])
    uvicorn.run(
        application(Peers()),
        host="127.0.0.1",
        port=port,
        http=Droppable,
        log_level="critical",
        access_log=False,
    )


if __name__ == "__main__":
    main()
