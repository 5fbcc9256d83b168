"""One conversation against a virtual clock, a journal in memory, a channel and a model."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from actors.channels.message import Attachment, FromPerson, Message, Seen, Standing
from actors.conversation.actor import ConversationActor
from actors.conversation.events import (
    CustomerTyping,
    HandedOver,
    LeftUnanswered,
    MessageAmended,
    PartSent,
    Paused,
    PersonReplied,
    ReplyCommitted,
    ReplySent,
    ReplyWithheld,
    Resumed,
    SendFailed,
    SetAside,
    TurnFailed,
    TurnInterrupted,
    TurnStarted,
    TurnSuperseded,
    decode,
)
from actors.conversation.pace import Pace
from actors.errors import Fenced, Permanent, Retryable
from actors.journal.keys import SLOTS, Key
from tests.fakes import KEY, World, away, now, settle


@contextlib.asynccontextmanager
async def running(actor: ConversationActor) -> AsyncIterator[asyncio.Task[None]]:
    """The actor's loop, ended with the block; a crash of it fails the test."""
    task = asyncio.create_task(actor.run())
    await settle()
    try:
        yield task
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def happened(world: World, *kinds: type) -> list[str]:
    """The kinds of the journal's events, in order."""
    events = [decode(raw) for raw in world.journal.raw_events()]
    return [type(event).__name__ for event in events if not kinds or isinstance(event, kinds)]


async def test_fragments_get_one_answer() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    for text in ("Hi", "I want", "a price"):
        actor.deliver(*await world.write(text))
        async with running(actor):
            await world.clock.advance(3)
    async with running(actor) as task:
        await world.clock.advance(12)
        assert task.done()
    assert [reply.text for reply in world.channel.posted] == ["re: Hi I want a price"]
    assert happened(world) == [
        "MessageReceived",
        "MessageReceived",
        "MessageReceived",
        "TurnStarted",
        "ReplyCommitted",
        "ReplySent",
    ]
    assert world.channel.posted[0].after_message_id == "48213"


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 0, 2, 1), (2,), ()])
async def test_lost_doubled_and_swapped_deliveries_do_no_harm(order: tuple[int, ...]) -> None:
    world = World()
    written = [await world.write(text) for text in ("one", "two", "three")]
    actor = ConversationActor(KEY, world.ports)
    for place in order:
        actor.deliver(*written[place])
    async with running(actor):
        await world.clock.advance(13)
    assert [reply.text for reply in world.channel.posted] == ["re: one two three"]


async def test_a_delivery_that_the_journal_does_not_hold_is_not_true() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    seq, raw = await world.write("one")
    actor.deliver(seq, raw)
    actor.deliver(seq + 7, raw)
    async with running(actor) as task:
        await world.clock.advance(13)
        assert task.done()
    assert len(world.channel.posted) == 1


async def test_more_deliveries_than_the_inbox_holds_are_read_from_the_journal() -> None:
    world = World(Pace(largest_batch=100, longest_wait_ms=10_000))
    world.journal._waiting_max = 1_000
    actor = ConversationActor(KEY, world.ports)
    for place in range(300):
        actor.deliver(*await world.write(f"m{place}"))
    async with running(actor):
        await world.clock.advance(60)
    assert sum(len(reply.text.split()) - 1 for reply in world.channel.posted) == 300


async def test_a_message_during_the_turn_supersedes_the_draft() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(11)
        assert world.model.running == 1
        actor.deliver(*await world.write("two"))
        await settle()
        assert world.model.running == 0, "the model call is cancelled at once"
        await world.clock.advance(13)
    assert [reply.text for reply in world.channel.posted] == ["re: one two"]
    assert happened(world, TurnStarted, TurnSuperseded) == [
        "TurnStarted",
        "TurnSuperseded",
        "TurnStarted",
    ]
    assert world.model.most_running == 1


async def test_a_message_after_the_promise_opens_the_next_turn() -> None:
    world = World()
    world.channel.faults["send"] = [Retryable("503", doubtful=False)]
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(12.5)  # promised, not sent
        actor.deliver(*await world.write("two"))
        await world.clock.advance(30)
    assert [reply.text for reply in world.channel.posted] == ["re: one", "re: two"]


