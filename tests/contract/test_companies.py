"""Companies in Redis, on each supported version: stored once, taken up by every process, sealed."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from actors.companies.company import BrokenCompany, UnknownCompany
from actors.companies.directory import REFRESH_S, Directory, follow
from actors.companies.sealing import Seal
from actors.companies.store import COMPANIES_MAX, TABLE_BYTES_MAX, TABLES_KEY, CompanyStore
from actors.errors import Misconfigured, Retryable
from actors.settings import Settings
from tests.fakes import VirtualClock
from tests.places import free_ports

KEY = SecretStr("a passphrase of a good length")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis) -> CompanyStore:
    return CompanyStore(redis)


def written(directory: Path, text: str) -> Path:
    """The companies file, replaced as an editor does it."""
    path = directory / "companies.toml"
    aside = directory / "companies.toml.new"
    aside.write_text(text)
    os.replace(aside, path)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = written(tmp_path, "[companies.acme]\nmax_batch = 7\n[companies.bolt]\n")
    return Settings(companies_file=path, secrets_key=KEY)


async def put(store: CompanyStore, company_id: str, table: dict[str, Any] | None) -> None:
    sealed = None if table is None else Seal(KEY).sealed(company_id, table)
    outcome = await store.write(company_id, sealed, await store.version())
    assert outcome == ("removed" if table is None else "stored")


# --- The store -----------------------------------------------------------------------------------


async def test_nothing_is_stored_at_first(store: CompanyStore) -> None:
    assert await store.version() == 0
    assert (await store.read()).tables == {}


async def test_every_write_has_a_version(store: CompanyStore) -> None:
    await put(store, "acme", {"name": "Acme"})
    await put(store, "bolt", {})
    await put(store, "acme", None)
    found = await store.read()
    assert (found.version, dict(found.tables)) == (3, {"bolt": b"{}"})
    assert await store.version() == 3


async def test_of_two_writes_at_one_version_one_takes_effect(store: CompanyStore) -> None:
    outcomes = await asyncio.gather(*(store.write("acme", {"name": n}, 0) for n in "abcde"))
    assert sorted(outcomes) == ["changed"] * 4 + ["stored"]
    assert await store.version() == 1


async def test_the_store_is_bounded(store: CompanyStore, redis: Redis) -> None:
    with pytest.raises(Misconfigured, match=r"companies\.acme: the table has \d+ bytes"):
        await store.write("acme", {"prompt": "x" * TABLE_BYTES_MAX}, 0)
    await redis.hset(TABLES_KEY, mapping={f"c{number}": "{}" for number in range(COMPANIES_MAX)})
    assert await store.write("acme", {}, 0) == "full"
    assert await store.write("c0", {"name": "x"}, 0) == "stored"
    assert await store.write("c0", None, 1) == "removed"
    assert await store.write("acme", {}, 2) == "stored"


async def test_redis_is_away() -> None:
    (port,) = free_ports(1)
    client = Redis.from_url(f"redis://127.0.0.1:{port}/0")
    store = CompanyStore(client)
    for call in (store.version(), store.read(), store.write("acme", {}, 0)):
        with pytest.raises(Retryable, match="redis away: "):
            await call
    await client.aclose()


# --- The directory takes it up -------------------------------------------------------------------


async def test_a_stored_table_lies_over_the_files(
    redis: Redis, store: CompanyStore, settings: Settings
) -> None:
    directory = Directory(settings)
    bolt = directory.company("bolt")
    await put(store, "acme", {"quiet_window_s": 4, "api_token": "hush"})
    await put(store, "zeta", {"name": "Zeta"})
    await directory.refresh(redis)
    acme = directory.company("acme")
    assert (acme.largest_batch, acme.quiet_window_ms) == (7, 4_000)
    assert acme.owns_token("hush")
    assert directory.company("zeta").name == "Zeta"
    assert directory.company("bolt") is bolt, "unchanged, it is the very same"
    assert b"hush" not in (await redis.hgetall(TABLES_KEY))[b"acme"]
    await put(store, "acme", None)
    await put(store, "zeta", None)
    await directory.refresh(redis)
    assert directory.company("acme").quiet_window_ms == 10_000
    with pytest.raises(UnknownCompany):
        directory.company("zeta")


async def test_what_is_stored_anew_without_a_change_is_the_same_company(
    redis: Redis, store: CompanyStore, settings: Settings
) -> None:
    directory = Directory(settings)
    for _ in range(2):
        before = directory.company("acme")
        await put(store, "acme", {"api_token": "hush"})
        await directory.refresh(redis)
    assert directory.company("acme") is before


async def test_the_file_is_read_again_when_it_changes(
    redis: Redis, settings: Settings, tmp_path: Path
) -> None:
    directory = Directory(settings)
    bolt = directory.company("bolt")
    await directory.refresh(redis)
    written(tmp_path, "[companies.acme]\nmax_batch = 8\n[companies.bolt]\n[companies.zeta]\n")
    await directory.refresh(redis)
    assert directory.company("acme").largest_batch == 8
    assert directory.company("bolt") is bolt
    assert [company.company_id for company in directory] == ["acme", "bolt", "zeta"]


@pytest.mark.parametrize(
    "text", ["[companies", "", "x = 1\n[companies.acme]", "[companies]\nacme = 1\nbolt = 2"]
)
async def test_a_spoilt_file_changes_nothing(
    text: str, redis: Redis, settings: Settings, tmp_path: Path
) -> None:
    directory = Directory(settings)
    before = list(directory)
    written(tmp_path, text)
    await directory.refresh(redis)
    assert list(directory) == before
    assert directory.trouble or len(directory.broken()) == 2
    written(tmp_path, "[companies.acme]\nmax_batch = 3")
    await directory.refresh(redis)
    assert directory.trouble is None and directory.broken() == {}
    assert [company.largest_batch for company in directory] == [3]


async def test_a_file_that_went_away_changes_nothing(
    redis: Redis, settings: Settings, tmp_path: Path
) -> None:
    directory = Directory(settings)
    await directory.refresh(redis)
    (tmp_path / "companies.toml").unlink()
    await directory.refresh(redis)
    assert len(list(directory)) == 2 and "cannot be read" in str(directory.trouble)


async def test_a_company_that_became_bad_lives_by_its_last_good_settings(
    redis: Redis, settings: Settings, tmp_path: Path
) -> None:
    directory = Directory(settings)
    acme = directory.company("acme")
    await directory.refresh(redis)
    written(tmp_path, "[companies.acme]\nlongest_wait_s = 1\n[companies.bolt]\nmax_batch = 3")
    await directory.refresh(redis)
    assert directory.company("acme") is acme
    assert directory.company("bolt").largest_batch == 3
    assert list(directory.broken()) == ["acme"]
    written(tmp_path, "[companies.acme]\nlongest_wait_s = 20\n[companies.bolt]\nmax_batch = 3")
    await directory.refresh(redis)
    assert directory.broken() == {}
    assert directory.company("acme").longest_wait_ms == 20_000


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xff", "companies.zeta: what is stored in Redis is no table"),
        (b"[1]", "companies.zeta: what is stored in Redis is no table"),
        (b'{"longest_wait_s": 1}', "companies.zeta.longest_wait_s (1) is below"),
        (b'{"api_token": {"sealed": "v1.00000000.AAAA"}}', "companies.zeta.api_token: it does not"),
        (b'{"api_token": {}}', "companies.zeta.api_token: it does not open"),
        (b'{"tools": 3}', "companies.zeta.tools: "),
    ],
)
async def test_what_somebody_wrote_into_redis_breaks_one_company(
    raw: bytes, says: str, redis: Redis, settings: Settings
) -> None:
    directory = Directory(settings)
    await redis.hset(TABLES_KEY, "zeta", raw)
    await directory.refresh(redis)
    assert says in directory.broken()["zeta"]
    with pytest.raises(BrokenCompany):
        directory.company("zeta")
    assert [company.company_id for company in directory] == ["acme", "bolt"]


async def test_a_process_without_the_key_says_so(
    redis: Redis, store: CompanyStore, settings: Settings
) -> None:
    whatsapp = {"phone_number_id": "1", "access_token": "hush"}
    await put(store, "acme", {"whatsapp": whatsapp})
    keyless = Directory(settings.model_copy(update={"secrets_key": None}))
    await keyless.refresh(redis)
    assert "SECRETS_KEY is not set" in keyless.broken()["acme"]
    assert keyless.company("acme").whatsapp is None, "it lives by the file's table"


async def test_a_directory_follows_and_outlives_redis(
    redis_url: str, redis: Redis, store: CompanyStore, settings: Settings
) -> None:
    (port,) = free_ports(1)
    clock, away = VirtualClock(), Redis.from_url(f"redis://127.0.0.1:{port}/0")
    directory = Directory(settings)

    class Line:
        """To Redis, once it is mended."""

        to = away

        def __getattr__(self, name: str) -> Any:
            return getattr(self.to, name)

    line = Line()
    following = asyncio.create_task(follow(directory, line, clock))  # type: ignore[arg-type]
    await put(store, "acme", {"max_batch": 2})

    async def passes(what: str) -> None:
        for _ in range(2_000):
            if directory.company("acme").largest_batch == int(what):
                return
            await clock.advance(REFRESH_S)
            await asyncio.sleep(0.005)
        raise AssertionError(f"waited for a largest batch of {what}")

    await clock.advance(3 * REFRESH_S)
    assert not following.done() and directory.company("acme").largest_batch == 7
    line.to = redis
    await passes("2")
    await put(store, "acme", {"max_batch": 4})
    await passes("4")
    following.cancel()
    await away.aclose()
