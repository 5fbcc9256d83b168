"""Is the simulated model: answers with the tokens of the question, in one part or several."""

import random
import re
from collections.abc import Callable

from actors.errors import Permanent, Retryable
from actors.llm.prompt import Prompt
from actors.llm.responder import Answer
from tests.simulation.faults import Faults
from tests.simulation.processes import Process

TOKEN = re.compile(r"\bm\d+\b")
"""Every message of a run holds one of its own."""

PART_CHARS = 200
"""The replies of a run are cut into parts of about so many characters."""

Calls = Callable[[Process, Prompt], Callable[[], None]]
"""Told of a call's beginning; what it returns is called at its end."""


class Model:
    """One process's way to the model."""

    name = "simulated"

    def __init__(self, process: Process, faults: Faults, dice: random.Random, calls: Calls) -> None:
        self._process = process
        self._faults = faults
        self._dice = dice
        self._calls = calls

    async def answer(self, prompt: Prompt) -> Answer:
        """About the question. Raises Retryable and Permanent."""
        fate = self._faults.of_model()
        ended = self._calls(self._process, prompt)
        try:
            await self._process.ask(lambda: None, fate)
        finally:
            ended()
        if fate.fails == "refused for good":
            raise Permanent("the model refuses")
        if fate.fails:
            raise Retryable("the model answers 500")
        return self._answered(prompt)

    def _answered(self, prompt: Prompt) -> Answer:
        about = " ".join(TOKEN.findall(prompt.question))
        parts = self._dice.choice([1, 1, 1, 2, 3])
        texts = [f"[{part}/{parts}] re {about}" for part in range(1, parts + 1)]
        if parts > 1:
            texts = [text.ljust(PART_CHARS - 20, ".") for text in texts]
        hand_over = "asks for a person" if self._dice.random() < 0.04 else ""
        return Answer("\n\n".join(texts), self.name, 7, 5, hand_over=hand_over)
