"""Watches a run while it goes on: writers, drafts, owners, and bugs that the service logs."""

import logging
from collections.abc import Callable, Iterator

from actors.conversation.host import Host
from actors.journal.entries import Write
from actors.journal.keys import Key
from actors.llm.prompt import Prompt
from actors.placement.names import actor_name
from tests.fakes import MemoryJournal
from tests.simulation.clusters import Cluster
from tests.simulation.companies import settings
from tests.simulation.processes import Process


class Watch(logging.Handler):
    """What was seen; `broken` are the rules that did not hold meanwhile."""

    def __init__(
        self, journal: MemoryJournal, now_s: Callable[[], float], clusters: list[Cluster]
    ) -> None:
        super().__init__(logging.ERROR)
        self._journal = journal
        self._now_s = now_s
        self._clusters = clusters
        self._drafts: dict[tuple[Process, str], int] = {}
        self._alone_since: dict[Key, float] = {}
        self._disturbed_s: dict[str, float] = {}
        self.broken: list[str] = []
        self.silence_s = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.broken.append(f"a bug: {record.getMessage()}: {record.exc_info[1]!r}")

    # Writers and drafts.

    def recorded(self, process: Process, key: Key, write: Write) -> None:
        """A write was taken by Redis."""
        held = self._journal._epoch[key]
        if write.epoch != held:
            self.broken.append(
                f"{key}: {process} wrote under epoch {write.epoch} while {held} holds the pen"
            )

    def model_called(self, process: Process, prompt: Prompt) -> Callable[[], None]:
        """A draft begins; the answer is called when it ends."""
        key = prompt.conversation
        call = (process, key)
        if self._drafts.get(call) and process.is_live:
            self.broken.append(f"{key}: {process} makes two drafts at once")
        if self._holds(process, Key.parse(key)):
            for (other, where), drafts in self._drafts.items():
                if where == key and drafts and other is not process and not other.dead:
                    held = self._holds(other, Key.parse(key))
                    if held:
                        self.broken.append(f"{key}: {process} and {other} draft at once")
        self._drafts[call] = self._drafts.get(call, 0) + 1

        def ended() -> None:
            self._drafts[call] -= 1

        return ended

    def _holds(self, process: Process, key: Key) -> bool:
        """Whether it holds the pen, as Redis sees it."""
        held = self._journal._epoch[key]
        return any(
            _epoch(host, key) == held for other, host in self._everybody() if other is process
        )

    # Owners.

    def disturbed(self, host: str, until_s: float = 0.0) -> None:
        """The host of this name was killed or stopped now, or reaches nobody until then: a silence
        is counted from there, since another fault may always follow."""
        self._disturbed_s[host] = max(self._now_s(), until_s, self._disturbed_s.get(host, 0.0))

    def look(self) -> None:
        """Is anybody at work where a message waits?"""
        for key, waiting in self._journal._waiting.items():
            if not waiting or self._has_owner(key):
                self._alone_since.pop(key, None)
                continue
            since_s = self._alone_since.setdefault(key, self._now_s())
            disturbed_s = self._disturbed_s.get(actor_name(key, settings()), 0.0)
            self.silence_s = max(self.silence_s, self._now_s() - max(since_s, disturbed_s))

    def _has_owner(self, key: Key) -> bool:
        held = self._journal._epoch[key]
        return any(
            process.is_live and key in host._running and _epoch(host, key) in (0, held)
            for process, host in self._everybody()
        )

    def _everybody(self) -> Iterator[tuple[Process, Host]]:
        for cluster in self._clusters:
            for place in cluster.hosts:
                yield from place.everybody()

    def is_quiet(self) -> bool:
        """Whether nobody waits and nobody works."""
        if any(self._journal._waiting.values()):
            return False
        return not any(process.is_live and host.busy for process, host in self._everybody())


def _epoch(host: Host, key: Key) -> int | None:
    mailbox = host._mailboxes.get(key)
    return None if mailbox is None else mailbox._pen.epoch
