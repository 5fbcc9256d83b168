"""A host of many conversations: recovery, sweeps, crashes of one, letting go."""

import asyncio

import msgspec
import pytest

from actors.channels.message import Message
from actors.conversation import host as hosts
from actors.conversation.events import MessageReceived, TurnStarted, decode, encode
from actors.conversation.host import Delivery, Host
from actors.conversation.line import Lines
from actors.conversation.pace import Pace
from actors.conversation.turns import POISON_STARTS
from actors.errors import Retryable
from actors.journal.keys import SLOTS, Key
from tests.fakes import KEY, OnePersona, OwnLimits, World, away, now, settle

ALL = range(SLOTS)


async def test_a_new_host_recovers_what_nobody_told_it() -> None:
    world = World()
    await world.write("one")
    host = Host(world.ports, ALL)
    living = asyncio.create_task(host.live())
    await world.clock.advance(13)
    assert [reply.text for reply in world.channel.posted] == ["re: one"]
    living.cancel()


async def test_a_lost_delivery_is_found_by_the_hosts_own_sweep() -> None:
    world = World()
    host = Host(world.ports, ALL)
    living = asyncio.create_task(host.live())
    await world.clock.advance(1)
    await world.write("one")
    await world.clock.advance(hosts.SWEEP_S + hosts.STRAY_MS / 1_000 + 13)
    assert len(world.channel.posted) == 1
    living.cancel()


async def test_a_host_sweeps_its_own_slots_only() -> None:
    world = World()
    await world.write("one")
    assert await Host(world.ports, range(KEY.slot)).sweep(0) == 0
    assert await Host(world.ports, range(KEY.slot, KEY.slot + 1)).sweep(0) == 1


async def test_a_sweep_survives_redis_being_away() -> None:
    world = World()
    outage = [away()] * 3

    def interrupt(call: str) -> None:
        if call == "unanswered" and outage:
            raise outage.pop()

    world.journal.interrupt = interrupt
    await world.write("one")
    living = asyncio.create_task(Host(world.ports, ALL).live())
    await world.clock.advance(20)
    assert len(world.channel.posted) == 1
    living.cancel()


async def test_a_message_that_comes_as_the_conversation_comes_to_rest_is_seen() -> None:
    world = World()
    host = Host(world.ports, ALL)
    for text in ("one", "two", "three"):
        seq, raw = await world.write(text)
        host.deliver([Delivery(KEY, seq, raw)])
        await world.clock.advance(12.0)
        assert host.busy in (0, 1)
    await world.clock.advance(13)
    assert len(world.channel.posted) == 3
    assert host.busy == 0


async def test_one_conversations_bug_stops_that_conversation_only() -> None:
    world = World()
    world.model.faults = [ZeroDivisionError("a bug")]
    host = Host(world.ports, ALL)
    seq, raw = await world.write("one")
    host.deliver([Delivery(KEY, seq, raw)])
    await world.clock.advance(13)
    assert (host.size, host.busy) == (0, 0)
    assert await host.sweep() == 0, "not again at once"
    await world.clock.advance(hosts.AGAIN_S)
    assert await host.sweep() == 1
    await world.clock.advance(5)
    assert [reply.text for reply in world.channel.posted] == ["re: one"]


async def test_idle_conversations_are_let_go_and_come_back() -> None:
    world = World()
    host = Host(world.ports, ALL)
    living = asyncio.create_task(host.live())
    seq, raw = await world.write("one")
    host.deliver([Delivery(KEY, seq, raw)])
    await world.clock.advance(13)
    assert host.size == 1
    await world.clock.advance(hosts.IDLE_MS / 1_000 + hosts.SWEEP_S)
    assert host.size == 0
    seq, raw = await world.write("two")
    host.deliver([Delivery(KEY, seq, raw)])
    await world.clock.advance(13)
    assert [reply.text for reply in world.channel.posted] == ["re: one", "re: two"]
    living.cancel()


async def drained(world: World, host: Host) -> None:
    draining = asyncio.create_task(host.drain())
    await world.clock.advance(hosts.FINISH_S + hosts.DRAIN_S)
    assert draining.done()


@pytest.mark.parametrize("model_s", [hosts.FINISH_S / 2, hosts.FINISH_S * 2])
async def test_a_stopping_host_finishes_what_is_nearly_done_and_begins_nothing(
    model_s: float,
) -> None:
    world = World()
    world.model.delay_s = model_s
    host = Host(world.ports, ALL)
    seq, raw = await world.write("one")
    host.deliver([Delivery(KEY, seq, raw)])
    waits = Key("acme", "322")
    await world.clock.advance(10)
    now_ms = world.clock.now_ms()
    later = encode(MessageReceived(at_ms=now_ms, message=Message("1", "two", "chatwoot")))
    await world.journal.append(waits, "1", later, at_ms=now_ms, largest_batch=9)
    host.deliver([Delivery(waits, 1, later)])
    await settle()
    assert (host.busy, world.model.running) == (2, 1)
    await drained(world, host)
    assert (host.busy, len(world.model.prompts)) == (0, 1)
    sent = [reply.text for reply in world.channel.posted]
    assert sent == (["re: one"] if model_s < hosts.FINISH_S else [])
    assert (b"turn_interrupted" in world.journal.raw_events()[-1]) == (not sent)
    assert len(world.journal.raw_events(waits)) == 1


