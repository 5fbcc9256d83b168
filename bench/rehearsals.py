"""Plays invented customers through the production rules and takes what each thought met with."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from actors.channels.message import Message
from actors.conversation.batching import Batch
from actors.conversation.events import MessageReceived, ReplyCommitted, ReplySent
from actors.conversation.pace import Pace
from actors.conversation.rehearsal import Call, Rehearsal
from actors.conversation.turns import Conduct
from actors.llm.prompt import tokens
from bench.public import Customer, model_ms

REPLY = "x" * 240
SYSTEM_TOKENS = 400
"""A company's instructions, assumed."""

HISTORY_TOKENS = 3_000
"""As in production: settings.Limits.history_tokens."""

TICK_MS = 200
"""The customer looks for the answer so often."""

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


class _Stage:
    """One conversation on its way through the rules."""

    def __init__(self, pace: Pace, seed: str) -> None:
        self._chance = random.Random(seed)
        self._calls: list[tuple[frozenset[int], int]] = []
        self._said: dict[int, int] = {}
        self.play = Rehearsal(Conduct(pace), self._model)

    def _model(self, batch: Batch) -> Call:
        replies = sum(isinstance(event, ReplyCommitted) for event in self.play.log)
        before = sum(size for seq, size in self._said.items() if seq not in batch.seqs)
        history = min(HISTORY_TOKENS, before + replies * tokens(REPLY))
        asked = SYSTEM_TOKENS + history + tokens(batch.text)
        self._calls.append((frozenset(batch.seqs), asked + tokens(REPLY)))
        return Call(model_ms(self._chance), REPLY, asked, tokens(REPLY))

    def hear(self, text: str, at_ms: int) -> int:
        """The sequence number of a message that comes then."""
        number = len(self._said) + 1
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


def play(customer: Customer, pace: Pace, seed: str) -> list[Met]:
    """What each thought of the customer met with. The next thought begins after the answer to the
    one before; within a thought nobody stops writing because of an answer."""
    stage = _Stage(pace, seed)
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
