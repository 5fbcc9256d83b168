"""Who may call what: every route of the service, asked by everybody who may not.

A route that is not in the table below fails the first test: say there who may call it.
"""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from actors.journal.keys import Key
from actors.web.access import COOKIE
from tests.conftest import emptied
from tests.served import (
    ADMIN,
    PLANTED,
    SECRETS,
    TOKENS,
    Answer,
    Served,
    bearer,
    settings_for,
    signed,
)
from tests.unit.test_webhooks import message

CONVERSATION = "/api/companies/{company_id}/conversations/{conversation_id}"
LETTERS = "/api/companies/{company_id}/dead-letters"
ROUTES = {
    # Anybody: what they show is nobody's secret, and the web chat is for strangers.
    ("GET", "/"): "public",
    ("GET", "/favicon.ico"): "public",
    ("GET", "/docs"): "public",
    ("GET", "/docs/oauth2-redirect"): "public",
    ("GET", "/openapi.json"): "public",
    ("GET", "/static"): "public",
    ("GET", "/healthz"): "public",
    ("POST", "/healthz"): "public",
    ("GET", "/readyz"): "public",
    ("GET", "/chat"): "public",
    ("GET", "/chat/session"): "public",
    ("POST", "/chat/session"): "public",
    # Whoever signs with the company's webhook secret.
    ("POST", "/webhook/chatwoot/{company_id}"): "webhook",
    # The company's token alone, or the browser that holds this very conversation.
    ("GET", CONVERSATION): "conversation",
    ("GET", f"{CONVERSATION}/events"): "conversation",
    ("POST", f"{CONVERSATION}/messages"): "conversation",
    ("POST", f"{CONVERSATION}/typing"): "conversation",
    ("POST", f"{CONVERSATION}/replies"): "conversation",
    ("POST", f"{CONVERSATION}/pause"): "conversation",
    ("POST", f"{CONVERSATION}/resume"): "conversation",
    # The company's token alone: what its customers write is not the operator's.
    ("GET", LETTERS): "own",
    ("POST", f"{LETTERS}/retry"): "own",
    ("POST", f"{LETTERS}/{{conversation_id}}/{{seq}}/retry"): "own",
    ("DELETE", f"{LETTERS}/{{conversation_id}}/{{seq}}"): "own",
    # The company itself, and the operator.
    ("GET", "/api/companies/{company_id}"): "company",
    ("GET", "/api/companies/{company_id}/status"): "company",
    ("POST", "/api/companies/{company_id}/catch-up"): "company",
    ("GET", "/api/companies/{company_id}/analytics"): "company",
    # The operator alone.
    ("GET", "/api/status"): "operator",
    ("GET", "/api/companies"): "operator",
    ("PUT", "/api/companies/{company_id}"): "operator",
    ("PATCH", "/api/companies/{company_id}"): "operator",
    ("DELETE", "/api/companies/{company_id}"): "operator",
}
BODIES: dict[str, Any] = {
    "messages": {"text": "hello"},
    "typing": {"on": True},
    "replies": {"text": "I am on it"},
    "pause": {"seconds": 60},
}
WRONG = ("", "wrong", "token-of-acme", "token-of-acme-11", "TOKEN-OF-ACME-1", "*")


def walked(routes: Any) -> Iterator[tuple[str, str]]:
    """Every method and path, those that are not in the API's description too."""
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from walked(route.effective_candidates())
            continue
        for method in getattr(route, "methods", None) or {"GET"}:
            if method != "HEAD":
                yield method, route.path


def of(*kinds: str) -> list[Any]:
    found = [route for route, kind in ROUTES.items() if kind in kinds]
    return [pytest.param(*route, id=" ".join(route)) for route in found]


