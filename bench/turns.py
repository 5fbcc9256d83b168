"""Measures what a turn costs beside its quiet window and its model, at a steady rate."""

from bench.figures import Findings, Unmeasured, at_most, quantile, told
from bench.load import paced
from bench.overhead import turn_overheads_ms
from bench.service import service
from bench.webhooks import webhook

PER_SECOND = 50
SECONDS = 30
WARM_SECONDS = 4
QUIET_WINDOW_S = 1.0
MODEL_S = 0.5
TAIL_S = 30.0
"""So long after the last message its reply may come before it counts as missing."""


async def measure() -> Findings:
    """Each message is a turn of its own, in a conversation of its own."""
    async with service(MODEL_S, QUIET_WINDOW_S=str(QUIET_WINDOW_S)) as running:
        warm = range(1, PER_SECOND * WARM_SECONDS + 1)
        await paced(running.port, [webhook(n) for n in warm], PER_SECOND)
        await running.sides.wait_for_posts(len(warm), TAIL_S)
        await running.sides.forget()
        numbers = range(warm.stop, warm.stop + PER_SECOND * SECONDS)
        sent = await paced(running.port, [webhook(n) for n in numbers], PER_SECOND)
        posted = await running.sides.wait_for_posts(len(numbers), TAIL_S)
        if posted < len(numbers):
            raise Unmeasured(f"{posted} of {len(numbers)} turns were answered within {TAIL_S:g} s")
        seen = await running.sides.seen()
        overheads = await turn_overheads_ms(running.redis_url, numbers, QUIET_WINDOW_S, seen)
    p99 = quantile(overheads, 0.99)
    detail = f"p50 {quantile(overheads, 0.5):.1f} ms, most {max(overheads):.1f} ms"
    acks = sent.latencies_ms
    return Findings(
        f"{len(numbers):,} turns; QUIET_WINDOW_S={QUIET_WINDOW_S:g}, model {MODEL_S:g} s; from the "
        "last message's arrival in the journal plus the window to the post at Chatwoot, less the "
        "model's time as the model measured it",
        (
            at_most(f"turn overhead, p99 at {PER_SECOND} turns/s", p99, 50, " ms", detail),
            told(
                "acknowledgements meanwhile",
                f"p50 {quantile(acks, 0.5):.2f} ms, p99 {quantile(acks, 0.99):.2f} ms",
            ),
        ),
    )
