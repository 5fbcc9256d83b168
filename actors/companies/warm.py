"""Warms every company at a start: all at once, each with a few tries, none in another's way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from actors.backoff import retry_delay_s
from actors.clock import Clock, Dice
from actors.companies.company import Company
from actors.errors import Permanent, Retryable

WARM_AT_ONCE_MAX = 8
WARM_ATTEMPTS_MAX = 3
WARM_S = 15.0
"""One try's time."""

WARM = "warm"

WarmOne = Callable[[Company], Awaitable[None]]
"""Makes ready what the company's first turn needs. Raises Retryable or Permanent."""


async def warm_all(
    companies: Iterable[Company], warm_one: WarmOne, clock: Clock, dice: Dice
) -> dict[str, str]:
    """By company: `warm`, or `cold: ` and why. A cold company answers too, only later."""
    places = asyncio.Semaphore(WARM_AT_ONCE_MAX)

    async def outcome(company: Company) -> tuple[str, str]:
        return company.company_id, await _warmed(company, warm_one, places, clock, dice)

    return dict(await asyncio.gather(*map(outcome, companies)))


async def _warmed(
    company: Company, warm_one: WarmOne, places: asyncio.Semaphore, clock: Clock, dice: Dice
) -> str:
    for attempt in range(1, WARM_ATTEMPTS_MAX + 1):
        failed = await _tried(company, warm_one, places)
        if failed is None:
            return WARM
        wait_s = None
        if isinstance(failed, Retryable) and attempt < WARM_ATTEMPTS_MAX:
            wait_s = retry_delay_s(attempt, dice.between(0, 1), failed.after_s)
        if wait_s is None:
            return f"cold: {failed} (tries: {attempt})"
        await clock.sleep(wait_s)  # outside its place: another company takes it
    raise AssertionError("the last try returns")


async def _tried(
    company: Company, warm_one: WarmOne, places: asyncio.Semaphore
) -> Retryable | Permanent | None:
    """Why one try failed."""
    try:
        async with places, asyncio.timeout(WARM_S):
            await warm_one(company)
    except TimeoutError:
        return Retryable(f"it took longer than {WARM_S:g} s")
    except (Retryable, Permanent) as error:
        return error
    return None
