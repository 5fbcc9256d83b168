"""Delivers webhooks to the service: once, twice or never, late, and again after an error."""

import asyncio
from typing import Any

from tests.simulation.clusters import Cluster, Outside, Replica
from tests.simulation.processes import Lost

GIVES_UP_S = 5.0
"""Chatwoot waits so long for an answer."""

AGAIN_S = 3.0

PATIENCE = {
    "once": (1, ()),
    "agent bot": (3, (429, 500)),
    "patient": (8, (0, 429, 500)),
}
"""Attempts, and the statuses after which another is made (0: no answer). Chatwoot's account
webhooks are sent once, an agent bot's three times after 429 and 500."""


class Senders:
    """The webhook senders of all accounts. `accepted` holds what was answered 202: the account, the
    message's id, and its sequence number."""

    def __init__(self, outside: Outside, clusters: list[Cluster]) -> None:
        self._outside = outside
        self._clusters = clusters
        self._patience = {account: outside.dice.choice(list(PATIENCE)) for account in (1, 2)}
        self.accepted: list[tuple[int, int, int]] = []
        self.under_way = 0

    def send(self, account: int, body: dict[str, Any]) -> None:
        """Sends an event on its way, perhaps doubled."""
        faults = self._outside.faults
        self._begin(account, body, 0.0)
        if faults.happens("webhooks doubled", 0.3):
            self._begin(account, body, faults.between(0, faults.between(0.1, 30)))

    def _begin(self, account: int, body: dict[str, Any], after_s: float) -> None:
        self.under_way += 1
        loop = self._outside.loop

        def begin() -> None:
            loop.create_task(self._sent(account, body), context=loop.outside.copy())

        loop.later(after_s, begin)

    async def _sent(self, account: int, body: dict[str, Any]) -> None:
        attempts, again = PATIENCE[self._patience[account]]
        try:
            for attempt in range(1, attempts + 1):
                status = await self._attempt(account, body)
                if attempt == attempts or status not in again:
                    return
                await _pause(self._outside, AGAIN_S)
        finally:
            self.under_way -= 1

    async def _attempt(self, account: int, body: dict[str, Any]) -> int:
        out = self._outside
        fate = out.faults.of_webhook()
        await _pause(out, fate.there_s)
        if fate.fails == "refused":
            return 0
        replica = self._replica()
        answer = replica.post(account, body)
        try:
            async with asyncio.timeout(GIVES_UP_S):
                status, accepted = await answer
        except (Lost, TimeoutError):
            return 0
        await _pause(out, fate.back_s)
        if fate.fails == "answer lost":
            return 0
        if accepted is not None:
            self.accepted.append((account, body["id"], accepted.seq))
        return int(status)

    def _replica(self) -> Replica:
        dice = self._outside.dice
        cluster = dice.choice([c for c in self._clusters if c.hosts[0].wanted])
        return dice.choice(cluster.replicas)


async def _pause(out: Outside, seconds: float) -> None:
    waiter = out.loop.create_future()
    out.loop.later(seconds, waiter.set_result, None)
    await waiter
