"""The way to one actor: coalesced, repeated while it is away, bounded."""

import asyncio

import pytest

from actors.errors import Retryable
from actors.placement import mail as placement_mail
from actors.placement.mail import Mail
from actors.placement.route import CALLS_UNDER_WAY, DELIVERIES_PER_CALL, Route
from tests.fakes import VirtualClock, settle


class Far:
    """The actor at the other end: away, slow, or there."""

    def __init__(self) -> None:
        self.pages: list[list[Mail]] = []
        self.away = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def hand_in(self, name: str, page: list[Mail]) -> None:
        assert name == "conversations-00"
        await self.gate.wait()
        if self.away:
            self.away -= 1
            raise Retryable("it is away")
        self.pages.append(page)


def mail(place: int) -> Mail:
    return ("acme:1", place, b"event")


async def test_what_comes_during_a_call_goes_together() -> None:
    far, clock = Far(), VirtualClock()
    way = Route("conversations-00", far.hand_in, clock)
    far.gate.clear()
    for place in range(CALLS_UNDER_WAY):
        way.put(mail(place))
        await settle()
    for place in range(CALLS_UNDER_WAY, 600 + CALLS_UNDER_WAY):
        way.put(mail(place))
    assert not way.is_idle
    far.gate.set()
    await settle()
    assert way.is_idle
    sizes = [len(page) for page in far.pages]
    assert sorted(sizes) == sorted([*[1] * CALLS_UNDER_WAY, DELIVERIES_PER_CALL, 100])
    assert sorted(seq for page in far.pages for _, seq, _ in page) == list(range(602))


async def test_a_delivery_to_an_actor_that_is_away_is_repeated_then_left() -> None:
    far, clock = Far(), VirtualClock()
    way = Route("conversations-00", far.hand_in, clock)
    far.away = 2
    way.put(mail(1))
    await clock.advance(0.2)
    assert far.pages == []
    await clock.advance(0.3)
    assert far.pages == [[mail(1)]]
    far.away = 1_000
    way.put(mail(2))
    await clock.advance(60)
    assert way.is_idle
    assert far.away == 1_000 - 7, "once, and after each of six pauses"


async def test_the_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement_mail, "DELIVERIES_WAITING_MAX", 3)
    far, clock = Far(), VirtualClock()
    way = Route("conversations-00", far.hand_in, clock)
    for place in range(9):
        way.put(mail(place))
    await settle()
    assert [seq for page in far.pages for _, seq, _ in page] == [0, 1, 2]
