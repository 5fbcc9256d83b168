"""Who has the word, through reports that come late, twice and in any order."""

import pytest

from actors.channels.message import FromPerson, Standing
from actors.conversation.events import Event, PersonReplied, Resumed, StandingSeen
from actors.conversation.manners import Manners, silence
from actors.conversation.memory import Memory, remember

ANY = Manners()
PENDING_ALONE = Manners(allowed_statuses=("pending",))
OPEN_ALONE = Manners(allowed_statuses=("open",))


def said(at_s: float, *, said_s: float | None = None, name: str = "Eva") -> PersonReplied:
    """A person's answer, told at `at_s`, written at `said_s` (default: then)."""
    said_ms = round(1_000 * (at_s if said_s is None else said_s))
    person = FromPerson(f"{name} {said_ms}", "bye", "user", name, said_ms)
    return PersonReplied(at_ms=round(1_000 * at_s), person=person)


def status(at_s: float, name: str, *, changed_s: float | None = None) -> StandingSeen:
    changed_ms = round(1_000 * (at_s if changed_s is None else changed_s))
    standing = Standing(status=name, changed_ms=changed_ms)
    return StandingSeen(at_ms=round(1_000 * at_s), standing=standing)


def speaks_after(*events: Event, manners: Manners = ANY) -> bool:
    """Whether the bot may speak an hour after these events."""
    memory = Memory()
    for seq, event in enumerate(events, start=1):
        memory = remember(memory, seq, event)
    return silence(memory, manners, 3_600_000) is None


OPEN, BYE, BACK = status(10, "open"), said(20), status(30, "pending")


@pytest.mark.parametrize(
    ("events", "speaks"),
    [
        ((OPEN, BYE), False),
        ((OPEN, BYE, BACK), True),
        # The same, and the answer is told after the status that gave the word back.
        ((OPEN, BACK, said(31, said_s=20)), True),
        ((OPEN, BACK, said(31, said_s=20), said(32)), False),
        # So close together that two clocks, or two reports of one second, might be wrong.
        ((OPEN, BACK, said(31, said_s=29)), False),
        # Of an answer without a time nothing is known but that it was told now.
        ((OPEN, BACK, said(31, said_s=0)), False),
        ((OPEN, BYE, Resumed(at_ms=30_000, by="api")), True),
        ((OPEN, Resumed(at_ms=30_000, by="api"), said(31, said_s=20)), True),
        ((OPEN, Resumed(at_ms=30_000, by="api"), said(31)), False),
    ],
)
def test_the_word_is_given_back_in_whatever_order_it_is_told(
    events: tuple[Event, ...],
    speaks: bool,  # noqa: FBT001
) -> None:
    assert speaks_after(*events) == speaks


@pytest.mark.parametrize(
    ("manners", "names", "speaks"),
    [
        (ANY, ("pending", "open"), False),
        (ANY, ("pending", "open", "snoozed", "open"), True),
        (ANY, ("pending", "open", "resolved", "open"), True),
        (OPEN_ALONE, ("pending",), False),
        (OPEN_ALONE, ("pending", "open"), True),
        (OPEN_ALONE, ("pending", "open", "snoozed"), False),
        (OPEN_ALONE, ("pending", "open", "snoozed", "open"), True),
        (PENDING_ALONE, ("pending", "open"), False),
        (PENDING_ALONE, ("pending", "open", "pending"), True),
    ],
)
def test_the_bot_comes_back_when_the_status_does_whichever_are_allowed(
    manners: Manners,
    names: tuple[str, ...],
    speaks: bool,  # noqa: FBT001
) -> None:
    events = [status(10 * place, name) for place, name in enumerate(names, start=1)]
    assert speaks_after(*events, manners=manners) == speaks


def test_who_answers_after_the_status_came_back_has_the_word() -> None:
    came_back = (status(10, "snoozed"), status(20, "open"))
    assert speaks_after(*came_back)
    assert not speaks_after(*came_back, said(30))
