"""The verdict over a run of faults finds what it is there to find."""

import pytest

from actors.channels.message import Message as Written
from actors.conversation.events import (
    Event,
    MessageReceived,
    ReplyCommitted,
    ReplySent,
    SetAside,
    TurnStarted,
)
from tests.chaos.sightings import Message, Post
from tests.chaos.verdict import Verdict, judge

C = 7


def sent(*numbers: int, ids: dict[int, int] | None = None) -> list[Message]:
    """Messages that were accepted; their ids rise with their numbers unless told otherwise."""
    return [Message(C, n, (ids or {}).get(n, n), 100.0 + n, {n}) for n in numbers]


def post(*numbers: int, at: float = 1_000.0, visible: bool = True) -> Post:
    return Post(C, numbers, at, at + 10, visible)


def received(*numbers: int) -> list[tuple[int, Event]]:
    """A journal that holds these messages in this order."""
    return [(seq, MessageReceived(at_ms=0, message=written(n))) for seq, n in enumerate(numbers, 1)]


def written(number: int) -> Written:
    return Written(message_id=str(number), text=f"c{C}n{number}", channel="chatwoot")


def verdict(
    messages: list[Message], posts: list[Post], journal: list[tuple[int, Event]]
) -> tuple[int, int, int, int, int]:
    found = judge(messages, posts, {C: journal})
    assert found.is_clean is not bool(found.findings) or found.set_aside
    return found.lost, found.doubled, found.reordered, found.overlapping, found.set_aside


def committed(reply_id: str, *answers: int) -> ReplyCommitted:
    return ReplyCommitted(
        at_ms=0,
        reply_id=reply_id,
        turn="t",
        answers=answers,
        text="",
        channel="chatwoot",
        after_message_id="1",
    )


def replied(reply_id: str, *answers: int) -> ReplySent:
    return ReplySent(
        at_ms=0, reply_id=reply_id, answers=answers, channel_message_id="9", how="sent"
    )


STARTED = TurnStarted(
    at_ms=0, turn="t", covers=(2,), attempt=1, reason="", how="single", join_reason=""
)
ASIDE = SetAside(at_ms=0, seqs=(2,), reason="")


@pytest.mark.parametrize(
    ("what", "messages", "posts", "journal", "expected"),
    [
        ("all is well", sent(1, 2), [post(1, 2)], received(1, 2), (0, 0, 0, 0, 0)),
        ("no answer", sent(1, 2), [post(1)], received(1, 2), (1, 0, 0, 0, 0)),
        ("accepted, and not in the journal", sent(1), [], [], (1, 0, 0, 0, 0)),
        (
            "an answer that Chatwoot did not take",
            sent(1),
            [post(1, visible=False)],
            received(1),
            (1, 0, 0, 0, 0),
        ),
        ("set aside", sent(1, 2), [post(1)], [*received(1, 2), (3, ASIDE)], (0, 0, 0, 0, 1)),
        (
            "answered twice",
            sent(1, 2),
            [post(1), post(1, 2, at=2_000)],
            received(1, 2),
            (0, 1, 0, 0, 0),
        ),
        ("twice in the journal", sent(1), [post(1)], received(1, 1), (0, 1, 0, 0, 0)),
        (
            "two outcomes",
            sent(1),
            [post(1)],
            [*received(1), (2, replied("a", 1)), (3, replied("b", 1))],
            (0, 1, 0, 0, 0),
        ),
        (
            "the later first",
            sent(1, 2),
            [post(2), post(1, at=2_000)],
            received(1, 2),
            (0, 0, 1, 0, 0),
        ),
        (
            "accepted in the other order, answered as accepted",
            sent(1, 2),
            [post(2), post(1, at=2_000)],
            received(2, 1),
            (0, 0, 0, 0, 0),
        ),
        ("swapped in one answer", sent(1, 2), [post(2, 1)], received(2, 1), (0, 0, 1, 0, 0)),
        (
            "two posts at once",
            sent(1, 2),
            [post(1), post(2, at=1_005)],
            received(1, 2),
            (0, 0, 0, 1, 0),
        ),
        (
            "a turn while an answer is on its way",
            sent(1, 2),
            [post(1), post(2, at=2_000)],
            [*received(1, 2), (3, committed("a", 1)), (4, STARTED), (5, replied("a", 1))],
            (0, 0, 0, 1, 0),
        ),
    ],
)
def test_what_is_found(
    what: str,
    messages: list[Message],
    posts: list[Post],
    journal: list[tuple[int, Event]],
    expected: tuple[int, int, int, int, int],
) -> None:
    assert verdict(messages, posts, journal) == expected, what


def test_what_its_sender_gave_up_may_be_answered_or_not_but_not_twice() -> None:
    given_up = [Message(C, 1, 1), Message(C, 2, 2)]
    found: Verdict = judge(given_up, [post(1)], {C: received(1)})
    assert found.is_clean and found.unsure == 2
    found = judge(given_up, [post(1), post(1, at=2_000)], {C: received(1)})
    assert found.doubled == 1
