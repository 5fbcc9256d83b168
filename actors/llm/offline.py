"""Answers without a model, and says so: what it was given and how it was joined."""

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


class OfflineResponder:
    """The built-in responder of a start without a key."""

    name = "offline responder"

    async def answer(self, prompt: Prompt) -> Answer:
        count = "one message" if prompt.joined == 1 else f"{prompt.joined} messages"
        quote = prompt.question
        if len(quote) > QUOTE_CHARS_MAX:
            quote = quote[:QUOTE_CHARS_MAX] + "…"
        text = (
            f"This is the offline responder: no model is connected (set OPENAI_API_KEY).\n"
            f"I received {count} as one thought. {_HOW[prompt.how]}\n\n“{quote}”"
        )
        return Answer(text, model=self.name)