async def test_the_history_is_what_was_said_before_and_not_what_is_asked() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    for text in ("one", "two"):
        actor.deliver(*await world.write(text))
        async with running(actor):
            await world.clock.advance(13)
    history = world.model.prompts[1].history
    assert [(line.role, line.text) for line in history] == [
        ("user", "one"),
        ("assistant", "re: one"),
    ]
    assert world.model.prompts[1].question == "two"


async def test_model_failures_are_retried_by_r1_8_and_recorded() -> None:
    world = World()
    world.model.faults = [Retryable("503")] * 5
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(10 + 6 * 2 + 2 + 4 + 8 + 16 + 32)
    assert [reply.text for reply in world.channel.posted] == ["re: one"]
    assert happened(world, TurnFailed) == ["TurnFailed"] * 5


@pytest.mark.parametrize(
    ("fault", "count", "reason"),
    [
        (Retryable("503"), 6, "the model failed 6 times"),
        (Permanent("401"), 1, "the model refused for good"),
    ],
)
async def test_what_the_model_never_answers_is_set_aside(
    fault: Exception, count: int, reason: str
) -> None:
    world = World()
    world.model.faults = [fault] * count
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor) as task:
        await world.clock.advance(120)
        assert task.done(), "the conversation goes on"
    aside = decode(world.journal.raw_events()[-1])
    assert isinstance(aside, SetAside)
    assert (aside.seqs, aside.reason, aside.error) == ((1,), reason, str(fault))
    actor.deliver(*await world.write("two"))
    async with running(actor):
        await world.clock.advance(13)
    assert [reply.text for reply in world.channel.posted] == ["re: two"]


async def test_an_uncertain_send_is_looked_for_before_it_is_repeated() -> None:
    world = World()
    world.channel.faults["send"] = [Retryable("timeout", doubtful=True)]
    world.channel.stored = True
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(26)
    assert len(world.channel.posted) == 1
    sent = decode(world.journal.raw_events()[-1])
    assert isinstance(sent, ReplySent)
    assert sent.how == "read back"
    assert happened(world, SendFailed) == ["SendFailed"]


async def test_a_send_that_surely_failed_is_repeated_without_a_look() -> None:
    world = World()
    world.channel.faults["send"] = [Retryable("no connection")]
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(16)
    assert len(world.channel.posted) == 1
    assert "find" not in world.channel.calls


async def test_doubt_stays_while_nobody_could_look() -> None:
    """The look itself fails without doubt; the send before it was doubtful all the same."""
    world = World()
    world.channel.faults["send"] = [Retryable("timeout", doubtful=True)]
    world.channel.faults["find"] = [Retryable("no connection")]
    world.channel.stored = True
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(60)
    assert len(world.channel.posted) == 1


async def test_what_the_channel_refuses_is_set_aside() -> None:
    world = World()
    world.channel.faults["send"] = [Permanent("404")]
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor) as task:
        await world.clock.advance(13)
        assert task.done()
    assert happened(world, ReplyCommitted, SetAside) == ["ReplyCommitted", "SetAside"]


async def test_typing_is_shown_once_a_window_and_its_failure_disturbs_nothing() -> None:
    world = World()
    world.channel.faults["typing"] = [Permanent("401")]
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(2)
        actor.deliver(*await world.write("two"))
        await world.clock.advance(14)
    assert world.channel.calls == ["typing on", "look", "send", "typing off"]


async def test_redis_away_delays_and_loses_nothing() -> None:
    world = World()
    outage = [away()] * 8

    def interrupt(call: str) -> None:
        if call in ("activate", "record", "recorded", "read") and outage:
            raise outage.pop()

    world.journal.interrupt = interrupt
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(60)
    assert [reply.text for reply in world.channel.posted] == ["re: one"]
    assert happened(world, ReplyCommitted, ReplySent) == ["ReplyCommitted", "ReplySent"]
    assert not outage


async def test_a_stale_epoch_lets_go_before_it_sends() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    task = asyncio.create_task(actor.run())
    await world.clock.advance(11)
    await world.journal.activate(KEY, "me")  # another process takes the pen during the draft
    await world.clock.advance(2)
    with pytest.raises(Fenced):
        await task
    assert world.channel.posted == []


