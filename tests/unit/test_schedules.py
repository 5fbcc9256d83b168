"""Ten thousand random schedules through the rules; `make simulate SEEDS=…` plays any number."""

import msgspec
import pytest

from actors.conversation import decisions, turns
from actors.conversation.batching import next_batch
from actors.conversation.manners import Silence
from actors.conversation.memory import Memory
from actors.conversation.rehearsal import Rehearsal
from tests.schedules import Broken, check, play, run, schedule

PAGES = 20
SEEDS_PER_PAGE = 500


@pytest.mark.parametrize("page", range(PAGES))
def test_every_schedule_holds(page: int) -> None:
    for seed in range(page * SEEDS_PER_PAGE, (page + 1) * SEEDS_PER_PAGE):
        broken = run(seed)
        assert broken is None, f"{broken}\nagain with: make simulate SEEDS=1 FIRST={seed}"


def caught(seeds: int) -> str:
    """The first rule that a seed finds broken, "" if none does."""
    for seed in range(seeds):
        if (broken := run(seed)) is not None:
            return broken.rule
    return ""


def test_a_rule_that_is_broken_on_purpose_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot fail shows nothing."""

    def nobody_is_silent(memory: Memory, manners: object, now_ms: int) -> Silence | None:
        del memory, manners, now_ms
        return None

    with monkeypatch.context() as broken:
        broken.setattr(turns, "silence", nobody_is_silent)
        assert "while a person has the word" in caught(200)
    with monkeypatch.context() as broken:
        broken.setattr(turns, "silence", lambda *_: Silence("never a word"))
        assert caught(20) == "only what a person has the word about is left unanswered"
    with monkeypatch.context() as broken:
        broken.setattr(turns, "_too_early", lambda *_: True)
        assert caught(2_000) == "the longest wait holds"
    with monkeypatch.context() as broken:
        broken.setattr(turns, "next_batch", lambda open_, pace: next_batch(open_[:1], pace))
        assert caught(200) == "a draft covers the next batch in order"
    with monkeypatch.context() as broken:
        broken.setattr(turns, "READ_BACK_GRACE_MS", 0)
        assert caught(200) == "", "the grace matters between processes, not within one"


def test_a_promise_that_was_stored_and_is_not_looked_for_stands_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deliver = Rehearsal._deliver

    def without_looking(self: Rehearsal, decision: decisions.Decision) -> None:
        if isinstance(decision, decisions.Send):
            decision = msgspec.structs.replace(decision, read_back=False)
        deliver(self, decision)

    monkeypatch.setattr(Rehearsal, "_deliver", without_looking)
    assert caught(400) == "no part stands twice"


def test_a_seed_is_played_the_same_way_twice() -> None:
    one, two = play(schedule(7)), play(schedule(7))
    assert one.log == two.log
    check(schedule(7), one)


def test_a_broken_seed_prints_its_schedule() -> None:
    told = str(Broken("a rule", schedule(7), play(schedule(7)).log))
    assert "seed 7" in told
    assert "MessageReceived" in told
    assert "journal:" in told
