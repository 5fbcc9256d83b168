"""Runs one conversation: awaits what is decided, records it, then does it.

One `run` loop at a time owns the state; deliveries only wake it. Nothing here is remembered that
the journal does not hold, but for the draft in the making.
"""

import asyncio
import uuid

import msgspec

from actors.channels.message import Outgoing
from actors.conversation import turns
from actors.conversation.events import (
    ReplyCommitted,
    ReplySent,
    SendFailed,
    SetAside,
    TurnFailed,
    TurnInterrupted,
    TurnStarted,
    TurnSuperseded,
)
from actors.conversation.history import said_before
from actors.conversation.pen import Pen
from actors.conversation.ports import Channel, Persona, Ports
from actors.conversation.state import Reply, promised
from actors.conversation.typing_switch import TypingSwitch
from actors.errors import Fenced, Permanent, Retryable
from actors.journal.keys import Key
from actors.llm.prompt import Prompt, within_budget
from actors.telemetry import logger

INBOX_MAX = 256
"""Deliveries held in memory of one conversation; beyond, they are read from the journal."""

HISTORY_EVENTS_MAX = 200
"""Events read back from the journal for the prompt's history."""

REPLY_IDS = uuid.UUID("5f0b1c0a-6f0e-5d2c-9a57-7c2f2d1a9e41")
"""The namespace of reply ids: uuid5 of the conversation and the messages answered."""

_log = logger("conversation")


def reply_id(key: Key, answers: tuple[int, ...]) -> str:
    """The id under which the answer to these messages is known to the channel: the same after a
    crash, never that of another answer."""
    return str(uuid.uuid5(REPLY_IDS, f"{key}:{','.join(map(str, sorted(answers)))}"))


class Glance(msgspec.Struct, frozen=True):
    """What an actor is doing, for people to look at; times in ms since 1970."""

    phase: str
    reason: str
    until_ms: int | None
    window_opened_ms: int | None
    waiting: int
    turn: str | None
    epoch: int
    seq: int