async def test_a_bug_in_the_responder_crashes_its_conversation_loudly() -> None:
    world = World()
    world.model.faults = [ZeroDivisionError("a bug")]
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    task = asyncio.create_task(actor.run())
    await world.clock.advance(13)
    with pytest.raises(ZeroDivisionError):
        await task


async def test_a_stop_during_the_draft_is_noted_and_counts_as_no_crash() -> None:
    world = World()
    seq, raw = await world.write("one")
    await world.clock.advance(10)
    for _ in range(4):  # more often than a crash would be forgiven
        actor = ConversationActor(KEY, world.ports)
        actor.deliver(seq, raw)
        async with running(actor):
            await world.clock.advance(1)
        await actor.interrupt("the host stops")
    assert happened(world, TurnInterrupted) == ["TurnInterrupted"] * 4
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(13)
    assert len(world.channel.posted) == 1


async def test_a_turn_that_kills_its_process_three_times_is_set_aside() -> None:
    world = World()
    seq, raw = await world.write("poison")
    await world.clock.advance(10)
    for _ in range(3):
        actor = ConversationActor(KEY, world.ports)
        actor.deliver(seq, raw)
        async with running(actor):
            await world.clock.advance(1)
    actor = ConversationActor(KEY, world.ports)
    async with running(actor) as task:
        await world.clock.advance(1)
        assert task.done()
    aside = decode(world.journal.raw_events()[-1])
    assert isinstance(aside, SetAside)
    assert aside.reason == "its process died 3 times in this turn"


async def test_a_glance_says_what_it_does_and_why() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        seen = actor.glance()
        assert (seen.phase, seen.waiting, seen.epoch) == ("window", 1, 1)
        assert seen.until_ms == world.clock.now_ms() + 10_000
        await world.clock.advance(11)
        assert actor.glance().phase == "drafting"
        await world.clock.advance(2)
    assert actor.glance().phase == "idle"


async def test_a_stale_actor_does_not_post_what_another_promised() -> None:
    world = World()
    stale, other = ConversationActor(KEY, world.ports), ConversationActor(KEY, world.ports)
    seq, raw = await world.write("one")
    stale.deliver(seq, raw)
    async with running(stale):
        await world.clock.advance(13)
    world.channel.faults["send"] = [Retryable("no connection")]
    await world.write("two")
    async with running(other):
        await world.clock.advance(12.5)  # promised, not sent
        stale.look()
        task = asyncio.create_task(stale.run())
        await world.clock.advance(20)
        with pytest.raises(Fenced):
            await task
    assert [reply.text for reply in world.channel.posted] == ["re: one", "re: two"]


async def test_messages_that_join_a_turn_do_not_begin_its_count_of_deaths_anew() -> None:
    world = World(Pace(quiet_window_ms=0))
    for place in range(5):
        await world.write(f"m{place}")
        async with running(ConversationActor(KEY, world.ports)):
            await world.clock.advance(1)
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(5)
    assert happened(world, SetAside) == ["SetAside"]
    assert [reply.text for reply in world.channel.posted] == ["re: m3 m4"]


async def test_typing_is_renewed_before_it_expires_while_the_turn_runs() -> None:
    world = World()
    world.model.delay_s = 45
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(60)
    calls = [call for call in world.channel.calls if call.startswith("typing")]
    assert calls == ["typing on"] * 3 + ["typing off"]


# Drafting early.


async def test_an_early_draft_answers_at_the_end_of_the_window() -> None:
    world = World()
    world.model.delay_s, world.lead.ms = 4.0, 4_500
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(9.9)
        assert actor.glance().reason.startswith("a draft is ready")
        assert world.channel.posted == [], "nobody is cut off while the window is open"
        await world.clock.advance(0.1)
        assert len(world.channel.posted) == 1
    assert world.lead.latencies_ms == [4_000]


