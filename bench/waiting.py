"""Measures how fast many conversations that wait at once are answered, against the model's time."""

import asyncio
import json
import time

from actors.journal.keys import Key
from bench.connection import call_once, request
from bench.figures import Findings, Row, Unmeasured, at_most, quantile, told
from bench.load import flat_out
from bench.overhead import journal, key_of, redis_client
from bench.seeding import append, each, now_ms
from bench.service import Service, service
from bench.sides import Seen
from bench.webhooks import webhook

CONVERSATIONS = 2_000
MODEL_S = 2.0
QUIET_WINDOW_S = 25.0
CONNECTIONS = 32
DRAIN_S = 30.0
"""Those not answered by then are told as such; the second way is not begun behind them."""

LIMIT = 1.5
POLL_S = 0.2


async def _mailboxes(running: Service) -> int:
    """Conversations that the hosts hold in memory."""
    _, body = await call_once(running.port, request("GET", "/readyz"))
    return sum(int(host.get("mailboxes", 0)) for host in json.loads(body)["hosts"])


async def _all_taken_up(running: Service, count: int) -> None:
    """Waits until the hosts hold so many conversations: each of them knows its window."""
    for _ in range(round(QUIET_WINDOW_S / POLL_S)):
        if await _mailboxes(running) >= count:
            return
        await asyncio.sleep(POLL_S)
    raise Unmeasured(f"the hosts did not take up {count:,} conversations in {QUIET_WINDOW_S:g} s")


async def _drained(running: Service, first_ms: int, last_ms: int) -> Seen:
    """What the peers saw once all is answered; fails if a window closed before all waited."""
    if now_ms() > first_ms + QUIET_WINDOW_S * 1_000:
        raise Unmeasured("the first window closed before the last message was taken in")
    await asyncio.sleep(last_ms / 1_000 + QUIET_WINDOW_S - time.time())
    posted = await running.sides.wait_for_posts(CONVERSATIONS, DRAIN_S)
    seen = await running.sides.seen()
    await running.sides.forget()
    if any(len(at) != 1 for at in seen.posted_ms.values()):
        raise Unmeasured("a conversation was answered twice")
    if posted != CONVERSATIONS:
        raise Unmeasured(f"{posted:,} of {CONVERSATIONS:,} answered within {DRAIN_S:g} s")
    return seen


async def _by_webhooks(running: Service) -> tuple[Row, ...]:
    """The whole way: webhooks in one burst; timed from the end of the last window."""
    await running.calm()
    prepared = [webhook(number) for number in range(1, CONVERSATIONS + 1)]
    first_ms = now_ms()
    burst = await flat_out(running.port, prepared, CONNECTIONS)
    last_ms = now_ms()
    seen = await _drained(running, first_ms, last_ms)
    what = f"{CONVERSATIONS:,} webhooks in {burst.seconds:.1f} s, drained after the last window"
    return (_row(what, seen, last_ms),)


async def _at_once(running: Service) -> tuple[Row, ...]:
    """Harder: every window ends in the same millisecond; the hosts find the messages by a sweep."""
    redis = redis_client(running.redis_url)
    journals = journal(redis)
    keys = [key_of(10_000 + number) for number in range(CONVERSATIONS)]
    await running.calm()
    before = await _mailboxes(running)
    at_ms = now_ms()

    async def write(key: Key) -> None:
        await append(journals, key, "chatwoot", at_ms)

    try:
        await each(keys, write)
    finally:
        await redis.aclose()
    await _all_taken_up(running, before + CONVERSATIONS)
    seen = await _drained(running, at_ms, at_ms)
    what = f"{CONVERSATIONS:,} windows that end at once, drained"
    models = [ms for taken in seen.model_ms.values() for ms in taken]
    return (
        _row(what, seen, at_ms),
        told(
            "the model's own time then",
            f"p50 {quantile(models, 0.5):,.0f} ms, most {max(models):,.0f} ms",
        ),
    )


def _row(what: str, seen: Seen, last_ms: int) -> Row:
    closed_ms = last_ms + QUIET_WINDOW_S * 1_000
    posts = [at - closed_ms for posted in seen.posted_ms.values() for at in posted]
    detail = (
        f"last reply after {max(posts) / 1_000:.2f} s, p50 {quantile(posts, 0.5) / 1_000:.2f} s"
    )
    return at_most(what, max(posts) / 1_000 / MODEL_S, LIMIT, "× model", detail)


async def measure() -> Findings:
    """Both ways, one after the other, on the same service."""
    async with service(MODEL_S, QUIET_WINDOW_S=str(QUIET_WINDOW_S)) as running:
        rows: list[Row] = []
        try:
            for way in (_by_webhooks, _at_once):
                rows += await way(running)
        except Unmeasured as error:
            what = f"{CONVERSATIONS:,} conversations waiting, drained"
            rows.append(Row(what, f"≤ {LIMIT:g}× model", str(error), False))
    return Findings(
        f"QUIET_WINDOW_S={QUIET_WINDOW_S:g}, model {MODEL_S:g} s; ideal: the model's time from the "
        "moment the windows close",
        tuple(rows),
    )
