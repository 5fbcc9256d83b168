"""Folds a conversation's events into what outlives its turns: who has the word, the rhythm.

It is written along with every record, so that taking up a conversation need not read its whole
journal: only what came after `seq`, and what is unanswered.
"""

import msgspec

from actors.channels.message import FromPerson, Standing
from actors.conversation.events import (
    CustomerTyping,
    Event,
    HandedOver,
    LeftUnanswered,
    MessageMissed,
    MessageReceived,
    PartSent,
    Paused,
    PersonReplied,
    ReplyCommitted,
    ReplySent,
    Resumed,
    SetAside,
    StandingSeen,
    TurnStarted,
    Unknown,
)

INTERVALS_MAX = 24
"""Intervals remembered of a customer: the newest."""

THOUGHTS_MAX = 12
"""Thoughts whose number of messages is remembered: the newest."""

ANSWERS_MAX = 5
"""Answers whose time is remembered: the newest."""

THOUGHT_MS = 30_000
"""A message that comes later than this after the one before begins a thought of its own."""

CUT_IN_MS = 5_000
"""A message that comes so soon after our reply was being written before it: we cut in."""

CHARS_PER_S_MAX = 15
"""Nobody writes faster, not even by dictating (about 150 words a minute; phones are typed on at 36
on average, Palin et al. 2019): a text that must have been begun before our reply was cut in on."""


HEARD_MAX = 8
"""Answers of people remembered by their ids: a webhook and a look tell of the same one."""

CLOCKS_APART_MS = 2_000
"""The channel's clock and ours may differ by so much."""


class Pause(msgspec.Struct, frozen=True):
    """Somebody made the bot silent by hand; `until_ms` None: until somebody resumes it."""

    reason: str
    until_ms: int | None = None


class Taken(msgspec.Struct, frozen=True):
    """A person took the conversation over at `at_ms`; `reason` says by what."""

    at_ms: int
    reason: str


class Turned(msgspec.Struct, frozen=True):
    """The status went from `before` to `now`, as was told at `at_ms`."""

    at_ms: int
    before: str
    now: str


class Rhythm(msgspec.Struct, frozen=True):
    """How the customer writes: the intervals between messages of one thought, newest last.

    `thoughts`: how many messages each of the completed thoughts had, newest last; `thought`: how
    many the present one has so far.
    """

    intervals_ms: tuple[int, ...] = ()
    last_ms: int = 0
    replied_ms: int = 0
    thoughts: tuple[int, ...] = ()
    thought: int = 0


class Memory(msgspec.Struct, frozen=True):
    """What is remembered of a conversation beside what is unanswered. `seq`: the last event in it.

    `turned`: the last change of status. `given_ms`: when the word was last given to the bot, by the
    channel's clock. `heard`: the ids of the last answers of people. `begun`: the first message had
    its outcome.
    `typing_ms`: since when the customer types, 0: they do not; `typed_ms`: when they last typed.
    `asked_ms`: when the model was asked after a window had closed, 0: it is not being asked so;
    `answers_ms`: how long it took, newest last.
    """

    seq: int = 0
    standing: Standing = Standing()
    taken: Taken | None = None
    turned: Turned | None = None
    given_ms: int = 0
    pause: Pause | None = None
    rhythm: Rhythm = Rhythm()
    heard: tuple[str, ...] = ()
    begun: bool = False
    typing_ms: int = 0
    typed_ms: int = 0
    asked_ms: int = 0
    answers_ms: tuple[int, ...] = ()


