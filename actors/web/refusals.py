"""Says no over HTTP: a status, a sentence, and when to come back."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from actors.companies.company import BrokenCompany, UnknownCompany
from actors.errors import Retryable
from actors.telemetry import logger, redact

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


async def _away(_: Request, error: Exception) -> JSONResponse:
    # 500, not 503: Chatwoot's agent bots repeat 429 and 500 only.
    _log.error("answered 500: %s", error)
    return JSONResponse({"detail": redact(str(error))}, 500)


def install(app: FastAPI) -> None:
    """Makes the service answer these errors; any other exception is a bug, logged and a 500."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(UnknownCompany, _unknown_company)
    app.add_exception_handler(BrokenCompany, _broken_company)
    app.add_exception_handler(Retryable, _away)
