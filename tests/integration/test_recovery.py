"""Kills what can be killed while customers wait: what was accepted is answered, once, in order.

Hosts are killed in tests/chaos.
"""

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.places import Place, message_created, until

pytestmark = pytest.mark.cluster


@pytest.fixture(autouse=True)
def slow_model(place: Place) -> Iterator[None]:
    """Long enough to be killed in the middle of a turn."""
    place.steer(model_delay_s=2)
    yield
    place.steer(model_delay_s=0)
    until("the service is ready again", place.ready, 60)


def accepted(place: Place, count: int) -> dict[int, list[str]]:
    """Two fragments each from `count` customers."""
    written: dict[int, list[str]] = {}
    for _ in range(count):
        conversation = place.conversation()
        written[conversation] = ["uno", "dos"]
        for text in written[conversation]:
            assert place.webhook("acme", message_created(conversation, text)).status_code == 202
    return written


def answered_once(place: Place, written: dict[int, list[str]], seconds: float = 60) -> None:
    """Everything is answered, nothing twice, and the journals agree."""
    for conversation in written:
        until(
            f"the reply to {conversation}",
            lambda c=conversation: place.show(c)["timeline"][-1]["type"] == "reply_sent",  # type: ignore[misc]
            seconds,
        )
    time.sleep(1)
    for conversation, texts in written.items():
        said = " ".join(message["content"] for message in place.posted(conversation))
        assert [said.count(text) for text in texts] == [1] * len(texts), said
        sent = [e for e in place.show(conversation)["timeline"] if e["type"] == "reply_sent"]
        assert sorted(seq for event in sent for seq in event["answers"]) == [1, 2]


def pids(place: Place, name: str) -> list[int]:
    """The processes of the service whose title contains this."""
    return [p.pid for p in place.processes() if name in " ".join(p.cmdline())]


def drafting(place: Place, conversation: int) -> bool:
    return bool(place.show(conversation)["actor"]["phase"] == "drafting")


def test_a_killed_replica_loses_nothing(place: Place) -> None:
    written = accepted(place, 4)
    for pid in pids(place, "ServeReplica"):
        os.kill(pid, signal.SIGKILL)
    conversation = place.conversation()
    event = message_created(conversation, "uno")

    def taken() -> bool:
        return place.webhook("acme", event).status_code == 202

    until("the next replica takes messages", taken, 60)
    assert place.webhook("acme", message_created(conversation, "dos")).status_code == 202
    answered_once(place, {**written, conversation: ["uno", "dos"]})


def test_a_killed_scheduler_comes_back(place: Place) -> None:
    before = pids(place, "scheduler")
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until("another scheduler", lambda: set(pids(place, "scheduler")) - set(before))


def test_redis_away_is_500_and_what_was_accepted_is_answered_after(place: Place) -> None:
    written = accepted(place, 3)
    (redis,) = [p for p in place.processes() if "redis-server" in p.name()]
    redis.suspend()
    try:
        began = time.monotonic()
        answer = place.webhook("acme", message_created(place.conversation(), "x"))
        assert answer.status_code == 500, answer.text
        assert time.monotonic() - began >= 3.5, "it is held before it is refused"
        assert place.http.get("/readyz").status_code == 503
    finally:
        redis.resume()
    answered_once(place, written)


def test_everything_killed_at_once_is_taken_up_by_the_next_start(place: Place) -> None:
    written = accepted(place, 5)
    until("a draft", lambda: drafting(place, next(iter(written))))
    assert place.process is not None
    place.process.kill()
    place.process.wait()
    killed = place.processes()
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=10)
    place.start()
    answered_once(place, written)


def test_a_killed_ray_and_redis_are_started_again(place: Place) -> None:
    written = accepted(place, 3)
    until("a draft", lambda: drafting(place, next(iter(written))))
    for process in place.processes():
        if process.name() in ("gcs_server", "raylet", "redis-server"):
            process.kill()
    said = place.log.read_text()
    until(
        "it starts again",
        lambda: place.log.read_text().count("\nready\n") > said.count("\nready\n"),
        90,
    )
    answered_once(place, written)


def test_after_a_killed_launch_the_next_start_cleans_up(place: Place) -> None:
    assert place.process is not None
    place.process.kill()
    place.process.wait()
    left = {process.pid for process in place.processes()}
    place.start()
    assert not left & {process.pid for process in place.processes()}
    answered_once(place, accepted(place, 1))


def test_a_stop_ends_everything_and_drops_nothing(place: Place) -> None:
    place.steer(model_delay_s=20)  # longer than a stop may take
    written = accepted(place, 3)
    until("a draft", lambda: drafting(place, next(iter(written))))
    assert place.process is not None
    place.process.terminate()
    assert place.process.wait(30) == 0
    assert place.processes() == []
    place.steer(model_delay_s=0)
    place.start()
    answered_once(place, written)
    timeline = place.show(next(iter(written)))["timeline"]
    assert "turn_interrupted" in [event["type"] for event in timeline]
