"""Asks the model about a batch: reads what came with it, builds the prompt, times the answer."""

import asyncio
from collections.abc import Sequence

from actors.conversation import decisions
from actors.conversation.batching import Batch, joined_text
from actors.conversation.events import Read
from actors.conversation.history import said_before
from actors.conversation.pen import Pen
from actors.conversation.ports import Persona, Ports
from actors.conversation.state import Open
from actors.errors import Permanent, Retryable
from actors.journal.entries import Entry
from actors.journal.keys import Key
from actors.llm.prompt import Content, Line, Prompt, tokens, within_budget
from actors.llm.responder import Answer

HISTORY_PAGE = 200
HISTORY_PAGES_MAX = 10
"""The prompt's history is read back in so many pages of so many events at most."""

HISTORY_LINES = 100
"""No further page is read when so many lines were said in those before."""

TURN_S = 300.0
"""A draft takes no longer than this, with all attachments, tools and rounds."""

ATTACHMENTS_MAX = 10
"""Attachments read for one turn; more are named, not read."""

READ_CHARS_KEPT_MAX = 4_000
"""Characters of what was read of a message's attachments that later turns see again."""


class Draft:
    """One draft in the making. `cost_tokens`: what it has cost so far, as far as is known."""

    def __init__(
        self, key: Key, start: decisions.Start, pen: Pen, persona: Persona, ports: Ports
    ) -> None:
        self._key = key
        self._start = start
        self._pen = pen
        self._persona = persona
        self._ports = ports
        self._before_seq = pen.state.seq + 1
        self._open_seqs = {entry.seq for entry in pen.state.open} | set(start.batch.seqs)
        self.cost_tokens = 0
        self._task: asyncio.Task[decisions.Work] | None = None

    def begin(self, woken: asyncio.Event) -> None:
        """Asks in the background; `woken` is set at the end."""
        self._task = asyncio.create_task(self._ask(), name=f"draft {self._start.turn_id}")
        self._task.add_done_callback(lambda _: woken.set())

    @property
    def is_done(self) -> bool:
        return self._task is not None and self._task.done()

    def result(self) -> decisions.Work:
        """What came of it. A bug of the responder is raised here."""
        assert self._task is not None
        return self._task.result()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _ask(self) -> decisions.Work:
        batch = self._start.batch
        began_ms = self._ports.clock.now_ms()
        try:
            async with asyncio.timeout(TURN_S):
                prompt, read = await self._prompt(batch)
                self.cost_tokens = _size_tokens(prompt)
                answer = await self._persona.responder.answer(prompt)
        except TimeoutError:
            return self._failed(Retryable(f"no answer within {TURN_S:g} s, tools included"))
        except (Retryable, Permanent) as error:
            return self._failed(error)
        self._persona.lead.took(self._ports.clock.now_ms() - began_ms)
        return self._drafted(answer, read)

    def _failed(self, error: Retryable | Permanent) -> decisions.DraftFailed:
        return decisions.DraftFailed(
            covers=self._start.batch.seqs,
            error=str(error),
            retryable=isinstance(error, Retryable),
            asked_s=error.after_s if isinstance(error, Retryable) else None,
            jitter=self._ports.dice.between(0, 1),
        )

    def _drafted(
        self, answer: Answer, read: tuple[Read, ...]
    ) -> decisions.Drafted | decisions.DraftFailed:
        if not answer.text.strip() and not answer.hand_over:
            return self._failed(Retryable("the responder answered with an empty text"))
        self.cost_tokens = answer.tokens_in + answer.tokens_out or self.cost_tokens
        return decisions.Drafted(
            covers=self._start.batch.seqs,
            text=answer.text,
            model=answer.model,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            hand_over=answer.hand_over,
            tools=answer.tools,
            read=read,
            as_of=self._start.as_of,
        )

    async def _prompt(self, batch: Batch) -> tuple[Prompt, tuple[Read, ...]]:
        lines, contents = await asyncio.gather(self._lines(), self._contents(batch.entries))
        customer = next((e.message.sender for e in batch.entries if e.message.sender), "")
        texts = [_worded(entry, contents.get(entry.seq, ())) for entry in batch.entries]
        prompt = Prompt(
            system=self._persona.voice(customer=customer, now_ms=self._ports.clock.now_ms()),
            history=within_budget(lines, self._ports.history_tokens),
            question=joined_text(texts),
            joined=len(batch.entries),
            how=batch.how,
            pictures=tuple(
                content.picture
                for entry in batch.entries
                for content in contents.get(entry.seq, ())
                if content.picture is not None
            ),
            conversation=str(self._key),
            customer=customer,
        )
        read = tuple(
            Read(entry.seq, text[:READ_CHARS_KEPT_MAX])
            for entry, text in zip(batch.entries, texts, strict=True)
            if contents.get(entry.seq)
        )
        return prompt, read

    async def _lines(self) -> list[Line]:
        """What was said before. Typing and the like fill pages too: it is the lines that count."""
        history: tuple[Entry, ...] = ()
        lines: list[Line] = []
        for _ in range(HISTORY_PAGES_MAX):
            page = await self._page(history[0].seq if history else self._before_seq)
            history = (*page, *history)
            lines = said_before(history, self._open_seqs)
            if len(page) < HISTORY_PAGE or len(lines) >= HISTORY_LINES:
                break
        return lines

    async def _page(self, before: int) -> tuple[Entry, ...]:
        return await self._pen.patiently(
            lambda: self._ports.log.read_last(self._key, HISTORY_PAGE, before=before)
        )

    async def _contents(self, entries: Sequence[Open]) -> dict[int, tuple[Content, ...]]:
        """What came with the messages, read; by sequence number."""
        reader, left = self._persona.reader, ATTACHMENTS_MAX
        found: dict[int, tuple[Content, ...]] = {}
        for entry in entries:
            looked_at = entry.message.attachments[:left]
            left -= len(looked_at)
            if looked_at:
                read = await asyncio.gather(*map(reader.read, looked_at))
                more = entry.message.attachments[len(looked_at) :]
                named = [Content(f"[not read: {a.kind}]", is_read=False) for a in more]
                found[entry.seq] = (*read, *named)
        return found


def _worded(entry: Open, contents: Sequence[Content]) -> str:
    """The message as the model reads it: its text, and what was read of its attachments."""
    if not contents:
        return entry.message.readable
    files = "\n".join(content.text for content in contents)
    return f"{entry.message.text}\n{files}" if entry.message.text else files


def _size_tokens(prompt: Prompt) -> int:
    """About how many tokens the question costs."""
    lines = sum(tokens(line.text) for line in prompt.history)
    return tokens(prompt.system) + lines + tokens(prompt.question)
