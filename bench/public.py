"""Invents customers: how their messages come, how their texts end, how long the model takes.

Two publics. What the requirements give (R1.4 and the issue) is marked *given*; all else is an
*assumption*. The constants in `conversation/window.py` were chosen on such customers, of other
seeds than the bench's: a real public may differ from these, so measure your own.

- The *older* public. Intervals within a thought 5 to 17 s, median about 10 (given): each customer
  has a tempo of their own, uniform in 8 to 12 s, and their intervals are lognormal around it with
  sigma 0.25, drawn again outside 5 to 17 s. Texts of 306 to 377 characters, uniform (given); a
  greeting alone is shorter. A thought is one message in 10 % of cases, else 2, 3, 4 or 5 messages
  with weights 45, 35, 15, 5.
- The *fast* typists. Intervals 1 to 4 s (given), around a tempo uniform in 1.5 to 3 s, sigma 0.3.
  Texts under 50 characters (given). In 80 % of the conversations every thought is one message
  (given); in the others a thought is one message in 15 % of cases, else 2, 3, 4, 5 or 6 with
  weights 35, 30, 20, 10, 5.
- Both (assumptions): a conversation has 8 thoughts. The next one begins after the answer to the one
  before: reading it and writing anew takes lognormal time with median 40 s, sigma 0.5, at least 8 s
  (older), and median 15 s, sigma 0.6, at least 4 s (fast). Nobody stops writing because we answered
  into their thought. No typing events. 60 % write Spanish, 20 % English, 20 % Portuguese.
- How texts end (assumptions). A thought of several messages begins with a greeting alone in 20 %
  of cases. Another message that is not the last ends visibly unfinished (comma, colon, dots,
  conjunction, article, preposition) in 45 %, with nothing that tells in 30 %, in a full stop in
  15 %, in a question mark in 10 %. The last one ends in a question mark in 40 %, a full stop in
  30 %, thanks in 10 %, with nothing that tells in 15 %, unfinished in 5 %. With `tells=False` every
  text ends with nothing that tells, and there are no greetings: the sensitivity row. "Visibly"
  means to the rule in `conversation/shape.py`: endings that it would miss are among those that tell
  nothing.
- The model (assumption): lognormal, median 4 s, sigma 0.4 (mean 4.3 s, p90 6.7 s).
"""

import math
import random
from dataclasses import dataclass
from typing import TypeVar

from bench.phrases import PHRASES

T = TypeVar("T")
LANGUAGES = ("es", "en", "pt")
LANGUAGE_WEIGHTS = (60, 20, 20)
THOUGHTS = 8
GREETS = 0.20
MIDDLE = {"unfinished": 45, "nothing": 30, "finished": 15, "question": 10}
LAST = {"question": 40, "finished": 30, "closing": 10, "nothing": 15, "unfinished": 5}
WORD_CHARS_MAX = 15
"""The longest word of the phrases, with the space before it."""

MODEL_MEDIAN_MS = 4_000
MODEL_SIGMA = 0.4


@dataclass(frozen=True)
class Public:
    """The figures of one public; times in milliseconds, lengths in characters."""

    name: str
    tempo_ms: tuple[int, int]
    tempo_sigma: float
    interval_ms: tuple[int, int]
    chars: tuple[int, int]
    always_lone: float
    lone: float
    sizes: dict[int, int]
    pause_median_ms: int
    pause_sigma: float
    pause_min_ms: int


OLDER = Public(
    name="older",
    tempo_ms=(8_000, 12_000),
    tempo_sigma=0.25,
    interval_ms=(5_000, 17_000),
    chars=(306, 377),
    always_lone=0.0,
    lone=0.10,
    sizes={2: 45, 3: 35, 4: 15, 5: 5},
    pause_median_ms=40_000,
    pause_sigma=0.5,
    pause_min_ms=8_000,
)
FAST = Public(
    name="fast",
    tempo_ms=(1_500, 3_000),
    tempo_sigma=0.3,
    interval_ms=(1_000, 4_000),
    chars=(2, 49),
    always_lone=0.80,
    lone=0.15,
    sizes={2: 35, 3: 30, 4: 20, 5: 10, 6: 5},
    pause_median_ms=15_000,
    pause_sigma=0.6,
    pause_min_ms=4_000,
)


@dataclass(frozen=True)
class Thought:
    """Messages that belong together: they come so long after the one before; the first so long
    after the answer to the thought before."""

    texts: tuple[str, ...]
    after_ms: tuple[int, ...]


@dataclass(frozen=True)
class Customer:
    """One conversation of one customer."""

    public: str
    language: str
    thoughts: tuple[Thought, ...]


def customer(public: Public, chance: random.Random, *, tells: bool = True) -> Customer:
    """One customer of this public. `tells`: the ends of their texts say something."""
    language = chance.choices(LANGUAGES, LANGUAGE_WEIGHTS)[0]
    tempo_ms = chance.uniform(*public.tempo_ms)
    is_lone = chance.random() < public.always_lone
    thoughts = []
    for _ in range(THOUGHTS):
        size = 1 if is_lone or chance.random() < public.lone else _pick(public.sizes, chance)
        pause_ms = lognormal_ms(public.pause_median_ms, public.pause_sigma, chance)
        gaps = [_interval_ms(public, tempo_ms, chance) for _ in range(size - 1)]
        texts = tuple(
            _text(public, language, end, chance) for end in _ends(size, chance, tells=tells)
        )
        thoughts.append(Thought(texts, (max(public.pause_min_ms, pause_ms), *gaps)))
    return Customer(public.name, language, tuple(thoughts))


def model_ms(chance: random.Random) -> int:
    """How long one call of the model takes."""
    return lognormal_ms(MODEL_MEDIAN_MS, MODEL_SIGMA, chance)


def lognormal_ms(median_ms: float, sigma: float, chance: random.Random) -> int:
    """A time with this median."""
    return round(chance.lognormvariate(math.log(median_ms), sigma))


def _pick(weights: dict[T, int], chance: random.Random) -> T:
    return chance.choices(list(weights), list(weights.values()))[0]


def _interval_ms(public: Public, tempo_ms: float, chance: random.Random) -> int:
    low, high = public.interval_ms
    while True:
        drawn = lognormal_ms(tempo_ms, public.tempo_sigma, chance)
        if low <= drawn <= high:
            return drawn


def _ends(size: int, chance: random.Random, *, tells: bool) -> list[str]:
    """What the end of each text of a thought tells, first to last."""
    if not tells:
        return ["nothing"] * size
    ends = [_pick(MIDDLE, chance) for _ in range(size - 1)]
    if ends and chance.random() < GREETS:
        ends[0] = "greeting"
    return [*ends, _pick(LAST, chance)]


def _text(public: Public, language: str, end: str, chance: random.Random) -> str:
    """A text of the public's length whose last words are of this kind."""
    last = chance.choice(PHRASES[end][language])
    low, high = public.chars
    if end == "greeting" or len(last) >= low:
        return last
    least = chance.randint(low, high - WORD_CHARS_MAX)
    words: list[str] = []
    while True:
        for word in chance.choice(PHRASES["finished"][language]).split():
            words.append(word)
            text = f"{' '.join(words).rstrip('.')}. {last}"
            if len(text) >= least:
                return text
