"""Decides what is taken of the messages that a channel holds and the journal does not. Pure.

A message that somebody has answered, a person or another bot, is not answered again, nor is one
that was written too long ago: both are noted as context. A person's answer is noted in its place,
so that the rules of people first hold as if its webhook had come.
"""

from collections.abc import Collection, Sequence

import msgspec

from actors.channels.chatwoot_archive import Other, Ours, Written
from actors.channels.chatwoot_messages import ByPerson, FromCustomer, message_key
from actors.conversation.events import (
    FromOutside,
    MessageMissed,
    MessageReceived,
    PersonReplied,
)

SETTLED_MS = 20_000
"""A younger message is left to its webhook, which may be on its way."""


class Span(msgspec.Struct, frozen=True):
    """The times that matter, ms: nothing from before `floor_ms` is looked at; what was written
    before `oldest_ms` is too old to be answered, the limit being `age_ms`; `now_ms`."""

    floor_ms: int
    age_ms: int
    now_ms: int

    @property
    def oldest_ms(self) -> int:
        return self.now_ms - self.age_ms


class Known(msgspec.Struct, frozen=True):
    """What the journal holds: keys of messages, and ids of replies."""

    messages: Collection[str]
    replies: Collection[str]


class Take(msgspec.Struct, frozen=True):
    """Something to be put into the journal, under this key once."""

    key: str
    event: FromOutside


class Finding(msgspec.Struct, frozen=True):
    """What is to be taken, in Chatwoot's order. `young`: messages left to their webhooks;
    `settled`: nothing up to this message need be looked at again."""

    takes: tuple[Take, ...] = ()
    young: int = 0
    settled: int = 0


def finding(messages: Sequence[Written], known: Known, span: Span) -> Finding:
    """What is to be taken of a conversation's last messages, none of them left out in between."""
    takes: list[Take] = []
    young = 0
    answered = ""
    ordered = sorted(messages, key=lambda written: written.number)
    for written in reversed(ordered):
        match written.said:
            case FromCustomer(message=message):
                if written.written_ms > span.now_ms - SETTLED_MS:
                    young += _is_new(message.message_id, written, known, span)
                elif _is_new(message.message_id, written, known, span):
                    takes.append(_customers(written, written.said, answered, span))
            case ByPerson(person=person):
                answered = f"{person.name or 'a person'} had answered"
                if _is_new(person.message_id, written, known, span):
                    at_ms = min(written.written_ms, span.now_ms)
                    replied = PersonReplied(at_ms=at_ms, person=person)
                    takes.append(Take(message_key(person.message_id), replied))
            case Other():
                answered = "another bot had answered"
            case Ours(reply_id=reply_id) if reply_id not in known.replies:
                answered = "an answer of ours stands after it that the journal does not know"
    return Finding(tuple(reversed(takes)), young, _settled(ordered, span))


def _is_new(message_id: str, written: Written, known: Known, span: Span) -> bool:
    return written.written_ms >= span.floor_ms and message_key(message_id) not in known.messages


def _customers(written: Written, said: FromCustomer, answered: str, span: Span) -> Take:
    key, message = message_key(said.message.message_id), said.message
    why_not = answered or _too_old(written, span)
    if why_not:
        missed = MessageMissed(
            at_ms=span.now_ms, message=message, written_ms=written.written_ms, reason=why_not
        )
        return Take(key, missed)
    received = MessageReceived(
        at_ms=span.now_ms, message=message, how="caught up", written_ms=written.written_ms
    )
    return Take(key, received)


def _too_old(written: Written, span: Span) -> str:
    if written.written_ms >= span.oldest_ms:
        return ""
    hours = (span.now_ms - written.written_ms) / 3_600_000
    return f"it was written {hours:.1f} h ago, the limit is {span.age_ms / 3_600_000:g} h"


def _settled(ordered: Sequence[Written], span: Span) -> int:
    """The last message before the first young one: whichever way messages with lower numbers are
    stored a moment later, they are seen the next time."""
    settled = 0
    for written in ordered:
        if written.written_ms > span.now_ms - SETTLED_MS:
            break
        settled = written.number
    return settled


def replies_in(messages: Sequence[Written]) -> set[str]:
    """The ids of our own replies that stand there."""
    return {w.said.reply_id for w in messages if isinstance(w.said, Ours)}