async def test_an_early_draft_that_a_message_makes_stale_is_counted_as_wasted() -> None:
    world = World()
    world.model.delay_s, world.lead.ms = 1.0, 4_500
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(8)
        actor.deliver(*await world.write("two"))
        await world.clock.advance(11)
    assert [reply.text for reply in world.channel.posted] == ["re: one two"]
    superseded = [
        event
        for event in map(decode, world.journal.raw_events())
        if isinstance(event, TurnSuperseded)
    ]
    assert [(event.early, event.tokens_wasted) for event in superseded] == [(True, 12)]


# People first.


def from_person(world: World, name: str = "Eva") -> PersonReplied:
    return PersonReplied(
        at_ms=world.clock.now_ms(), person=FromPerson("900", "I am on it", "user", name)
    )


async def test_a_persons_answer_cancels_the_draft_and_stays_as_context() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor) as task:
        await world.clock.advance(11)
        assert world.model.running == 1
        actor.deliver(*await world.note(from_person(world)))
        await settle()
        assert world.model.running == 0, "the model call is cancelled at once"
        assert task.done()
        assert (actor.glance().phase, actor.glance().reason) == ("silent", "Eva answered")
    assert world.channel.posted == []
    left = decode(world.journal.raw_events()[-1])
    assert isinstance(left, LeftUnanswered)
    assert (left.seqs, left.reason, left.turn) == ((1,), "Eva answered", "acme:321:1")
    assert await world.journal.unanswered(range(SLOTS), world.clock.now_ms()) == []
    resumed = Resumed(at_ms=world.clock.now_ms(), by="api")
    actor.deliver(*await world.note(resumed))
    actor.deliver(*await world.write("two"))
    async with running(actor):
        await world.clock.advance(13)
    assert [reply.text for reply in world.channel.posted] == ["re: two"]
    history = world.model.prompts[-1].history
    assert [(line.role, line.text) for line in history] == [
        ("user", "one"),
        ("assistant", "I am on it"),
    ]


async def test_a_takeover_outlives_the_mailbox() -> None:
    """What silenced the bot is remembered also where nothing was unanswered."""
    world = World()
    await world.write("one")
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(13)
    await world.note(from_person(world))
    await world.write("two")
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(30)
    await world.write("three")
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(30)
    assert [reply.text for reply in world.channel.posted] == ["re: one"]
    assert happened(world, LeftUnanswered) == ["LeftUnanswered"] * 2


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Seen(Standing("open", "user")), "the conversation is assigned to a person"),
        (Seen(Standing("resolved")), "the status is resolved"),
        (Seen(Standing("pending"), FromPerson("950", "hi", "phone app")), "a person answered on"),
        (Seen(Standing("pending", blocked=True)), "the contact is blocked"),
        (Seen(Standing("pending", can_reply=False)), "the channel takes no reply now"),
    ],
)
async def test_the_channel_is_looked_at_right_before_sending(seen: Seen, reason: str) -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one", standing=Standing("pending")))
    async with running(actor) as task:
        await world.clock.advance(11)
        world.channel.seen = seen  # no webhook tells of it
        await world.clock.advance(2)
        assert task.done()
    assert world.channel.posted == []
    withheld = decode(world.journal.raw_events()[-1])
    assert isinstance(withheld, ReplyWithheld)
    assert withheld.reason.startswith(reason)
    assert await world.journal.unanswered(range(SLOTS), world.clock.now_ms()) == []


@pytest.mark.parametrize("delivered", [True, False])
async def test_what_comes_during_the_look_counts(delivered: bool) -> None:  # noqa: FBT001
    """Also where nobody delivers it: the journal is asked right before the post."""
    world = World()
    actor = ConversationActor(KEY, world.ports)

    def interrupt(call: str) -> None:
        if call == "look":
            noted = now(world.note(from_person(world)))
            if delivered:
                actor.deliver(*noted)

    world.channel.interrupt = interrupt
    actor.deliver(*await world.write("one"))
    async with running(actor) as task:
        await world.clock.advance(13)
        assert task.done()
    assert world.channel.posted == []
    assert happened(world, ReplyWithheld) == ["ReplyWithheld"]


async def test_a_pen_that_is_lost_during_the_look_posts_nothing() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)

    def interrupt(call: str) -> None:
        if call == "look":
            now(world.journal.activate(KEY, "me"))

    world.channel.interrupt = interrupt
    actor.deliver(*await world.write("one"))
    task = asyncio.create_task(actor.run())
    await world.clock.advance(13)
    with pytest.raises(Fenced):
        await task
    assert world.channel.posted == []


