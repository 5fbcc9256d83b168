"""The bench's invented customers are as its documentation says; its rehearsals count right."""

import random
import statistics
from collections import Counter

import pytest

from actors.conversation.pace import Pace
from actors.conversation.shape import shape_of
from bench.pace import summary
from bench.phrases import PHRASES
from bench.public import (
    FAST,
    LANGUAGES,
    LAST,
    MIDDLE,
    MODEL_MEDIAN_MS,
    OLDER,
    THOUGHTS,
    Customer,
    Public,
    Thought,
    customer,
    model_ms,
)
from bench.rehearsals import Company, Met, play

SEED = 20
PEOPLE = 300


def people(public: Public, *, tells: bool = True) -> list[Customer]:
    chance = random.Random(SEED)
    return [customer(public, chance, tells=tells) for _ in range(PEOPLE)]


def bursts(found: list[Customer]) -> list[Thought]:
    return [thought for each in found for thought in each.thoughts if len(thought.texts) > 1]


@pytest.mark.parametrize(
    ("public", "least_ms", "most_ms", "median_ms"),
    [(OLDER, 5_000, 17_000, 9_900), (FAST, 1_000, 4_000, 2_200)],
)
def test_intervals(public: Public, least_ms: int, most_ms: int, median_ms: int) -> None:
    found = [ms for thought in bursts(people(public)) for ms in thought.after_ms[1:]]
    assert min(found) >= least_ms
    assert max(found) <= most_ms
    assert statistics.median(found) == pytest.approx(median_ms, rel=0.05)


def test_lengths() -> None:
    older = [text for each in people(OLDER) for thought in each.thoughts for text in thought.texts]
    long = [text for text in older if shape_of(text) != "greeting"]
    assert {306 <= len(text) <= 377 for text in long} == {True}
    assert len(long) > 0.85 * len(older)
    fast = [text for each in people(FAST) for thought in each.thoughts for text in thought.texts]
    assert max(map(len, fast)) < 50


def test_lone_messages() -> None:
    lone = [all(len(thought.texts) == 1 for thought in each.thoughts) for each in people(FAST)]
    assert statistics.fmean(lone) == pytest.approx(0.8, abs=0.05)
    sizes = Counter(len(thought.texts) for each in people(OLDER) for thought in each.thoughts)
    assert sizes[1] / (PEOPLE * THOUGHTS) == pytest.approx(0.1, abs=0.02)
    assert sizes[2] / (PEOPLE * THOUGHTS) == pytest.approx(0.9 * 0.45, abs=0.04)
    assert set(sizes) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("kind", PHRASES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_phrases_are_of_the_shape_that_they_are_kept_under(kind: str, language: str) -> None:
    assert {shape_of(phrase) for phrase in PHRASES[kind][language]} == {kind}


def test_how_texts_end() -> None:
    found = bursts(people(OLDER))
    last = Counter(
        shape_of(thought.texts[-1]).replace("paragraph", "finished") for thought in found
    )
    middle = Counter(
        shape_of(text).replace("paragraph", "finished")
        for thought in found
        for text in thought.texts[1:-1]
    )
    for seen, weights in ((last, LAST), (middle, MIDDLE)):
        for kind, weight in weights.items():
            assert seen[kind] / seen.total() == pytest.approx(weight / 100, abs=0.04)
    greeted = [shape_of(thought.texts[0]) == "greeting" for thought in found]
    assert statistics.fmean(greeted) == pytest.approx(0.2, abs=0.03)


def test_texts_that_tell_nothing() -> None:
    for public in (OLDER, FAST):
        texts = [text for thought in bursts(people(public, tells=False)) for text in thought.texts]
        assert {shape_of(text) for text in texts} == {"nothing"}


def test_the_models_time() -> None:
    chance = random.Random(SEED)
    found = [model_ms(chance) for _ in range(5_000)]
    assert statistics.median(found) == pytest.approx(MODEL_MEDIAN_MS, rel=0.05)
    assert statistics.fmean(found) == pytest.approx(4_330, rel=0.05)


def test_the_same_seed_gives_the_same_customers() -> None:
    assert people(FAST) == people(FAST)


def one(*messages: tuple[str, int]) -> Customer:
    texts, after_ms = zip(*messages, strict=True)
    return Customer("older", "en", (Thought(texts, after_ms),))


def test_a_rehearsal_counts_wholes_waits_and_calls() -> None:
    burst = one(("first", 1_000), ("second", 9_000))
    (whole,) = play(burst, Company(Pace(), early=False), "seed")
    assert (whole.size, whole.whole, whole.calls) == (2, True, 1)
    assert whole.wait_ms > 10_000
    (cut,) = play(burst, Company(Pace(quiet_window_ms=500), early=False), "seed")
    assert (cut.whole, cut.calls) == (False, 2)
    assert cut.wait_ms == whole.wait_ms - 9_500 or cut.wait_ms < whole.wait_ms
    alone = play(
        burst,
        Company(Pace(largest_batch=1, quiet_window_ms=0, on_new_message="queue"), early=False),
        "s",
    )
    assert [met.calls for met in alone] == [2]
    assert alone[0].tokens > whole.tokens


def test_early_drafts_wait_until_the_model_was_timed() -> None:
    company = Company(Pace(), early=True)
    assert company.conduct().pace.early_lead_ms == 0
    chance = random.Random(SEED)
    slowest_ms = max(company.call_ms(chance) for _ in range(5))
    assert 0 < company.conduct().pace.early_lead_ms <= slowest_ms


def test_a_line_is_summed_up() -> None:
    thoughts = [
        Met(1, True, 4_000, 1, 100),
        Met(3, True, 6_000, 2, 300),
        Met(2, False, 8_000, 2, 200),
    ]
    alone = [Met(1, True, 1, 1, 200), Met(3, False, 1, 3, 600), Met(2, False, 1, 2, 400)]
    found = summary(thoughts, alone)
    assert (found.whole, found.wait_s, found.p90_s) == (0.5, 6.0, 8.0)
    assert (found.calls, found.tokens) == (2.0, 0.5)
