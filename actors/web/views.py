"""Shows a conversation as JSON: its events, its unanswered messages, what its actor does."""

from typing import Any

import msgspec

from actors.conversation.events import MessageReceived, TurnStarted, Unknown, decode
from actors.conversation.state import State, apply
from actors.journal.stream import Entry


def event_view(entry: Entry) -> dict[str, Any]:
    """One event as people read it: flat, with its sequence number."""
    event = decode(entry.raw)
    match event:
        case MessageReceived(at_ms=at_ms, message=message):
            shown = {"type": "message_received", "at_ms": at_ms, **msgspec.to_builtins(message)}
        case TurnStarted():
            shown = msgspec.to_builtins(event)
            how = shown.pop("how")
            reason = shown.pop("join_reason")
            joined = how not in ("single", "apart")
            shown["join"] = {"joined": joined, "how": how, "reason": reason}
        case Unknown(raw=raw):
            shown = {"type": "unknown", "raw": raw.decode(errors="replace")}
        case _:
            shown = msgspec.to_builtins(event)
    return {"seq": entry.seq, **shown}


def folded(entries: tuple[Entry, ...]) -> State:
    """The state after these events."""
    state = State()
    for entry in entries:
        state = apply(state, entry.seq, decode(entry.raw))
    return state


def unanswered_view(state: State, now_ms: int) -> dict[str, Any]:
    """What waits for an answer, and the answer that is promised."""
    return {
        "unanswered": [
            {
                "seq": entry.seq,
                "message_id": entry.message.message_id,
                "text": entry.message.text,
                "at_ms": entry.at_ms,
                "waited_ms": now_ms - entry.at_ms,
            }
            for entry in state.open
        ],
        "promised": msgspec.to_builtins(state.reply) if state.reply else None,
        "turn": msgspec.to_builtins(state.turn) if state.turn else None,
    }


def actor_view(glance: dict[str, Any], counters: tuple[int, int], now_ms: int) -> dict[str, Any]:
    """What the actor does, complete also when it is asleep."""
    seq, epoch = counters
    asleep = {
        "phase": "asleep",
        "reason": "not in memory; the journal holds everything",
        "until_ms": None,
        "window_opened_ms": None,
        "waiting": 0,
        "turn": None,
        "epoch": epoch,
        "seq": seq,
    }
    if glance["phase"] == "unreachable":
        asleep["reason"] = "the actor does not answer; it is being restarted"
    return {**asleep, **glance, "now_ms": now_ms}
