"""Plays the outside of a conversation: a clock, a journal, a channel, a model, in memory."""

import asyncio
import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from actors.analytics.bucket import Level, fits, spent
from actors.analytics.spending import What
from actors.channels.message import (
    Attachment,
    Cue,
    Message,
    Outgoing,
    Seen,
    Standing,
    Unreadable,
)
from actors.conversation.events import Event, FromOutside, MessageReceived, encode
from actors.conversation.line import Lines
from actors.conversation.manners import Manners
from actors.conversation.pace import Pace
from actors.conversation.ports import Check, Persona, Ports
from actors.conversation.state import State
from actors.errors import Fenced, Retryable
from actors.journal.entries import (
    Activation,
    Appended,
    Buried,
    Entry,
    Exhumed,
    Full,
    Noted,
    Replay,
    Unanswered,
    Write,
)
from actors.journal.keys import Key
from actors.journal.stream import ALIVE_MS
from actors.llm.prompt import Content, Prompt
from actors.llm.responder import Answer

T = TypeVar("T")
START_MS = 1_760_000_000_000
KEY = Key("acme", "321")


async def settle() -> None:
    """Lets every task run until it waits for something."""
    for _ in range(60):
        await asyncio.sleep(0)


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the coroutine waits for something")


class VirtualClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self._now_ms = START_MS
        self._order = itertools.count()
        self._timers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        await self._timer(self._now_ms + round(seconds * 1_000))

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        if until_ms is None:
            await event.wait()
            return
        if event.is_set() or until_ms <= self._now_ms:
            return
        waiter: asyncio.Future[object] = asyncio.ensure_future(event.wait())
        timer: asyncio.Future[object] = asyncio.ensure_future(self._timer(until_ms))
        try:
            await asyncio.wait({waiter, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
            timer.cancel()

    def _timer(self, due_ms: int) -> asyncio.Future[None]:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (due_ms, next(self._order), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Lets so much time pass, timer by timer."""
        await self.advance_to(self._now_ms + round(seconds * 1_000))

    async def advance_to(self, until_ms: int) -> None:
        await settle()
        while self._timers and self._timers[0][0] <= until_ms:
            due_ms, _, timer = heapq.heappop(self._timers)
            if not timer.done():
                self._now_ms = max(self._now_ms, due_ms)
                timer.set_result(None)
                await settle()
        self._now_ms = max(self._now_ms, until_ms)
        await settle()


class LoadedDice:
    """Always throws the lowest."""

    def between(self, low: float, high: float) -> float:
        del high
        return low


class MemoryJournal:
    """The journal's semantics in memory; tests/contract holds it to Redis's."""

    def __init__(self, waiting_max: int = 100, now_ms: Callable[[], int] = lambda: 0) -> None:
        """`now_ms`: Redis's own clock, by which hosts cease to live; at rest unless it is given."""
        self._waiting_max = waiting_max
        self._now_ms = now_ms
        self._entries: dict[Key, list[Entry]] = defaultdict(list)
        self._turns: dict[tuple[Key, int], int] = {}
        self._seen: dict[Key, dict[str, int]] = defaultdict(dict)
        self._waiting: dict[Key, dict[int, int]] = defaultdict(dict)
        self._promised: dict[Key, tuple[int, ...]] = defaultdict(tuple)
        self._seq: dict[Key, int] = defaultdict(int)
        self._epoch: dict[Key, int] = defaultdict(int)
        self._holders: dict[Key, str] = {}
        self.alive_until_ms: dict[str, int] = {}
        self._dead: dict[Key, dict[int, int]] = defaultdict(dict)
        self._writes: dict[Key, tuple[int, int, int]] = {}
        self._memories: dict[Key, tuple[bytes, int]] = {}
        self.interrupt: Callable[[str], None] = lambda _: None
        """Called at the beginning and the end of every call; may raise."""

    async def append(
        self, key: Key, message_id: str, raw: bytes, *, at_ms: int, largest_batch: int
    ) -> Appended | Full:
        waiting = self._waiting[key]
        oldest_ms = next(iter(waiting.values()), at_ms)
        if (seq := self._seen[key].get(message_id)) is not None:
            place = sum(other <= seq for other in waiting)
            turn = self._turns.get((key, seq), seq)
            return Appended(False, seq, place, turn, oldest_ms, self._load(key))
        if len(waiting) >= self._waiting_max:
            return Full(len(waiting))
        open_ = [other for other in waiting if other not in self._promised[key]]
        self._seq[key] += 1
        seq = self._seq[key]
        head = len(open_) // largest_batch * largest_batch
        first = open_[head] if head < len(open_) else seq
        self._entries[key].append(Entry(seq, raw))
        self._turns[key, seq] = first
        self._seen[key][message_id] = seq
        waiting[seq] = at_ms
        return Appended(True, seq, len(waiting), first, oldest_ms, self._load(key))

    def _load(self, key: Key) -> int:
        return sum(
            len(waiting)
            for other, waiting in self._waiting.items()
            if other.company_id == key.company_id and other.slot == key.slot
        )

    async def activate(self, key: Key, holder: str = "") -> Activation:
        self.interrupt("activate")
        self._holders[key] = holder
        self._epoch[key] += 1
        replay = await self.replay(key)
        self.interrupt("activated")
        return Activation(self._epoch[key], replay)

    async def replay(self, key: Key) -> Replay:
        memory, memory_seq = self._memories.get(key, (b"", self._seq[key]))
        after = min([memory_seq, *(seq - 1 for seq in self._waiting[key])])
        entries = tuple(e for e in self._entries[key] if e.seq > after)
        return Replay(self._seq[key], memory, entries)

    async def note(
        self, key: Key, note_id: str, raw: bytes, *, at_ms: int, only: str
    ) -> Noted | None:
        if only != "always" and not self._entries[key]:
            return None
        if only == "waiting" and not self._waiting[key]:
            return None
        if note_id and note_id in self._seen[key]:
            return None
        self._seq[key] += 1
        self._entries[key].append(Entry(self._seq[key], raw))
        if note_id:
            self._seen[key][note_id] = self._seq[key]
        self._memories.setdefault(key, (b"", self._seq[key] - 1))
        return Noted(self._seq[key])

    async def record(self, key: Key, write: Write) -> tuple[int, int]:
        self.interrupt("record")
        if write.epoch != self._epoch[key]:
            raise Fenced(
                f"conversation {key}: epoch {write.epoch} is over, {self._epoch[key]} holds it"
            )
        last = self._writes.get(key, (0, 0, 0))
        if last[0] == write.epoch and write.number <= last[1]:
            return last[2], self._seq[key]
        first = self._seq[key] + 1
        for raw in write.events:
            self._seq[key] += 1
            self._entries[key].append(Entry(self._seq[key], raw))
        self._writes[key] = (write.epoch, write.number, first)
        self._promised[key] = write.promised
        self._memories[key] = (write.memory, write.memory_seq)
        for seq in write.settled:
            self._waiting[key].pop(seq, None)
        for number in write.dead:
            self._dead[key][first + number - 1] = write.at_ms
        self.interrupt("recorded")
        return first, self._seq[key]

    async def counters(self, key: Key) -> tuple[int, int] | None:
        self.interrupt("counters")
        return (self._seq[key], self._epoch[key]) if self._seq[key] else None

    async def exhume(
        self, key: Key, letter: int, raw: bytes, *, at_ms: int, waiting: Sequence[int]
    ) -> Exhumed | None:
        if self._dead[key].pop(letter, None) is None:
            return None
        self._seq[key] += 1
        self._entries[key].append(Entry(self._seq[key], raw))
        for seq in waiting:
            self._waiting[key].setdefault(seq, at_ms)
        self._waiting[key] = dict(sorted(self._waiting[key].items()))
        return Exhumed(self._seq[key])

    async def counts(self) -> dict[str, int]:
        counts = dict[str, int]()
        for key, letters in self._dead.items():
            if letters:
                counts[key.company_id] = counts.get(key.company_id, 0) + len(letters)
        return counts

    async def buried(self, company_id: str) -> list[Buried]:
        return sorted(
            (
                Buried(key, seq, at_ms)
                for key, letters in self._dead.items()
                if key.company_id == company_id
                for seq, at_ms in letters.items()
            ),
            key=lambda letter: (letter.at_ms, letter.key, letter.seq),
        )

    async def stay_alive(self, holder: str) -> None:
        self.alive_until_ms[holder] = self._now_ms() + ALIVE_MS

    async def leave(self, holder: str) -> None:
        self.alive_until_ms.pop(holder, None)

    async def orphans(self, keys: Sequence[Key], holder: str) -> list[Key]:
        now_ms = self._now_ms()
        alive = {name for name, until_ms in self.alive_until_ms.items() if now_ms < until_ms}
        return [key for key in keys if self._holders.get(key) not in alive - {holder}]

    async def seen(self, key: Key, message_ids: Sequence[str]) -> set[str]:
        return set(message_ids) & set(self._seen[key])

    async def read(self, key: Key, after: int, count: int = 500) -> tuple[Entry, ...]:
        self.interrupt("read")
        return tuple(e for e in self._entries[key] if e.seq > after)[:count]

    async def read_last(
        self, key: Key, count: int = 500, before: int | None = None
    ) -> tuple[Entry, ...]:
        self.interrupt("read")
        found = [e for e in self._entries[key] if before is None or e.seq < before]
        return tuple(found[-count:])

    async def unanswered(self, slots: Iterable[int], before_ms: int) -> list[Unanswered]:
        self.interrupt("unanswered")
        wanted = set(slots)
        found = [
            Unanswered(key, min(waiting.values()))
            for key, waiting in self._waiting.items()
            if waiting and key.slot in wanted and next(iter(waiting.values())) <= before_ms
        ]
        return sorted(found, key=lambda entry: entry.oldest_ms)

    async def loads(self, slots: Iterable[int]) -> dict[str, int]:
        wanted = set(slots)
        loads: dict[str, int] = {}
        for key, waiting in self._waiting.items():
            if waiting and key.slot in wanted:
                loads[key.company_id] = loads.get(key.company_id, 0) + len(waiting)
        return loads

    def forget(self) -> None:
        """Loses everything, as a failover to an empty replica does."""
        for kept in (self._entries, self._seen, self._waiting, self._promised, self._seq):
            kept.clear()
        self._epoch.clear()
        self._writes.clear()
        self._memories.clear()

    def raw_events(self, key: Key = KEY) -> list[bytes]:
        return [entry.raw for entry in self._entries[key]]


class MemoryChannel:
    """A channel that keeps what is posted. `faults` are raised by the next calls, in order.

    A fault that is `stored` takes effect and fails all the same.
    """

    def __init__(self) -> None:
        self.posted: list[Outgoing] = []
        self.notes: list[Outgoing] = []
        self.cues: list[Cue] = []
        self.seen: Seen | None = None
        self.unreadable = ""
        self.looks: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.faults: dict[str, list[Exception]] = defaultdict(list)
        self.stored = False
        self.interrupt: Callable[[str], None] = lambda _: None

    async def send(self, reply: Outgoing, check: Check) -> str:
        await check()
        self.interrupt("send")
        self.calls.append("send")
        if self.faults["send"]:
            if self.stored:
                self.posted.append(reply)
            raise self.faults["send"].pop(0)
        self.posted.append(reply)
        self.interrupt("sent")
        return f"c{len(self.posted)}"

    async def find(self, reply: Outgoing) -> str | Unreadable | None:
        self.interrupt("find")
        self.calls.append("find")
        if self.faults["find"]:
            raise self.faults["find"].pop(0)
        for place, posted in enumerate(self.posted, start=1):
            if posted.reply_id == reply.reply_id:
                return f"c{place}"
        return Unreadable(self.unreadable) if self.unreadable else None

    async def look(
        self, conversation_id: str, after_message_id: str, newest_message_id: str
    ) -> Seen | None:
        del conversation_id
        self.looks.append((after_message_id, newest_message_id))
        self.interrupt("look")
        self.calls.append("look")
        if self.faults["look"]:
            raise self.faults["look"].pop(0)
        return self.seen

    async def hand_over(self, note: Outgoing, check: Check) -> None:
        self.interrupt("hand over")
        await check()
        self.calls.append("hand over")
        if self.faults["hand over"]:
            raise self.faults["hand over"].pop(0)
        self.notes.append(note)
        self.interrupt("handed over")

    async def typing(self, cue: Cue) -> None:
        self.calls.append(f"typing {'on' if cue.on else 'off'}")
        self.cues.append(cue)
        if self.faults["typing"]:
            raise self.faults["typing"].pop(0)


class ScriptedModel:
    """Echoes the question, or says `text`, after `delay_s`. `faults` are raised by the next calls,
    in order."""

    name = "scripted"

    def __init__(self, clock: VirtualClock, delay_s: float = 2.0) -> None:
        self._clock = clock
        self.delay_s = delay_s
        self.prompts: list[Prompt] = []
        self.faults: list[Exception] = []
        self.hand_over = ""
        self.text = ""
        self.running = 0
        self.most_running = 0

    async def answer(self, prompt: Prompt) -> Answer:
        self.prompts.append(prompt)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self._clock.sleep(self.delay_s)
        finally:
            self.running -= 1
        if self.faults:
            raise self.faults.pop(0)
        text = self.text or f"re: {prompt.question}"
        return Answer(text, "scripted", 7, 5, hand_over=self.hand_over)


class PlainReader:
    """Reads every attachment as its kind."""

    def __init__(self) -> None:
        self.read_urls: list[str | None] = []

    async def read(self, attachment: Attachment) -> Content:
        self.read_urls.append(attachment.url)
        return Content(f"[read: {attachment.kind}]")


class FixedLead:
    """Begins drafts so long before the window closes."""

    def __init__(self, ms: int = 0) -> None:
        self.ms = ms
        self.latencies_ms: list[int] = []

    def lead_ms(self) -> int:
        return self.ms

    def why(self) -> str:
        return "as the test says"

    def took(self, ms: int) -> None:
        self.latencies_ms.append(ms)


class CountingTally:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.counted: list[Event] = []

    def count(self, company_id: str, before: State, event: Event) -> None:
        del company_id, before
        self.counted.append(event)


def be_brief(*, customer: str, now_ms: int) -> str:
    """The company's instructions."""
    del customer, now_ms
    return "Be brief."


class OnePersona:
    """Every company speaks alike."""

    def __init__(self, persona: Persona) -> None:
        self._persona = persona

    def persona(self, company_id: str) -> Persona:
        del company_id
        return self._persona


class OwnLimits(NamedTuple):
    """What a company's line goes by."""

    company_id: str = "acme"
    turns_at_once_max: int | None = None
    tokens_per_minute_max: int | None = None


class MemorySpending:
    """The buckets in memory; tests/contract holds the rule to Redis's. `faults` are raised by the
    next calls, in order."""

    def __init__(self) -> None:
        self.levels: dict[tuple[str, str], Level] = {}
        self.charged: list[int] = []
        self.faults: list[Exception] = []

    async def take(
        self, company_id: str, what: What, amount: int, per_minute: int, now_ms: int
    ) -> tuple[bool, Level]:
        level = self.levels.get((company_id, what), Level())
        if not fits(level, amount, per_minute, now_ms):
            return False, spent(level, 0, per_minute, now_ms)
        return True, await self.charge(company_id, what, amount, per_minute, now_ms)

    async def charge(
        self, company_id: str, what: What, amount: int, per_minute: int, now_ms: int
    ) -> Level:
        if self.faults:
            raise self.faults.pop(0)
        if amount:
            self.charged.append(amount)
        before = self.levels.get((company_id, what), Level())
        level = self.levels[company_id, what] = spent(before, amount, per_minute, now_ms)
        return level


class World:
    """A whole outside, and one customer in it."""

    def __init__(
        self,
        pace: Pace | None = None,
        *,
        manners: Manners | None = None,
        part_chars: int = 1_500,
        in_doubt: Literal["resend", "hold"] = "resend",
        limits: OwnLimits = OwnLimits(),  # noqa: B008 -- a frozen value
    ) -> None:
        self.clock = VirtualClock()
        self.spending = MemorySpending()
        self.lines = Lines(self.spending, self.clock, hosts=1)
        self.journal = MemoryJournal()
        self.channel = MemoryChannel()
        self.model = ScriptedModel(self.clock)
        self.reader = PlainReader()
        self.lead = FixedLead()
        self.tally = CountingTally()
        self.pace = pace or Pace()
        self._ids = itertools.count(48_211)
        persona = Persona(
            pace=self.pace,
            manners=manners or Manners(),
            voice=be_brief,
            responder=self.model,
            channels={"chatwoot": self.channel},
            reader=self.reader,
            lead=self.lead,
            line=self.lines.of(limits),
            part_chars=part_chars,
            in_doubt=in_doubt,
        )
        self.ports = Ports(
            log=self.journal,
            personas=OnePersona(persona),
            clock=self.clock,
            dice=LoadedDice(),
            tally=self.tally,
            history_tokens=1_000,
        )

    async def write(
        self,
        text: str,
        message_id: str | None = None,
        *,
        attachments: tuple[Attachment, ...] = (),
        standing: Standing | None = None,
        key: Key = KEY,
    ) -> tuple[int, bytes]:
        """The customer writes: the message is in the journal, but nobody was told."""
        message = Message(
            message_id or str(next(self._ids)),
            text,
            "chatwoot",
            attachments=attachments,
            standing=standing,
        )
        now_ms = self.clock.now_ms()
        raw = encode(MessageReceived(at_ms=now_ms, message=message))
        appended = await self.journal.append(
            key, message.message_id, raw, at_ms=now_ms, largest_batch=self.pace.largest_batch
        )
        assert isinstance(appended, Appended)
        return appended.seq, raw

    async def note(self, event: FromOutside) -> tuple[int, bytes]:
        """Something else happens: it is in the journal, but nobody was told."""
        raw = encode(event)
        noted = await self.journal.note(KEY, "", raw, at_ms=event.at_ms, only="always")
        assert noted is not None
        return noted.seq, raw


def away() -> Retryable:
    """What the journal raises while Redis is away."""
    return Retryable("Redis is away", doubtful=True)
