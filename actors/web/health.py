"""Says whether the process lives and whether the service can do its work."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from actors.clock import Clock
from actors.conditions import Outage
from actors.journal.stream import Journal
from actors.placement import Router
from actors.web.ingress import body_of
from actors.wiring import Parts

REDIS_ANSWER_S = 2.0
REDIS_FRESH_MS = 1_000
"""Anybody may ask, so Redis is asked once in so long, whoever asks."""

OK, SLOW = "ok", "slow"


class Probe:
    """Whether Redis takes writes, as last seen."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked_ms: int | None = None
        self._seen = (OK, "")

    async def condition(self) -> tuple[str, str]:
        """Its condition (conditions.CONDITIONS, or `ok`), and the sentence that says what to do."""
        async with self._asking:
            now_ms = self._clock.now_ms()
            if self._asked_ms is None or not 0 <= now_ms - self._asked_ms < REDIS_FRESH_MS:
                self._seen = await self._look()
                self._asked_ms = self._clock.now_ms()
            return self._seen

    async def _look(self) -> tuple[str, str]:
        try:
            async with asyncio.timeout(REDIS_ANSWER_S):
                await self._journal.probe()
        except TimeoutError:
            return SLOW, f"Redis gave no answer within {REDIS_ANSWER_S:g} s; see what it does"
        except Outage as outage:
            return outage.condition.name, outage.condition.says
        return OK, ""


def routes(parts: Parts, router: Router) -> APIRouter:
    """GET /healthz and /readyz."""
    health = APIRouter(tags=["health"])
    probe = Probe(parts.journal, parts.clock)

    @health.get("/healthz")
    async def healthz() -> dict[str, str]:
        """200 while the process answers."""
        return {"status": "ok"}

    @health.post("/healthz")
    async def healthz_post(request: Request) -> dict[str, object]:
        """200 for any body within bounds: what a webhook costs before anything is done with it."""
        return {"status": "ok", "bytes": len(await body_of(request))}

    @health.get("/readyz")
    async def readyz() -> JSONResponse:
        """200 when Redis takes writes and all hosts answer, else 503; says which does not.

        `redis` names Redis's condition, `redis_says` what to do. A company that is broken or cold
        is named and holds nobody up.
        """
        (redis, says), hosts = await asyncio.gather(probe.condition(), router.describe())
        ready = redis == OK and not any("error" in host for host in hosts)
        companies = {
            "broken": parts.directory.broken(),
            "cold": {name: why for host in hosts for name, why in host.get("cold", {}).items()},
        }
        return JSONResponse(
            {
                "status": "ready" if ready else "not ready",
                "redis": redis,
                "redis_says": says,
                "companies": companies,
                "hosts": hosts,
            },
            200 if ready else 503,
        )

    return health
