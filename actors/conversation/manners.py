"""Decides whether a person of the company has the word, so that the bot is silent.

Source of the signals: Chatwoot v4.15.1 (Message#human_response?,
Conversations::EventDataPresenter).
"""

import msgspec

from actors.conversation.memory import Memory


class Manners(msgspec.Struct, frozen=True):
    """When a company wants its bot to be silent.

    `allowed_statuses`: the statuses of a conversation in which the bot answers; `stop_labels`:
    labels that silence it; `resume_after_ms`: it comes back so long after a person's last word,
    None: only when the status does, or by hand.
    """

    allowed_statuses: tuple[str, ...] = ("pending", "open")
    stop_labels: tuple[str, ...] = ()
    resume_after_ms: int | None = None


class Silence(msgspec.Struct, frozen=True):
    """Why the bot is silent, as a sentence; until when (ms since 1970), None: until it is ended."""

    reason: str
    until_ms: int | None = None


def silence(memory: Memory, manners: Manners, now_ms: int) -> Silence | None:
    """Why the bot must not speak now, or None."""
    return (
        _paused(memory, now_ms) or _by_standing(memory, manners) or _taken(memory, manners, now_ms)
    )


def _paused(memory: Memory, now_ms: int) -> Silence | None:
    pause = memory.pause
    if pause is None or (pause.until_ms is not None and now_ms >= pause.until_ms):
        return None
    return Silence(f"paused: {pause.reason}", pause.until_ms)


def _by_standing(memory: Memory, manners: Manners) -> Silence | None:
    standing = memory.standing
    if standing.blocked:
        return Silence("the contact is blocked")
    if not standing.can_reply:
        return Silence("the channel takes no reply now (can_reply is false)")
    stopping = [label for label in standing.labels if label in manners.stop_labels]
    if stopping:
        return Silence(f"the label {stopping[0]!r} stops the bot")
    if standing.assignee == "user":
        return Silence("the conversation is assigned to a person")
    if standing.status and standing.status not in manners.allowed_statuses:
        allowed = ", ".join(manners.allowed_statuses)
        return Silence(f"the status is {standing.status}; the bot answers in: {allowed}")
    return None


def _taken(memory: Memory, manners: Manners, now_ms: int) -> Silence | None:
    taken, turned = memory.taken, memory.turned
    if taken is None:
        return None
    if turned is not None and turned.at_ms >= taken.at_ms:
        # The status came back to the bot, whichever statuses the company leaves to it.
        allowed = manners.allowed_statuses
        if turned.before not in allowed and turned.now in allowed:
            return None
    until_ms = None
    if manners.resume_after_ms is not None:
        until_ms = taken.at_ms + manners.resume_after_ms
        if now_ms >= until_ms:
            return None
    return Silence(taken.reason, until_ms)
