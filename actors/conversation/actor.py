"""Runs one conversation: awaits what is decided, records it, then does it.

One `run` loop at a time owns the state; deliveries only wake it. Nothing here is remembered that
the journal does not hold, but for the draft in the making.
"""

import asyncio
import contextlib

import msgspec

from actors.channels.message import Cue
from actors.conversation import decisions, records, turns
from actors.conversation.courier import (
    Courier,
    Late,
    NotTaken,
    Refused,
    Silenced,
    Stands,
    Unknowable,
    reply_id,
)
from actors.conversation.drafting import Draft
from actors.conversation.events import (
    Event,
    FromOutside,
    ReplySent,
    TurnInterrupted,
)
from actors.conversation.manners import silence
from actors.conversation.pen import Pen
from actors.conversation.place import Place
from actors.conversation.ports import Persona, Ports
from actors.conversation.state import Reply, State, promised
from actors.conversation.typing_switch import TypingSwitch
from actors.errors import Permanent
from actors.journal.keys import Key
from actors.telemetry import logger

INBOX_MAX = 256
"""Deliveries held in memory of one conversation; beyond, they are read from the journal."""

_log = logger("conversation")


class Glance(msgspec.Struct, frozen=True):
    """What an actor is doing, for people to look at; times in ms since 1970.

    `phase`: idle | silent | window | in line | drafting | retrying | sending; `early`: it drafts
    while the window is open; `lead`: why drafts are begun early, or not; `window_ms` and
    `window_reason`: the window that is open, 0 and "" for none.
    """

    phase: str
    reason: str
    until_ms: int | None
    window_opened_ms: int | None
    waiting: int
    turn: str | None
    epoch: int
    seq: int
    early: bool
    lead: str
    window_ms: int
    window_reason: str


