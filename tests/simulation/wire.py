"""Carries a process's calls to the simulated Chatwoot, as httpx would: slowly, or not at all."""

import asyncio
from collections.abc import Callable

import httpx

from actors.personas import CHANNEL_TIMEOUT_S
from tests.simulation.chatwoot import Chatwoot
from tests.simulation.faults import Fate, Faults
from tests.simulation.processes import Lost, Process

Told = Callable[[str], None]


class Wire(httpx.AsyncBaseTransport):
    """The network between one process and Chatwoot."""

    def __init__(self, process: Process, chatwoot: Chatwoot, faults: Faults, tell: Told) -> None:
        self._process = process
        self._chatwoot = chatwoot
        self._faults = faults
        self._tell = tell

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        started_s = self._process.loop.time()
        if "trace" in request.extensions:
            await self._connect(request)
        is_post = request.method == "POST"
        fate = self._faults.of_post(started_s) if is_post else self._faults.of_read()
        if not fate.is_plain:
            self._tell(f"{self._process}: {request.method} {request.url.path}: {fate}")
        try:
            if self._faults.in_time(fate, CHANNEL_TIMEOUT_S):
                return await self._ask(request, fate)
            async with asyncio.timeout(CHANNEL_TIMEOUT_S):
                return await self._ask(request, fate)
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer") from error
        except Lost as error:
            if error.doubtful:
                raise httpx.ReadError("the connection broke") from error
            raise httpx.ConnectError("nobody was reached") from error

    async def _connect(self, request: httpx.Request) -> None:
        """Takes a moment, in which the process may be stopped; then httpcore tells what is to be
        sent, and the channel checks anew whether it may."""
        fate = self._faults.of_connect()
        if fate is not None:
            await self._process.ask(lambda: None, fate)
            await request.extensions["trace"]("http11.send_request_headers.started", {})

    async def _ask(self, request: httpx.Request, fate: Fate) -> httpx.Response:
        answer: httpx.Response = await self._process.ask(
            lambda: self._answered(request, fate), fate
        )
        return answer

    def _answered(self, request: httpx.Request, fate: Fate) -> httpx.Response:
        _, stored, status = fate.fails.rpartition("stored, then ")
        if status.isdecimal():
            if stored:
                self._chatwoot.answers(request)
            return httpx.Response(int(status), json={"error": "a fault"})
        return self._chatwoot.answers(request)