@pytest.fixture
async def served(redis_6: str, tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(settings_for(emptied(redis_6), tmp_path))
    for company_id in ("acme", "bolt"):
        await made.plant(company_id, "321", PLANTED if company_id == "bolt" else "hello")
    yield made
    await made.aclose()


async def call(
    served: Served, method: str, path: str, company_id: str, headers: Any = ()
) -> Answer:
    target = path.format(company_id=company_id, conversation_id="321", seq=1)
    body = BODIES.get(path.rpartition("/")[2], {} if method in ("PUT", "PATCH") else None)
    answer = await served.ask(
        method, target, b"" if body is None else json.dumps(body).encode(), headers
    )
    assert answer.crash is None and answer.status < 500
    assert not [name for name, secret in SECRETS.items() if secret in answer.text]
    return answer


def test_every_route_is_in_the_table(served: Served) -> None:
    app: FastAPI = served.app
    assert set(walked(app.routes)) == set(ROUTES)
    described = {
        (method.upper(), path) for path, ways in app.openapi()["paths"].items() for method in ways
    }
    assert described <= set(ROUTES)


@pytest.mark.parametrize(("method", "path"), of("conversation", "own", "company", "operator"))
async def test_nobody_else_is_let_in(method: str, path: str, served: Served) -> None:
    kind = ROUTES[method, path]
    strangers = [*WRONG, TOKENS["acme"], TOKENS["shop"]]
    if kind == "operator":
        strangers.append(TOKENS["bolt"])
    if kind in ("conversation", "own"):
        strangers.append(ADMIN)
    for token in strangers:
        answer = await call(served, method, path, "bolt", bearer(token))
        assert answer.status == 401, token
        assert answer.headers["www-authenticate"] == "Bearer"
        assert PLANTED not in answer.text and "prompt of bolt" not in answer.text
    for scheme in ("Basic", "Token", "bearer-x", ""):
        header = (b"authorization", f"{scheme} {TOKENS['bolt']}".encode())
        assert (await call(served, method, path, "bolt", [header])).status == 401
    # Elsewhere than in the one header a token is none.
    for target in ("?token={t}", "?access_token={t}", "?api_token={t}"):
        asked = f"{path}{target.format(t=TOKENS['bolt'])}"
        assert (await call(served, method, asked, "bolt")).status == 401
    assert await untouched(served)


async def untouched(served: Served) -> bool:
    """Whether nobody changed anything of bolt."""
    entries = await served.parts.journal.read(Key("bolt", "321"), 0)
    return len(entries) == 1 and not await served.parts.redis.exists("turnwise:{companies}")


@pytest.mark.parametrize(("method", "path"), of("conversation", "own", "company", "operator"))
async def test_those_who_may_are(method: str, path: str, served: Served) -> None:
    kind = ROUTES[method, path]
    allowed = [] if kind == "operator" else [TOKENS["bolt"]]
    allowed += [] if kind in ("conversation", "own") else [ADMIN]
    for token in allowed:
        answer = await call(served, method, path, "bolt", bearer(token))
        # 409: nothing is stored to be deleted, and bolt's customers are answered in Chatwoot.
        fits = {200, 202, 409} | ({404} if kind == "own" else set())  # it has no such dead letter
        assert answer.status in fits, answer.text


@pytest.mark.parametrize(("method", "path"), of("conversation"))
async def test_a_browser_is_let_into_its_own_conversation_alone(
    method: str, path: str, served: Served
) -> None:
    page = await served.ask("GET", "/chat?company=shop")
    cookie = page.headers["set-cookie"].partition(";")[0]
    assert cookie.startswith(f"{COOKIE}=shop:web-") or cookie.startswith(f'{COOKIE}="shop:web-')
    held = [(b"cookie", cookie.encode())]
    for company_id in ("shop", "acme", "bolt"):
        assert (await call(served, method, path, company_id, held)).status == 401
    # What it holds it may use; forged into another's, it is nothing.
    ticket = cookie.partition("=")[2].strip('"')
    own = ticket.split(":")[1]
    used = await call(served, method, path.replace("{conversation_id}", own), "shop", held)
    assert used.status in (200, 202, 404)
    for forged in (ticket.replace("shop:", "bolt:", 1), ticket.replace(own, "321", 1)):
        header = [(b"cookie", f"{COOKIE}={forged}".encode())]
        assert (await call(served, method, path, "bolt", header)).status == 401


@pytest.mark.parametrize(("method", "path"), of("webhook"))
async def test_a_webhook_needs_the_companys_own_signature(
    method: str, path: str, served: Served
) -> None:
    target = path.format(company_id="bolt")
    body = json.dumps(message()).encode()
    for headers in (
        [],
        bearer(TOKENS["bolt"]),
        bearer(ADMIN),
        signed(body, SECRETS["webhook of acme"]),
        signed(b"{}", SECRETS["webhook of bolt"]),
        signed(body, SECRETS["webhook of bolt"], "1700000000"),
        signed(body, ""),
    ):
        assert (await served.ask(method, target, body, headers)).status == 401
    assert await untouched(served)
    own = await served.ask(method, target, body, signed(body, SECRETS["webhook of bolt"]))
    assert own.status == 202


@pytest.mark.parametrize(("method", "path"), of("public"))
async def test_what_is_public_shows_nothing_of_anybody(
    method: str, path: str, served: Served
) -> None:
    for token in ("", TOKENS["acme"], ADMIN):
        answer = await call(served, method, path, "bolt", bearer(token))
        assert answer.status in (200, 204, 307, 401, 404)
        for word in (PLANTED, "prompt of", "bolt"):
            assert word not in answer.text
