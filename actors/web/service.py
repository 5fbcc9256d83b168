"""Puts the HTTP service of one replica together."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles

from actors import wiring
from actors.companies.directory import follow
from actors.placement import Router
from actors.settings import Settings
from actors.web import analytics, api, companies, console, health, refusals, webhooks
from actors.web.access import Access
from actors.web.ingress import Ingress


class _Pages(StaticFiles):
    """Asked about anew each time: a page is never put together from two releases."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        try:
            return super().lookup_path(path)
        except ValueError:  # such as a zero byte in it
            return "", None

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def build(settings: Settings) -> FastAPI:
    """The service for these settings; connects to nothing yet."""
    parts = wiring.build(settings)
    return app_of(parts, Router(parts))


def app_of(parts: wiring.Parts, router: Router) -> FastAPI:
    """The service of these parts, with this way to the conversations."""
    ingress = Ingress(parts, router)
    access = Access(parts.redis, parts.clock, parts.ids, parts.settings.admin_token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(follow(parts.directory, parts.redis, parts.clock))
        yield
        following.cancel()

    app = FastAPI(title="Turnwise", version="0.1.0", redoc_url=None, lifespan=lifespan)
    refusals.install(app)
    app.include_router(webhooks.routes(parts.directory, ingress, parts.clock))
    app.include_router(api.routes(parts, router, ingress, access))
    app.include_router(companies.routes(parts, access))
    app.include_router(
        analytics.routes(parts.directory.company, parts.tallies, parts.clock, access)
    )
    app.include_router(console.routes(parts, access))
    app.include_router(health.routes(parts, router))
    with as_file(files("actors.web").joinpath("static")) as static:
        app.mount("/static", _Pages(directory=Path(static)), name="static")
    return app
