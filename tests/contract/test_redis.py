"""What only the Redis journal does: bounds, deletion, errors, one slot for each script."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from actors import wiring
from actors.clock import SystemClock
from actors.errors import Fenced, Retryable
from actors.journal import stream
from actors.journal.entries import Appended, Write
from actors.journal.keys import Key, redis_keys
from actors.journal.stream import Journal
from actors.maintenance.lease import Lease
from actors.settings import Settings
from tests.places import free_ports

KEY = Key("acme", "321")
NOW = 1_760_000_000_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def journal(redis: Redis) -> Journal:
    return Journal(redis, waiting_max=100)


async def append(journal: Journal, name: str, key: Key = KEY, at_ms: int = NOW) -> Appended:
    appended = await journal.append(key, name, name.encode(), at_ms=at_ms, largest_batch=20)
    assert isinstance(appended, Appended)
    return appended


async def answer(journal: Journal, seq: int, key: Key = KEY) -> None:
    taken = await journal.activate(key, "me")
    await journal.record(key, Write(taken.epoch, 1, (b"sent",), settled=(seq,), memory_seq=seq))


async def test_a_journal_and_its_memory_of_ids_are_bounded(
    journal: Journal, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "EVENTS_KEPT_MAX", 200)
    for place in range(450):
        appended = await append(journal, f"m{place}")
        await answer(journal, appended.seq)
    keys = redis_keys(KEY)
    assert await redis.xlen(keys.journal) < 400  # whole nodes of up to 100 are cut off
    assert await redis.zcard(keys.seen) == 200


async def test_a_quiet_conversation_is_deleted_and_its_numbers_go_on(
    journal: Journal, redis: Redis
) -> None:
    await append(journal, "a")
    await answer(journal, 1)
    assert await journal.quiet_since(KEY.slot, NOW + 1) == [KEY]
    assert await journal.trim(KEY, NOW + 1) == 2
    left = await redis.keys("*")
    assert left == [redis_keys(KEY).meta.encode()]
    assert await redis.pttl(redis_keys(KEY).meta) > 0
    again = await append(journal, "a", at_ms=NOW + 5)
    assert (again.fresh, again.seq) == (True, 3)
    assert await redis.pttl(redis_keys(KEY).meta) == -1, "the counters stay with the conversation"


@pytest.mark.parametrize("why", ["busy", "unanswered"])
async def test_a_conversation_in_use_is_kept(journal: Journal, why: str) -> None:
    await append(journal, "a")
    if why == "busy":
        await answer(journal, 1)
    before_ms = NOW if why == "busy" else NOW + 1
    assert await journal.trim(KEY, before_ms) is None
    assert len(await journal.read(KEY, after=0)) >= 1


async def test_a_mailbox_in_memory_lets_go_of_a_deleted_conversation(journal: Journal) -> None:
    await append(journal, "a")
    taken = await journal.activate(KEY, "me")
    await journal.record(KEY, Write(taken.epoch, 1, (b"sent",), settled=(1,)))
    await journal.trim(KEY, NOW + 1)
    with pytest.raises(Fenced):
        await journal.record(KEY, Write(taken.epoch, 2, (b"x",)))


async def test_the_scripts_survive_a_redis_that_forgot_them(journal: Journal, redis: Redis) -> None:
    await append(journal, "a")
    await redis.script_flush()
    assert (await append(journal, "b")).seq == 2


async def test_a_journal_of_a_release_without_a_memory_is_read_from_the_oldest_unanswered(
    journal: Journal, redis: Redis
) -> None:
    for name in "ab":
        await append(journal, name)
    await answer(journal, 1)
    await redis.hdel(redis_keys(KEY).meta, "memory", "memory_seq")
    assert [e.seq for e in (await journal.replay(KEY)).entries] == [2, 3]
    assert [e.seq for e in (await journal.activate(KEY, "me")).replay.entries] == [2, 3]
    await journal.note(KEY, "n", b"note", at_ms=NOW, only="known")
    await answer(journal, 2)
    assert [e.seq for e in (await journal.replay(KEY)).entries] == [3, 4, 5]


async def test_redis_away_is_retryable_and_doubtful(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = Settings.model_validate(
        {"redis_url": f"redis://127.0.0.1:{port}/0", "data_dir": tmp_path}
    )
    parts = wiring.build(settings)
    with pytest.raises(Retryable, match="redis away: Redis cannot be reached") as caught:
        await append(parts.journal, "a")
    assert caught.value.doubtful


async def test_a_full_redis_is_retryable(journal: Journal, redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(Retryable, match="redis full: "):
            await append(journal, "a")
    finally:
        await redis.config_set("maxmemory", "0")


async def test_replicated_durability_refuses_without_a_replica(redis: Redis) -> None:
    journal = Journal(redis, waiting_max=100, replicas=1)
    with pytest.raises(Retryable, match="redis no-replica: "):
        await append(journal, "a")


async def test_one_scheduler_at_a_time_and_each_tick_once(redis: Redis) -> None:
    first, second = Lease(redis, "first"), Lease(redis, "second")
    assert await first.take()
    assert not await second.take()
    assert await first.take(), "renewed"
    assert await first.claim("sweep:30000", 60_000)
    assert not await second.claim("sweep:30000", 60_000)
    await second.release()
    assert not await second.take(), "only the holder gives it back"
    await first.release()
    assert await second.take()


async def test_each_cluster_has_a_lease_and_ticks_of_its_own(redis: Redis) -> None:
    leases = [Lease(redis, f"scheduler {name}", name) for name in ("", "a:1", "b:1")]
    for lease in leases:
        assert await lease.take()
        assert await lease.claim("watch:5000", 10_000)
    again = Lease(redis, "another", "a:1")
    assert not await again.take()
    assert not await again.claim("watch:5000", 10_000)
    for lease in leases:
        await lease.release()
    assert await again.take()


async def test_hosts_say_that_they_live_and_that_they_go(journal: Journal, redis: Redis) -> None:
    await journal.stay_alive("here/one")
    now_ms = SystemClock().now_ms()
    one, two = await journal.renewals(["here/one", "here/two"], now_ms)
    assert one is not None and now_ms - 5_000 < one <= now_ms + 100
    assert two is None
    await append(journal, "a")
    await journal.activate(KEY, "here/one")
    assert await journal.orphans([KEY], "here/two") == []
    await journal.leave("here/one")
    assert await journal.orphans([KEY], "here/two") == [KEY], "taken up at once"
