"""Kills the process of a conversation at every single step of its work, once and twice over.

After each crash another process takes over from the journal, as a restarted host does. Whatever the
moment, each message is answered exactly once and in order.
"""

import asyncio
import random

import pytest

from actors.conversation.actor import ConversationActor
from actors.conversation.events import ReplySent, SetAside, decode
from tests.fakes import KEY, World

TEXTS = ("uno", "dos", "tres " * 400, "cuatro")
"""The third is too long to be joined with what stands beside it; its answer is sent in parts."""

RESTARTS_MAX = 12
STEPS = 60


class Killed(BaseException):
    """The process is gone: nothing in it runs any more."""


class Killer:
    """Kills at the given steps, counted over all processes; a step is the beginning or the end of
    any call that leaves the process."""

    def __init__(self, world: World, steps: set[int]) -> None:
        self._steps = steps
        self.count = 0
        world.journal.interrupt = self.step
        world.channel.interrupt = self.step

    def step(self, call: str) -> None:
        self.count += 1
        if self.count in self._steps:
            raise Killed(call)


async def answered(world: World, killer: Killer) -> int:
    """Lives through the customer's four messages; returns the number of crashes."""
    crashes = 0
    task: asyncio.Task[None] | None = None
    actor: ConversationActor | None = None
    pending = list(TEXTS)
    for _ in range(400):
        if pending and random.Random(killer.count).random() < 0.4:
            seq, raw = await world.write(pending.pop(0))
            if actor is not None:
                actor.deliver(seq, raw)
        if task is None or task.done():
            if task is not None and not task.cancelled() and task.exception() is not None:
                assert isinstance(task.exception(), Killed), task.exception()
                crashes += 1
                actor = None
            if actor is None:
                actor = ConversationActor(KEY, world.ports)
            actor.look()
            task = asyncio.create_task(actor.run())
        await world.clock.advance(1.7)
        assert crashes < RESTARTS_MAX
    assert task is not None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return crashes


def check(world: World) -> None:
    replies = [reply.reply_id for reply in world.channel.posted]
    assert len(replies) == len(set(replies)), "a visible double"
    outcomes: list[int] = []
    for raw in world.journal.raw_events():
        event = decode(raw)
        assert not isinstance(event, SetAside), event
        if isinstance(event, ReplySent):
            outcomes.extend(event.answers)
    assert outcomes == sorted(outcomes), "out of order"
    assert len(outcomes) == len(set(outcomes)) == len(TEXTS), "a message lost or answered twice"
    words = " ".join(reply.text.replace("re: ", "") for reply in world.channel.posted).split()
    assert words == " ".join(TEXTS).split(), "a part lost, doubled or out of order"


@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_killed_once_at_any_step(step: int) -> None:
    world = World()
    killer = Killer(world, {step})
    crashes = await answered(world, killer)
    check(world)
    assert crashes == (1 if killer.count >= step else 0)


@pytest.mark.parametrize("seed", range(60))
async def test_killed_again_and_again(seed: int) -> None:
    world = World()
    dice = random.Random(seed)
    # Never three times in one turn, which would rightly set the turn aside.
    steps = sorted(dice.sample(range(1, 2 * STEPS // 3), 2))
    killer = Killer(world, set(steps))
    assert await answered(world, killer) >= 1, f"seed {seed} killed nothing"
    check(world)
