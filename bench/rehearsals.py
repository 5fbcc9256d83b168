"""Plays invented customers through the production rules and takes what each thought met with."""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from actors.channels.message import Message
from actors.conversation.batching import Batch
from actors.conversation.decisions import Conduct
from actors.conversation.events import MessageReceived, ReplyCommitted, ReplySent
from actors.conversation.lead import OBSERVATIONS_MAX, lead_ms
from actors.conversation.pace import Pace
from actors.conversation.rehearsal import Call, Rehearsal
from actors.llm.prompt import tokens
from bench.public import Customer, model_ms

REPLY = "x" * 240
SYSTEM_TOKENS = 400
"""A company's instructions, assumed."""

HISTORY_TOKENS = 3_000
"""As in production: settings.Limits.history_tokens."""

TICK_MS = 1_000
"""Time passes in steps of this while an answer is awaited; its own time is exact."""

BUDGET = 10**9
"""Tokens that early drafts may waste: so many that the budget never switches them off."""

PATIENCE_MS = 5 * 60_000
"""No answer takes longer; one that does is a fault of the rules."""


@dataclass(frozen=True)
class Met:
    """What a thought met with. `calls` and `tokens` count every call begun for it, in full, also
    those thrown away; `wait_ms`: from its last message to the reply to that."""

    size: int
    whole: bool
    wait_ms: int
    calls: int
    tokens: int


class Company:
    """One company: its pace, and how long its model took, from which production's own rule makes
    the lead of early drafts. `early`: there are such drafts."""

    def __init__(self, pace: Pace, *, early: bool) -> None:
        self._pace = pace
        self._early = early
        self._latencies_ms: deque[int] = deque(maxlen=OBSERVATIONS_MAX)

    def conduct(self) -> Conduct:
        """How its conversations are held now."""
        lead = lead_ms(self._latencies_ms, 0, BUDGET)[0] if self._early else 0
        return Conduct(msgspec.structs.replace(self._pace, early_lead_ms=lead))

    def call_ms(self, chance: random.Random) -> int:
        """How long the next call of its model takes."""
        took_ms = model_ms(chance)
        self._latencies_ms.append(took_ms)
        return took_ms


class _Stage:
    """One conversation on its way through the rules."""

    def __init__(self, company: Company, seed: str) -> None:
        self._company = company
        self._chance = random.Random(seed)
        self._calls: list[tuple[frozenset[int], int]] = []
        self._said: dict[int, int] = {}
        self.play = Rehearsal(company.conduct(), self._model)

    def _model(self, batch: Batch) -> Call:
        replies = sum(isinstance(event, ReplyCommitted) for event in self.play.log)
        before = sum(size for seq, size in self._said.items() if seq not in batch.seqs)
        history = min(HISTORY_TOKENS, before + replies * tokens(REPLY))
        asked = SYSTEM_TOKENS + history + tokens(batch.text)
        self._calls.append((frozenset(batch.seqs), asked + tokens(REPLY)))
        took_ms = self._company.call_ms(self._chance)
        return Call(took_ms, REPLY, asked, tokens(REPLY))

    def hear(self, text: str, at_ms: int) -> int:
        """The sequence number of a message that comes then."""
        number = len(self._said) + 1
        self.play.conduct = self._company.conduct()
        self.play.happens(MessageReceived(at_ms=at_ms, message=Message(str(number), text, "x")))
        seq = len(self.play.log)
        self._said[seq] = tokens(text)
        return seq

    def answered_ms(self, seq: int) -> int:
        """Lets time pass until the reply to this message stands in the channel."""
        for _ in range(PATIENCE_MS // TICK_MS):
            for event in reversed(self.play.log):
                if isinstance(event, ReplySent) and seq in event.answers:
                    return event.at_ms
            self.play.run_until(self.play.now_ms + TICK_MS)
        raise AssertionError(f"no answer: {self.play.log[-6:]}")

    def met(self, seqs: Sequence[int], last_ms: int) -> Met:
        answered_ms = self.answered_ms(seqs[-1])
        answers = [set(event.answers) for event in self.play.log if isinstance(event, ReplySent)]
        calls = [cost for covers, cost in self._calls if covers & set(seqs)]
        return Met(
            size=len(seqs),
            whole=any(set(seqs) <= answer for answer in answers),
            wait_ms=answered_ms - last_ms,
            calls=len(calls),
            tokens=sum(calls),
        )


def play(customer: Customer, company: Company, seed: str) -> list[Met]:
    """What each thought of the customer met with. The next thought begins after the answer to the
    one before; within a thought nobody stops writing because of an answer."""
    stage = _Stage(company, seed)
    at_ms = 0
    met: list[Met] = []
    for thought in customer.thoughts:
        seqs: list[int] = []
        for text, after_ms in zip(thought.texts, thought.after_ms, strict=True):
            at_ms += after_ms
            seqs.append(stage.hear(text, at_ms))
        met.append(stage.met(seqs, at_ms))
        at_ms = stage.answered_ms(seqs[-1])
    return met
