"""Plays Chatwoot and the model on loopback, cheaply, and notes when calls came and were answered.

`python -m bench.peers PORT MODEL_DELAY_S`. Read below `/_seen`, counted below `/_count`.
"""

import asyncio
import itertools
import json
import re
import signal
import sys
import time
from collections import defaultdict
from typing import Any

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CONVERSATION = re.compile(rb"/conversations/(\d+)")
_NAMED = re.compile(rb"#(\d+)#")

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 0,
    "model": "bench",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "It is on its way."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
}


class Record:
    """What both sides saw; times in ms since 1970, of the same clock as the journal's."""

    def __init__(self, model_delay_s: float) -> None:
        self.model_delay_s = model_delay_s
        self.completions: list[tuple[int, float, float]] = []
        self.posts: list[tuple[int, float]] = []
        self.messages: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.ids = itertools.count(900_000_001)

    def posted(self, conversation: int, body: bytes) -> dict[str, Any]:
        self.posts.append((conversation, _now_ms()))
        attributes = json.loads(body).get("content_attributes") or {}
        message = {"id": next(self.ids), "content_attributes": attributes}
        self.messages[conversation].append(message)
        return message

    def seen(self) -> dict[str, Any]:
        return {"completions": self.completions, "posts": self.posts}

    def forget(self) -> dict[str, Any]:
        for kept in (self.completions, self.posts, self.messages):
            kept.clear()
        return {}


def _now_ms() -> float:
    return time.time_ns() / 1_000_000


class Peer(asyncio.Protocol):
    """One connection of the service to Chatwoot or to the model."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        found = _LENGTH.search(head)
        length = int(found.group(1)) if found else 0
        if len(rest) >= length:
            self._received = rest[length:]
            method, path, _ = head.split(b" ", 2)
            self._take(method, path, rest[:length])

    def _take(self, method: bytes, path: bytes, body: bytes) -> None:
        record = self._record
        conversation = _CONVERSATION.search(path)
        if path.endswith(b"/chat/completions"):
            self._complete(body)
        elif conversation and method == b"POST" and path.endswith(b"/messages"):
            self._answer(record.posted(int(conversation.group(1)), body))
        elif conversation and method == b"GET":
            messages = record.messages[int(conversation.group(1))]
            self._answer({"meta": {}, "payload": messages, "messages": messages})
        elif path == b"/_seen":
            self._answer(record.seen())
        elif path == b"/_count":
            self._answer({"completions": len(record.completions), "posts": len(record.posts)})
        elif path == b"/_forget":
            self._answer(record.forget())
        else:
            self._answer({})

    def _complete(self, body: bytes) -> None:
        came_ms = _now_ms()
        named = _NAMED.findall(body)
        conversation = int(named[-1]) if named else 0

        def answer() -> None:
            self._answer(COMPLETION)
            self._record.completions.append((conversation, came_ms, _now_ms()))

        asyncio.get_running_loop().call_later(self._record.model_delay_s, answer)

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        if not self._transport.is_closing():
            self._transport.write(f"{head}\r\n\r\n".encode() + body)


async def serve(port: int, model_delay_s: float) -> None:
    """Serves until it is ended."""
    record = Record(model_delay_s)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: Peer(record), "127.0.0.1", port, backlog=4_096)
    print("listening", flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
