"""`turnwise replay`, `tune` and `catch-up`, against real Redis servers."""

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from actors.channels.message import Message
from actors.companies.directory import Directory
from actors.conversation.decisions import Conduct
from actors.conversation.events import MessageReceived, encode
from actors.conversation.pace import Pace
from actors.conversation.rehearsal import Call, Rehearsal
from actors.conversation.state import settled_by
from actors.journal.entries import Write
from actors.journal.keys import Key
from actors.journal.stream import Journal
from actors.maintenance.tune import Tune, Tuned
from actors.settings import Settings

START_MS = 1_760_000_000_000
NUMBERS = itertools.count(99_001)
FILE = "[companies.acme]\nquiet_window_s = 3\n"


@dataclass
class Desk:
    """A Redis with journals, and the environment of a command."""

    redis: Redis
    journal: Journal
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("turnwise")), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def directory(self) -> Directory:
        settings = {name.lower(): value for name, value in self.environment.items()}
        return Directory(Settings.model_validate(settings))

    async def record(self, key: Key, arrivals_s: Sequence[float], chars: int = 30) -> None:
        """What a window of 3 s and a model of 2 s would have left in the journal."""
        pace = Pace(quiet_window_ms=3_000)
        rehearsal = Rehearsal(Conduct(pace), lambda _: Call(2_000, "fine"), start_ms=START_MS)
        for place, at_s in enumerate(arrivals_s):
            message = Message(str(place + 1), "x" * chars, "chatwoot")
            at_ms = START_MS + round(at_s * 1_000)
            rehearsal.happens(MessageReceived(at_ms=at_ms, message=message))
        rehearsal.run_until(rehearsal.now_ms + 60_000)
        epoch = (await self.journal.activate(key, "me")).epoch
        for number, event in enumerate(rehearsal.log, start=1):
            raw = encode(event)
            if isinstance(event, MessageReceived):
                name = event.message.message_id
                await self.journal.append(key, name, raw, at_ms=event.at_ms, largest_batch=20)
            else:
                settled = settled_by(event)
                await self.journal.record(key, Write(epoch, number, (raw,), settled=settled))


@pytest.fixture
async def desk(redis_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    companies = tmp_path / "companies.toml"
    companies.write_text(FILE)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "REDIS_URL": redis_url,
        "COMPANIES_FILE": str(companies),
    }
    client = Redis.from_url(redis_url)
    yield Desk(client, Journal(client, waiting_max=100), environment)
    await client.aclose()


async def test_a_conversation_is_replayed_under_another_pace(desk: Desk) -> None:
    await desk.record(Key("acme", "321"), (0, 6, 12))
    done = desk.run("replay", "acme:321", "--quiet-window", "8")
    assert done.returncode == 0, done.stderr
    was, _, would_be = done.stdout.partition("as it would have been")
    assert was.count("answers 1: fine") == 3
    assert would_be.count("answers 3: (the answer to 3)") == 1
    assert "the customer was quiet for 8 s" in would_be
    (mean,) = [line for line in done.stdout.splitlines() if line.startswith("mean wait")]
    assert [word for word in mean.split() if word[0].isdigit()] == ["5.0", "10.0"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("acme:1",), "company acme has no conversation '1'"),
        (("nobody:1",), "company 'nobody' is not known here"),
        (("acme:321", "--longest-wait", "2"), "--longest-wait (2) is below the quiet window (3)"),
        (("acme:321", "--window-min", "9", "--window-max", "8"), "--window-min is above"),
    ],
)
async def test_what_cannot_be_replayed_is_one_sentence(
    desk: Desk, arguments: tuple[str, ...], says: str
) -> None:
    await desk.record(Key("acme", "321"), (0,))
    done = desk.run("replay", *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def slow_public(desk: Desk) -> None:
    """Thoughts of two messages 11 to 13 s apart: a window of 3 s holds none together."""
    dice = random.Random(1)
    for number in range(30):
        arrivals_s: list[float] = []
        for thought in range(2):
            begins_s = thought * 300.0
            arrivals_s += [begins_s, begins_s + dice.uniform(11, 13)]
        await desk.record(Key("acme", str(number)), arrivals_s, chars=350)
    await desk.record(Key("other", "1"), (0,))


async def test_a_recommendation_is_printed_with_its_figures(desk: Desk) -> None:
    await slow_public(desk)
    done = desk.run("tune", "acme")
    assert done.returncode == 0, done.stderr
    assert "less than 30%: widen" in done.stdout
    assert "quiet_window_s      3 -> 1" in done.stdout
    assert "thoughts recorded   60" in done.stdout
    stored = desk.directory()
    await stored.refresh(desk.redis)
    assert stored.company("acme").quiet_window_ms == 3_000, "nothing is applied unasked"


async def test_a_recommendation_is_stored_when_asked_for(desk: Desk) -> None:
    await slow_public(desk)
    assert "stored" in desk.run("tune", "acme", "--apply").stdout
    directory = desk.directory()
    await directory.refresh(desk.redis)
    assert 12_000 <= directory.company("acme").quiet_window_ms <= 15_000
    assert "nothing to store" in desk.run("tune", "acme", "--apply").stdout


@pytest.mark.parametrize("says_so", [False, True])
async def test_the_chore_applies_only_where_the_company_says_so(
    desk: Desk,
    says_so: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    await slow_public(desk)
    companies = Path(desk.environment["COMPANIES_FILE"])
    companies.write_text(f"{FILE}tune = {str(says_so).lower()}\n")  # noqa: ASYNC240 -- small
    directory = desk.directory()
    tuned = await Tune(desk.journal, directory, desk.redis).run_once()
    assert tuned == (Tuned(1, 1) if says_so else Tuned(0, 0))
    assert (directory.company("acme").quiet_window_ms >= 12_000) == says_so


async def test_what_no_webhook_told_of_is_taken_in_by_hand(desk: Desk, peers: str) -> None:
    number = next(NUMBERS)  # of the inbox, and of its one conversation
    chatwoot = f'base_url = "{peers}"\naccount_id = 99\napi_key = "k"\n'
    companies = Path(desk.environment["COMPANIES_FILE"])
    companies.write_text(  # noqa: ASYNC240 -- small
        f"{FILE}catch_up_inboxes = [{number}]\n[companies.acme.chatwoot]\n{chatwoot}"
    )
    wrote = {"content": "hi", "account": 99, "created_at": int(time.time()) - 60}
    orders = {"conversations": {number: {"inbox_id": number}}, "customers": {number: [wrote]}}
    async with httpx.AsyncClient(base_url=peers) as chat:
        await chat.post("/_steer", json=orders | {"bot_token": True})
        refused = desk.run("catch-up", "acme")
        await chat.post("/_steer", json={"bot_token": False})
    assert refused.returncode == 1
    assert "an agent bot's, which may not list conversations" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    for found in (1, 0):
        done = desk.run("catch-up", "acme")
        assert done.returncode == 0, done.stderr
        assert f"acme: complete\ninboxes searched      {number}\n" in done.stdout
        assert f"to be answered        {found}\n" in done.stdout
    (entry,) = await desk.journal.read(Key("acme", str(number)), after=0)
    assert b'"how":"caught up"' in entry.raw


async def test_with_too_little_recorded_nothing_is_recommended(desk: Desk) -> None:
    await desk.record(Key("acme", "1"), (0, 10))
    done = desk.run("tune", "acme", "--apply")
    assert "1 thoughts are recorded; 50 are needed" in done.stdout
    assert "nothing to store" in done.stdout
