"""Dead letters, replies in doubt and answers that are too late, through a conversation's actor."""

import asyncio
from typing import Literal

import pytest

from actors.channels.message import Outgoing, Unreadable
from actors.conversation.actor import ConversationActor
from actors.conversation.events import (
    Discarded,
    Event,
    HandedOver,
    ReplyCommitted,
    ReplyResumed,
    ReplySent,
    Revived,
    SendDoubted,
    SetAside,
    Unknown,
    decode,
    encode,
)
from actors.conversation.letters import Letter, letter_of
from actors.conversation.pace import Pace
from actors.conversation.ports import Check
from actors.errors import Permanent, Retryable
from tests.fakes import KEY, World, now


async def works(world: World, seconds: float, actor: ConversationActor | None = None) -> None:
    """Lets the conversation's actor (a new one if none is given) work for so long."""
    actor = actor or ConversationActor(KEY, world.ports)
    actor.look()
    task = asyncio.create_task(actor.run())
    await world.clock.advance(seconds)
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def journal(world: World) -> list[tuple[int, Event | Unknown]]:
    return [(seq, decode(raw)) for seq, raw in enumerate(world.journal.raw_events(), start=1)]


def sent(world: World) -> list[str]:
    return [reply.text for reply in world.channel.posted]


def letters(world: World) -> list[Letter]:
    buried = now(world.journal.buried(KEY.company_id))
    found = [letter_of(journal(world), each.seq) for each in buried]
    return [letter for letter in found if letter is not None]


async def exhume(world: World, letter: Letter, *, revive: bool) -> None:
    at_ms = world.clock.now_ms()
    event: Event = Discarded(at_ms=at_ms, letter=letter.seq, by="api")
    if revive:
        event = Revived(
            at_ms=at_ms,
            letter=letter.seq,
            by="api",
            messages=letter.messages,
            reply=letter.reply,
            sent=letter.sent,
        )

    waiting = letter.aside.seqs if revive else ()
    exhumed = await world.journal.exhume(
        KEY, letter.seq, encode(event), at_ms=at_ms, waiting=waiting
    )
    assert exhumed is not None


async def test_what_ran_out_of_retries_is_a_dead_letter_with_every_attempt() -> None:
    world = World()
    world.model.faults = [Retryable("503")] * 6
    await world.write("one")
    await world.write("two")
    await works(world, 120)
    (letter,) = letters(world)
    assert letter.aside.reason == "the model failed 6 times"
    assert [(attempt.of, attempt.error) for attempt in letter.attempts] == [("model", "503")] * 5
    assert [revival.message.text for revival in letter.messages] == ["one", "two"]
    assert letter.is_whole


@pytest.mark.parametrize("warm", [True, False])
async def test_a_dead_letter_that_is_tried_again_is_answered_at_once(
    warm: bool,  # noqa: FBT001
) -> None:
    world = World()
    world.model.faults = [Permanent("401")]
    actor = ConversationActor(KEY, world.ports)
    await world.write("one")
    await works(world, 13, actor)
    await world.write("later")
    await works(world, 13, actor)
    assert sent(world) == ["re: later"]
    (letter,) = letters(world)
    await exhume(world, letter, revive=True)
    await works(world, 3 + 9, actor if warm else None)
    assert sent(world) == ["re: later", "re: one"]
    assert letters(world) == []
    assert await world.journal.unanswered(range(1_024), world.clock.now_ms()) == []


async def test_a_new_message_is_not_joined_to_a_letter_that_is_tried_again() -> None:
    world = World()
    world.model.faults = [Permanent("401")]
    await world.write("one")
    await works(world, 13)
    (letter,) = letters(world)
    await exhume(world, letter, revive=True)
    await world.write("two")
    await works(world, 40)
    assert sent(world) == ["re: one", "re: two"]


async def test_a_reply_of_the_first_try_that_stands_there_after_all_is_not_doubled() -> None:
    world = World()
    world.channel.stored = True  # each time it fails, and the last time it is stored
    world.channel.faults["send"] = [Permanent("refused, after it was stored")]
    await world.write("one")
    await works(world, 13)
    (letter,) = letters(world)
    world.model.delay_s = 1
    await exhume(world, letter, revive=True)
    await works(world, 30)
    assert sent(world) == ["re: one"]
    last = journal(world)[-1][1]
    assert isinstance(last, ReplySent) and last.how == "read back"