async def test_the_look_begins_at_the_first_message_that_is_answered() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    for text in ("one", "two", "three"):
        actor.deliver(*await world.write(text))
    async with running(actor):
        await world.clock.advance(13)
    assert world.channel.looks == [("48211", "48213")]


async def test_the_same_answer_of_a_person_told_twice_silences_once() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    told = from_person(world)
    await world.note(told)
    await world.note(Resumed(at_ms=world.clock.now_ms(), by="api"))
    await world.note(told)  # the webhook of what a look had seen
    actor.deliver(*await world.write("and now?"))
    async with running(actor):
        await world.clock.advance(13)
    assert len(world.channel.posted) == 1
    (prompt,) = world.model.prompts
    assert [line.text for line in prompt.history] == ["I am on it"]


async def test_a_hand_over_is_remembered_after_a_crash() -> None:
    world = World()
    world.model.hand_over = "wants a refund"
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(13)
    await world.write("two")
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(30)
    assert len(world.channel.posted) == 1


async def test_resuming_ends_a_pause() -> None:
    world = World()
    at_ms = world.clock.now_ms()
    await world.note(Paused(at_ms=at_ms, by="api", reason="lunch"))
    await world.note(Resumed(at_ms=at_ms, by="api"))
    await world.write("one")
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(13)
    assert len(world.channel.posted) == 1


async def test_the_model_sees_its_own_answer_to_the_message_before() -> None:
    """Also where the next message had come before that answer."""
    world = World(Pace(on_new_message="queue"))
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(11)
        actor.deliver(*await world.write("two"))
        await world.clock.advance(20)
    assert [line.text for line in world.model.prompts[1].history] == ["one", "re: one"]


async def test_a_promise_of_another_process_is_looked_for_after_it_was_taken_over() -> None:
    """Its post may have begun long after the promise."""
    world = World()
    world.channel.faults["look"] = [Retryable("no connection")]
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(13)  # promised, not sent
    await world.clock.advance(60)
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(8)
        assert world.channel.posted == [], "the one before may be posting still"
        await world.clock.advance(2)
    assert len(world.channel.posted) == 1


async def test_a_look_that_fails_is_tried_again_like_a_send() -> None:
    world = World()
    world.channel.faults["look"] = [Retryable("no connection")]
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(16)
    assert len(world.channel.posted) == 1


async def test_a_person_who_answers_between_two_parts_gets_the_word() -> None:
    world = World(part_chars=200)
    text = "\n\n".join(letter * 150 for letter in "abc")
    actor = ConversationActor(KEY, world.ports)

    def interrupt(call: str) -> None:
        if call == "sent" and len(world.channel.posted) == 1:
            world.channel.seen = Seen(Standing("open", "user"))

    world.channel.interrupt = interrupt
    actor.deliver(*await world.write(text))
    async with running(actor):
        await world.clock.advance(13)
    assert len(world.channel.posted) == 1
    withheld = decode(world.journal.raw_events()[-1])
    assert isinstance(withheld, ReplyWithheld)
    assert withheld.parts_sent == 1


# Replies.


async def test_a_long_answer_is_sent_in_parts_each_under_its_own_id() -> None:
    world = World(part_chars=200)
    text = "\n\n".join(letter * 150 for letter in "abc")
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write(text))
    async with running(actor):
        await world.clock.advance(13)
    posted = world.channel.posted
    assert [reply.text[-1] for reply in posted] == ["a", "b", "c"]
    assert len({reply.reply_id for reply in posted}) == 3
    assert happened(world, PartSent, ReplySent) == ["PartSent", "PartSent", "ReplySent"]


