"""Searches one company's Chatwoot, inbox by inbox, page by page, within the bounds of one run."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import msgspec

from actors.channels.chatwoot import NOT_FOR_BOTS
from actors.channels.chatwoot_archive import Archive, Row, Written
from actors.channels.inboxes import CONNECTED_MS, Inbox
from actors.companies.company import Company
from actors.errors import Permanent, Retryable
from actors.journal.keys import Key
from actors.maintenance.finding import Span
from actors.maintenance.intake import Counted, Deliver, Intake, NoRoom
from actors.maintenance.progress import Progress, ProgressStore
from actors.telemetry import logger
from actors.wiring import Parts

CALLS_MAX = 600
"""Calls of a company's Chatwoot in one run; the next run goes on."""

MESSAGE_PAGES_MAX = 50
"""Pages of 20 messages read of one conversation."""

OVERLAP_MS = 5 * 60 * 1_000
"""A search begins so long before the last one began: clocks differ, and messages are left young."""

WAIT_S = 60.0
"""After a 429 without a Retry-After: Chatwoot counts calls by the minute."""

WAIT_S_MAX = 3_600.0
"""The longest Retry-After honoured."""

_log = logger("maintenance")
_T = TypeVar("_T")

Ended = Literal["complete", "goes on", "full", "waiting", "busy", "refused", "no inbox"]


class Found(msgspec.Struct, frozen=True):
    """What a run found in one company's Chatwoot.

    `state`: complete | goes on (a bound was reached) | full (too many messages wait here) | waiting
    (Chatwoot does not answer, or asks to be left alone) | busy (another run is at work) | refused
    (the token may not list) | no inbox; all but the first with a `reason`, and the next run goes
    on. `inboxes`: those that are searched; `conversations`: those that were looked into. Messages:
    `to_answer`, `missed` (too old, or answered by others), `people` (answers of people), `young`
    (left to their webhooks). `calls` of Chatwoot.
    """

    company_id: str
    state: Ended = "complete"
    reason: str = ""
    inboxes: tuple[str, ...] = ()
    conversations: int = 0
    to_answer: int = 0
    missed: int = 0
    people: int = 0
    young: int = 0
    calls: int = 0


