"""Answers webhooks in the proxy's place while the service behind it is away: with an error that is
repeated."""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FINAL = (404, 408, 503)
"""What Serve's proxy says while it knows no route, or no replica: as it starts, or loses them.
Chatwoot's bots repeat a webhook on 429 and 500 only, and take these for the end of it."""


class Repeatable:
    """Turns the proxy's own errors into a 500, for webhooks. The service's are JSON and pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/webhook/"):
            await self._app(scope, receive, send)
            return

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_the_proxys(message):
                message = {**message, "status": 500}
            await send(message)

        await self._app(scope, receive, say)


def _is_the_proxys(start: Message) -> bool:
    kind = dict(start.get("headers", ())).get(b"content-type", b"")
    return start["status"] in FINAL and bytes(kind).startswith(b"text/plain")


def middlewares() -> list[Middleware]:
    """What Serve's proxies call; RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it."""
    return [Middleware(Repeatable)]
