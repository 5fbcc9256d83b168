"""A company's line: who may begin, in what order, what tokens cost; nobody waits for another's."""

import asyncio
import random

import pytest

from actors.analytics.bucket import Level
from actors.conversation import line as lines
from actors.conversation.actor import ConversationActor
from actors.conversation.events import TurnStarted, decode
from actors.conversation.host import Delivery, Host
from actors.conversation.line import A_TURN_TOKENS, CompanyLine, Lines
from actors.conversation.pace import Pace
from actors.conversation.place import Crowd, Place, Tokens, place_of
from actors.errors import Retryable
from actors.journal.keys import SLOTS, Key
from tests.fakes import START_MS, MemorySpending, OwnLimits, VirtualClock, World, settle

NOW = START_MS
RUNNING = "2 turns of the company run here, as many as it may"
HERE = "6 turns of all companies run here, as many as there may be"
USED = "the company's turns use up its 60 tokens a minute"
LOOKED_UP = "what the company's answers cost is being looked up"


def crowd(running: int = 0, ahead: int = 0, waiting: int = 0, everybodys: int = 0) -> Crowd:
    return Crowd(running, 2, max(waiting, ahead), ahead, max(everybodys, running), 6)


def tokens(used: float | None, *, is_fresh: bool = True, a_turn: int = 20) -> Tokens:
    return Tokens(60, None if used is None else Level(used, NOW), is_fresh, a_turn)


@pytest.mark.parametrize(
    ("crowd", "tokens", "reason", "until_s", "early"),
    [
        (crowd(), None, "", None, True),
        (crowd(1), None, "", None, False),  # an early draft leaves the last place free
        (crowd(2), None, RUNNING, None, False),
        (crowd(1, ahead=1), None, f"{RUNNING[1:]}; 1 in line before this one", None, False),
        (crowd(waiting=1), None, "", None, False),  # it came first, but early it takes no place
        (crowd(everybodys=6), None, HERE, None, False),
        (crowd(everybodys=5), None, "", None, False),
        (crowd(), tokens(None), LOOKED_UP, None, False),
        (crowd(), tokens(0, is_fresh=False), LOOKED_UP, None, True),
        (crowd(), tokens(0), "", None, True),
        (crowd(), tokens(21), "", None, False),  # it may be thrown away: two turns' worth is left
        (crowd(), tokens(60), "", None, False),  # nothing is owed
        (crowd(), tokens(61), USED, 1, False),
        (crowd(1), tokens(41), USED, 1, False),  # what the other is expected to cost is held back
        (crowd(ahead=1), tokens(41), f"{USED}; 1 in line before this one", 1, False),
        (crowd(1), tokens(0, a_turn=61), USED, None, False),  # not before that one has ended
        (crowd(), tokens(0, a_turn=61), "", None, False),  # the first may cost what it will
    ],
)
def test_when_a_turn_may_begin(
    crowd: Crowd, tokens: Tokens | None, reason: str, until_s: float | None, *, early: bool
) -> None:
    found = place_of(crowd, tokens, NOW, waited_ms=7)
    until_ms = None if until_s is None else NOW + round(until_s * 1_000)
    assert found == Place(found.reason, until_ms, early, 7)
    assert found.reason.endswith(reason) if reason else found.reason == ""


class Queue:
    """A line, and conversations that stand in it, first to last."""

    def __init__(self, **limits: int) -> None:
        self.clock = VirtualClock()
        self.spending = MemorySpending()
        self.lines = Lines(self.spending, self.clock, hosts=limits.pop("hosts", 1))
        self.line = self.of("acme", **limits)
        self.woken: dict[Key, asyncio.Event] = {}

    def of(self, company_id: str, **limits: int) -> CompanyLine:
        return self.lines.of(OwnLimits(company_id, **limits))

    def asks(self, number: int, line: CompanyLine | None = None) -> bool:
        """Conversation `number`, whose message came then, would begin: it does, or stands."""
        line, key = line or self.line, Key("acme", str(number))
        event = self.woken.setdefault(key, asyncio.Event())
        event.clear()
        if line.place(key, NOW + number).reason:
            line.wait(key, NOW + number, event)
            return False
        line.begin(key)
        return True

    def ends(self, number: int, cost: int = 0) -> None:
        self.line.end(Key("acme", str(number)), cost)

    def leaves(self, number: int) -> None:
        self.line.leave(Key("acme", str(number)))

    def roused(self) -> list[int]:
        return sorted(int(key.conversation_id) for key, e in self.woken.items() if e.is_set())


def test_first_come_first_served() -> None:
    queue = Queue(turns_at_once_max=1)
    assert [queue.asks(n) for n in (3, 1, 2)] == [True, False, False]
    queue.ends(3)
    assert queue.roused() == [1]
    assert not queue.asks(2), "the one that came before it has not begun yet"
    assert queue.asks(1)
    queue.ends(1)
    assert queue.asks(2)