async def test_a_reply_in_parts_that_could_not_be_sent_goes_on_where_it_stopped() -> None:
    """Its last post was stored although it failed: neither that part is doubled, nor is any other
    answer put behind the first part."""
    world = World(part_chars=200)
    parts = [f"{number} {'word ' * 30}".strip() for number in "123"]
    world.model.text = "\n\n".join(parts)
    send, failing = world.channel.send, [True]

    async def sends(reply: Outgoing, check: Check) -> str:
        if reply.text == parts[1] and failing:
            if len(failing) == 6:  # the last try
                await send(reply, check)
                failing.clear()
            else:
                failing.append(True)
            raise Retryable("timeout", doubtful=True)
        return await send(reply, check)

    world.channel.send = sends  # type: ignore[method-assign]
    find, blind = world.channel.find, [True]

    async def finds(reply: Outgoing) -> str | Unreadable | None:
        return None if blind else await find(reply)

    world.channel.find = finds  # type: ignore[method-assign]
    await world.write("one")
    await works(world, 200)
    (letter,) = letters(world)
    assert (letter.aside.reason, letter.sent) == (
        "the channel did not take the reply, 6 attempts",
        1,
    )
    blind.clear()
    world.model.text = "quite another answer"
    await exhume(world, letter, revive=True)
    await works(world, 60)
    assert sent(world) == parts
    assert len(world.model.prompts) == 1


async def test_a_discarded_letter_is_gone_and_its_messages_stay_unanswered() -> None:
    world = World()
    world.model.faults = [Permanent("401")]
    await world.write("one")
    await works(world, 13)
    (letter,) = letters(world)
    await exhume(world, letter, revive=False)
    await works(world, 30)
    assert (letters(world), sent(world)) == ([], [])


# In doubt.


@pytest.mark.parametrize("choice", ["resend", "hold"])
async def test_what_cannot_be_found_out_is_done_as_the_company_chose_and_written_down(
    choice: Literal["resend", "hold"],
) -> None:
    world = World(in_doubt=choice)
    world.channel.unreadable = "this token sees the last message alone"
    world.channel.faults["send"] = [Retryable("timeout", doubtful=True)]
    await world.write("one")
    await works(world, 40)
    events = [event for _, event in journal(world)]
    (doubted,) = [event for event in events if isinstance(event, SendDoubted)]
    assert (doubted.choice, doubted.part) == (choice, 0)
    assert "this token sees the last message alone" in doubted.reason
    if choice == "resend":
        assert (sent(world), type(events[-1])) == (["re: one"], ReplySent)
        return
    assert (sent(world), type(events[-1])) == ([], HandedOver)
    (note,) = world.channel.notes
    assert "cannot be found out" in note.text and "re: one" in note.text


async def test_what_a_process_left_promised_is_taken_over_by_an_event_of_its_own() -> None:
    world = World()
    world.channel.faults["send"] = [Retryable("503")]
    await world.write("one")
    await works(world, 12.5)  # promised; its process ends
    await works(world, 30)
    resumed = [event for _, event in journal(world) if isinstance(event, ReplyResumed)]
    assert [event.attempt for event in resumed] == [1]
    assert sent(world) == ["re: one"]


# Too late.


async def test_a_question_that_waited_too_long_goes_to_a_person_without_a_draft() -> None:
    world = World(Pace(answer_age_max_ms=3_600_000))
    await world.write("one")
    await world.clock.advance(4_000)
    await works(world, 30)
    assert (world.model.prompts, sent(world)) == ([], [])
    (note,) = world.channel.notes
    assert note.text == "too late to answer: over 60 min since the question"
    assert isinstance(journal(world)[-1][1], HandedOver)


async def test_a_promise_that_could_not_be_kept_in_time_goes_to_a_person_with_its_text() -> None:
    world = World(Pace(answer_age_max_ms=3_600_000))
    world.channel.faults["send"] = [Retryable("503")]
    await world.write("one")
    await works(world, 12.5)
    await world.clock.advance(4_000)
    await works(world, 30)
    assert sent(world) == []
    assert world.channel.notes[0].text.endswith("\n\nre: one")
    kinds = [type(event) for _, event in journal(world)]
    assert kinds[-1] is HandedOver and ReplyCommitted in kinds and SetAside not in kinds
