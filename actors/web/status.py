"""Serves how companies stand: the age of the oldest unanswered message, what waits, what runs."""

import asyncio
from collections import Counter
from typing import Any, Protocol

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from actors.companies.company import BrokenCompany, Company
from actors.companies.directory import Directory
from actors.journal.ages import Oldest, oldest_by_company
from actors.journal.dead_letters import DeadLetters
from actors.journal.keys import SLOTS
from actors.journal.stream import SLOT_PAGE, Journal
from actors.web.access import Access
from actors.wiring import Parts

STATUS_FRESH_MS = 2_000
"""The figures of all companies are read together, and again after so long, however many ask."""

Turns = tuple[dict[str, tuple[int, int]], list[str]]
"""By company the turns that run and that wait in line; and the hosts that did not say."""


class Hosts(Protocol):
    """The part of placement.Router that is asked."""

    async def turns(self) -> Turns: ...


class Figures(msgspec.Struct, frozen=True):
    """All companies at one moment. `is_whole`: no slot held more conversations than one page, so
    that the oldest message of each company is known."""

    at_ms: int = 0
    oldest: dict[str, Oldest] = {}
    messages: dict[str, int] = {}
    turns: dict[str, tuple[int, int]] = {}
    dead_letters: dict[str, int] = {}
    hosts_silent: tuple[str, ...] = ()
    is_whole: bool = True

    def of(self, company_id: str) -> dict[str, Any]:
        """One company's figures as JSON; times in seconds, None where nobody waits."""
        oldest = self.oldest.get(company_id)
        running, in_line = self.turns.get(company_id, (0, 0))
        return {
            "company_id": company_id,
            "oldest_unanswered_age_s": _age_s(oldest, self.at_ms),
            "oldest_unanswered_in": oldest.conversation_id if oldest else None,
            "unanswered_conversations": oldest.conversations if oldest else 0,
            "unanswered_messages": self.messages.get(company_id, 0),
            "turns_running": running,
            "turns_in_line": in_line,
            "dead_letters": self.dead_letters.get(company_id, 0),
        }

    @property
    def frame(self) -> dict[str, Any]:
        """What counts for all of them."""
        return {
            "at_ms": self.at_ms,
            "hosts_silent": list(self.hosts_silent),
            "is_whole": self.is_whole,
        }


def _age_s(oldest: Oldest | None, now_ms: int) -> float | None:
    return None if oldest is None else round(max(0, now_ms - oldest.at_ms) / 1_000, 3)


class Status:
    """The figures of all companies, read at most every STATUS_FRESH_MS."""

    def __init__(self, parts: Parts, hosts: Hosts) -> None:
        self._journal: Journal = parts.journal
        self._dead_letters: DeadLetters = parts.dead_letters
        self._directory: Directory = parts.directory
        self._clock = parts.clock
        self._hosts = hosts
        self._figures = Figures()
        self._one_at_a_time = asyncio.Lock()

    async def company(self, company: Company | str) -> dict[str, Any]:
        """One company, with its limits where its settings are known. Raises Retryable."""
        figures = await self._read()
        if isinstance(company, str):
            return {**figures.of(company), "limits": None, **figures.frame}
        return {**figures.of(company.company_id), "limits": limits(company), **figures.frame}

    async def all(self) -> dict[str, Any]:
        """Every company that is known or owes an answer; who waits longest stands first."""
        figures = await self._read()
        names = {*self._directory.ids(), *figures.oldest, *figures.turns, *figures.dead_letters}
        shown = [figures.of(name) for name in sorted(names)]
        shown.sort(key=lambda company: -(company["oldest_unanswered_age_s"] or 0))
        longest = max((company["oldest_unanswered_age_s"] or 0 for company in shown), default=0)
        return {
            "oldest_unanswered_age_s": longest or None,
            "companies": shown,
            **figures.frame,
        }

    async def _read(self) -> Figures:
        async with self._one_at_a_time:
            now_ms = self._clock.now_ms()
            if now_ms - self._figures.at_ms > STATUS_FRESH_MS:
                self._figures = await self._read_now(now_ms)
            return self._figures

    async def _read_now(self, now_ms: int) -> Figures:
        owing, messages, (turns, silent), dead = await asyncio.gather(
            self._journal.unanswered(range(SLOTS), now_ms),
            self._journal.loads(range(SLOTS)),
            self._hosts.turns(),
            self._dead_letters.counts(),
        )
        fullest = max(Counter(entry.key.slot for entry in owing).values(), default=0)
        return Figures(
            at_ms=now_ms,
            oldest=oldest_by_company(owing),
            messages=messages,
            turns=turns,
            dead_letters=dead,
            hosts_silent=tuple(silent),
            is_whole=fullest < SLOT_PAGE,
        )


def limits(company: Company) -> dict[str, int | None]:
    """What bounds the company; None: it has no such limit of its own."""
    return {
        "turns_at_once_max": company.turns_at_once_max,
        "messages_per_minute_max": company.messages_per_minute_max,
        "tokens_per_minute_max": company.tokens_per_minute_max,
        "waiting_max": company.waiting_max,
    }


def routes(parts: Parts, hosts: Hosts, access: Access) -> APIRouter:
    """GET /api/status and /api/companies/{company_id}/status."""
    status = Status(parts, hosts)
    api = APIRouter(prefix="/api", tags=["status"])

    @api.get("/status")
    async def get_status(request: Request) -> JSONResponse:
        """How all companies stand, who waits longest first. For the operator."""
        access.operator(request)
        return JSONResponse(await status.all())

    @api.get("/companies/{company_id}/status")
    async def get_company_status(company_id: str, request: Request) -> JSONResponse:
        """How a company stands: the age of its oldest unanswered message, what waits, what runs.
        For the company itself and the operator."""
        try:
            company = parts.directory.company(company_id)
        except BrokenCompany:
            access.operator(request)
            return JSONResponse(await status.company(company_id))
        access.company(request, company)
        return JSONResponse(await status.company(company))

    return api