def interval_ms(rhythm: Rhythm, at_ms: int, chars: int = 0) -> int | None:
    """The interval that a message of so many characters ends, or None if it begins a thought."""
    passed_ms = at_ms - rhythm.last_ms
    if not rhythm.last_ms or passed_ms > THOUGHT_MS or passed_ms < 0:
        return None
    answered = rhythm.replied_ms >= rhythm.last_ms
    written_ms = max(CUT_IN_MS, chars * 1_000 // CHARS_PER_S_MAX)
    if answered and at_ms - rhythm.replied_ms > written_ms:
        return None
    return passed_ms


def _heard(rhythm: Rhythm, at_ms: int, chars: int) -> Rhythm:
    passed_ms = interval_ms(rhythm, at_ms, chars)
    if passed_ms is None:
        ended = (rhythm.thought,) if rhythm.thought else ()
        thoughts = (*rhythm.thoughts, *ended)[-THOUGHTS_MAX:]
        return msgspec.structs.replace(
            rhythm, thoughts=thoughts, thought=1, last_ms=max(rhythm.last_ms, at_ms)
        )
    return msgspec.structs.replace(
        rhythm,
        intervals_ms=(*rhythm.intervals_ms, passed_ms)[-INTERVALS_MAX:],
        thought=rhythm.thought + 1,
        last_ms=at_ms,
    )


def _after_turn(memory: Memory, event: Event | Unknown) -> Memory:
    """The memory after an event of our own side."""
    match event:
        case TurnStarted(at_ms=at_ms, early=early):
            return msgspec.structs.replace(memory, asked_ms=0 if early else at_ms)
        case ReplyCommitted(at_ms=at_ms):
            took = (at_ms - memory.asked_ms,) if memory.asked_ms else ()
            answers_ms = (*memory.answers_ms, *took)[-ANSWERS_MAX:]
            return msgspec.structs.replace(memory, answers_ms=answers_ms, begun=True, asked_ms=0)
        case LeftUnanswered() | SetAside():
            return msgspec.structs.replace(memory, begun=True, asked_ms=0)
        case _:
            return memory


def _gives_back(before: Standing, now: Standing, taken: Taken | None) -> bool:
    """Whether a change of status gives the word to the bot: back to it, or a conversation that had
    ended begins anew. A report from before the person's word, delivered late, gives nothing."""
    if taken and now.changed_ms and now.changed_ms + CLOCKS_APART_MS < taken.at_ms:
        return False
    return now.status == "pending" or before.status == "resolved"


def _stand(memory: Memory, standing: Standing, at_ms: int) -> Memory:
    """The memory after a report of the channel; an older report than the last changes nothing."""
    before = memory.standing
    if standing.changed_ms and standing.changed_ms < before.changed_ms:
        return memory
    then = msgspec.structs.replace(memory, standing=standing)
    if not before.status or not standing.status or standing.status == before.status:
        return then
    taken, given_ms = memory.taken, memory.given_ms
    if standing.status == "open" and before.status == "pending":
        taken = Taken(at_ms, taken.reason if taken else "a person opened the conversation")
    elif _gives_back(before, standing, taken):
        taken, given_ms = None, standing.changed_ms
    turned = Turned(at_ms, before.status, standing.status)
    return msgspec.structs.replace(then, taken=taken, turned=turned, given_ms=given_ms)


def _spoken(memory: Memory, person: FromPerson, at_ms: int) -> Memory:
    """The memory after a person's answer; one that was told of before changes nothing, nor does one
    from clearly before the word was given back, which is told late: webhooks come in any order."""
    if person.message_id and person.message_id in memory.heard:
        return memory
    heard = (*memory.heard, person.message_id)[-HEARD_MAX:]
    then = msgspec.structs.replace(memory, heard=heard)
    if person.said_ms and person.said_ms + CLOCKS_APART_MS < memory.given_ms:
        return then
    where = " on the phone" if person.how == "phone app" else ""
    taken = Taken(at_ms, f"{person.name or 'a person'} answered{where}")
    return msgspec.structs.replace(then, taken=taken)


def remember(memory: Memory, seq: int, event: Event | Unknown) -> Memory:
    """The memory after the event with this sequence number."""
    if seq <= memory.seq:
        return memory
    memory = msgspec.structs.replace(memory, seq=seq)
    match event:
        case MessageReceived(at_ms=at_ms, message=message, how=how):
            if message.standing is not None:
                memory = _stand(memory, message.standing, at_ms)
            # When one was found says nothing of when it was written.
            found = how == "caught up"
            rhythm = memory.rhythm if found else _heard(memory.rhythm, at_ms, len(message.text))
            return msgspec.structs.replace(memory, rhythm=rhythm, typing_ms=0, typed_ms=0)
        case MessageMissed():
            return msgspec.structs.replace(memory, begun=True)
        case CustomerTyping(at_ms=at_ms, on=on):
            return msgspec.structs.replace(memory, typing_ms=at_ms if on else 0, typed_ms=at_ms)
        case StandingSeen(at_ms=at_ms, standing=standing):
            return _stand(memory, standing, at_ms)
        case PersonReplied(at_ms=at_ms, person=person):
            return _spoken(memory, person, at_ms)
        case HandedOver(at_ms=at_ms, reason=reason):
            return msgspec.structs.replace(
                memory, taken=Taken(at_ms, f"handed over to a person: {reason}"), begun=True
            )
        case Paused(reason=reason, until_ms=until_ms):
            return msgspec.structs.replace(memory, pause=Pause(reason, until_ms))
        case Resumed(at_ms=at_ms):
            return msgspec.structs.replace(memory, pause=None, taken=None, given_ms=at_ms)
        case ReplySent(at_ms=at_ms) | PartSent(at_ms=at_ms):
            rhythm = msgspec.structs.replace(memory.rhythm, replied_ms=at_ms)
            return msgspec.structs.replace(memory, rhythm=rhythm)
        case _:
            return _after_turn(memory, event)