@pytest.mark.parametrize("died_after", [1, 2])
async def test_parts_that_stand_there_are_not_sent_again_after_a_crash(died_after: int) -> None:
    world = World(part_chars=200)
    text = "\n\n".join(letter * 150 for letter in "abc")

    def die(call: str) -> None:
        if call == "sent" and len(world.channel.posted) == died_after:
            world.channel.interrupt = lambda _: None
            raise ZeroDivisionError("the process dies between the post and its record")

    world.channel.interrupt = die
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write(text))
    task = asyncio.create_task(actor.run())
    await world.clock.advance(13)
    with pytest.raises(ZeroDivisionError):
        await task
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(30)
    assert [reply.text[-1] for reply in world.channel.posted] == ["a", "b", "c"]


async def test_the_model_passes_the_conversation_to_a_person() -> None:
    world = World()
    world.model.hand_over = "wants a refund"
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor) as task:
        await world.clock.advance(13)
        assert task.done()
    assert [reply.text for reply in world.channel.posted] == ["re: one"]
    assert [note.text for note in world.channel.notes] == ["wants a refund"]
    assert happened(world, PartSent, HandedOver) == ["PartSent", "HandedOver"]
    actor.deliver(*await world.write("two"))
    async with running(actor):
        await world.clock.advance(30)
    assert len(world.channel.posted) == 1, "the bot is silent now"
    assert actor.glance().reason == "handed over to a person: wants a refund"


async def test_a_hand_over_that_fails_is_tried_again() -> None:
    world = World()
    world.model.hand_over = "wants a refund"
    world.channel.faults["hand over"] = [Retryable("503")]
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor) as task:
        await world.clock.advance(30)
        assert task.done()
    assert len(world.channel.posted) == 1
    assert happened(world, HandedOver) == ["HandedOver"]


async def test_a_hand_over_is_left_to_whoever_took_the_pen_during_it() -> None:
    world = World()
    world.model.hand_over = "wants a refund"

    def another_takes_over(what: str) -> None:
        if what == "hand over":
            now(world.journal.activate(KEY, "another"))

    world.channel.interrupt = another_takes_over
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    with pytest.raises(Fenced):
        async with running(actor):
            await world.clock.advance(30)
    assert world.channel.notes == []


# Attachments.


async def test_attachments_are_read_and_remembered() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    voice = Attachment("audio", "https://chatwoot.example/voice.ogg")
    actor.deliver(*await world.write("", attachments=(voice,)))
    async with running(actor):
        await world.clock.advance(13)
    assert world.model.prompts[0].question == "[read: audio]"
    actor.deliver(*await world.write("two"))
    async with running(actor):
        await world.clock.advance(13)
    assert world.model.prompts[1].history[0].text == "[read: audio]"


async def test_a_transcript_that_comes_later_takes_the_place_of_the_message() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("first words", "77"))
    amended = MessageAmended(
        at_ms=world.clock.now_ms(), message=Message("77", "better words", "chatwoot")
    )
    async with running(actor):
        await world.clock.advance(3)
        actor.deliver(*await world.note(amended))
        await world.clock.advance(10)
    assert [prompt.question for prompt in world.model.prompts] == ["better words"]


def amendment(world: World, text: str) -> MessageAmended:
    return MessageAmended(at_ms=world.clock.now_ms(), message=Message("77", text, "chatwoot"))


@pytest.mark.parametrize(
    "pace", [Pace(), Pace(on_new_message="queue"), Pace(supersede_max=1)], ids=str
)
async def test_a_draft_over_words_that_were_changed_is_thrown_away(pace: Pace) -> None:
    world = World(pace)
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("send it to Main St 1", "77"))
    async with running(actor):
        await world.clock.advance(11)
        assert world.model.running == 1
        actor.deliver(*await world.note(amendment(world, "send it to Park Av 2")))
        await world.clock.advance(3)
    assert [reply.text for reply in world.channel.posted] == ["re: send it to Park Av 2"]


async def test_a_draft_that_was_begun_early_is_made_anew_over_what_was_changed() -> None:
    world = World()
    world.lead.ms = 6_000
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("send it to Main St 1", "77"))
    async with running(actor):
        await world.clock.advance(8)  # the draft is ready, the window open
        actor.deliver(*await world.note(amendment(world, "send it to Park Av 2")))
        await world.clock.advance(5)
    assert [reply.text for reply in world.channel.posted] == ["re: send it to Park Av 2"]
    assert happened(world, TurnSuperseded) == ["TurnSuperseded"]


