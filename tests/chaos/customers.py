"""Writes as some hundred customers do, and sends as Chatwoot's agent bots do: repeated, doubled,
swapped."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from typing import Any

import httpx

from tests.chaos.sightings import Attempt, Message
from tests.places import message_created, signed

REST_S = 30.0
"""The mean time between a customer's thoughts."""

FRAGMENTS = (1, 1, 2, 2, 3)
FRAGMENT_S = (0.05, 1.2)
DOUBLED = 0.15
SWAPPED = 0.15
LONG = 0.04
"""Shares of the messages that come twice, before the one before them, or with many words."""

DOUBLED_AFTER_S = (0.0, 5.0)
WORDS = " palabra" * 55

ATTEMPTS = 3
ATTEMPT_PAUSE_S = 3.0
ANSWER_S = 5.0
"""An agent bot waits so long, and tries again on 429 and 500; here, where nobody answers, too."""

REPEATED = (0, 429, 500)
UNDER_WAY_MAX = 500
"""Webhooks under way at once; beyond, customers write nothing more until some have ended."""


def now_ms() -> float:
    return time.time_ns() / 1_000_000


class Customers:
    """Customers of one company, and what their senders know."""

    def __init__(self, company: str, ways: list[str], who: Sequence[int], seed: int) -> None:
        """`ways`: the addresses of the service; each message takes one of them."""
        self.ways = ways
        self.who = frozenset(who)
        self.messages: list[Message] = []
        self.attempts: list[Attempt] = []
        self.refused: dict[int, str] = {}
        self._company = company
        self._dice = {name: random.Random(f"{seed}:{place}") for place, name in enumerate(who)}
        self._numbers = {name: itertools.count(1) for name in who}
        self._sending: set[asyncio.Task[None]] = set()
        self._http = httpx.AsyncClient(timeout=ANSWER_S, limits=httpx.Limits(max_connections=None))

    async def write(self, stop: asyncio.Event) -> None:
        """Writes until it is told to stop, then waits for the senders."""
        async with asyncio.TaskGroup() as writing:
            for customer in self.who:
                writing.create_task(self._live(customer, stop))
        while self._sending:
            await asyncio.wait(self._sending)
        await self._http.aclose()

    async def _live(self, customer: int, stop: asyncio.Event) -> None:
        dice = self._dice[customer]
        while not await _stopped(stop, dice.expovariate(1 / REST_S)):
            if len(self._sending) >= UNDER_WAY_MAX:
                continue
            thought = [self._message(customer) for _ in range(dice.choice(FRAGMENTS))]
            if len(thought) > 1 and dice.random() < SWAPPED:
                thought[0], thought[1] = thought[1], thought[0]
            for message, event in thought:
                self._send(message, event, 0.0)
                if dice.random() < DOUBLED:
                    self._send(message, event, dice.uniform(*DOUBLED_AFTER_S))
                await asyncio.sleep(dice.uniform(*FRAGMENT_S))

    def _message(self, customer: int) -> tuple[Message, dict[str, Any]]:
        number = next(self._numbers[customer])
        words = WORDS if self._dice[customer].random() < LONG else ""
        event = message_created(customer, f"c{customer}n{number}{words}")
        message = Message(customer, number, event["id"])
        self.messages.append(message)
        return message, event

    def _send(self, message: Message, event: dict[str, Any], after_s: float) -> None:
        way = self._dice[message.conversation].choice(self.ways)
        sending = asyncio.create_task(self._deliver(message, json.dumps(event), way, after_s))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _deliver(self, message: Message, body: str, way: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        for _ in range(ATTEMPTS):
            status, answer = await self._post(way, body.encode())
            if status == 202:
                message.seqs.add(json.loads(answer)["seq"])
                message.acked_ms = message.acked_ms or now_ms()
                return
            if status not in REPEATED:
                self.refused[status] = answer
                return
            await asyncio.sleep(ATTEMPT_PAUSE_S)

    async def _post(self, way: str, body: bytes) -> tuple[int, str]:
        began_ms = now_ms()
        try:
            answer = await self._http.post(
                f"{way}/webhook/chatwoot/{self._company}", content=body, headers=signed(body)
            )
            status, text = answer.status_code, answer.text
        except httpx.TransportError as error:
            status, text = 0, repr(error)
        self.attempts.append(Attempt(began_ms, now_ms(), status))
        return status, text


async def _stopped(stop: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await stop.wait()
    except TimeoutError:
        return False
    return True
