"""Says whether the process lives and whether the service can do its work."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from actors.errors import Retryable
from actors.placement import Router
from actors.telemetry import redact
from actors.web.ingress import body_of
from actors.wiring import Parts

REDIS_ANSWER_S = 2.0


def routes(parts: Parts, router: Router) -> APIRouter:
    """GET /healthz and /readyz."""
    health = APIRouter(tags=["health"])

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
        """200 when Redis and all hosts answer, else 503; says which does not.

        A company that is broken or cold is named and holds nobody up.
        """
        redis, hosts = await asyncio.gather(_redis(parts), router.describe())
        ready = redis == "ok" and not any("error" in host for host in hosts)
        companies = {
            "broken": parts.directory.broken(),
            "cold": {name: why for host in hosts for name, why in host.get("cold", {}).items()},
        }
        return JSONResponse(
            {
                "status": "ready" if ready else "not ready",
                "redis": redis,
                "companies": companies,
                "hosts": hosts,
            },
            200 if ready else 503,
        )

    return health


async def _redis(parts: Parts) -> str:
    try:
        async with asyncio.timeout(REDIS_ANSWER_S):
            await parts.journal.ping()
    except TimeoutError:
        return f"no answer within {REDIS_ANSWER_S:g} s"
    except Retryable as error:
        return redact(str(error))
    return "ok"