async def test_a_draining_host_takes_nothing_and_notes_its_drafts() -> None:
    world = World()
    host = Host(world.ports, ALL)
    seq, raw = await world.write("one")
    host.deliver([Delivery(KEY, seq, raw)])
    world.model.delay_s = 60
    await world.clock.advance(11)
    await drained(world, host)
    assert b"turn_interrupted" in world.journal.raw_events()[-1]
    with pytest.raises(Retryable):
        host.deliver([Delivery(KEY, seq, raw)])
    assert await host.look([KEY]) == 0
    await settle()
    assert host.busy == 0
    assert world.channel.posted == []


async def test_a_living_hosts_conversation_is_left_to_it_and_a_dead_ones_is_taken() -> None:
    world = World()
    world.model.delay_s = 9
    first, second = Host(world.ports, ALL, "a/0"), Host(world.ports, ALL, "b/0")
    living = [asyncio.create_task(first.live())]
    seq, raw = await world.write("one")
    first.deliver([Delivery(KEY, seq, raw)])
    await settle()
    living.append(asyncio.create_task(second.live()))
    await world.clock.advance(15)
    assert (first.busy, second.busy) == (1, 0)
    living[0].cancel()
    await drained(world, first)
    assert "a/0" not in world.journal.alive_until_ms, "its successor need not wait"
    await world.clock.advance(hosts.SWEEP_S + 20)
    assert [reply.text for reply in world.channel.posted] == ["re: one"]
    living[1].cancel()


async def test_a_journal_that_was_set_back_is_answered_all_the_same() -> None:
    """After a failover that lost the tail, a warm mailbox is ahead of its journal."""
    world = World()
    host = Host(world.ports, ALL)
    living = asyncio.create_task(host.live())
    seq, raw = await world.write("one")
    host.deliver([Delivery(KEY, seq, raw)])
    await world.clock.advance(13)
    world.journal.forget()
    seq, raw = await world.write("two", "99")
    host.deliver([Delivery(KEY, seq, raw)])
    await world.clock.advance(40)
    assert world.channel.posted[-1].text == "re: two"
    living.cancel()


async def test_a_delivery_during_the_last_record_is_answered_without_a_sweep() -> None:
    world = World()
    host = Host(world.ports, ALL)
    seq, raw = await world.write("one")
    host.deliver([Delivery(KEY, seq, raw)])
    told = False

    def interrupt(call: str) -> None:
        nonlocal told
        if call == "recorded" and world.channel.posted and not told:
            told = True
            host.deliver([Delivery(KEY, *now(world.write("two")))])

    world.journal.interrupt = interrupt
    await world.clock.advance(30)
    assert [reply.text for reply in world.channel.posted] == ["re: one", "re: two"]


async def test_a_message_appended_just_before_a_record_is_not_skipped() -> None:
    """Its delivery is lost; the record's numbers alone say that something came in between."""
    world = World(Pace(on_new_message="queue"))
    host = Host(world.ports, ALL)
    seq, raw = await world.write("one")
    host.deliver([Delivery(KEY, seq, raw)])
    written = False

    def interrupt(call: str) -> None:
        nonlocal written
        if call == "record" and world.model.prompts and not written:
            written = True
            now(world.write("two"))

    world.journal.interrupt = interrupt
    await world.clock.advance(30)
    assert [reply.text for reply in world.channel.posted] == ["re: one", "re: two"]


async def test_only_the_message_that_kills_its_process_is_set_aside() -> None:
    """Three turns are drafted in one process, and one of them ends it, again and again."""
    world = World()
    keys = [Key("acme", "322"), KEY, Key("acme", "323")]
    for key in keys:
        await world.write("x", key=key)
    for _ in range(POISON_STARTS + 1):
        await _dies_over_the_draft(world)
    ends = {key: world.journal.raw_events(key)[-1] for key in keys}
    aside = [key for key, raw in ends.items() if b"set_aside" in raw]
    assert aside == [KEY]
    assert len(world.channel.posted) == 2


async def test_a_message_that_kills_is_set_aside_also_while_its_customer_writes_on() -> None:
    world = World()
    await world.write("x")
    for _ in range(POISON_STARTS):
        await _dies_over_the_draft(world)
        await world.write("hello?")
        assert not [raw for raw in world.journal.raw_events(KEY) if b"set_aside" in raw]
    await _dies_over_the_draft(world)
    assert [raw for raw in world.journal.raw_events(KEY) if b"set_aside" in raw]


async def _dies_over_the_draft(world: World) -> None:
    """A process that begins, drafts the conversation KEY, and ends with all that runs beside it."""
    lines = Lines(world.spending, world.clock, hosts=1)
    persona = world.ports.personas.persona("acme")
    fresh = msgspec.structs.replace(persona, line=lines.of(OwnLimits()))
    ports = msgspec.structs.replace(world.ports, personas=OnePersona(fresh))
    host = Host(ports, ALL, "a/0")
    living = asyncio.create_task(host.live())
    before = len(world.journal.raw_events(KEY))
    for _ in range(400):
        await world.clock.advance(0.1)
        events = world.journal.raw_events(KEY)[before:]
        if events and isinstance(decode(events[-1]), TurnStarted):
            break
    living.cancel()
    for task in list(host._running.values()):
        task.cancel()
    await settle()
