"""The operator's API of the companies, over real Redis: who may, what is shown, what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis

from actors.clock import Clock, SystemIds
from actors.companies.company import Company
from actors.companies.directory import Directory
from actors.companies.store import TABLES_KEY
from actors.errors import Misconfigured
from actors.settings import CompanySettings, Settings
from actors.tokens import digest, hashed
from actors.web import companies, refusals
from actors.web.access import Access
from actors.wiring import Parts
from tests.fakes import VirtualClock

ADMIN = "an-operators-token"
FILE = """
[companies.acme]
name = "Acme"
max_batch = 7
api_token = "token-of-acme"
[companies.acme.chatwoot]
base_url = "https://user:pass@chat.example"
account_id = 1
api_key = "key-of-the-file"
[companies.bad]
longest_wait_s = 1
"""
SECRETS = ("token-of-acme", "key-of-the-file", "user:pass", "a-new-key", "a-new-token")


@dataclass
class Few:
    """The parts that these routes use."""

    settings: Settings
    directory: Directory
    redis: Redis
    clock: Clock


@dataclass
class Desk:
    """The service and its operator."""

    app: FastAPI
    redis: Redis
    directory: Directory

    async def call(
        self, method: str, path: str = "", body: Any = None, token: str = ADMIN
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            answer = await http.request(
                method, f"/api/companies{path}", content=content, headers=headers
            )
        assert not [secret for secret in SECRETS if secret in answer.text]
        return answer

    async def stored(self) -> dict[bytes, bytes]:
        return cast(dict[bytes, bytes], await self.redis.hgetall(TABLES_KEY))


def no_swearing(company: Company) -> None:
    if "damn" in company.prompt:
        raise Misconfigured(f"companies.{company.company_id}.prompt: no swearing")


def desk_of(settings: Settings, redis: Redis) -> Desk:
    directory = Directory(settings, [no_swearing])
    clock = VirtualClock()
    access = Access(redis, clock, SystemIds(), settings.admin_token)
    parts = cast(Parts, Few(settings, directory, redis, clock))
    app = FastAPI()
    refusals.install(app)
    app.include_router(companies.routes(parts, access))
    return Desk(app, redis, directory)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "companies.toml"
    path.write_text(FILE)
    return Settings(
        companies_file=path,
        admin_token=SecretStr(ADMIN),
        secrets_key=SecretStr("a passphrase of a good length"),
        quiet_window_s=8,
    )


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def desk(settings: Settings, redis: Redis) -> Desk:
    return desk_of(settings, redis)


CALLS = [("GET", ""), ("GET", "/acme"), ("PUT", "/acme"), ("PATCH", "/acme"), ("DELETE", "/acme")]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_only_the_operator_may(method: str, path: str, desk: Desk) -> None:
    for token, says in (("", "send Authorization: Bearer"), ("wrong", "not the operator's")):
        answer = await desk.call(method, path, {}, token)
        assert answer.status_code == 401 and says in answer.json()["detail"]
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert await desk.stored() == {}


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_without_a_token_of_the_operator_it_is_closed(
    method: str, path: str, settings: Settings, redis: Redis
) -> None:
    desk = desk_of(settings.model_copy(update={"admin_token": None}), redis)
    answer = await desk.call(method, path, {}, "anything")
    assert (answer.status_code, "set ADMIN_TOKEN" in answer.json()["detail"]) == (401, True)


async def test_a_company_sees_itself_and_changes_nothing(desk: Desk) -> None:
    own = await desk.call("GET", "/acme", token="token-of-acme")
    assert (own.status_code, own.json()["id"]) == (200, "acme")
    for method, path in (("GET", ""), ("GET", "/bad"), ("PATCH", "/acme"), ("PUT", "/acme")):
        assert (await desk.call(method, path, {}, "token-of-acme")).status_code == 401


async def test_all_companies_and_why_one_is_broken(desk: Desk) -> None:
    listed = (await desk.call("GET")).json()
    assert listed["companies_file"] == "ok"
    acme, bad = listed["companies"]
    assert acme == {"id": "acme", "name": "Acme", "state": "ok", "reason": None}
    assert bad["state"] == "broken" and "companies.bad.longest_wait_s (1)" in bad["reason"]
    assert (await desk.call("GET", "/bad")).json()["settings"] == {}


async def test_a_setting_says_where_it_comes_from(desk: Desk) -> None:
    await desk.call("PATCH", "/acme", {"longest_wait_s": 20})
    shown = (await desk.call("GET", "/acme")).json()
    assert shown["stored"] == ["longest_wait_s"]
    settings = shown["settings"]
    assert settings["longest_wait_s"] == {"value": 20.0, "from": "api"}
    assert settings["max_batch"] == {"value": 7, "from": "file"}
    assert settings["quiet_window_s"] == {"value": 8.0, "from": "environment"}
    assert settings["window_min_s"] == {"value": 3.0, "from": "default"}
    assert settings["api_token"] == {"set": True, "from": "file"}
    assert settings["chatwoot.api_key"] == {"set": True, "from": "file"}
    assert settings["chatwoot.webhook_secret"] == {"set": False, "from": "default"}
    assert settings["chatwoot.base_url"]["value"] == "https://user:***@chat.example/"
    assert settings["model"]["value"] == "gpt-4.1-mini"
    assert settings["allowed_statuses"]["value"] == ["pending", "open"]
    assert settings["hours"] == {"value": {}, "from": "default"}
    assert {key.split(".")[0] for key in settings} == set(CompanySettings.model_fields)


async def test_a_company_that_only_redis_knows_comes_and_goes(desk: Desk) -> None:
    table = {
        "name": "Zeta",
        "api_token": "a-new-token",
        "hours": {"mon": "closed"},
        "tools": {"stock": {"call": "a:b", "description": "d"}},
    }
    made = await desk.call("PUT", "/zeta", table)
    assert (made.status_code, made.json()["name"]) == (201, "Zeta")
    assert made.json()["settings"]["api_token"] == {"set": True, "from": "api"}
    assert made.json()["settings"]["tools.stock.call"] == {"value": "a:b", "from": "api"}
    assert made.json()["stored"] == [
        "api_token",
        "hours.mon",
        "name",
        "tools.stock.call",
        "tools.stock.description",
    ]
    assert b"a-new-token" not in (await desk.stored())[b"zeta"]
    assert (await desk.call("GET", "/zeta", token="a-new-token")).status_code == 200
    again = await desk.call("PUT", "/zeta", {})
    assert (again.status_code, again.json()["name"]) == (200, "zeta")
    gone = await desk.call("DELETE", "/zeta")
    assert (gone.status_code, gone.json()) == (200, {"id": "zeta", "state": "removed"})
    for method in ("GET", "PATCH", "DELETE"):
        assert (await desk.call(method, "/zeta", {})).status_code == 404


async def test_a_patch_sets_and_removes_and_keeps_the_rest(desk: Desk) -> None:
    await desk.call("PATCH", "/acme", {"api_token": "a-new-token", "max_batch": 3})
    patched = await desk.call("PATCH", "/acme", {"max_batch": None, "draft_early": True})
    assert patched.json()["stored"] == ["api_token", "draft_early"]
    assert patched.json()["settings"]["max_batch"] == {"value": 7, "from": "file"}
    assert desk.directory.company("acme").owns_token("a-new-token")


async def test_what_is_stored_goes_and_the_file_stays(desk: Desk) -> None:
    await desk.call("PUT", "/acme", {"max_batch": 3})
    back = await desk.call("DELETE", "/acme")
    assert (back.status_code, back.json()["settings"]["max_batch"]["from"]) == (200, "file")
    assert back.json()["stored"] is None
    refused = await desk.call("DELETE", "/acme")
    assert refused.status_code == 409 and "remove it there" in refused.json()["detail"]


async def test_the_api_repairs_a_company_but_not_back_into_a_broken_one(desk: Desk) -> None:
    repaired = await desk.call("PATCH", "/bad", {"longest_wait_s": 20})
    assert (repaired.status_code, repaired.json()["state"]) == (200, "ok")
    refused = await desk.call("DELETE", "/bad")
    assert refused.status_code == 422 and "is below quiet_window_s" in refused.json()["detail"]
    assert (await desk.call("GET", "/bad")).json()["state"] == "ok"


async def test_what_somebody_spoilt_in_redis_is_replaced(desk: Desk) -> None:
    await desk.redis.hset(TABLES_KEY, "zeta", b"\xff")
    assert "is no table" in (await desk.call("GET", "/zeta")).json()["reason"]
    assert (await desk.call("PATCH", "/zeta", {})).status_code == 422
    assert (await desk.call("PUT", "/zeta", {"name": "Zeta"})).json()["state"] == "ok"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"longest_wait_s": 5}, "companies.acme.longest_wait_s (5) is below quiet_window_s (8)"),
        ({"allowed_statuses": ["open", "done"]}, "'pending', 'open', 'resolved' or 'snoozed'"),
        ({"time_zone": "Bogota"}, "companies.acme.time_zone: 'Bogota' is no time zone"),
        ({"prompt": "damn"}, "companies.acme.prompt: no swearing"),
        ({"quiet": 1}, "companies.acme.quiet: Extra inputs are not permitted; the keys here are"),
        ({"prompt": "x" * 70_000}, "companies.acme: the table has"),
        ([], "companies.acme: send an object"),
        (b"{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b'{"prompt": "\\ud800"}', "the body is not JSON in UTF-8"),
        (b"[" * 100_000, "the body is not JSON"),
        ({"api_token": {"sealed": "v1.00000000.AAAA"}}, "companies.acme.api_token: it does not"),
    ],
)
async def test_what_is_wrong_changes_nothing(method: str, body: Any, says: str, desk: Desk) -> None:
    acme = desk.directory.company("acme")
    refused = await desk.call(method, "/acme", body)
    assert refused.status_code == 422 and says in refused.json()["detail"]
    assert await desk.stored() == {} and desk.directory.company("acme") is acme


async def test_more_that_is_refused(desk: Desk) -> None:
    null = await desk.call("PUT", "/acme", {"chatwoot": {"api_key": None}})
    assert null.status_code == 422
    assert "companies.acme.chatwoot.api_key: null is no value" in null.json()["detail"]
    assert (await desk.call("PUT", "/A%20b", {})).status_code == 422
    assert (await desk.call("PATCH", "/nobody", {})).status_code == 404
    assert (await desk.call("PUT", "/acme", b" " * (1 << 21))).status_code == 413
    assert await desk.stored() == {}


async def test_no_secret_is_stored_without_a_key(settings: Settings, redis: Redis) -> None:
    desk = desk_of(settings.model_copy(update={"secrets_key": None}), redis)
    secret = {"whatsapp": {"phone_number_id": "1", "access_token": "a-new-key"}}
    refused = await desk.call("PATCH", "/acme", secret)
    assert refused.status_code == 422 and "SECRETS_KEY" in refused.json()["detail"]
    assert await desk.stored() == {}
    assert (await desk.call("PATCH", "/acme", {"max_batch": 3})).status_code == 200
    # Of a token only the hash is kept, which needs no key.
    assert (await desk.call("PATCH", "/acme", {"api_token": "a-new-token"})).status_code == 200
    assert (await desk.call("GET", "/acme", token="a-new-token")).status_code == 200
    assert b"a-new-token" not in (await desk.stored())[b"acme"]


async def test_tokens_are_changed_without_a_moment_in_which_none_fits(desk: Desk) -> None:
    for tokens in (["token-of-acme", "a-new-token"], "token-of-acme, a-new-token"):
        await desk.call("PATCH", "/acme", {"api_token": tokens})
        for token in ("token-of-acme", "a-new-token"):
            assert (await desk.call("GET", "/acme", token=token)).status_code == 200
        (stored,) = (await desk.stored()).values()
        assert b"token-of-acme" not in stored and b"a-new-token" not in stored
    await desk.call("PATCH", "/acme", {"api_token": [hashed("a-new-token")]})
    assert (await desk.call("GET", "/acme", token="a-new-token")).status_code == 200
    for token in ("token-of-acme", hashed("a-new-token"), digest("a-new-token")):
        assert (await desk.call("GET", "/acme", token=token)).status_code == 401


async def test_the_operators_tokens_may_be_several_and_hashes(
    settings: Settings, redis: Redis
) -> None:
    given = SecretStr(f"{ADMIN}, {hashed('another-operators-token')}")
    desk = desk_of(settings.model_copy(update={"admin_token": given}), redis)
    for token in (ADMIN, "another-operators-token"):
        assert (await desk.call("GET", token=token)).status_code == 200
    for token in (hashed("another-operators-token"), given.get_secret_value()):
        assert (await desk.call("GET", token=token)).status_code == 401


async def test_a_key_is_sent_only_where_it_was_given_for(desk: Desk) -> None:
    elsewhere = {"base_url": "https://elsewhere.example"}
    for method in ("PUT", "PATCH"):
        refused = await desk.call(method, "/acme", {"chatwoot": elsewhere})
        assert refused.status_code == 422 and "give both together" in refused.json()["detail"]
    own = {"chatwoot": {**elsewhere, "api_key": "a-new-key"}}
    assert (await desk.call("PATCH", "/acme", own)).status_code == 200
    # Neither in two steps: to fall back to the file's key, nor to take the stored one along.
    fall_back = await desk.call("PATCH", "/acme", {"chatwoot": {"api_key": None}})
    take_along = await desk.call("PATCH", "/acme", {"chatwoot": {"base_url": "https://x.example"}})
    assert (fall_back.status_code, take_along.status_code) == (422, 422)
    assert (await desk.call("PATCH", "/acme", {"chatwoot": {"account_id": 2}})).status_code == 200
    assert (await desk.call("PUT", "/acme", {})).status_code == 200


async def test_changes_at_the_same_moment_all_take_effect(settings: Settings, redis: Redis) -> None:
    desks = [desk_of(settings, redis) for _ in range(2)]
    changes: list[dict[str, Any]] = [{"max_batch": 3}, {"draft_early": True}, {"tune": True}]
    answers = await asyncio.gather(
        *(desks[n % 2].call("PATCH", "/acme", change) for n, change in enumerate(changes))
    )
    assert [answer.status_code for answer in answers] == [200] * 3
    assert json.loads((await desks[0].stored())[b"acme"]) == {
        key: value for change in changes for key, value in change.items()
    }
