"""While the service is away its proxy answers webhooks with an error that Chatwoot repeats."""

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from actors import embedded
from actors.web import front

WEBHOOK, OTHER = "/webhook/chatwoot/acme", "/api/companies/acme/analytics"
NO_ROUTE = PlainTextResponse("Path '/webhook/chatwoot/acme' not found.", 404)
NO_REPLICA = PlainTextResponse("Deployment is unavailable.", 503)
FULL = PlainTextResponse("Too many requests", 429, {"Retry-After": "1"})


@pytest.mark.parametrize(
    ("path", "answer", "status"),
    [
        (WEBHOOK, NO_ROUTE, 500),
        (WEBHOOK, NO_REPLICA, 500),
        (WEBHOOK, FULL, 429),
        (WEBHOOK, JSONResponse({"detail": "no such company"}, 404), 404),
        (WEBHOOK, JSONResponse({"status": "queued"}, 202), 202),
        (OTHER, NO_ROUTE, 404),
        (OTHER, NO_REPLICA, 503),
    ],
)
async def test_what_is_said_for_a_service_that_is_away(
    path: str, answer: Response, status: int
) -> None:
    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(scope, receive, send)

    (middleware,) = front.middlewares()
    app = middleware.cls(proxy, *middleware.args, **middleware.kwargs)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as http:
        said = await http.post(path)
    assert (said.status_code, said.content) == (status, answer.body)


def test_the_proxies_of_our_own_ray_are_told_of_it() -> None:
    module, _, name = embedded.ray_environment()[
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
    ].rpartition(".")
    assert (module, getattr(front, name)) == (front.__name__, front.middlewares)
