"""Decides whether a company's line lets a turn begin now, and if not, why and until when. Pure.

Every company has a line of its own in each process: who waits there waits for that company's turns
to end, or for its tokens, never for another company's.
"""

import msgspec

from actors.analytics.bucket import Level, room_at_ms


class Place(msgspec.Struct, frozen=True):
    """Whether a turn may begin now.

    `reason`: why not, "" if it may; `until_ms`: not before then, None: it is woken. `early`: there
    is room for a draft that may be thrown away. `waited_ms`: how long the turn has stood in line.
    """

    reason: str = ""
    until_ms: int | None = None
    early: bool = True
    waited_ms: int = 0


class Crowd(msgspec.Struct, frozen=True):
    """The turns of a company in one process: `running` of `running_max`, `waiting` in line, of them
    `ahead` before this one; `everybodys` run of all companies, of `everybodys_max`."""

    running: int
    running_max: int
    waiting: int
    ahead: int
    everybodys: int
    everybodys_max: int


class Tokens(msgspec.Struct, frozen=True):
    """What a company used of its tokens a minute, as far as this process knows.

    `level` None: not looked up yet; `is_fresh`: looked up just now. `a_turn`: what one is expected
    to cost, held back for each that runs, because what it really costs is charged at its end.
    """

    per_minute: int
    level: Level | None
    is_fresh: bool
    a_turn: int


def place_of(crowd: Crowd, tokens: Tokens | None, now_ms: int, waited_ms: int = 0) -> Place:
    """The place of a turn that might begin now. `tokens` None: the company has no such limit."""
    early = _room_for_early(crowd, tokens, now_ms)
    until_ms: int | None = None
    if crowd.running + crowd.ahead >= crowd.running_max:
        reason = f"{crowd.running} turns of the company run here, as many as it may"
    elif crowd.everybodys + crowd.ahead >= crowd.everybodys_max:
        reason = f"{crowd.everybodys} turns of all companies run here, as many as there may be"
    elif tokens is None:
        return Place(early=early, waited_ms=waited_ms)
    elif tokens.level is None or not tokens.is_fresh:
        reason = "what the company's answers cost is being looked up"
    else:
        until_ms = _tokens_at_ms(tokens, crowd.running + crowd.ahead, now_ms)
        if until_ms is not None and until_ms <= now_ms:
            return Place(early=early, waited_ms=waited_ms)
        reason = f"the company's turns use up its {tokens.per_minute} tokens a minute"
    if crowd.ahead:
        reason = f"{reason}; {crowd.ahead} in line before this one"
    return Place(reason, until_ms, early, waited_ms)


def _tokens_at_ms(tokens: Tokens, turns: int, now_ms: int) -> int | None:
    """When there are tokens for one more beside so many turns; None: not before one of them ends.

    The first may begin whatever it is going to cost, if nothing is owed.
    """
    assert tokens.level is not None
    return room_at_ms(tokens.level, turns * tokens.a_turn, tokens.per_minute, now_ms)


def _room_for_early(crowd: Crowd, tokens: Tokens | None, now_ms: int) -> bool:
    """A draft that may be thrown away takes neither the last place nor one that somebody waits
    for."""
    if crowd.waiting or crowd.running + 1 >= crowd.running_max:
        return False
    if crowd.everybodys + 1 >= crowd.everybodys_max:
        return False
    if tokens is None:
        return True
    return tokens.level is not None and _tokens_at_ms(tokens, crowd.running + 2, now_ms) == now_ms
