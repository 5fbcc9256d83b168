"""Says no over HTTP: a status, a sentence, and when to come back."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.companies.company import BrokenCompany, UnknownCompany
from actors.errors import Retryable
from actors.telemetry import logger, redact

BUG = "an error of Turnwise itself: its log says more"

_log = logger("web")


class Refused(Exception):
    """A request that is answered with an error status. `retry_after_s` in whole seconds."""

    def __init__(self, status: int, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return JSONResponse({"detail": error.detail}, error.status, error.headers)


async def _unknown_company(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 404)


async def _broken_company(_: Request, error: Exception) -> JSONResponse:
    # 500, so that Chatwoot's agent bots repeat what was meant for a company that is corrected soon.
    _log.error("answered 500: %s", error)
    return JSONResponse({"detail": redact(str(error))}, 500)


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    # The first word only says where it stood (query, path); the value may be a secret.
    where = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)


async def _away(_: Request, error: Exception) -> JSONResponse:
    # 500, not 503: Chatwoot's agent bots repeat 429 and 500 only.
    _log.error("answered 500: %s", error)
    return JSONResponse({"detail": redact(str(error))}, 500)


class Front:
    """Stands before the routes: what they cannot read does not reach them, and any exception that
    is none of those below is a bug, answered 500 and logged, its secrets redacted (the server
    around us would log it as it is)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not scope["query_string"].isascii():
            refused = JSONResponse({"detail": "percent-encode what follows the ? in UTF-8"}, 400)
            await refused(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:  # one request's bug is not the replica's end
            what = "cut off" if begun else "answered 500"
            _log.exception("%s: %s %s", what, scope["method"], ascii(scope["path"][:200]))
            if begun:
                raise
            await JSONResponse({"detail": BUG}, 500)(scope, receive, send)


def install(app: FastAPI) -> None:
    """Makes the service answer these errors."""
    app.add_middleware(Front)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(UnknownCompany, _unknown_company)
    app.add_exception_handler(BrokenCompany, _broken_company)
    app.add_exception_handler(Retryable, _away)
