"""Puts the HTTP service of one replica together."""

from importlib.resources import as_file, files
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from actors import wiring
from actors.placement import Router
from actors.settings import Settings
from actors.web import api, console, health, refusals, webhooks
from actors.web.access import Access
from actors.web.ingress import Ingress


def build(settings: Settings) -> FastAPI:
    """The service for these settings; connects to nothing yet."""
    parts = wiring.build(settings)
    router = Router(parts)
    ingress = Ingress(parts, router)
    access = Access(parts.redis, parts.clock, parts.ids)
    app = FastAPI(title="Turnwise", version="0.1.0", redoc_url=None)
    refusals.install(app)
    app.include_router(webhooks.routes(parts.directory, ingress, parts.clock))
    app.include_router(api.routes(parts, router, ingress, access))
    app.include_router(console.routes(parts, access))
    app.include_router(health.routes(parts, router))
    with as_file(files("actors.web").joinpath("static")) as static:
        app.mount("/static", StaticFiles(directory=Path(static)), name="static")
    return app
