"""Shows a conversation as JSON: its events, what is unanswered, who has the word, its actor."""

from typing import Any

import msgspec

from actors.companies.company import Company
from actors.conversation.events import (
    Event,
    MessageAmended,
    MessageMissed,
    MessageReceived,
    PersonReplied,
    StandingSeen,
    TurnStarted,
    Unknown,
    decode,
)
from actors.conversation.manners import silence
from actors.conversation.memory import Memory
from actors.conversation.state import State, folded
from actors.journal.entries import Entry, Replay
from actors.personas import manners_of


def event_view(entry: Entry) -> dict[str, Any]:
    """One event as people read it: flat, with its sequence number."""
    event = decode(entry.raw)
    match event:
        case Unknown(raw=raw):
            shown: dict[str, Any] = {"type": "unknown", "raw": raw.decode(errors="replace")}
        case TurnStarted():
            shown = _fields(event)
            how = shown.pop("how")
            reason = shown.pop("join_reason")
            joined = how not in ("single", "apart")
            shown["join"] = {"joined": joined, "how": how, "reason": reason}
        case (
            MessageReceived(message=inner)
            | MessageAmended(message=inner)
            | MessageMissed(message=inner)
        ):
            shown = _unfolded(event, "message", inner)
        case StandingSeen(standing=standing):
            shown = _unfolded(event, "standing", standing)
        case PersonReplied(person=person):
            shown = _unfolded(event, "person", person)
        case _:
            shown = _fields(event)
    return {"seq": entry.seq, **shown}


def _fields(event: Event) -> dict[str, Any]:
    """All fields, also those that the journal leaves out because they are as usual."""
    values = {name: getattr(event, name) for name in event.__struct_fields__}
    return {"type": event.__struct_config__.tag, **msgspec.to_builtins(values)}


def _unfolded(event: Event, name: str, value: msgspec.Struct) -> dict[str, Any]:
    """The event with the fields of one of its values beside its own."""
    shown = _fields(event)
    del shown[name]
    return {**shown, **msgspec.to_builtins(value)}


def state_of(replay: Replay) -> State:
    """The state of a conversation as its journal has it."""
    entries = ((entry.seq, decode(entry.raw)) for entry in replay.entries)
    return folded(replay.memory, replay.seq, entries)


def memory_view(memory: Memory, company: Company, now_ms: int) -> dict[str, Any]:
    """Who has the word, and why the bot is silent; `silence` is null while it may speak."""
    silent = silence(memory, manners_of(company), now_ms)
    return {
        "standing": msgspec.to_builtins(memory.standing),
        "taken": msgspec.to_builtins(memory.taken),
        "pause": msgspec.to_builtins(memory.pause),
        "silence": msgspec.to_builtins(silent),
        "customer_typing": memory.typing_ms > 0,
    }


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
        "promised": _promised(state),
        "turn": msgspec.to_builtins(state.turn) if state.turn else None,
    }


def _promised(state: State) -> dict[str, Any] | None:
    if state.reply is None:
        return None
    return {**msgspec.to_builtins(state.reply), "text": "\n\n".join(state.reply.parts)}


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