async def test_a_change_that_changes_no_word_costs_no_draft() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one", "77"))
    async with running(actor):
        await world.clock.advance(11)
        actor.deliver(*await world.note(amendment(world, "one")))
        await world.clock.advance(3)
    assert happened(world, TurnSuperseded) == []
    assert len(world.channel.posted) == 1


async def test_a_draft_that_was_thrown_away_often_enough_is_sent_and_says_so() -> None:
    world = World(Pace(supersede_max=0))
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one", "77"))
    async with running(actor):
        await world.clock.advance(11)
        actor.deliver(*await world.note(amendment(world, "two")))
        await world.clock.advance(3)
    (committed,) = [e for e in map(decode, world.journal.raw_events()) if type(e) is ReplyCommitted]
    assert committed.reason.endswith("what was changed since is not in it")
    assert [reply.text for reply in world.channel.posted] == ["re: one"]


async def test_the_history_reaches_back_over_any_number_of_typing_events() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    for text in ("one", "two"):
        actor.deliver(*await world.write(text))
        for on in [True, False] * 130:
            await world.note(CustomerTyping(at_ms=world.clock.now_ms(), on=on))
        async with running(actor):
            await world.clock.advance(25)
    assert [line.text for line in world.model.prompts[1].history] == ["one", "re: one"]


async def test_the_history_holds_what_the_customer_has_seen_of_a_reply_and_no_more() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    world.channel.faults["send"] = [Permanent("refused")]
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(13)
    world.model.hand_over = "a refund"
    world.channel.faults["hand over"] = [Retryable("503")]
    actor.deliver(*await world.write("two"))
    async with running(actor):
        await world.clock.advance(12.5)
        actor.deliver(*await world.note(person_says(world, "I am Eva")))
        await world.clock.advance(30)
    world.model.hand_over = ""
    actor.deliver(*await world.note(Resumed(at_ms=world.clock.now_ms(), by="api")))
    actor.deliver(*await world.write("three"))
    async with running(actor):
        await world.clock.advance(13)
    assert happened(world, SetAside, ReplyWithheld) == ["SetAside", "ReplyWithheld"]
    said = [line.text for line in world.model.prompts[2].history]
    assert said == ["one", "two", "re: two", "I am Eva"]


def person_says(world: World, text: str) -> PersonReplied:
    person = FromPerson("9001", text, "user", "Eva")
    return PersonReplied(at_ms=world.clock.now_ms(), person=person)


async def test_what_comes_from_outside_is_counted_once_however_often_it_is_taken_up() -> None:
    world = World()
    for text in ("one", "two"):
        await world.write(text)
        for _ in range(2):  # the process ends within the window
            async with running(ConversationActor(KEY, world.ports)):
                await world.clock.advance(1)
    async with running(ConversationActor(KEY, world.ports)):
        await world.clock.advance(13)
    await world.note(person_says(world, "hello"))
    for _ in range(3):  # nobody waits: it rests, and is taken up anew
        actor = ConversationActor(KEY, world.ports)
        actor.look()
        async with running(actor) as task:
            await world.clock.advance(1)
            assert task.done()
    counted = [type(event).__name__ for event in world.tally.counted]
    assert sorted(counted) == sorted(happened(world))


async def test_what_happens_is_counted_once() -> None:
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    async with running(actor):
        await world.clock.advance(13)
    assert [type(event).__name__ for event in world.tally.counted] == happened(world)


async def test_who_holds_the_pen_is_not_known_from_an_old_answer() -> None:
    """An answer of Redis that took long says who held it when it was given."""
    world = World()
    actor = ConversationActor(KEY, world.ports)
    actor.deliver(*await world.write("one"))
    counters, slow = world.journal.counters, [True]

    async def late(key: Key) -> tuple[int, int] | None:
        answer = await counters(key)
        if slow:
            slow.clear()
            await world.clock.sleep(2)  # on the way back
            await world.journal.activate(key, "another")
        return answer

    world.journal.counters = late  # type: ignore[method-assign]
    task = asyncio.create_task(actor.run())
    await world.clock.advance(15)
    with pytest.raises(Fenced):
        await task
    assert world.channel.posted == []
