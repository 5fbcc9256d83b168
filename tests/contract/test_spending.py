"""A company's bucket on real Redis servers: what the script does is what the rule says."""

import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from actors.analytics.bucket import Level, fits, spent
from actors.analytics.spending import Spending, bucket_key

NOW = 1_760_000_000_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def spending(redis: Redis) -> Spending:
    return Spending(redis)


async def test_a_minutes_worth_at_once_then_as_it_drains(spending: Spending) -> None:
    async def take(at_ms: int) -> bool:
        return (await spending.take("acme", "messages", 1, 6, NOW + at_ms))[0]

    assert [await take(0) for _ in range(7)] == [True] * 6 + [False]
    assert [await take(9_999), await take(10_000), await take(10_000)] == [False, True, False]
    assert [await take(90_000) for _ in range(7)] == [True] * 6 + [False]


async def test_what_is_refused_costs_nothing_and_what_is_given_back_is_there_again(
    spending: Spending,
) -> None:
    for _ in range(3):
        await spending.take("acme", "messages", 1, 1, NOW)
    level = await spending.charge("acme", "messages", -1, 1, NOW)
    assert level == Level(0, NOW)
    assert (await spending.take("acme", "messages", 1, 1, NOW)) == (True, Level(1, NOW))


async def test_what_was_used_is_charged_whatever_the_limit(spending: Spending) -> None:
    assert await spending.charge("acme", "tokens", 3_000, 100, NOW) == Level(3_000, NOW)
    assert await spending.charge("acme", "tokens", 0, 100, NOW + 60_000) == Level(
        2_900, NOW + 60_000
    )
    assert await spending.charge("acme", "tokens", 0, 10_000, NOW + 66_000) == Level(
        1_900, NOW + 66_000
    ), "another limit drains the amount, from its change on"


async def test_companies_and_kinds_have_buckets_of_their_own(spending: Spending) -> None:
    assert (await spending.take("acme", "messages", 1, 1, NOW))[0]
    assert (await spending.take("bolt", "messages", 1, 1, NOW))[0]
    assert (await spending.take("acme", "tokens", 1, 1, NOW))[0]
    assert not (await spending.take("acme", "messages", 1, 1, NOW))[0]


async def test_a_bucket_goes_when_it_is_empty(spending: Spending, redis: Redis) -> None:
    await spending.charge("acme", "tokens", 300, 100, NOW)
    assert 250_000 < await redis.pttl(bucket_key("acme", "tokens")) <= 300_000


async def test_a_clock_that_was_far_ahead_locks_nobody_out(spending: Spending) -> None:
    await spending.take("acme", "messages", 1, 1, NOW + 3_600_000)
    assert not (await spending.take("acme", "messages", 1, 1, NOW))[0]
    assert await spending.charge("acme", "messages", 0, 1, NOW) == Level(1, NOW)
    assert (await spending.take("acme", "messages", 1, 1, NOW + 60_000))[0]


@pytest.mark.parametrize("seed", range(5))
async def test_the_script_is_the_rule(spending: Spending, redis: Redis, seed: int) -> None:
    """Random takes, charges and looks at times that go back and forth."""
    dice = random.Random(seed)
    await redis.flushall()
    expected, now_ms = Level(0, 0), NOW
    for _ in range(120):
        now_ms += dice.choice([-90_000, -50, 0, 3, 700, 20_000])
        per_minute, amount = dice.choice([7, 50_000]), dice.choice([-2, 0, 1, 5, 40_000])
        seen = spent(expected, amount, per_minute, now_ms)
        if dice.random() < 0.5:
            fit = fits(expected, amount, per_minute, now_ms)
            taken, level = await spending.take("acme", "tokens", amount, per_minute, now_ms)
            assert taken == fit
            if not fit:  # it is looked at and left as it was
                seen = spent(expected, 0, per_minute, now_ms)
                assert level.used == pytest.approx(seen.used, abs=0.001)
                continue
        else:
            level = await spending.charge("acme", "tokens", amount, per_minute, now_ms)
        assert level.at_ms == seen.at_ms
        assert level.used == pytest.approx(seen.used, abs=0.001)
        expected = level
