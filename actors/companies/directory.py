"""Finds the companies by id; takes up changes of the companies file and of Redis while it runs."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from actors.clock import Clock
from actors.companies.company import BrokenCompany, Company, UnknownCompany
from actors.companies.making import company_of
from actors.companies.sealing import Seal
from actors.companies.store import CompanyStore, Stored, table_in
from actors.errors import Misconfigured, Retryable
from actors.layers import Layer
from actors.settings import Settings
from actors.tables import CompanySettings, company_settings
from actors.telemetry import logger

REFRESH_S = 2.0
"""A change is taken up by every process within this."""

Check = Callable[[Company], None]
"""Raises Misconfigured with the key's path: what only a floor above can judge."""

Mark = tuple[int, int, int]
"""What a changed file has otherwise: the time of its last change, its size, its number."""

_log = logger("companies")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one company.

    `company` and `settings` are the last good ones, None where there was none; `reason` says what
    is wrong with the present ones. `written`: the layers of the file and the environment, and the
    table as it is stored in Redis.
    """

    written: tuple[tuple[Layer, ...], bytes | None]
    layers: tuple[Layer, ...] = ()
    settings: CompanySettings | None = None
    company: Company | None = None
    reason: str | None = None


class Directory:
    """All companies of this deployment, as far as this process knows.

    A company whose settings become bad keeps its last good ones; no company disturbs another.
    Raises Misconfigured where the companies file cannot be read at all.
    """

    def __init__(self, settings: Settings, checks: Sequence[Check] = ()) -> None:
        self._settings = settings
        self._checks = checks
        self._seal = Seal(settings.secrets_key)
        self._refreshing = asyncio.Lock()
        self._mark = _mark(settings.companies_file)
        self._written = settings.layers()
        self._stored = Stored(0, {})
        self._version: int | None = None
        self._trouble: str | None = None
        self._entries: dict[str, Entry] = {}
        self._take(self._made())

    def company(self, company_id: str) -> Company:
        """Raises UnknownCompany, which names it, or BrokenCompany with the reason."""
        entry = self.entry(company_id)
        if entry.company is None:
            raise BrokenCompany(entry.reason or f"company {company_id} is broken")
        return entry.company

    def __iter__(self) -> Iterator[Company]:
        return iter([e.company for e in self._entries.values() if e.company is not None])

    def broken(self) -> dict[str, str]:
        """Why, for each company whose present settings are bad; it may live by earlier ones."""
        return {name: e.reason for name, e in self._entries.items() if e.reason is not None}

    @property
    def trouble(self) -> str | None:
        """Why the companies file, as it is now, is not taken up; None where it is."""
        return self._trouble

    def require_one(self) -> None:
        """Raises Misconfigured where no company is good: a start without any helps nobody."""
        if next(iter(self), None) is None:
            raise Misconfigured(self._settings.located(next(iter(self.broken().values()), "")))

    def entry(self, company_id: str) -> Entry:
        """All that is known of a company. Raises UnknownCompany."""
        try:
            return self._entries[company_id]
        except KeyError:
            raise UnknownCompany(
                f"company {company_id[:64]!r} is not known here; companies are set by COMPANY_ID, "
                "in COMPANIES_FILE or through PUT /api/companies/<id>"
            ) from None

    def ids(self) -> list[str]:
        """Every company, the broken ones too."""
        return list(self._entries)

    @property
    def stored(self) -> Stored:
        """The tables in Redis as this process last read them."""
        return self._stored

    def is_written(self, company_id: str) -> bool:
        """Whether the file or the environment names the company."""
        return company_id in self._written

    def tried(self, company_id: str, sealed: Mapping[str, Any] | None) -> Entry:
        """What the company would be with this stored table. Raises Misconfigured."""
        below = self._written.get(company_id) or self._settings.foundation()
        layers = below
        if sealed is not None:
            layers = (*below, Layer("api", self._seal.opened(company_id, sealed)))
        settings = company_settings(company_id, layers)
        company = company_of(company_id, settings, self._settings)
        for check in self._checks:
            check(company)
        return Entry((below, None), layers, settings, company)

    def sealed(self, company_id: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """The table as it may be stored, its secrets under the first key. Raises Misconfigured."""
        return self._seal.sealed(company_id, self._seal.opened(company_id, table))

    async def refresh(self, redis: Redis) -> None:
        """Takes up what changed in the file or in Redis. Raises Retryable where Redis is away."""
        async with self._refreshing:
            store = CompanyStore(redis)
            mark, version = _mark(self._settings.companies_file), await store.version()
            if mark == self._mark and version == self._version:
                return
            if version != self._version:
                self._stored = await store.read()
            if mark != self._mark:
                self._read_file()
            # Aside: a check may import somebody's code.
            self._take(await asyncio.to_thread(self._made))
            self._mark, self._version = mark, self._stored.version

    def _read_file(self) -> None:
        try:
            self._written = self._settings.layers()
            self._trouble = None
        except Misconfigured as error:
            self._trouble = str(error)
            _log.error("the companies stay as they were: %s", error)

    def _made(self) -> dict[str, Entry]:
        """Every company anew, but for those whose tables are the same and good."""
        return {
            company_id: self._entry(company_id, self._stored.tables.get(company_id))
            for company_id in dict.fromkeys([*self._written, *self._stored.tables])
        }

    def _entry(self, company_id: str, raw: bytes | None) -> Entry:
        before = self._entries.get(company_id)
        written = (self._written.get(company_id, ()), raw)
        if before is not None and before.written == written and before.reason is None:
            return before
        try:
            sealed = None if raw is None else table_in(company_id, raw)
            made = self.tried(company_id, sealed)
        except Misconfigured as error:
            kept = before or Entry(written)
            return Entry(written, kept.layers, kept.settings, kept.company, str(error))
        company = made.company
        if before is not None and before.company == company:
            company = before.company  # the very same, so that callers can cache by identity
        return Entry(written, made.layers, made.settings, company)

    def _take(self, entries: dict[str, Entry]) -> None:
        for company_id, entry in entries.items():
            before = self._entries.get(company_id)
            was = before.reason if before is not None else None
            if entry.reason is not None and entry.reason != was:
                kept = " (it lives by its last good settings)" if entry.company else ""
                _log.error("company %s is broken%s: %s", company_id, kept, entry.reason)
            elif entry.reason is None and was is not None:
                _log.info("company %s is good again", company_id)
        self._entries = entries


def _mark(path: Path | None) -> Mark | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


async def follow(directory: Directory, redis: Redis, clock: Clock) -> None:
    """Refreshes the directory for as long as the process lives. Never returns."""
    away = False
    while True:
        try:
            await directory.refresh(redis)
            away = False
        except Retryable as error:
            if not away:
                _log.warning("the companies are not looked at until Redis is back: %s", error)
            away = True
        await clock.sleep(REFRESH_S)
