"""Measures whether acknowledging and turns cost the same however many conversations are known."""

from statistics import median

from bench.figures import Findings, Unmeasured, at_most, quantile, told
from bench.load import paced
from bench.overhead import journal, key_of, redis_client, turn_overheads_ms
from bench.seeding import multiply, settle
from bench.service import Service, service
from bench.webhooks import webhook

FEW = 100
MANY = 50_000
PASSES = 3
"""Each of FEW conversations gets so many turns; with MANY known, FEW of them, spread evenly."""

PER_SECOND = 25
"""A pass takes longer than window and model together, so each message is a turn of its own."""

QUIET_WINDOW_S = 1.0
MODEL_S = 0.5
TAIL_S = 20.0
FLAT = 1.2
"""Flat: within a fifth, which is what two runs of the same thing differ by on a busy machine."""


async def _know(running: Service, numbers: range) -> None:
    """Makes these conversations known: one settled turn each."""
    redis = redis_client(running.redis_url)
    journals = journal(redis)
    pattern, *copies = map(key_of, numbers)
    try:
        await settle(journals, pattern, "chatwoot")
        await multiply(redis, pattern, copies)
    finally:
        await redis.aclose()


async def _costs(running: Service, numbers: range) -> tuple[list[float], list[float]]:
    """Acknowledgements and turn overheads, ms, of PASSES turns in each of these conversations."""
    await running.calm()
    await running.sides.forget()
    prepared = [webhook(number) for _ in range(PASSES) for number in numbers]
    sent = await paced(running.port, prepared, PER_SECOND)
    posted = await running.sides.wait_for_posts(len(prepared), TAIL_S)
    if posted < len(prepared):
        raise Unmeasured(f"{posted} of {len(prepared)} turns were answered within {TAIL_S:g} s")
    seen = await running.sides.seen()
    overheads = await turn_overheads_ms(running.redis_url, numbers, QUIET_WINDOW_S, seen)
    return list(sent.latencies_ms), overheads


async def measure() -> Findings:
    """The same load on the same service, before and after MANY conversations are known."""
    async with service(MODEL_S, QUIET_WINDOW_S=str(QUIET_WINDOW_S)) as running:
        await _know(running, range(1, FEW + 1))
        # Conversations of its own: the first turns of a process load what later ones have.
        await _costs(running, range(MANY + 1, MANY + 1 + FEW))
        few_ack, few_turn = await _costs(running, range(1, FEW + 1))
        await _know(running, range(FEW + 1, MANY + 1))
        many_ack, many_turn = await _costs(running, range(FEW + 1, MANY + 1, MANY // FEW))
    acks, turns = (median(few_ack), median(many_ack)), (median(few_turn), median(many_turn))
    between = f"{FEW} to {MANY:,} known"
    return Findings(
        f"{FEW * PASSES} turns at {PER_SECOND}/s with {FEW} and {MANY:,} settled conversations in "
        f"Redis; QUIET_WINDOW_S={QUIET_WINDOW_S:g}, model {MODEL_S:g} s; "
        f"flat: within {FLAT:g}×",
        (
            at_most(
                f"acknowledgement p50, {between}",
                acks[1] / acks[0],
                FLAT,
                "×",
                f"{acks[0]:.2f} to {acks[1]:.2f} ms",
            ),
            at_most(
                f"turn overhead p50, {between}",
                turns[1] / turns[0],
                FLAT,
                "×",
                f"{turns[0]:.2f} to {turns[1]:.2f} ms",
            ),
            told(f"turn overhead p99 with {MANY:,} known", f"{quantile(many_turn, 0.99):.1f} ms"),
        ),
    )
