"""One suite for every journal: Redis 6.2, Redis 7 and the one in memory that other tests use."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from actors.conversation.ports import Log
from actors.errors import Fenced
from actors.journal.dead_letters import DeadLetters
from actors.journal.entries import (
    Activation,
    Appended,
    Buried,
    Exhumed,
    Full,
    Noted,
    Only,
    Write,
)
from actors.journal.keys import SLOTS, Key
from actors.journal.stream import Journal
from tests.fakes import MemoryJournal

KEY = Key("acme", "321")
NOW = 1_760_000_000_000
WAITING_MAX = 5

AnyJournal = Journal | MemoryJournal


@dataclass
class Both:
    """A journal and the list of its dead letters."""

    journal: AnyJournal
    letters: DeadLetters | MemoryJournal


@pytest.fixture(params=["memory", "redis_6", "redis_7"])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    if request.param == "memory":
        memory = MemoryJournal(waiting_max=WAITING_MAX)
        yield Both(memory, memory)
        return
    client = Redis.from_url(request.getfixturevalue(request.param))
    await client.flushall()
    yield Both(Journal(client, waiting_max=WAITING_MAX), DeadLetters(client))
    await client.aclose()


@pytest.fixture
def journal(both: Both) -> AnyJournal:
    return both.journal


async def append(
    journal: AnyJournal, message_id: str, *, key: Key = KEY, at_ms: int = NOW, batch: int = 20
) -> Appended:
    appended = await journal.append(
        key, message_id, f"event {message_id}".encode(), at_ms=at_ms, largest_batch=batch
    )
    assert isinstance(appended, Appended)
    return appended


def is_a_log(journal: AnyJournal) -> Log:
    """Both fit the port."""
    return journal


async def record(  # one event, with the usual bookkeeping
    journal: AnyJournal,
    epoch: int,
    write: int,
    *,
    promised: tuple[int, ...] = (),
    settled: tuple[int, ...] = (),
    memory_seq: int = 0,
    dead: tuple[int, ...] = (),
) -> tuple[int, int]:
    return await journal.record(
        KEY,
        Write(
            epoch=epoch,
            number=write,
            events=(f"write {epoch}.{write}".encode(),),
            promised=promised,
            settled=settled,
            memory=f"up to {memory_seq}".encode(),
            memory_seq=memory_seq,
            dead=dead,
            at_ms=NOW + write,
        ),
    )


async def note(journal: AnyJournal, note_id: str, only: Only = "always") -> Noted | None:
    raw = f"note {note_id}".encode()
    return await journal.note(KEY, note_id, raw, at_ms=NOW, only=only)


async def test_messages_are_numbered_in_the_order_they_come(journal: AnyJournal) -> None:
    appended = [await append(journal, name, at_ms=NOW + place) for place, name in enumerate("abc")]
    assert [(a.seq, a.position, a.turn_first) for a in appended] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 3, 1),
    ]
    assert {a.oldest_ms for a in appended} == {NOW}
    assert [a.company_load for a in appended] == [1, 2, 3]
    assert [e.raw for e in await journal.read(KEY, after=1)] == [b"event b", b"event c"]


async def test_the_same_message_is_one_message(journal: AnyJournal) -> None:
    first = await append(journal, "a")
    await append(journal, "b")
    again = await append(journal, "a", at_ms=NOW + 60_000)
    assert (again.fresh, again.seq, again.position, again.turn_first) == (False, first.seq, 1, 1)
    assert len(await journal.read(KEY, after=0)) == 2


async def test_a_duplicate_of_an_answered_message_is_not_answered_again(
    journal: AnyJournal,
) -> None:
    await append(journal, "a")
    taken = await journal.activate(KEY, "me")
    await record(journal, taken.epoch, 1, settled=(1,))
    again = await append(journal, "a")
    assert (again.fresh, again.position) == (False, 0)
    assert await journal.unanswered(range(SLOTS), NOW) == []


async def test_appends_at_once_are_all_there_and_once(journal: AnyJournal) -> None:
    keys = [Key("acme", str(place % 7)) for place in range(35)]
    await asyncio.gather(
        *(append(journal, f"m{place % 28}", key=key) for place, key in enumerate(keys))
    )
    seqs = [[e.seq for e in await journal.read(key, after=0)] for key in dict.fromkeys(keys)]
    assert seqs == [[1, 2, 3, 4]] * 7


async def test_a_conversation_takes_no_more_than_its_bound(journal: AnyJournal) -> None:
    for place in range(WAITING_MAX):
        await append(journal, f"m{place}")
    refused = await journal.append(KEY, "one more", b"", at_ms=NOW, largest_batch=20)
    assert refused == Full(WAITING_MAX)
    again = await append(journal, "m0")
    assert not again.fresh, "a duplicate is still recognised"
    taken = await journal.activate(KEY, "me")
    await record(journal, taken.epoch, 1, settled=(1,))
    assert (await append(journal, "one more")).position == WAITING_MAX


def replayed(taken: Activation) -> tuple[int, int, bytes, list[int]]:
    replay = taken.replay
    return taken.epoch, replay.seq, replay.memory, [entry.seq for entry in replay.entries]


async def test_activation_replays_what_is_unanswered_and_what_is_not_remembered(
    journal: AnyJournal,
) -> None:
    await append(journal, "a")
    await append(journal, "b")
    assert replayed(await journal.activate(KEY, "me")) == (1, 2, b"", [1, 2])
    await record(journal, 1, 1, settled=(1,), memory_seq=2)
    assert replayed(await journal.activate(KEY, "me")) == (2, 3, b"up to 2", [2, 3])
    await record(journal, 2, 1, settled=(2,), memory_seq=3)
    assert replayed(await journal.activate(KEY, "me")) == (3, 4, b"up to 3", [4])
    assert (await journal.replay(KEY)) == (await journal.activate(KEY, "me")).replay


async def test_a_note_is_no_message_of_a_customer(journal: AnyJournal) -> None:
    await append(journal, "a")
    assert await note(journal, "person 7") == Noted(2)
    assert await note(journal, "person 7") is None, "once"
    assert [await note(journal, ""), await note(journal, "")] == [Noted(3), Noted(4)]
    assert (await journal.read(KEY, after=1))[0].raw == b"note person 7"
    await journal.activate(KEY, "me")
    assert (await append(journal, "b")).position == 2
    await record(journal, 1, 1, settled=(1, 5), memory_seq=5)
    assert await journal.unanswered(range(SLOTS), NOW) == []
    await note(journal, "later")
    assert replayed(await journal.activate(KEY, "me"))[3] == [6, 7], "nobody remembers it yet"


async def test_a_message_that_was_noted_is_a_duplicate_without_a_turn(
    journal: AnyJournal,
) -> None:
    await append(journal, "a")
    assert await note(journal, "found too late") == Noted(2)
    assert await append(journal, "found too late") == Appended(False, 2, 1, 2, NOW, 1)
    assert await journal.seen(KEY, ["a", "found too late", "never"]) == {"a", "found too late"}
    assert await journal.seen(KEY, []) == set()


@pytest.mark.parametrize(
    ("situation", "noted"),
    [
        ("nothing", {"always"}),
        ("answered", {"always", "known"}),
        ("waiting", {"always", "known", "waiting"}),
    ],
)
@pytest.mark.parametrize("only", ["always", "known", "waiting"])
async def test_when_a_note_is_taken(
    journal: AnyJournal, situation: str, noted: set[str], only: Only
) -> None:
    if situation != "nothing":
        await append(journal, "a")
    if situation == "answered":
        taken = await journal.activate(KEY, "me")
        await record(journal, taken.epoch, 1, settled=(1,))
    assert (await note(journal, "x", only) is not None) == (only in noted)


async def test_a_conversation_that_begins_with_a_note_is_taken_up_from_it(
    journal: AnyJournal,
) -> None:
    await note(journal, "a person wrote first")
    assert replayed(await journal.activate(KEY, "me")) == (1, 1, b"", [1])
    assert await journal.unanswered(range(SLOTS), NOW) == []


async def test_a_stale_epoch_writes_nothing(journal: AnyJournal) -> None:
    await append(journal, "a")
    old = await journal.activate(KEY, "me")
    new = await journal.activate(KEY, "me")
    with pytest.raises(Fenced, match="acme:321"):
        await record(journal, old.epoch, 1, settled=(1,))
    assert len(await journal.read(KEY, after=0)) == 1
    assert await journal.unanswered(range(SLOTS), NOW) != []
    assert await record(journal, new.epoch, 1, settled=(1,)) == (2, 2)


async def test_a_repeated_write_is_one_write(journal: AnyJournal) -> None:
    await append(journal, "a")
    taken = await journal.activate(KEY, "me")
    assert await record(journal, taken.epoch, 1) == (2, 2)
    await append(journal, "b")
    assert await record(journal, taken.epoch, 1) == (2, 3)
    assert len(await journal.read(KEY, after=0)) == 3
    assert await record(journal, taken.epoch, 2) == (4, 4)


async def test_a_message_that_came_in_meanwhile_keeps_the_mark(journal: AnyJournal) -> None:
    await append(journal, "a", at_ms=NOW)
    taken = await journal.activate(KEY, "me")
    await append(journal, "b", at_ms=NOW + 5)
    await record(journal, taken.epoch, 1, settled=(1,))
    (owing,) = await journal.unanswered(range(SLOTS), NOW + 10)
    assert (owing.key, owing.oldest_ms) == (KEY, NOW + 5)


async def test_a_promised_answer_keeps_the_mark_and_opens_the_next_turn(
    journal: AnyJournal,
) -> None:
    await append(journal, "a")
    taken = await journal.activate(KEY, "me")
    await record(journal, taken.epoch, 1, promised=(1,))
    assert await journal.unanswered(range(SLOTS), NOW) != []
    after = await append(journal, "b")
    assert (after.position, after.turn_first) == (2, after.seq)


async def test_the_turn_of_a_message_counts_in_largest_batches(journal: AnyJournal) -> None:
    appended = [await append(journal, f"m{place}", batch=2) for place in range(5)]
    assert [a.turn_first for a in appended] == [1, 1, 3, 3, 5]


async def test_unanswered_conversations_are_found_by_slot_and_age(journal: AnyJournal) -> None:
    keys = [Key("acme", str(number)) for number in range(4)]
    for place, key in enumerate(keys):
        await append(journal, "a", key=key, at_ms=NOW - place)
    found = await journal.unanswered(range(SLOTS), NOW - 1)
    assert [entry.key for entry in found] == keys[:0:-1], "oldest first, the youngest left out"
    assert await journal.unanswered([keys[1].slot], NOW) == [found[-1]]


async def test_the_end_of_a_journal_is_read_in_order(journal: AnyJournal) -> None:
    for name in "abcde":
        await append(journal, name)
    assert [e.seq for e in await journal.read_last(KEY, 2)] == [4, 5]
    assert [e.seq for e in await journal.read_last(KEY, 2, before=4)] == [2, 3]


async def test_loads_count_what_is_unanswered_of_each_company(journal: AnyJournal) -> None:
    for name in "ab":
        await append(journal, name)
    await append(journal, "a", key=Key("acme", "322"))
    await append(journal, "a", key=Key("other", "1"))
    assert await journal.loads(range(SLOTS)) == {"acme": 3, "other": 1}
    assert await journal.loads([Key("other", "1").slot]) == {"other": 1}
    taken = await journal.activate(KEY, "me")
    await record(journal, taken.epoch, 1, settled=(1, 2))
    assert await journal.loads(range(SLOTS)) == {"acme": 1, "other": 1}


async def test_what_another_living_host_holds_is_no_orphan(journal: AnyJournal) -> None:
    other, nobodys = Key("acme", "322"), Key("acme", "323")
    for key, holder in ((KEY, "blue"), (other, "green")):
        await append(journal, "a", key=key)
        await journal.activate(key, holder)
    await append(journal, "a", key=nobodys)
    keys = [KEY, other, nobodys]
    assert await journal.orphans(keys, "blue") == keys, "green has not said that it lives"
    await journal.stay_alive("green")
    assert await journal.orphans(keys, "blue") == [KEY, nobodys]
    assert await journal.orphans(keys, "green") == keys, "its own are for it to take up"


async def test_counters_are_those_of_the_last_event_and_pen(journal: AnyJournal) -> None:
    assert await journal.counters(KEY) is None
    await append(journal, "a")
    assert await journal.counters(KEY) == (1, 0)
    await journal.activate(KEY, "me")
    assert await journal.counters(KEY) == (1, 1)


# Dead letters.


async def test_a_dead_letter_is_listed_by_company_until_it_is_taken_off(both: Both) -> None:
    await append(both.journal, "a")
    taken = await both.journal.activate(KEY, "me")
    await record(both.journal, taken.epoch, 1, settled=(1,), dead=(1,))
    await record(both.journal, taken.epoch, 2, dead=(1,))
    first, second = Buried(KEY, 2, NOW + 1), Buried(KEY, 3, NOW + 2)
    assert await both.letters.buried("acme") == [first, second]
    assert await both.letters.buried("acm") == []
    assert await both.letters.counts() == {"acme": 2}
    assert await both.letters.exhume(KEY, 2, b"gone", at_ms=NOW, waiting=()) == Exhumed(4)
    assert await both.letters.exhume(KEY, 2, b"gone", at_ms=NOW, waiting=(1,)) is None, "once"
    assert await both.letters.buried("acme") == [second]
    assert [e.raw for e in await both.journal.read(KEY, 3)] == [b"gone"]
    assert await both.journal.unanswered(range(SLOTS), NOW) == []
    assert await both.letters.exhume(KEY, 3, b"gone too", at_ms=NOW, waiting=()) == Exhumed(5)
    assert (await both.letters.buried("acme"), await both.letters.counts()) == ([], {})


async def test_what_is_tried_again_waits_again_and_is_replayed_from_its_first_message(
    both: Both,
) -> None:
    for name in "ab":
        await append(both.journal, name)
    taken = await both.journal.activate(KEY, "me")
    await record(both.journal, taken.epoch, 1, settled=(1, 2), dead=(1,), memory_seq=2)
    await append(both.journal, "c", at_ms=NOW + 5)
    await both.letters.exhume(KEY, 3, b"again", at_ms=NOW + 9, waiting=(1, 2))
    (owing,) = await both.journal.unanswered(range(SLOTS), NOW + 10)
    assert owing.oldest_ms in (NOW + 5, NOW + 9)
    assert replayed(await both.journal.activate(KEY, "me"))[3] == [1, 2, 3, 4, 5]
    assert (await append(both.journal, "d")).company_load == 4
    await record(both.journal, 2, 1, settled=(1, 2, 4, 6), memory_seq=6)
    assert await both.journal.unanswered(range(SLOTS), NOW + 10) == []


async def test_a_repeated_write_is_one_dead_letter(both: Both) -> None:
    await append(both.journal, "a")
    taken = await both.journal.activate(KEY, "me")
    for _ in range(2):
        await record(both.journal, taken.epoch, 1, settled=(1,), dead=(1,))
    assert len(await both.letters.buried("acme")) == 1
