"""Serves files on loopback, for tests in the same loop: as told, byte by byte if need be."""

import asyncio
import gzip
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(
    body: bytes = b"",
    status: int = 200,
    kind: str = "application/octet-stream",
    *headers: str,
) -> Reply:
    """An ordinary answer."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
        lines += [f"Content-Type: {kind}"] if kind else []
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    return reply


def redirect(to: str, status: int = 302) -> Reply:
    return answer(b"", status, "", f"Location: {to}", "Set-Cookie: session=secret; Path=/")


def packed(body: bytes) -> Reply:
    return answer(gzip.compress(body), 200, "text/plain", "Content-Encoding: gzip")


def raw(data: bytes) -> Reply:
    """Exactly these bytes, and the connection's end."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return reply


async def silence(writer: asyncio.StreamWriter) -> None:
    """Says nothing for as long as the other side listens."""
    await writer.wait_closed()


async def endless(writer: asyncio.StreamWriter) -> None:
    """Sends for as long as the other side listens, in chunks that say nothing of a length."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()


class FileServer:
    """`replies` by path: each is given in turn, the last one for ever; `asked`: the requests."""

    def __init__(self, **replies: Reply | list[Reply]) -> None:
        self.replies = {
            f"/{path}": reply if isinstance(reply, list) else [reply]
            for path, reply in replies.items()
        }
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.names: list[str | None] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> int:
        """Listens; returns the port."""
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def paths(self) -> list[str]:
        return [request.split(" ")[1].partition("?")[0] for request in self.asked]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
                self.was_asked.set()
                replies = self.replies.get(self.paths()[-1], [answer(b"", 404)])
                await (replies.pop(0) if len(replies) > 1 else replies[0])(writer)
                await writer.drain()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._tasks.discard(task)


class Waits:
    """A clock on which every wait is over at once; it keeps the seconds."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return 1_760_000_000_000

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        raise AssertionError("nobody waits for an event here")
