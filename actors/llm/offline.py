"""Answers without a model, and says so: what it was given and how it was joined."""

import re

from actors.clock import Clock
from actors.llm.prompt import Prompt
from actors.llm.responder import Answer

QUOTE_CHARS_MAX = 280

_HOW = {
    "single": "It came alone, so there was nothing to join.",
    "space": "They were short, so I joined them with spaces.",
    "newline": "They were of middling length, so I joined them line by line.",
    "blank line": "They were long, so I joined them as paragraphs.",
    "apart": "More is waiting; I answer those messages one by one.",
}

_CLEAR = r"humans?|human[oa]s?|agentes?|atendentes?|operador[ae]?s?"
"""Words that nobody writes to a bot but to get past it."""

_VAGUE = r"person|someone|somebody|agent|persona|alguien|asesora?|pessoa|algu[eé]m"
"""Words that mean a person of the company only where somebody asks for one: a table can be for
`una persona`."""

_ASKING = (
    r"(?:speak|talk|chat|connect|transfer|hablar|comunicar\w*|p[aá]s[ae]\w*|conversar|falar"
    r"|passar|transferir)\b[^.!?\n]{0,30}"
    r"|(?:want|need|prefer|quiero|necesito|prefiero|quero|preciso(?: de)?)(?: an?| una?| uma?)?"
    r"(?: real| de verdad)? "
)
_WISH = re.compile(rf"\b(?:{_CLEAR})\b|\b(?:{_ASKING})\b(?:{_VAGUE})\b", re.IGNORECASE)


def wants_person(text: str) -> bool:
    """Whether the customer clearly asks for a person, in English, Spanish or Portuguese."""
    return _WISH.search(text) is not None


class OfflineResponder:
    """The built-in responder of a start without a key.

    It takes `latency_s` before it answers, as a model would, so that drafts begun early and drafts
    superseded can be seen. `hand_over`: it passes a customer who asks for a person to one.
    """

    name = "offline responder"

    def __init__(self, clock: Clock, *, latency_s: float, hand_over: bool) -> None:
        self._clock = clock
        self._latency_s = latency_s
        self._hand_over = hand_over

    async def answer(self, prompt: Prompt) -> Answer:
        await self._clock.sleep(self._latency_s)
        count = "one message" if prompt.joined == 1 else f"{prompt.joined} messages"
        quote = prompt.question
        if len(quote) > QUOTE_CHARS_MAX:
            quote = quote[:QUOTE_CHARS_MAX] + "…"
        passed = self._hand_over and wants_person(prompt.question)
        text = (
            f"This is the offline responder: no model is connected (set OPENAI_API_KEY).\n"
            f"I received {count} as one thought. {_HOW[prompt.how]}{_pictures(prompt)}"
            f"{' You asked for a person, so I pass you to one.' if passed else ''}\n\n“{quote}”"
        )
        reason = "the customer asked for a person" if passed else ""
        return Answer(text, model=self.name, hand_over=reason)


def _pictures(prompt: Prompt) -> str:
    if not prompt.pictures:
        return ""
    count = len(prompt.pictures)
    them = "one picture" if count == 1 else f"{count} pictures"
    return f" I was given {them}, which only a model could look at."
