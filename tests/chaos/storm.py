"""Lets faults come over a service under load, one after another, and judges what became of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from actors.conversation.events import (
    HandedOver,
    PartSent,
    ReplyCommitted,
    ReplyHeld,
    ReplyResumed,
    ReplySent,
    ReplyWithheld,
    SendDoubted,
    SendFailed,
    SetAside,
    TurnFailed,
    TurnStarted,
)
from tests.chaos.customers import Customers, now_ms
from tests.chaos.sightings import Fault
from tests.chaos.verdict import Journal, Verdict, judge
from tests.chaos.world import COMPANY, World
from tests.places import Place

RECOVERED_S = 60.0
"""A fault after which nothing works for so long is told, and the next one comes."""

QUIET_MS = 2_000
"""Without a failed request for so long, the service accepts again."""

CALM_S = 4.0
"""Between a recovery and the next fault."""

ANSWERED_S = 90.0
"""How long the run waits for the last answers."""

CHANCES = {
    "message": [
        (0.02, {"status": 500}),
        (0.02, {"status": 502, "stored": True}),
        (0.02, {"drop": True, "stored": True}),
        (0.02, {"drop": True}),
        (0.02, {"status": 429, "headers": {"Retry-After": "1"}}),
        (0.05, {"delay_s": 1.5}),
    ],
    "list": [(0.03, {"status": 500}), (0.02, {"drop": True})],
    "show": [(0.03, {"status": 500}), (0.02, {"delay_s": 1.0})],
    "typing": [(0.05, {"status": 500})],
    "completion": [(0.03, {"status": 503}), (0.02, {"drop": True}), (0.05, {"delay_s": 2.0})],
}
"""What Chatwoot and the model do wrong by themselves, and how often."""

STOPPED_MS = 8_000
"""A stop takes no longer, and no start is over as soon."""

OF_THE_ACTOR = (
    TurnStarted
    | TurnFailed
    | ReplyCommitted
    | ReplyResumed
    | ReplyHeld
    | SendFailed
    | SendDoubted
    | PartSent
    | ReplySent
    | HandedOver
    | ReplyWithheld
    | SetAside
)
"""Events that only who holds the conversation writes."""

MODEL_DELAY_S = 0.4
SLOWEST = 6
"""Messages that waited longest, whose story is told."""

Doing = Callable[[World], Awaitable[Fault]]


@dataclass
class Recovery:
    """What a fault cost; seconds from the fault (from its end, where something is given back) on,
    None: not within RECOVERED_S."""

    fault: Fault
    acks_again_s: float | None
    works_again_s: float | None
    failed_requests: int
    longest_wait_s: float = 0.0
    taken_up_s: float | None = None


@dataclass
class Report:
    """Everything that the table tells. `answered_after_s`: from the last fault's end until what was
    accepted before it had its answers."""

    seed: int
    verdict: Verdict
    recoveries: list[Recovery]
    answered_after_s: float
    faulted: dict[str, int]
    refused: dict[int, str]
    attempts: int
    minutes: float
    slowest: list[str] = field(default_factory=list)


async def storm(
    place: Place, doings: Sequence[Doing], *, customers: int, seed: int, until_s: float
) -> Report:
    """Faults in this order, until they or the seconds run out; the service must be ready."""
    began_ms = now_ms()
    who = [place.conversation() for _ in range(customers)]
    world = World(place, Customers(COMPANY, [place.url], who, seed), seed)
    place.steer(chances=CHANCES, seed=seed, model_delay_s=MODEL_DELAY_S)
    stop = asyncio.Event()
    writing = asyncio.create_task(world.customers.write(stop))
    recoveries: list[Recovery] = []
    try:
        await asyncio.sleep(CALM_S)
        for doing in doings:
            if now_ms() - began_ms > until_s * 1_000:
                break
            recoveries.append(await _suffer(world, doing))
    finally:
        stop.set()
        await writing
        place.steer(chances={}, model_delay_s=0)
    await _answered(world)
    return await asyncio.to_thread(_report, world, recoveries, seed, began_ms)


async def _suffer(world: World, doing: Doing) -> Recovery:
    print(f"{(now_ms() - world.began_ms) / 1_000:6.1f} s  {_name(doing)}", flush=True)
    began_ms = now_ms()
    try:
        fault = await doing(world)
    except AssertionError as error:
        fault = Fault(_name(doing), began_ms, now_ms(), world.customers.who)
        fault.remarks.append(f"it could not be done: {error}")
    # What is given back (Redis, a cluster) counts from then on, what was stopped from its stop.
    since_ms = fault.ended_ms if fault.ready_ms is None else fault.began_ms
    until_ms = now_ms() + RECOVERED_S * 1_000
    works_ms = None
    calm = False
    while not (calm and works_ms is not None) and now_ms() < until_ms:
        await asyncio.sleep(0.25)
        await world.read_on()
        works_ms = world.works_again_ms(since_ms, frozenset(fault.conversations))
        calm = world.is_calm(now_ms() - QUIET_MS)
    await asyncio.sleep(CALM_S)
    acks_ms = world.acks_again_ms(since_ms, now_ms())
    failed = [a for a in world.customers.attempts if a.failed and a.ended_ms >= fault.began_ms]
    return Recovery(
        fault,
        None if acks_ms is None else (acks_ms - since_ms) / 1_000,
        None if works_ms is None else (works_ms - since_ms) / 1_000,
        len(failed),
    )


def _name(doing: Doing) -> str:
    return getattr(doing, "__name__", "?").replace("_", " ")


async def _answered(world: World) -> None:
    for _ in range(round(ANSWERED_S)):
        if await world.is_answered():
            break
        await asyncio.sleep(1.0)
    await asyncio.sleep(2.0)  # for what should not come any more
    await world.read_on()


def _report(world: World, recoveries: list[Recovery], seed: int, began_ms: float) -> Report:
    journals = world.journals()
    verdict = judge(world.customers.messages, world.posts, journals)
    acked = {
        (message.conversation, message.number): message.acked_ms
        for message in world.customers.messages
        if message.acked_ms is not None
    }
    ends = [*(recovery.fault.began_ms for recovery in recoveries[1:]), now_ms()]
    for recovery, end_ms in zip(recoveries, ends, strict=True):
        _look_back(recovery, end_ms, acked, verdict.answered_ms)
        if recovery.fault.ready_ms is not None:
            recovery.taken_up_s = _taken_up_s(recovery.fault, acked, verdict.answered_ms, journals)
    last_ms = max((recovery.fault.ended_ms for recovery in recoveries), default=began_ms)
    late = [verdict.answered_ms.get(name, now_ms()) for name, at in acked.items() if at <= last_ms]
    return Report(
        seed=seed,
        verdict=verdict,
        recoveries=recoveries,
        answered_after_s=max(0.0, (max(late, default=last_ms) - last_ms) / 1_000),
        faulted=world.faulted,
        refused=world.customers.refused,
        attempts=len(world.customers.attempts),
        minutes=(now_ms() - began_ms) / 60_000,
        slowest=[
            _story(name, acked[name], verdict.answered_ms[name], journals[name[0]])
            for name in sorted(verdict.waits_ms, key=lambda n: -verdict.waits_ms[n])[:SLOWEST]
        ],
    )


def _story(name: tuple[int, int], acked_ms: float, answered_ms: float, journal: Journal) -> str:
    """What the journal says of the time in which a message waited."""
    told = [
        f"{(at_ms - acked_ms) / 1_000:+.1f} {type(event).__name__}"
        for _, event in journal
        if (at_ms := getattr(event, "at_ms", 0)) >= acked_ms - 1_000 and at_ms <= answered_ms + 200
    ]
    waited_s = (answered_ms - acked_ms) / 1_000
    return f"c{name[0]}n{name[1]} waited {waited_s:.1f} s from {acked_ms:.0f}: {', '.join(told)}"


def _look_back(
    recovery: Recovery,
    end_ms: float,
    acked: dict[tuple[int, int], float],
    answered: dict[tuple[int, int], float],
) -> None:
    """The longest wait of the customers concerned, from before the fault to the next one."""
    fault = recovery.fault
    waited = [
        (at_ms, answered[name])
        for name, at_ms in acked.items()
        if name[0] in fault.conversations
        and name in answered
        and at_ms < end_ms
        and answered[name] > fault.began_ms
    ]
    recovery.longest_wait_s = max((until - at for at, until in waited), default=0) / 1_000


def _taken_up_s(
    fault: Fault,
    acked: dict[tuple[int, int], float],
    answered: dict[tuple[int, int], float],
    journals: dict[int, Journal],
) -> float:
    """How long after it was ready the next version had begun on everything that was left: asked the
    model, or taken over a promised answer, which it looks for later. A stop leaves what was
    accepted before it."""
    assert fault.ready_ms is not None
    left = {
        name[0]
        for name, at_ms in acked.items()
        if at_ms < fault.began_ms and answered.get(name, now_ms()) > fault.began_ms + STOPPED_MS
    }
    begun_ms = [
        next(
            (
                event.at_ms
                for _, event in journals[conversation]
                if isinstance(event, OF_THE_ACTOR) and event.at_ms > fault.began_ms + STOPPED_MS
            ),
            now_ms(),
        )
        for conversation in left
    ]
    return max(0.0, (max(begun_ms, default=0.0) - fault.ready_ms) / 1_000)
