"""Names a conversation, its slot, and its keys in Redis."""

import re
import zlib

import msgspec

SLOTS = 1_024
"""Conversations are spread over so many slots; it never changes, the journals' keys hold it."""

CONVERSATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,127}")


class Key(msgspec.Struct, frozen=True, order=True):
    """A conversation of a company; written `company:conversation`."""

    company_id: str
    conversation_id: str

    def __str__(self) -> str:
        return f"{self.company_id}:{self.conversation_id}"

    @classmethod
    def parse(cls, text: str) -> "Key":
        company_id, _, conversation_id = text.partition(":")
        return cls(company_id, conversation_id)

    @property
    def slot(self) -> int:
        return zlib.crc32(str(self).encode()) % SLOTS


class RedisKeys(msgspec.Struct, frozen=True):
    """The keys of one conversation. Those of a slot share a hash tag, so a script is one slot of a
    Redis Cluster.

    journal: stream of events · seen: sorted set, message id → seq · meta: hash, the counters ·
    waiting: sorted set, `seq:arrival ms` → seq of unanswered messages · dead: sorted set, seq of a
    dead letter → when it became one (ms).
    """

    journal: str
    seen: str
    meta: str
    waiting: str
    dead: str
    unanswered: str
    loads: str
    conversations: str
    graves: str

    @property
    def of_outcomes(self) -> tuple[str, ...]:
        """Those of the scripts by which messages get their outcome, or lose it: record, exhume."""
        return (
            self.journal,
            self.meta,
            self.waiting,
            self.unanswered,
            self.loads,
            self.dead,
            self.graves,
        )


def redis_keys(key: Key) -> RedisKeys:
    """The keys of a conversation and of its slot."""
    own = f"turnwise:{{{key.slot}}}:{key}"
    return RedisKeys(
        journal=f"{own}:journal",
        seen=f"{own}:seen",
        meta=f"{own}:meta",
        waiting=f"{own}:waiting",
        dead=dead_key(key),
        unanswered=unanswered_key(key.slot),
        loads=loads_key(key.slot),
        conversations=conversations_key(key.slot),
        graves=graves_key(key.slot),
    )


def dead_key(key: Key) -> str:
    """Sorted set: seq of a dead letter of the conversation → when it became one (ms)."""
    return f"turnwise:{{{key.slot}}}:{key}:dead"


def unanswered_key(slot: int) -> str:
    """Sorted set: conversation → arrival (ms) of its oldest unanswered message."""
    return f"turnwise:{{{slot}}}:unanswered"


def loads_key(slot: int) -> str:
    """Hash: company → its unanswered messages in this slot."""
    return f"turnwise:{{{slot}}}:loads"


def graves_key(slot: int) -> str:
    """Sorted set: conversation with dead letters → time (ms) of its last one."""
    return f"turnwise:{{{slot}}}:graves"


def alive_key(holder: str) -> str:
    """String that lives while the host of this name renews it."""
    return f"turnwise:alive:{holder}"


def heard_key(holder: str) -> str:
    """String whose age tells when the host of this name said last that it lives."""
    return f"turnwise:heard:{holder}"


def conversations_key(slot: int) -> str:
    """Sorted set: conversation → time (ms) of its last message."""
    return f"turnwise:{{{slot}}}:conversations"
