"""Draws what goes wrong in one run: which kinds of faults there are, and the fate of each call."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

KINDS = (
    "kills", "kills anywhere", "stalls", "deploys", "second cluster", "clocks jump",
    "redis fails", "redis slow", "redis away",
    "deliveries lost", "deliveries doubled", "deliveries late",
    "webhooks lost", "webhooks doubled", "webhooks late",
    "model fails", "model slow",
    "channel fails", "answers lost", "posts slow",
    "people", "typing",
)  # fmt: skip
"""A run has about half of them: what all of them at once would hide, few of them show. The last two
are no faults, but get in the way like them."""

FAULTS_END_S = 25.0
"""From then on nothing fails any more."""

KILLS_MAX = 8
"""Processes killed in one run at most, so that it comes to an end."""

STALLS_MAX = 4
"""Processes stopped by a call of theirs in one run at most."""

POST_LANDS_S = 7.9
"""A post takes effect so long after it was sent at the latest: what channels.chatwoot.POST_S and
turns.READ_BACK_GRACE_MS rely on."""


@dataclass(frozen=True)
class Fate:
    """What becomes of one call, seconds.

    `fails`: "" | refused | answer lost | stored, then 502 | 502 | 422 | 429 | 500 | refused for
    good; `kills`: the caller dies "before" it calls, or "after" the call took effect; `stops_s`: it
    is stopped so long when the call takes effect; `breaks_s`: its connection breaks then, whatever
    the call does later.
    """

    there_s: float
    back_s: float
    fails: str = ""
    kills: str = ""
    stops_s: float = 0.0
    breaks_s: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to tell of it."""
        slow = self.there_s + self.back_s > 1
        return not (slow or self.fails or self.kills or self.stops_s or self.breaks_s)


class Faults:
    """The faults of one run, drawn from its seed."""

    def __init__(self, dice: random.Random, now_s: Callable[[], float]) -> None:
        self._dice = dice
        self._now_s = now_s
        self.kinds = {kind for kind in KINDS if dice.random() < 0.45}
        self.kills = self.stalls = 0
        self.counted = Counter[str]()
        self.away_until_s = 0.0

    @property
    def over(self) -> bool:
        return self._now_s() >= FAULTS_END_S

    def __contains__(self, kind: str) -> bool:
        return kind in self.kinds and not self.over

    def in_time(self, fate: Fate, limit_s: float) -> bool:
        """Whether a call with this fate ends within the limit for sure; then no timer is needed for
        it, which are most of what a run costs."""
        return fate.there_s + fate.back_s < limit_s and "stalls" not in self.kinds

    def happens(self, kind: str, chance: float) -> bool:
        """Whether a fault of this kind happens now."""
        if kind in self and self._dice.random() < chance:
            self.counted[kind] += 1
            return True
        return False

    def between(self, low: float, high: float) -> float:
        return self._dice.uniform(low, high)

    def _kills(self, chance: float) -> str:
        if self.kills >= KILLS_MAX or not self.happens("kills", chance):
            return ""
        self.kills += 1
        return self._dice.choice(["before", "after", "after"])

    def of_redis(self) -> Fate:
        """A call to Redis."""
        there_s, back_s = self.between(0.0002, 0.002), self.between(0.0002, 0.002)
        if self.over:
            return Fate(there_s, back_s)
        if self._now_s() < self.away_until_s:
            return Fate(there_s, back_s, "refused")
        if self.happens("redis slow", 0.03):
            there_s += self.between(0, 2.0)
            back_s += self.between(0, 2.0)
        fails = ""
        if self.happens("redis fails", 0.04):
            fails = self._dice.choice(["refused", "answer lost", "answer lost"])
        stops_s = self._stops(0.004)
        return Fate(there_s, back_s, fails, self._kills(0.006), stops_s)

    def _stops(self, chance: float) -> float:
        if self.stalls >= STALLS_MAX or not self.happens("stalls", chance):
            return 0.0
        self.stalls += 1
        return self.between(2, 30)

    def of_delivery(self) -> Fate:
        """A call of an actor."""
        there_s = self.between(0.0005, 0.003)
        if self.happens("deliveries late", 0.3):
            there_s += self.between(0, 4)
        return Fate(there_s, self.between(0.0005, 0.003))

    def of_read(self) -> Fate:
        """A look at the channel."""
        there_s, back_s = self.between(0.01, 0.2), self.between(0.01, 0.2)
        fails = ""
        if self.happens("channel fails", 0.08):
            fails = self._dice.choice(["refused", "answer lost", "502", "429", "500"])
        if self.happens("posts slow", 0.1):
            back_s += self.between(0, 12)
        return Fate(there_s, back_s, fails, self._kills(0.02), self._stops(0.02))

    def of_connect(self) -> Fate | None:
        """A connection for a post; None: there is one already."""
        if not self.happens("posts slow", 0.3):
            return None
        return Fate(self.between(0, 0.5), self.between(0, 0.5), stops_s=self._stops(0.1))

    def of_post(self, started_s: float) -> Fate:
        """A post to the channel; it began then, with its connection."""
        there_s, back_s = self.between(0.02, 0.3), self.between(0.02, 0.3)
        if self.happens("posts slow", 0.5):
            left_s = POST_LANDS_S - (self._now_s() - started_s)
            there_s = self.between(0, max(left_s, 0))
            back_s = self._dice.choice([back_s, self.between(0, 12)])
        fails = ""
        if self.happens("channel fails", 0.2):
            fails = self._dice.choice(["refused", "502", "422", "429", "500"])
        breaks_s = 0.0
        if self.happens("answers lost", 0.3):
            fails = self._dice.choice(["answer lost", "stored, then 502", "stored, then 422"])
            breaks_s = self._dice.choice([0.0, self.between(0, there_s)])
        return Fate(there_s, back_s, fails, self._kills(0.15), self._stops(0.05), breaks_s)

    def of_webhook(self) -> Fate:
        """One delivery of a webhook."""
        there_s = self.between(0.002, 0.05)
        if self.happens("webhooks late", 0.3):
            there_s += self.between(0, 6)
        fails = ""
        if self.happens("webhooks lost", 0.12):
            fails = self._dice.choice(["refused", "answer lost"])
        return Fate(there_s, self.between(0.002, 0.02), fails)

    def of_model(self) -> Fate:
        """One answer of the model."""
        took_s = self.between(0.3, 3)
        if self.happens("model slow", 0.2):
            took_s = self.between(5, 25)
        fails = ""
        if self.happens("model fails", 0.2):
            fails = self._dice.choice(["500", "500", "500", "refused for good"])
        return Fate(took_s / 2, took_s / 2, fails, self._kills(0.06), self._stops(0.02))
