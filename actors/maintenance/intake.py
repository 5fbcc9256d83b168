"""Puts what was found in a channel into the journal, under the bounds of whatever comes in."""

from collections.abc import Callable, Sequence

import msgspec

from actors.channels.chatwoot_archive import Row, Written
from actors.channels.chatwoot_messages import ByPerson, FromCustomer, message_key, standing_note_id
from actors.channels.chatwoot_people import standing_of
from actors.companies.company import Company
from actors.conversation.courier import part_id
from actors.conversation.events import (
    MessageMissed,
    MessageReceived,
    ReplyCommitted,
    StandingSeen,
    decode,
    encode,
)
from actors.journal.entries import Full
from actors.journal.keys import SLOTS, Key
from actors.maintenance.finding import Known, Span, Take, finding, replies_in
from actors.personas import pace_of
from actors.wiring import Parts

REPLIES_READ = 1_000
"""Events at the end of a journal in which our own replies are looked for."""

Deliver = Callable[[Key, int, bytes | None], None]
"""Tells a conversation's actor to look at its journal (placement.Router.deliver)."""


class Counted(msgspec.Struct):
    """What was taken in: see search.Found."""

    to_answer: int = 0
    missed: int = 0
    people: int = 0
    young: int = 0


class NoRoom(Exception):
    """The company, or a conversation of it, has as many unanswered messages as it may."""


class Intake:
    """Takes in for one company."""

    def __init__(self, parts: Parts, company: Company, deliver: Deliver) -> None:
        self._journal = parts.journal
        self._clock = parts.clock
        self._company = company
        self._deliver = deliver
        self._load: int | None = None
        self.counted = Counted()

    async def take(self, key: Key, row: Row, messages: Sequence[Written], span: Span) -> int:
        """Takes in what the journal lacks; the last message that need not be looked at again.

        Raises NoRoom and Retryable; what was taken by then is taken once.
        """
        found = finding(messages, await self._known(key, messages), span)
        self.counted.young += found.young
        last = 0
        try:
            for take in found.takes:
                last = await self._put(key, take) or last
            # A message that is to be answered says it itself.
            if found.takes and not isinstance(found.takes[-1].event, MessageReceived):
                last = await self._note_standing(key, row) or last
        finally:
            if last:
                # Only now, so that its actor sees all of it at once.
                self._deliver(key, last, None)
        return found.settled

    async def _known(self, key: Key, messages: Sequence[Written]) -> Known:
        ids = [message_key(str(w.number)) for w in messages if _is_taken(w)]
        seen = await self._journal.seen(key, ids)
        replies: set[str] = set()
        if len(seen) < len(ids) and replies_in(messages):
            for entry in await self._journal.read_last(key, REPLIES_READ):
                event = decode(entry.raw)
                if isinstance(event, ReplyCommitted):
                    parts = range(max(1, len(event.parts)))
                    replies.update(part_id(event.reply_id, part) for part in parts)
        return Known(seen, replies)

    async def _put(self, key: Key, take: Take) -> int:
        """The sequence number of what is new, else 0."""
        if isinstance(take.event, MessageReceived):
            return await self._append(key, take.key, take.event)
        noted = await self._journal.note(
            key, take.key, encode(take.event), at_ms=self._clock.now_ms(), only="always"
        )
        if noted is None:
            return 0
        if isinstance(take.event, MessageMissed):
            self.counted.missed += 1
        else:
            self.counted.people += 1
        return noted.seq

    async def _append(self, key: Key, message_id: str, received: MessageReceived) -> int:
        if self._load is None:
            loads = await self._journal.loads(range(SLOTS))
            self._load = loads.get(key.company_id, 0)
        if self._load >= self._company.waiting_max:
            raise NoRoom(
                f"company {key.company_id} has {self._load} unanswered messages, "
                "WAITING_PER_COMPANY_MAX (or waiting_max, in its table) allows no more"
            )
        appended = await self._journal.append(
            key,
            message_id,
            encode(received),
            at_ms=received.at_ms,
            largest_batch=pace_of(self._company).largest_batch,
        )
        if isinstance(appended, Full):
            raise NoRoom(
                f"conversation {key.conversation_id} has {appended.waiting} unanswered messages, "
                "WAITING_PER_CONVERSATION_MAX allows no more"
            )
        if not appended.fresh:
            return 0
        self._load += 1
        self.counted.to_answer += 1
        return appended.seq

    async def _note_standing(self, key: Key, row: Row) -> int:
        standing = standing_of(row.raw)
        if not standing.status:
            return 0
        now_ms = self._clock.now_ms()
        seen = StandingSeen(at_ms=now_ms, standing=standing, how="caught up")
        noted = await self._journal.note(
            key, standing_note_id(standing), encode(seen), at_ms=now_ms, only="known"
        )
        return noted.seq if noted is not None else 0


def _is_taken(written: Written) -> bool:
    return isinstance(written.said, FromCustomer | ByPerson)
