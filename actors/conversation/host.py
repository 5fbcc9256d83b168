"""Holds many conversations in one process: wakes them, recovers them, lets them go.

Everything in it is a cache of the journal: a mailbox may be dropped at any time without harm.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable

import msgspec

from actors.conversation.actor import ConversationActor, Glance
from actors.conversation.ports import Ports
from actors.errors import Fenced, Permanent, Retryable
from actors.journal.keys import Key
from actors.telemetry import logger

MAILBOXES_MAX = 50_000
"""Conversations kept in memory; those at rest and touched longest ago are dropped first."""

IDLE_MS = 10 * 60 * 1_000
"""A conversation at rest is kept so long."""

SWEEP_S = 3.0
"""A host says this often that it lives, and looks for conversations that nobody told it of."""

STRAY_MS = 3_000
"""A message that waits this long may have lost its delivery; a younger one is on its way."""

AGAIN_S = 5.0
"""A conversation that crashed is not touched again before so long, seconds."""

NOBODY_S = 15.0
"""One whose company is unknown or broken is looked at again after so long, seconds."""

FINISH_S = 3.0
"""How long a stopping host lets drafts come to their end and promised replies go out, seconds."""

DRAIN_S = 3.0
"""How long it takes to note what it gives up, seconds."""

_log = logger("host")


class Delivery(msgspec.Struct, frozen=True):
    """An event on its way to its conversation; a hint only, the journal holds the truth.

    Without `raw` the conversation reads it from the journal.
    """

    key: Key
    seq: int
    raw: bytes | None


class Host:
    """The conversations of some slots, or those that it is told of."""

    def __init__(
        self, ports: Ports, slots: range, holder: str = "", only: Key | None = None
    ) -> None:
        """`holder` names it in all clusters, restarted or not; `only`: its one conversation."""
        self._ports = ports
        self._holder = holder
        self._only = only
        self._slots = slots
        self._mailboxes: dict[Key, ConversationActor] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._resting_until_ms: dict[Key, int] = {}
        self._left: dict[str, str] = {}
        self._draining = False

    def deliver(self, deliveries: Iterable[Delivery]) -> None:
        """Hands events to their conversations and starts those that rest.

        Raises Retryable while the host stops: its successor is to be told.
        """
        if self._draining:
            raise Retryable("the host stops")
        for delivery in deliveries:
            mailbox = self._mailbox(delivery.key)
            if mailbox is not None:
                mailbox.deliver(delivery.seq, delivery.raw)
                self._ensure_running(delivery.key, mailbox)

    async def look(self, keys: Iterable[Key]) -> int:
        """Makes conversations read their journals; returns how many were not at work.

        Those that another living host holds are left to it. What rests here is read anew: it may be
        ahead of a journal that was set back.
        """
        resting = [key for key in keys if key not in self._running]
        if not resting or self._draining:
            return 0
        woken = 0
        for key in await self._ports.log.orphans(resting, self._holder):
            if key in self._running or self._draining:
                continue
            self._mailboxes.pop(key, None)
            mailbox = self._mailbox(key)
            if mailbox is not None:
                self._ensure_running(key, mailbox)
                woken += 1
        return woken

    async def sweep(self, stray_ms: int = STRAY_MS) -> int:
        """Takes up conversations of its slots that owe an answer since `stray_ms` and rest."""
        before_ms = self._ports.clock.now_ms() - stray_ms
        owing = await self._ports.log.unanswered(self._slots, before_ms)
        return await self.look(
            entry.key for entry in owing if self._only is None or entry.key == self._only
        )

    async def live(self) -> None:
        """Recovers what is unanswered, then sweeps for ever."""
        # Not a deadline: the loop of the process, ended by cancelling it.
        stray_ms, trouble = 0, ""
        while True:
            try:
                await self._ports.log.stay_alive(self._holder)
                taken = await self.sweep(stray_ms)
                if taken:
                    _log.info("took up %d conversations", taken)
                stray_ms = STRAY_MS
                if trouble:
                    _log.info("sweeps again")
                trouble = ""
            except Permanent:
                raise
            except Exception as error:  # noqa: BLE001 -- the loop of a process outlives any one round
                if str(error) != trouble:
                    _log.warning("sweep failed, and is tried again: %s", error)
                trouble = str(error)
            self._let_go_of_idle()
            await self._ports.clock.sleep(1.0 if stray_ms == 0 else SWEEP_S)

    def glance(self, key: Key) -> Glance | None:
        """What a conversation is doing; None if it is not in memory."""
        mailbox = self._mailboxes.get(key)
        return mailbox.glance() if mailbox else None

    @property
    def size(self) -> int:
        """Conversations in memory."""
        return len(self._mailboxes)

    @property
    def busy(self) -> int:
        """Conversations at work."""
        return len(self._running)

    def retire(self) -> bool:
        """Takes nothing any more, if nobody is at work; else changes nothing and returns False."""
        self._draining = self._draining or not self._running
        return self._draining

    async def drain(self) -> None:
        """Begins nothing more, lets what is nearly done come to its end within FINISH_S, stops the
        rest where it stands and notes the drafts that are given up. The successor need not wait."""
        self._draining = True
        running = dict(self._running)
        for key in running:
            if (mailbox := self._mailboxes.get(key)) is not None:
                mailbox.wind_down()
        if running:
            await self._within(FINISH_S, asyncio.wait(running.values()))
        for task in running.values():
            task.cancel()
        if running:
            await self._within(DRAIN_S, asyncio.wait(running.values()))
        interrupts = [
            mailbox.interrupt("the host stops")
            for key in running
            if (mailbox := self._mailboxes.get(key)) is not None
        ]
        if not await self._within(DRAIN_S, asyncio.gather(*interrupts, return_exceptions=True)):
            _log.warning("some drafts were given up without a note")
        with contextlib.suppress(Retryable):
            await self._ports.log.leave(self._holder)

    async def _within(self, seconds: float, ending: Awaitable[object]) -> bool:
        """Whether it ends in time; it is cancelled if not."""
        ending = asyncio.ensure_future(ending)
        timer = asyncio.ensure_future(self._ports.clock.sleep(seconds))
        try:
            await asyncio.wait({ending, timer}, return_when=asyncio.FIRST_COMPLETED)
            return ending.done()
        finally:
            ending.cancel()
            timer.cancel()

    def _mailbox(self, key: Key) -> ConversationActor | None:
        if self._resting_until_ms.get(key, 0) > self._ports.clock.now_ms():
            return None
        mailbox = self._mailboxes.get(key)
        if mailbox is None:
            try:
                mailbox = ConversationActor(key, self._ports, self._holder)
            except Permanent as error:
                self._leave(key, str(error))
                return None
            if len(self._mailboxes) >= MAILBOXES_MAX:
                self._make_room()
            self._mailboxes[key] = mailbox
        return mailbox

    def _leave(self, key: Key, reason: str) -> None:
        """Leaves a conversation in the journal for now; says so once for each company."""
        self._resting_until_ms[key] = self._ports.clock.now_ms() + round(NOBODY_S * 1_000)
        if self._left.get(key.company_id) != reason:
            self._left[key.company_id] = reason
            _log.error("conversations of %s are left in the journal: %s", key.company_id, reason)

    def _ensure_running(self, key: Key, mailbox: ConversationActor) -> None:
        if key in self._running:
            return
        task = asyncio.create_task(mailbox.run(), name=f"conversation {key}")
        self._running[key] = task
        task.add_done_callback(lambda done: self._ended(key, mailbox, done))

    def _ended(self, key: Key, mailbox: ConversationActor, task: asyncio.Task[None]) -> None:
        self._running.pop(key, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._mailboxes.pop(key, None)
        if isinstance(error, Fenced):
            _log.info("%s", error)
        elif error is not None:
            # One conversation's bug stops that conversation, not the others. Its turn start stands
            # in the journal, so the third crash sets the turn aside.
            _log.error("conversation %s crashed", key, exc_info=error)
            self._resting_until_ms[key] = self._ports.clock.now_ms() + round(AGAIN_S * 1_000)
        elif mailbox.has_mail and not self._draining and not task.cancelled():
            self._ensure_running(key, mailbox)

    def _let_go_of_idle(self) -> None:
        now_ms = self._ports.clock.now_ms()
        for key in [
            key
            for key, mailbox in self._mailboxes.items()
            if key not in self._running and mailbox.touched_ms + IDLE_MS < now_ms
        ]:
            del self._mailboxes[key]
        for key in [k for k, until_ms in self._resting_until_ms.items() if until_ms <= now_ms]:
            del self._resting_until_ms[key]

    def _make_room(self) -> None:
        """Drops the tenth of the mailboxes at rest that was touched longest ago."""
        resting = [key for key in self._mailboxes if key not in self._running]
        resting.sort(key=lambda key: self._mailboxes[key].touched_ms)
        for key in resting[: MAILBOXES_MAX // 10]:
            del self._mailboxes[key]