def test_a_turn_whose_process_died_looks_again_by_itself_whatever_it_waits_for() -> None:
    queue = Queue(turns_at_once_max=1)
    assert queue.asks(1)
    place = queue.line.place(Key("acme", "2"), NOW, suspect=True)
    assert (place.reason[:6], place.until_ms) == ("1 turn", NOW + lines.SUSPECT_PAUSE_MS)
    queue.ends(1)
    assert not queue.line.place(Key("acme", "2"), NOW, suspect=True).reason


def test_who_leaves_the_line_makes_room_for_the_next() -> None:
    queue = Queue(turns_at_once_max=1)
    for number in (1, 2, 3):
        queue.asks(number)
    queue.ends(1)
    queue.leaves(2)
    assert 3 in queue.roused()
    assert queue.asks(3)
    for _ in range(2):
        queue.ends(3)
        queue.leaves(3)
    assert list(queue.lines.counts()) == [], "repeating it does no harm"


def test_all_free_places_are_taken_one_after_the_other() -> None:
    queue = Queue(turns_at_once_max=3)
    for number in range(8):
        queue.asks(number)
    for number in (0, 1, 2):
        queue.ends(number)
    for _ in range(10):
        for number in queue.roused():
            queue.asks(number)
    assert list(queue.lines.counts()) == [("acme", 3, 2)]
    assert sorted(key.conversation_id for key in queue.line.running) == ["3", "4", "5"]


@pytest.mark.parametrize(
    ("setting", "hosts", "share"),
    [(5, 1, 5), (5, 2, 3), (1, 8, 1), (None, 2, lines.TURNS_PER_COMPANY_MAX), (100_000, 2, 1_000)],
)
def test_each_host_has_its_share_of_the_limit(setting: int | None, hosts: int, share: int) -> None:
    limits = {} if setting is None else {"turns_at_once_max": setting}
    assert Queue(hosts=hosts, **limits).line.running_max == share
    assert lines.TURNS_PER_COMPANY_MAX == 1_000


def test_a_change_of_the_limit_counts_for_those_in_line() -> None:
    queue = Queue(turns_at_once_max=1)
    assert [queue.asks(n) for n in (1, 2)] == [True, False]
    assert queue.of("acme", turns_at_once_max=2) is queue.line
    assert queue.roused() == [2]
    assert queue.asks(2)


def test_a_full_process_lets_the_companies_begin_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "TURNS_MAX", 2)
    queue = Queue()
    others = [queue.of(name) for name in ("bolt", "cafe")]
    assert [queue.asks(n) for n in (1, 2, 3)] == [True, True, False]
    assert [queue.asks(4 + n, other) for n, other in enumerate(others)] == [False, False]
    queue.ends(1)
    assert queue.roused() == [3, 4, 5], "the first of each company"
    assert queue.asks(4, others[0])
    assert not queue.asks(3)


async def test_tokens_are_charged_as_they_cost_and_turns_wait_for_them() -> None:
    queue = Queue(tokens_per_minute_max=6_000)
    assert not queue.asks(1), "it is looked up first what other processes used"
    await settle()
    assert queue.roused() == [1]
    assert [queue.asks(n) for n in (1, 2, 3, 4, 5)] == [True] * 4 + [False]
    assert A_TURN_TOKENS == 2_000
    queue.ends(1, 6_100)
    for number in (2, 3, 4):
        queue.ends(number, 0)
    await settle()
    assert queue.spending.charged == [6_100]
    assert not queue.asks(5)
    place = queue.line.place(Key("acme", "5"), NOW + 5)
    assert place.until_ms == NOW + 1_000 and "6000 tokens a minute" in place.reason
    await queue.clock.advance(1)
    assert queue.asks(5)


async def test_what_other_processes_used_counts() -> None:
    queue = Queue(tokens_per_minute_max=60)
    await queue.spending.charge("acme", "tokens", 90, 60, NOW)
    queue.asks(1)
    await settle()
    assert not queue.asks(1)
    await queue.spending.charge("acme", "tokens", 600, 60, NOW)
    await queue.clock.advance(30)
    assert not queue.asks(1), "what was known is old"
    await settle()
    assert not queue.asks(1)
    await queue.clock.advance(600)
    queue.asks(1)
    await settle()
    assert queue.asks(1)


async def test_redis_away_holds_no_turn_up() -> None:
    queue = Queue(tokens_per_minute_max=60)
    queue.spending.faults = [Retryable("away", doubtful=True), Retryable("full")]
    queue.asks(1)
    await settle()
    assert queue.asks(1)
    queue.ends(1, 500)
    await settle()
    assert queue.spending.charged == []
    await queue.clock.advance(2)
    queue.asks(2)
    await settle()
    assert queue.spending.charged == [500], "what was certainly not counted is counted later"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nobody_is_forgotten(seed: int) -> None:
    """Conversations come, are woken, begin, end and leave at random: no more run than may, and all
    come to their turn."""
    dice = random.Random(seed)
    queue = Queue(turns_at_once_max=dice.choice([1, 2, 5]))
    running, done = set[int](), set[int]()
    for number in range(60):
        if queue.asks(number):
            running.add(number)
        for roused in queue.roused():
            if roused not in running | done and queue.asks(roused):
                running.add(roused)
        assert len(running) <= queue.line.running_max
        if running and dice.random() < 0.5:
            ended = dice.choice(sorted(running))
            running.discard(ended)
            done.add(ended)
            queue.ends(ended)
        elif dice.random() < 0.2:
            queue.leaves(number)
            if number not in running:
                done.add(number)
    while running or set(queue.roused()) - done:
        while fresh := [n for n in queue.roused() if n not in running | done and queue.asks(n)]:
            running.update(fresh)
            assert len(running) <= queue.line.running_max
        ended = running.pop()
        done.add(ended)
        queue.ends(ended)
    assert done == set(range(60))
    assert list(queue.lines.counts()) == []


