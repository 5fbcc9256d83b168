"""Reads from the end of a text whether its writer seems to have finished.

Spanish, English and Portuguese. It looks at form alone, never at meaning, so that the operator of a
company can follow every verdict.
"""

import re
from typing import Literal

Shape = Literal["nothing", "greeting", "unfinished", "closing", "question", "paragraph", "finished"]
"""What the end of a text says: see SAID for the words in which a person is told."""

SAID: dict[Shape, str] = {
    "nothing": "",
    "greeting": "the text is only a greeting",
    "unfinished": "the text ends unfinished",
    "closing": "the text is a thanks or a goodbye",
    "question": "the text ends with a question mark",
    "paragraph": "the text is a long finished paragraph",
    "finished": "the text ends finished",
}

PARAGRAPH_CHARS = 200
"""A finished text of this length or more is a paragraph: its writer took the time to say it all."""

TAIL_CHARS = 2_000
"""So much of the end of a text is looked at."""

GREETING_WORDS_MAX = 6
CLOSING_WORDS_MAX = 8
"""Longer greetings, and longer last sentences, say something beside the greeting or the thanks."""

# Words that stand before something: a text that ends in one of them goes on. Left out is what may
# as well end a sentence ("eso no", "solo uno", "yes I do", "where are you on").
_LEADING_WORDS = """
    y e o u ni que porque pero sino aunque como el la los las un una unos unas lo al del de a con
    en por para sin sobre entre hasta desde hacia mi mis tu tus su sus estos estas ese esa más tan
    muy quiero quisiera necesito
    and or but so because if while that which the an a of at to for with into than my your our
    their its i'm i'd i'll very
    mas nem porque porém embora os um uma uns umas da dos das na nos nas ao à aos às em com sem
    pelo pela meu minha seu sua essa quero preciso
"""
_GREETING_WORDS = """
    hola buenas buenos buen días dias día dia tardes noches saludos qué que tal cómo como están
    estan está esta estás muy disculpe disculpa señor señora señorita a todos
    hi hello hey good morning afternoon evening there dear
    oi olá ola bom boa tarde noite tudo bem
"""
_HAILING_WORDS = """
    hola buenas buenos buen saludos disculpe disculpa hi hello hey good oi olá ola bom boa
"""
_LEADING = frozenset(_LEADING_WORDS.split())
_GREETING = frozenset(_GREETING_WORDS.split())
_HAILS = frozenset(_HAILING_WORDS.split())
_CLOSING = re.compile(
    r"\b(gracias|agradezco|agradecid[oa]|hasta luego|hasta mañana|adi[óo]s|chao|feliz (día|tarde)"
    r"|thanks|thank you|thx|bye|goodbye|see you|cheers"
    r"|obrigad[oa]|agradeço|tchau|até logo|até mais|valeu)\b",
    re.IGNORECASE,
)
_PICTURES = re.compile(
    "([\\s\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d]|(?<![^\\s])[:;=][-']?[()DPp|/*]+)+$"
)
_SENTENCE_END = re.compile(r"[.!?]\s+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ENDS_OPEN = (",", ";", ":", "...", "…", "-", "–", "—", "/", "(", "[", "{", "¿", "¡", "&", "+", "=")
_STOPS = (".", "!", ")", "]", "»", "”", '"')
_OPENED = {"(": ")", "[": "]", "{": "}", "«": "»", "“": "”"}


def shape_of(text: str) -> Shape:
    """What the end of the text says; `nothing` where its form tells neither way."""
    stripped = _PICTURES.sub("", text[-TAIL_CHARS:])
    words = [word.lower() for word in _WORD.findall(stripped)]
    if not words:
        return "nothing"
    if _is_greeting(words):
        return "greeting"
    if _is_unfinished(stripped, words):
        return "unfinished"
    if stripped.endswith("?"):
        return "question"
    if _is_closing(_SENTENCE_END.split(stripped)[-1]):
        return "closing"
    if stripped.endswith(_STOPS):
        return "paragraph" if len(stripped) >= PARAGRAPH_CHARS else "finished"
    return "nothing"


def _is_greeting(words: list[str]) -> bool:
    short = len(words) <= GREETING_WORDS_MAX
    return short and words[0] in _HAILS and all(word in _GREETING for word in words)


def _is_closing(sentence: str) -> bool:
    short = len(_WORD.findall(sentence)) <= CLOSING_WORDS_MAX
    return short and _CLOSING.search(sentence) is not None


def _is_unfinished(text: str, words: list[str]) -> bool:
    if text.endswith(_ENDS_OPEN):
        return True
    if any(text.count(left) > text.count(right) for left, right in _OPENED.items()):
        return True
    ends_in_word = text[-1].isalpha()
    return ends_in_word and words[-1] in _LEADING