class ConversationActor:
    """One conversation. `deliver` and `look` may be called at any time, `run` by one task."""

    __slots__ = (
        "_doing",
        "_draft",
        "_inbox",
        "_key",
        "_look",
        "_pen",
        "_persona",
        "_ports",
        "_typing",
        "_woken",
        "_work",
        "touched_ms",
    )

    def __init__(self, key: Key, ports: Ports, holder: str = "") -> None:
        """`holder` names the host. Raises errors.Permanent if nobody knows the company."""
        self._key = key
        self._ports = ports
        self._persona: Persona = ports.personas.persona(key.company_id)
        self._pen = Pen(key, ports.log, ports.clock, holder)
        self._inbox: dict[int, bytes] = {}
        self._look = False
        self._woken = asyncio.Event()
        self._work: turns.Work = None
        self._draft: asyncio.Task[turns.Work] | None = None
        self._typing = TypingSwitch(key.conversation_id)
        self._doing: turns.Decision = turns.Rest()
        self.touched_ms = ports.clock.now_ms()

    # What the outside may do at any time.

    def deliver(self, seq: int, raw: bytes | None) -> None:
        """Hands in event `seq`. Losing, doubling or swapping deliveries is harmless."""
        if self._pen.epoch and seq <= self._pen.state.seq:
            return
        if raw is not None and len(self._inbox) < INBOX_MAX:
            self._inbox[seq] = raw
        else:
            self._look = True
        self._woken.set()

    def look(self) -> None:
        """Makes the actor read the journal for what it was not told."""
        self._look = True
        self._woken.set()

    @property
    def has_mail(self) -> bool:
        return self._look or bool(self._inbox)

    def glance(self) -> Glance:
        """What it is doing now."""
        doing, state = self._doing, self._pen.state
        phase, reason = "idle", "nobody is waiting for an answer"
        until_ms: int | None = None
        match doing:
            case turns.Wait():
                phase, reason, until_ms = doing.phase, doing.reason, doing.until_ms
            case turns.Start(reason=reason):
                phase = "drafting"
            case turns.Send() | turns.Commit():
                phase, reason = "sending", "the reply is promised and on its way"
        return Glance(
            phase=phase,
            reason=reason,
            until_ms=until_ms,
            window_opened_ms=min((entry.at_ms for entry in state.open), default=None),
            waiting=len(state.open) + len(promised(state)),
            turn=state.turn.turn_id if state.turn else None,
            epoch=self._pen.epoch,
            seq=state.seq,
        )

    # The loop.

    async def run(self) -> None:
        """Works until nobody waits for an answer.

        Raises errors.Fenced when another process holds the pen; a responder's bug surfaces here.
        """
        try:
            if not self._pen.epoch:
                await self._pen.take()
            while not isinstance(decision := await self._next(), turns.Rest) or self.has_mail:
                self._doing = decision
                await self._perform(decision)
            self._doing = turns.Rest()
        finally:
            self._drop_draft()
            self.touched_ms = self._ports.clock.now_ms()

    async def interrupt(self, reason: str) -> None:
        """Notes that a draft is given up because the process stops; for after `run` has ended."""
        turn = self._pen.state.turn
        if turn is not None and turn.starts:
            await self._pen.record(
                TurnInterrupted(at_ms=self._now(), turn=turn.turn_id, reason=reason)
            )

    async def _next(self) -> turns.Decision:
        self._woken.clear()
        await self._take_mail()
        if self._draft is not None and self._draft.done():
            draft, self._draft = self._draft, None
            self._work = draft.result()
        return turns.decide(
            self._pen.state, self._work, self._persona.pace, self._now(), str(self._key)
        )

    async def _perform(self, decision: turns.Decision) -> None:
        match decision:
            case turns.Wait(phase=phase, until_ms=until_ms):
                if phase == "window":
                    self._show_typing()
                await self._ports.clock.wait(self._woken, until_ms)
            case turns.Start():
                await self._start(decision)
            case turns.Supersede(turn_id=turn_id, by=by):
                self._drop_draft()
                await self._pen.record(TurnSuperseded(at_ms=self._now(), turn=turn_id, by=by))
            case turns.Commit():
                await self._commit(decision)
            case turns.RetryTurn():
                self._work = None
                await self._pen.record(
                    TurnFailed(
                        at_ms=self._now(),
                        turn=decision.turn_id,
                        attempt=decision.attempt,
                        error=decision.error,
                        retry_at_ms=decision.retry_at_ms,
                    )
                )
            case turns.Send(reply=reply, read_back=read_back):
                await self._send(reply, read_back=read_back)
            case turns.PutAside():
                await self._put_aside(decision)

    async def _take_mail(self) -> None:
        """Takes in what was delivered, in the journal's order; a gap is read from the journal."""
        pen = self._pen
        while self._inbox and (raw := self._inbox.pop(pen.state.seq + 1, None)) is not None:
            pen.take_in(raw)
        if self.has_mail:
            self._look = False
            told = set(self._inbox)
            await pen.read_on()
            # What was delivered before the reading and is not in the journal is not true.
            self._inbox = {s: raw for s, raw in self._inbox.items() if s not in told}

    # The turn.

    async def _start(self, start: turns.Start) -> None:
        batch = start.batch
        self._show_typing()
        await self._pen.record(
            TurnStarted(
                at_ms=self._now(),
                turn=start.turn_id,
                covers=batch.seqs,
                attempt=start.attempt,
                reason=start.reason,
                how=batch.how,
                join_reason=batch.reason,
            )
        )
        # Messages that came in while it was recorded are seen in the next round, which supersedes.
        self._work = turns.Drafting(batch.seqs)
        self._draft = asyncio.create_task(self._ask(start), name=f"draft {start.turn_id}")
        self._draft.add_done_callback(lambda _: self._woken.set())

    async def _ask(self, start: turns.Start) -> turns.Work:
        batch = start.batch
        entries = await self._pen.patiently(
            lambda: self._ports.log.read_last(self._key, HISTORY_EVENTS_MAX, before=max(batch.seqs))
        )
        open_seqs = {entry.seq for entry in self._pen.state.open} | set(batch.seqs)
        prompt = Prompt(
            system=self._persona.prompt,
            history=within_budget(said_before(entries, open_seqs), self._ports.history_tokens),
            question=batch.text,
            joined=len(batch.entries),
            how=batch.how,
        )
        try:
            answer = await self._persona.responder.answer(prompt)
        except (Retryable, Permanent) as error:
            return turns.DraftFailed(
                covers=batch.seqs,
                error=str(error),
                retryable=isinstance(error, Retryable),
                asked_s=error.after_s if isinstance(error, Retryable) else None,
                jitter=self._ports.dice.between(0, 1),
            )
        return turns.Drafted(
            batch.seqs, answer.text, answer.model, answer.tokens_in, answer.tokens_out
        )

    def _drop_draft(self) -> None:
        if self._draft is not None:
            self._draft.cancel()
            self._draft = None
        self._work = None

    async def _commit(self, commit: turns.Commit) -> None:
        draft = commit.draft
        batch = [entry for entry in self._pen.state.open if entry.seq in draft.covers]
        ids = [entry.message.message_id for entry in batch]
        named = reply_id(self._key, draft.covers)
        self._work = turns.Promised(named)
        await self._pen.record(
            ReplyCommitted(
                at_ms=self._now(),
                reply_id=named,
                turn=commit.turn_id,
                answers=tuple(sorted(draft.covers)),
                text=draft.text,
                channel=batch[-1].message.channel,
                after_message_id=max(ids, key=lambda i: (i.isdecimal() and int(i), i)),
                model=draft.model,
                tokens_in=draft.tokens_in,
                tokens_out=draft.tokens_out,
            )
        )

    # The reply.

    async def _send(self, reply: Reply, *, read_back: bool) -> None:
        outgoing = Outgoing(
            self._key.conversation_id, reply.reply_id, reply.text, reply.after_message_id
        )
        in_doubt, found = read_back, None
        try:
            channel = self._channel(reply.channel)
            if read_back:
                found = await self._find(channel, outgoing)
                in_doubt = False
            sent = found or await channel.send(outgoing, self._pen.check)
        except Retryable as error:
            await self._send_failed(reply, error, doubtful=in_doubt or error.doubtful)
            return
        except Fenced:
            raise
        except Permanent as error:
            reason = "the channel refused the reply for good"
            await self._put_aside(
                turns.PutAside(reply.answers, reason, str(error), reply.failures + 1)
            )
            return
        self._work = None
        await self._pen.record(
            ReplySent(
                at_ms=self._now(),
                reply_id=reply.reply_id,
                answers=reply.answers,
                channel_message_id=sent,
                how="read back" if found else "sent",
            )
        )
        if not self._pen.state.open:
            self._typing.hide(self._persona.channels.get(reply.channel))

    async def _find(self, channel: Channel, outgoing: Outgoing) -> str | None:
        """The channel's id of the reply if it already stands there.

        A channel that cannot be read back leaves the choice between a loss and a double; a customer
        without an answer is the worse of the two.
        """
        try:
            return await channel.find(outgoing)
        except Permanent as error:
            _log.warning("conversation %s: sent without a look: %s", self._key, error)
            return None

    async def _send_failed(self, reply: Reply, error: Retryable, *, doubtful: bool) -> None:
        jitter = self._ports.dice.between(0, 1)
        after = turns.after_send_failure(reply, str(error), jitter, error.after_s, self._now())
        if isinstance(after, turns.PutAside):
            await self._put_aside(after)
            return
        self._work = turns.Promised(reply.reply_id)
        await self._pen.record(
            SendFailed(
                at_ms=self._now(),
                reply_id=reply.reply_id,
                attempt=reply.failures + 1,
                error=str(error),
                doubtful=doubtful,
                retry_at_ms=after,
            )
        )

    async def _put_aside(self, aside: turns.PutAside) -> None:
        _log.error(
            "conversation %s: messages %s are set aside: %s: %s",
            self._key,
            aside.seqs,
            aside.reason,
            aside.error,
        )
        self._work = None
        await self._pen.record(
            SetAside(
                at_ms=self._now(),
                seqs=aside.seqs,
                reason=aside.reason,
                error=aside.error,
                attempts=aside.attempts,
            )
        )

    def _channel(self, name: str) -> Channel:
        try:
            return self._persona.channels[name]
        except KeyError:
            raise Permanent(
                f"company {self._key.company_id} has no channel {name!r} any more"
            ) from None

    def _show_typing(self) -> None:
        first = self._pen.state.open[0]
        self._typing.show(self._persona.channels.get(first.message.channel), first.seq)

    def _now(self) -> int:
        return self._ports.clock.now_ms()