class _Stop(Exception):
    """The run ends before its search does."""

    def __init__(self, state: Ended, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class Search:
    """One run over one company."""

    def __init__(
        self,
        parts: Parts,
        company: Company,
        archive: Archive,
        store: ProgressStore,
        deliver: Deliver,
    ) -> None:
        self._clock = parts.clock
        self._company = company
        self._archive = archive
        self._store = store
        self._intake = Intake(parts, company, deliver)
        self._progress = Progress()
        self._key = ""
        self._until_ms = 0
        self._calls = 0
        self._conversations = 0

    async def run(self, key: str, known: Mapping[str, Inbox], seconds: float) -> Found:
        """Searches for at most so long, under this account_key. Raises Retryable where Redis is
        away."""
        self._key, self._until_ms = key, self._clock.now_ms() + round(seconds * 1_000)
        self._progress = await self._store.read(key)
        inboxes = self._followed(known)
        try:
            await self._through(inboxes, known)
        except _Stop as stop:
            return self._found(inboxes, stop.state, stop.reason)
        except NoRoom as full:
            return self._found(inboxes, "full", str(full))
        return self._found(inboxes, "complete", "")

    def _followed(self, known: Mapping[str, Inbox]) -> tuple[str, ...]:
        """The inboxes that are connected, and those that the company names."""
        # Held against our own last search: while we were down no webhook could come.
        now_ms = self._progress.complete_ms or self._clock.now_ms()
        connected = [name for name, one in known.items() if now_ms - one.last_ms <= CONNECTED_MS]
        return tuple(sorted({*connected, *self._company.catch_up_inboxes}, key=int))

    def _found(self, inboxes: tuple[str, ...], state: Ended, reason: str) -> Found:
        counted: Counted = self._intake.counted
        return Found(
            company_id=self._company.company_id,
            state=state,
            reason=reason,
            inboxes=inboxes,
            conversations=self._conversations,
            to_answer=counted.to_answer,
            missed=counted.missed,
            people=counted.people,
            young=counted.young,
            calls=self._calls,
        )

    async def _through(self, inboxes: tuple[str, ...], known: Mapping[str, Inbox]) -> None:
        """The search in progress to its end, and one more where that began in an earlier run."""
        now_ms = self._clock.now_ms()
        if self._progress.wait_ms > now_ms:
            wait_s = (self._progress.wait_ms - now_ms) / 1_000
            raise _Stop("waiting", f"Chatwoot asked to be left alone for another {wait_s:.0f} s")
        if not inboxes:
            raise _Stop(
                "no inbox",
                "no webhook has brought a customer's message yet, and catch_up_inboxes names none",
            )
        resumed = True
        while resumed:
            resumed = self._progress.began_ms > 0
            self._progress = self._progress.begun(self._clock.now_ms())
            for inbox_id in inboxes:
                if inbox_id not in self._progress.done:
                    await self._inbox(inbox_id, self._since_ms(inbox_id, known))
            await self._advance(self._progress.completed())

    async def _advance(self, progress: Progress) -> None:
        self._progress = progress
        await self._store.write(self._key, progress)

    def _since_ms(self, inbox_id: str, known: Mapping[str, Inbox]) -> int:
        """What was written before an inbox was connected is nobody's business here, unless the
        company names it."""
        inbox = known.get(inbox_id)
        named = inbox_id in self._company.catch_up_inboxes
        return 0 if named or inbox is None else inbox.since_ms

    def _span(self, since_ms: int) -> tuple[Span, int]:
        """The times that matter, and how far back conversations are listed."""
        now_ms, age_ms = self._clock.now_ms(), self._company.catch_up_age_ms
        oldest_ms = now_ms - age_ms
        last_ms = self._progress.complete_ms - OVERLAP_MS if self._progress.complete_ms else 0
        # A conversation that moved up the list during the last search was not in it: once it is
        # seen, it is read back as far as anything may be answered.
        read_ms = min(last_ms, oldest_ms) if last_ms else oldest_ms
        span = Span(max(read_ms, since_ms), age_ms, now_ms)
        return span, max(last_ms, since_ms, oldest_ms)

    async def _inbox(self, inbox_id: str, since_ms: int) -> None:
        # What became active meanwhile moved to the front, and all else down the list; what was
        # deleted moved it up: by less than a page.
        page = max(1, self._progress.page - 1)
        while True:
            rows = await self._rows(inbox_id, page)
            span, listed_ms = self._span(since_ms)
            for row in rows:
                if row.inbox_id == inbox_id and row.active_ms >= listed_ms:
                    await self._conversation(row, span)
            # By the last of the page: what somebody pinned stands first, however old it is.
            if not rows or rows[-1].active_ms < listed_ms:
                break
            page += 1
            await self._advance(self._progress.on_page(page))
        await self._advance(self._progress.finished(inbox_id))

    async def _rows(self, inbox_id: str, page: int) -> list[Row]:
        try:
            return await self._ask(lambda: self._archive.conversations(inbox_id, page))
        except Permanent as error:
            raise _Stop("refused", why_refused(error)) from error

    async def _conversation(self, row: Row, span: Span) -> None:
        mark = await self._store.mark(self._key, row.conversation_id)
        if row.newest and row.newest <= mark:
            return
        try:
            messages = await self._messages(row, mark, span.floor_ms)
        except Permanent:
            return  # deleted since, or not for this user to see
        self._conversations += 1
        key = Key(self._company.company_id, row.conversation_id)
        settled = await self._intake.take(key, row, messages, span)
        if settled > mark:
            await self._store.set_mark(self._key, row.conversation_id, settled)

    async def _messages(self, row: Row, mark: int, floor_ms: int) -> list[Written]:
        """The last messages, back to the mark or to the time that matters."""
        found: list[Written] = []
        before: int | None = None
        for _ in range(MESSAGE_PAGES_MAX):
            page = await self._page(row, before)
            found = [*page, *found]
            if not page or page[0].number <= mark or page[0].written_ms < floor_ms:
                break
            before = page[0].number
        else:
            _log.warning(
                "conversation %s:%s has more new messages than the %d that are read of one; the "
                "older ones are not caught up",
                self._company.company_id,
                row.conversation_id,
                len(found),
            )
        return found

    async def _page(self, row: Row, before: int | None) -> list[Written]:
        return await self._ask(lambda: self._archive.messages(row, before))

    async def _ask(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """One call of Chatwoot, within the bounds of the run."""
        if self._calls >= CALLS_MAX:
            raise _Stop("goes on", f"{CALLS_MAX} calls of Chatwoot, the most of one run")
        if self._clock.now_ms() >= self._until_ms:
            raise _Stop("goes on", "the time of one run is over")
        self._calls += 1
        try:
            return await call()
        except Retryable as error:
            raise _Stop("waiting", await self._why_waiting(error)) from error

    async def _why_waiting(self, error: Retryable) -> str:
        if error.after_s is not None or ": 429 " in str(error):
            wait_s = min(error.after_s or WAIT_S, WAIT_S_MAX)
            then_ms = self._clock.now_ms() + round(wait_s * 1_000)
            await self._advance(msgspec.structs.replace(self._progress, wait_ms=then_ms))
        return str(error)


def why_refused(error: Permanent) -> str:
    """Why nothing can be listed, and what to do."""
    if NOT_FOR_BOTS in str(error):
        return (
            "the token (CHATWOOT_API_KEY, or chatwoot.api_key) is an agent bot's, which may not "
            "list conversations: catch-up needs a user's"
        )
    return str(error)