# Whole conversations.


def keys(company_id: str, count: int) -> list[Key]:
    return [Key(company_id, str(number)) for number in range(count)]


async def test_turns_at_once_are_limited_and_begin_in_order() -> None:
    world = World(limits=OwnLimits(turns_at_once_max=2))
    host = Host(world.ports, range(SLOTS))
    for key in keys("acme", 6):
        seq, raw = await world.write(key.conversation_id, key=key)
        host.deliver([Delivery(key, seq, raw)])
        await world.clock.advance(0.1)
    await world.clock.advance(10)
    glance = host.glance(Key("acme", "5"))
    assert glance is not None
    assert (glance.phase, glance.until_ms) == ("in line", None)
    assert glance.reason == f"{RUNNING}; 3 in line before this one"
    await world.clock.advance(10)
    assert world.model.most_running == 2
    assert [prompt.question for prompt in world.model.prompts] == list("012345")
    assert len(world.channel.posted) == 6
    (started,) = [
        event
        for raw in world.journal.raw_events(Key("acme", "2"))
        if isinstance(event := decode(raw), TurnStarted)
    ]
    told = "the customer was quiet for 10 s; the turn waited in line for 1.8 s"
    assert started.reason == told


async def test_a_turn_in_line_takes_in_what_comes() -> None:
    world = World(Pace(quiet_window_ms=1_000), limits=OwnLimits(turns_at_once_max=1))
    world.model.delay_s = 20
    host = Host(world.ports, range(SLOTS))
    first, second = keys("acme", 2)
    for key, text in ((first, "a"), (second, "b"), (second, "c")):
        seq, raw = await world.write(text, key=key)
        host.deliver([Delivery(key, seq, raw)])
        await world.clock.advance(3)
    await world.clock.advance(40)
    assert [reply.text for reply in world.channel.posted] == ["re: a", "re: b c"]


async def test_a_place_comes_back_however_a_turn_ends() -> None:
    """Cancelled, crashed, superseded, failed, left to a person."""
    world = World(Pace(quiet_window_ms=0), limits=OwnLimits(turns_at_once_max=1))
    key = keys("acme", 1)[0]
    line = world.ports.personas.persona("acme").line

    async def is_free() -> bool:
        await settle()
        return not line.place(Key("acme", "new"), NOW).reason

    actor = ConversationActor(key, world.ports)
    actor.deliver(*await world.write("a", key=key))
    task = asyncio.create_task(actor.run())
    await settle()
    assert not await is_free()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await is_free()
    world.model.faults = [ZeroDivisionError("a bug")]
    task = asyncio.create_task(actor.run())
    await world.clock.advance(2)
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], ZeroDivisionError)
    assert await is_free()
    world.model.faults = [Retryable("503")]
    actor = ConversationActor(key, world.ports)
    task = asyncio.create_task(actor.run())
    await world.clock.advance(2.1)
    assert actor.glance().phase == "retrying" and await is_free()
    await world.clock.advance(20)
    assert task.done() and await is_free()
    assert list(world.lines.counts()) == []


async def test_an_early_draft_leaves_the_last_place_free() -> None:
    for limit, phase in ((1, "window"), (2, "drafting")):
        world = World(limits=OwnLimits(turns_at_once_max=limit))
        world.lead.ms = 2_000
        actor = ConversationActor(Key("acme", "1"), world.ports)
        actor.deliver(*await world.write("a", key=Key("acme", "1")))
        task = asyncio.create_task(actor.run())
        await world.clock.advance(9)
        assert actor.glance().phase == phase
        await world.clock.advance(5)
        assert task.done() and len(world.channel.posted) == 1


async def test_a_superseded_draft_is_charged_too() -> None:
    world = World(limits=OwnLimits(tokens_per_minute_max=100_000))
    actor = ConversationActor(Key("acme", "1"), world.ports)
    actor.deliver(*await world.write("a", key=Key("acme", "1")))
    task = asyncio.create_task(actor.run())
    await world.clock.advance(11)
    actor.deliver(*await world.write("b", key=Key("acme", "1")))
    await world.clock.advance(15)
    assert task.done()
    size, answer = world.spending.charged
    assert 0 < size < 10 and answer == 12