class ConversationActor:
    """One conversation. `deliver` and `look` may be called at any time, `run` by one task."""

    __slots__ = (
        "_courier",
        "_doing",
        "_draft",
        "_inbox",
        "_key",
        "_look",
        "_pen",
        "_persona",
        "_ports",
        "_stopping",
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
        self._pen = Pen(key, ports.log, ports.clock, holder, self._hear)
        self._courier = Courier(key, self._pen, ports, listen=self._take_mail, record=self._record)
        self._inbox: dict[int, bytes] = {}
        self._look = False
        self._stopping = False
        self._woken = asyncio.Event()
        self._work: decisions.Work = None
        self._draft: Draft | None = None
        self._typing = TypingSwitch(ports.clock)
        self._doing: decisions.Decision = decisions.Rest()
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

    @property
    def _has_news(self) -> bool:
        return self.has_mail or self._pen.has_news

    def glance(self) -> Glance:
        """What it is doing now."""
        state, now_ms = self._pen.state, self._now()
        phase, reason, until_ms = self._phase(state, now_ms)
        window = self._doing.window if isinstance(self._doing, decisions.Wait) else None
        return Glance(
            phase=phase,
            reason=reason,
            until_ms=until_ms,
            window_opened_ms=min((entry.at_ms for entry in state.open), default=None),
            waiting=len(state.open) + len(promised(state)),
            turn=state.turn.turn_id if state.turn else None,
            epoch=self._pen.epoch,
            seq=state.seq,
            early=phase == "drafting" and state.turn is not None and state.turn.early,
            lead=self._persona.lead.why(),
            window_ms=window.length_ms if window else 0,
            window_reason=window.reason if window else "",
        )

    def _phase(self, state: State, now_ms: int) -> tuple[str, str, int | None]:
        match self._doing:
            case decisions.Wait(phase=phase, reason=reason, until_ms=until_ms):
                return phase, reason, until_ms
            case decisions.Start(reason=reason):
                return "drafting", reason, None
            case decisions.Send() | decisions.Commit() | decisions.PassOn():
                return "sending", "the reply is promised and on its way", None
        silent = silence(state.memory, self._persona.manners, now_ms)
        if silent is not None:
            return "silent", silent.reason, silent.until_ms
        return "idle", "nobody is waiting for an answer", None

    # The loop.

    async def run(self) -> None:
        """Works until nobody waits for an answer.

        Raises errors.Fenced when another process holds the pen; a responder's bug surfaces here.
        """
        try:
            if not self._pen.epoch:
                await self._pen.take()
            while not isinstance(decision := await self._next(), decisions.Rest) or self._has_news:
                if self._stopping and not turns.worth_finishing(decision, self._work):
                    break
                self._doing = decision
                await self._perform(decision)
            self._doing = decisions.Rest()
        finally:
            self._drop_draft()
            self._persona.line.leave(self._key)
            self._typing.forget()
            self.touched_ms = self._now()

    def wind_down(self) -> None:
        """Makes `run` end soon: nothing is begun any more, what is nearly done is finished."""
        self._stopping = True
        self._woken.set()

    async def interrupt(self, reason: str) -> None:
        """Notes that a draft is given up because the process stops; for after `run` has ended."""
        turn = self._pen.state.turn
        if turn is not None and turn.starts:
            await self._record(TurnInterrupted(at_ms=self._now(), turn=turn.turn_id, reason=reason))

    async def _next(self) -> decisions.Decision:
        self._woken.clear()
        await self._take_mail()
        if self._draft is not None and self._draft.is_done:
            draft, self._draft = self._draft, None
            self._work = draft.result()
            has_answer = isinstance(self._work, decisions.Drafted)
            self._persona.line.end(self._key, draft.cost_tokens if has_answer else 0)
        self._refresh_persona()
        pace = msgspec.structs.replace(
            self._persona.pace, early_lead_ms=self._persona.lead.lead_ms()
        )
        conduct = decisions.Conduct(pace, self._persona.manners, self._place())
        decision = turns.decide(self._pen.state, self._work, conduct, self._now(), str(self._key))
        self._stand(decision)
        return decision

    def _place(self) -> Place:
        """What the company's line says to a turn of ours, where none is under way."""
        state = self._pen.state
        if not state.open or isinstance(self._work, decisions.Drafting | decisions.Drafted):
            return Place()
        suspect = turns.is_suspect(state.turn)
        return self._persona.line.place(self._key, state.open[0].at_ms, suspect=suspect)

    def _stand(self, decision: decisions.Decision) -> None:
        """Takes the place that was decided on, before anybody else can."""
        line = self._persona.line
        match decision:
            case decisions.Wait(phase="in line") if not turns.is_suspect(self._pen.state.turn):
                line.wait(self._key, self._pen.state.open[0].at_ms, self._woken)
            case decisions.Start():
                line.begin(self._key, suspect=decision.alone)
            case _:
                line.leave(self._key)

    def _refresh_persona(self) -> None:
        """A change of the company takes effect now; one that is gone is served as it was."""
        with contextlib.suppress(Permanent):
            self._persona = self._ports.personas.persona(self._key.company_id)

    async def _perform(self, decision: decisions.Decision) -> None:
        match decision:
            case decisions.Wait(phase=phase, until_ms=until_ms, wake_ms=wake_ms):
                if phase in ("window", "in line"):
                    self._show_typing()
                await self._ports.clock.wait(self._woken, wake_ms or until_ms)
            case decisions.Start():
                await self._start(decision)
            case decisions.Commit():
                await self._commit(decision)
            case decisions.Send():
                await self._send(decision)
            case decisions.PassOn():
                await self._pass_on(decision)
            case decisions.Resume():
                self._work = decisions.Promised(decision.reply.reply_id)
                await self._record(records.of(decision, self._now()))
            case decisions.Hold():
                await self._record(records.of(decision, self._now()))
            case decisions.Rest():
                if not self.has_mail:
                    await self._pen.remember()
            case _:
                await self._give_up(decision)

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

    def _hear(self, before: State, event: FromOutside) -> None:
        self._ports.tally.count(self._key.company_id, before, event)

    async def _record(self, event: Event) -> None:
        before = self._pen.state
        await self._pen.record(event)
        if not isinstance(event, FromOutside):  # of those the pen tells, once
            self._ports.tally.count(self._key.company_id, before, event)

    # The turn.

    async def _start(self, start: decisions.Start) -> None:
        self._show_typing()
        await self._record(records.of(start, self._now()))
        # Messages that came in while it was recorded are seen in the next round, which supersedes.
        self._work = decisions.Drafting(start.batch.seqs, start.as_of)
        self._draft = Draft(self._key, start, self._pen, self._persona, self._ports)
        self._draft.begin(self._woken)

    async def _commit(self, commit: decisions.Commit) -> None:
        named = reply_id(self._key, commit.draft.covers)
        self._work = decisions.Promised(named)
        await self._record(
            records.committed(self._pen.state, commit, named, self._persona.part_chars, self._now())
        )

    async def _give_up(self, decision: records.Recordable) -> None:
        """Throws the draft in hand away, if there is one, and says why."""
        wasted = self._drop_draft()
        if isinstance(decision, decisions.PutAside):
            _log.error(
                "conversation %s: messages %s are set aside: %s: %s",
                self._key,
                decision.seqs,
                decision.reason,
                decision.error,
            )
        await self._record(records.of(decision, self._now(), tokens_wasted=wasted))
        self._rest_typing()

    def _drop_draft(self) -> int:
        """Returns what the draft in hand has cost, in tokens as far as is known."""
        cost_tokens = 0
        if isinstance(self._work, decisions.Drafted):
            cost_tokens = self._work.tokens_in + self._work.tokens_out
        if self._draft is not None:
            cost_tokens = self._draft.cost_tokens
            self._draft.cancel()
            self._draft = None
        self._persona.line.end(self._key, cost_tokens)
        self._work = None
        return cost_tokens

    # The reply.

    async def _send(self, send: decisions.Send) -> None:
        match await self._courier.bring(send, self._persona):
            case Stands(channel_message_id=channel_id, found=found):
                event = records.sent(send.reply, channel_id, self._now(), found=found)
                whole = isinstance(event, ReplySent)
                self._work = None if whole else decisions.Promised(send.reply.reply_id)
                await self._record(event)
                self._rest_typing()
            case NotTaken() as failed:
                await self._send_failed(send.reply, failed)
            case Refused(error=error):
                await self._put_aside(send.reply, "the channel refused the reply for good", error)
            case Silenced(reason=reason):
                await self._give_up(decisions.Withhold(send.reply, reason))
            case Late(reason=reason):
                await self._record(records.of(decisions.Hold(send.reply, reason), self._now()))
            case Unknowable(reason=reason):
                choice = self._persona.in_doubt
                _log.warning("conversation %s: in doubt, %s: %s", self._key, choice, reason)
                await self._record(records.doubted(send.reply, choice, reason, self._now()))

    async def _pass_on(self, decision: decisions.PassOn) -> None:
        reply = decision.reply
        match await self._courier.hand_over(reply, self._persona):
            case None:
                await self._give_up(decision)
            case NotTaken() as failed:
                await self._send_failed(reply, failed)
            case Refused(error=error):
                await self._put_aside(reply, "the channel refused the hand-over", error)

    async def _put_aside(self, reply: Reply, reason: str, error: str) -> None:
        await self._give_up(decisions.PutAside(reply.answers, reason, error, reply.failures + 1))

    async def _send_failed(self, reply: Reply, failed: NotTaken) -> None:
        jitter = self._ports.dice.between(0, 1)
        after = turns.after_send_failure(reply, failed.error, jitter, failed.after_s, self._now())
        if isinstance(after, decisions.PutAside):
            await self._give_up(after)
            return
        self._work = decisions.Promised(reply.reply_id)
        await self._record(
            records.send_failed(reply, failed.error, after, self._now(), doubtful=failed.doubtful)
        )

    def _show_typing(self) -> None:
        newest = self._pen.state.open[-1].message
        channel = self._persona.channels.get(newest.channel)
        if channel is not None:
            self._typing.show(
                channel,
                Cue(self._key.conversation_id, True, newest.source_id, newest.via),
            )

    def _rest_typing(self) -> None:
        if not self._pen.state.open and self._pen.state.reply is None:
            self._typing.hide()

    def _now(self) -> int:
        return self._ports.clock.now_ms()
