"""Speaks just enough HTTP/1.1 over a kept connection that the client costs next to nothing."""

import asyncio
import re

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")

ANSWER_S = 30.0
"""No answer of the service may take longer."""


def request(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    """The bytes of a request; made beforehand, so that making them is not measured."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"closed before the answer: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator or self._answer is None:
            return
        length, status = _LENGTH.search(head), _STATUS.match(head)
        if length is None or status is None:
            self._answer.set_exception(ConnectionError(f"cannot be read: {head[:200]!r}"))
        elif len(rest) >= int(length.group(1)):
            self._received = b""
            self._answer.set_result((int(status.group(1)), rest))

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def call(self, asked: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises ConnectionError or TimeoutError."""
        if self._transport is None:
            raise ConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(asked)
        async with asyncio.timeout(ANSWER_S):
            return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    """A new connection to a server on loopback."""
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, "127.0.0.1", port
    )
    return connection


async def call_once(port: int, asked: bytes) -> tuple[int, bytes]:
    """One request over a connection of its own."""
    connection = await connect(port)
    try:
        return await connection.call(asked)
    finally:
        connection.close()
