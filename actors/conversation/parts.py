"""Splits a long answer where its paragraphs end, so that each part reads well on a phone."""

PARTS_MAX = 10
"""Parts of one answer at most; what is left stays in the last one, within the channel's limit."""

_ENDS = ("\n\n", "\n", ". ", "? ", "! ", "; ", ", ", " ")
"""Where a part may end, best first."""


def split(text: str, chars_max: int) -> tuple[str, ...]:
    """The text in parts of at most `chars_max` characters, none for an empty one.

    A part ends at a paragraph if one ends in its second half, else at a line, a sentence, a word.
    """
    parts: list[str] = []
    rest = text.strip()
    while len(rest) > chars_max and len(parts) < PARTS_MAX - 1:
        end = _end_of_part(rest, chars_max)
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return (*parts, rest) if rest else tuple(parts)


def _end_of_part(text: str, chars_max: int) -> int:
    for mark in _ENDS:
        found = text.rfind(mark, chars_max // 2, chars_max + 1 - len(mark.rstrip()))
        if found > 0:
            return found + len(mark.rstrip())
    return chars_max
