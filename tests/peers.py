"""Plays the other sides on loopback: a Chatwoot and a model's API, with faults on demand.

`python -m tests.peers PORT` serves both: Chatwoot below `/`, the model below `/v1`. Behaviour is
steered and read below `/_`.
"""

import asyncio
import itertools
import sys
from collections import defaultdict, deque
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


class Peers:
    """The state of both sides.

    A fault is taken by the next call of its kind (`message`, `list`, `typing`, `completion`):
    `status` answers with it, `stored` (messages only) takes effect all the same, `delay_s` waits
    first, `drop` closes the connection without an answer, `headers` go along.
    """

    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.typing: list[tuple[str, str]] = []
        self.completions: list[dict[str, Any]] = []
        self.faults: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self.model_delay_s = 0.0
        self.bot_token = False
        self._ids = itertools.count(900_001)

    async def fault(self, kind: str) -> dict[str, Any]:
        fault = self.faults[kind].popleft() if self.faults[kind] else {}
        await asyncio.sleep(fault.get("delay_s", 0))
        return fault

    def add(self, conversation: str, body: dict[str, Any]) -> dict[str, Any]:
        message = {
            "id": next(self._ids),
            "content": body.get("content"),
            "conversation_id": int(conversation) if conversation.isdecimal() else conversation,
            "message_type": 1,
            "content_type": "text",
            "status": "sent",
            "content_attributes": body.get("content_attributes") or {},
            "private": bool(body.get("private")),
            "source_id": None,
        }
        self.messages[conversation].append(message)
        return message


def _failed(fault: dict[str, Any]) -> Response | None:
    if fault.get("drop"):
        raise ConnectionAbortedError("a fault: the connection is dropped")
    status = fault.get("status")
    if status is None:
        return None
    headers = fault.get("headers")
    if status == 429:
        return PlainTextResponse("Retry later\n", status, headers)
    return JSONResponse({"error": f"a fault: {status}"}, status, headers)


def application(peers: Peers) -> Starlette:  # noqa: C901 -- one small function a route
    """The HTTP service of both sides."""

    async def post_message(request: Request) -> Response:
        if request.headers.get("api-access-token", "") == "wrong":
            return JSONResponse({"error": "Invalid Access Token"}, 401)
        body = await request.json()
        fault = await peers.fault("message")
        stored = None
        if not fault or fault.get("stored") or set(fault) == {"delay_s"}:
            stored = peers.add(request.path_params["conversation"], body)
        return _failed(fault) or JSONResponse(stored)

    async def list_messages(request: Request) -> Response:
        if failed := _failed(await peers.fault("list")):
            return failed
        if peers.bot_token:
            error = "Access to this endpoint is not authorized for bots"
            return JSONResponse({"error": error}, 401)
        after = int(request.query_params.get("after", 0))
        found = [m for m in peers.messages[request.path_params["conversation"]] if m["id"] > after]
        return JSONResponse({"meta": {}, "payload": found[:100]})

    async def show(request: Request) -> Response:
        last = peers.messages[request.path_params["conversation"]][-1:]
        return JSONResponse({"messages": last})

    async def toggle_typing(request: Request) -> Response:
        if failed := _failed(await peers.fault("typing")):
            return failed
        body = await request.json()
        peers.typing.append((request.path_params["conversation"], body["typing_status"]))
        return Response(status_code=200)

    async def completions(request: Request) -> Response:
        body = await request.json()
        peers.completions.append(body)
        if failed := _failed(await peers.fault("completion")):
            return failed
        await asyncio.sleep(peers.model_delay_s)
        asked = body["messages"][-1]["content"]
        return JSONResponse(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": f"You said: {asked}"},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
            }
        )

    async def steer(request: Request) -> Response:
        """{"model_delay_s": …, "bot_token": …, "faults": {kind: [fault, …]}, "forget": true}"""
        body = await request.json()
        if body.get("forget"):
            peers.messages.clear()
            peers.typing.clear()
            peers.completions.clear()
            peers.faults.clear()
        peers.model_delay_s = body.get("model_delay_s", peers.model_delay_s)
        peers.bot_token = body.get("bot_token", peers.bot_token)
        for kind, faults in body.get("faults", {}).items():
            peers.faults[kind].extend(faults)
        return JSONResponse({})

    async def seen(_: Request) -> Response:
        return JSONResponse(
            {
                "messages": peers.messages,
                "typing": peers.typing,
                "completions": peers.completions,
            }
        )

    base = "/api/v1/accounts/{account:int}/conversations/{conversation}"
    return Starlette(
        routes=[
            Route(f"{base}/messages", post_message, methods=["POST"]),
            Route(f"{base}/messages", list_messages, methods=["GET"]),
            Route(f"{base}/toggle_typing_status", toggle_typing, methods=["POST"]),
            Route(base, show, methods=["GET"]),
            Route("/v1/chat/completions", completions, methods=["POST"]),
            Route("/_steer", steer, methods=["POST"]),
            Route("/_seen", seen, methods=["GET"]),
        ]
    )


def main() -> None:
    """Serves until it is ended."""
    port = int(sys.argv[1])
    uvicorn.run(
        application(Peers()), host="127.0.0.1", port=port, log_level="critical", access_log=False
    )


if __name__ == "__main__":
    main()
