"""Places, lanes and mail shared between companies: no flood takes what others need."""

import asyncio
import random
from contextlib import ExitStack

import pytest

from actors.journal.stream import CALLS_MAX, CALLS_PER_COMPANY_MAX
from actors.knowledge.parsing import PARSES_MAX, PARSES_PER_COMPANY_MAX
from actors.lanes import Lanes
from actors.llm.prompt import Content
from actors.llm.readings import READINGS_MAX, Reading, Readings, unread
from actors.placement import mail
from actors.placement.mail import Bag
from actors.web.places import Places
from actors.web.refusals import Refused
from actors.wiring import REDIS_CONNECTIONS_MAX
from tests.fakes import settle


class Work:
    """Tasks that hold a place until they are told to end."""

    def __init__(self, places_max: int, of_company_max: int) -> None:
        self.lanes = Lanes(places_max, of_company_max)
        self.began: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, *names: str) -> None:
        """`a1` is the first work of company `a`."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._work(name))
            await settle()

    async def _work(self, name: str) -> None:
        async with self.lanes.place(name[0]):
            self.began.append(name)
            await self._ends[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            await settle()


async def test_one_company_has_its_share_and_no_more() -> None:
    work = Work(4, 2)
    await work.begin("a1", "a2", "a3", "b1", "b2")
    assert work.began == ["a1", "a2", "b1", "b2"]
    await work.end("a1")
    assert work.began[-1] == "a3"
    await work.end("a2", "a3", "b1", "b2")
    assert all(task.done() for task in work.tasks.values())


async def test_free_places_go_to_the_companies_in_turn() -> None:
    work = Work(2, 2)
    await work.begin("a1", "a2", "a3", "a4", "b1", "c1", "b2")
    await work.end("a1", "a2")
    assert work.began == ["a1", "a2", "a3", "b1"]
    await work.end("a3", "b1")
    assert work.began[4:] == ["c1", "a4"]
    await work.end("c1")
    assert work.began[-1] == "b2"
    await work.end("a4", "b2")


async def test_who_gives_up_takes_no_place_along() -> None:
    work = Work(1, 1)
    await work.begin("a1", "b1", "c1", "b2")
    work.tasks["b1"].cancel()
    work.tasks["a1"].cancel()
    await settle()
    assert work.began == ["a1", "c1"] or work.began == ["a1", "b2"]
    await work.end("c1", "b2")
    assert len(work.began) == 3


async def test_a_place_that_was_given_to_one_who_gave_up_goes_on() -> None:
    work = Work(1, 1)
    await work.begin("a1", "b1", "c1")
    work._ends["a1"].set()
    await asyncio.sleep(0)
    work.tasks["b1"].cancel()  # it has the place and does not know it yet
    await settle()
    assert work.began[-1] == "c1"
    await work.end("c1")


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_happens_all_places_come_back(seed: int) -> None:
    dice, work = random.Random(seed), Work(3, 2)
    for number in range(60):
        await work.begin(f"{dice.choice('abc')}{number}")
        name = dice.choice(list(work.tasks))
        if dice.random() < 0.4:
            work.tasks[name].cancel()
        else:
            await work.end(name)
    await work.end(*work.tasks)
    assert all(task.done() for task in work.tasks.values())
    await work.begin("x1", "x2", "y1")
    assert work.began[-3:] == ["x1", "x2", "y1"]
    await work.end("x1", "x2", "y1")


def test_the_shares_leave_something_free() -> None:
    assert CALLS_PER_COMPANY_MAX < CALLS_MAX < REDIS_CONNECTIONS_MAX
    assert PARSES_PER_COMPANY_MAX < PARSES_MAX


async def test_a_company_with_a_slow_file_server_leaves_the_files_of_others_alone() -> None:
    readings = Readings()

    async def never() -> Reading:
        await asyncio.Event().wait()
        raise AssertionError

    async def at_once() -> Reading:
        return Reading(Content("there"))

    slow = [
        asyncio.create_task(readings.once(f"a{n}", never, company_id="a"))
        for n in range(READINGS_MAX // 2)
    ]
    await settle()
    refused = await readings.once("a more", never, company_id="a")
    assert refused == unread("too many files arrive at once")
    assert await readings.once("b", at_once, company_id="b") == Content("there")
    await readings.aclose()
    await asyncio.gather(*slow, return_exceptions=True)


def test_a_flood_of_requests_leaves_half_of_a_replicas_places() -> None:
    places = Places(5, what="requests are being taken in", limit="THE_MAX", retry_after_s=1)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(places.taken("a"))
        with pytest.raises(Refused) as refused, places.taken("a"):
            pass
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
        assert refused.value.detail == (
            "3 requests are being taken in for company a, its share of THE_MAX allows no more; "
            "repeat this one"
        )
        for _ in range(2):
            held.enter_context(places.taken("b"))
        with pytest.raises(Refused, match="5 requests are being taken in, THE_MAX allows no more"):
            held.enter_context(places.taken("c"))
    for _ in range(20):
        with places.taken("a"), places.taken("a"), places.taken("a"):
            pass


def posted(company_id: str, seq: int) -> mail.Mail:
    return (f"{company_id}:1", seq, b"")


def test_mail_is_taken_from_the_companies_in_turn_and_in_order() -> None:
    bag = Bag()
    for seq in range(4):
        bag.put(posted("a", seq))
    bag.put(posted("b", 7))
    bag.put(posted("c", 8))
    page = bag.take(4)
    assert [(key[0], seq) for key, seq, _ in page] == [("a", 0), ("b", 7), ("c", 8), ("a", 1)]
    assert len(bag) == 2
    assert [seq for _, seq, _ in bag.take(9)] == [2, 3]
    assert bag.take(1) == [] and not bag


def test_a_flood_drops_its_own_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "DELIVERIES_WAITING_MAX", 4)
    monkeypatch.setattr(mail, "DELIVERIES_PER_COMPANY_MAX", 2)
    bag = Bag()
    assert [bag.put(posted("a", seq)) for seq in range(3)] == [True, True, False]
    assert [bag.put(posted(name, 1)) for name in ("b", "c", "d")] == [True, True, False]


async def test_holders_and_waiters_that_are_cancelled_together_lose_no_place() -> None:
    """As a deadline does that ends many at once: who waits is cancelled before its task runs."""
    lanes = Lanes(4, 2)

    async def hold() -> None:
        async with lanes.place("acme"):
            await asyncio.sleep(3_600)

    for _ in range(5):
        tasks = [asyncio.create_task(hold()) for _ in range(8)]
        await settle()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(error) for error in ended} == {asyncio.CancelledError}
    began = 0

    async def pass_by() -> None:
        nonlocal began
        async with lanes.place("acme"):
            began += 1

    async with asyncio.timeout(5):
        await asyncio.gather(*(pass_by() for _ in range(8)))
    assert began == 8
