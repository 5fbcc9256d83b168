"""Holds the two companies of every run, and makes their personas in a process."""

import asyncio
import random
from functools import cache

import httpx

from actors.channels.chatwoot import Chatwoot as ChatwootChannel
from actors.channels.message import Cue
from actors.clock import Clock
from actors.companies.company import Company, UnknownCompany
from actors.companies.making import company_of
from actors.conversation.line import Lines
from actors.conversation.ports import Persona
from actors.personas import CHANNEL_CALLS_MAX, CHANNEL_TIMEOUT_S, manners_of, pace_of
from actors.settings import Settings
from actors.tables import CompanySettings
from tests.fakes import FixedLead, MemorySpending, PlainReader, be_brief
from tests.simulation.model import PART_CHARS, Model

ACCOUNTS = {"acme": 1, "globex": 2}
TOKENS = {account: f"token of {name}" for name, account in ACCOUNTS.items()}
COMPANIES = {account: name for name, account in ACCOUNTS.items()}


@cache
def settings() -> Settings:
    """The same in every environment, as far as the simulation uses it."""
    return Settings.model_validate(
        {"hosts": 2, "placement": "shared", "requests_per_replica_max": 512}
    )


@cache
def _company(
    name: str, quiet_s: float, policy: str, resume_s: float | None, at_once: int | None
) -> Company:
    table = {
        "quiet_window_s": quiet_s,
        "longest_wait_s": 8,
        "max_batch": 4,
        "on_new_message": policy,
        "supersede_max": 2,
        "resume_after_s": resume_s,
        "turns_at_once_max": at_once,
        "reply_part_chars": PART_CHARS,
        "chatwoot": {
            "base_url": "http://chatwoot.test",
            "account_id": ACCOUNTS[name],
            "api_key": TOKENS[ACCOUNTS[name]],
            "webhook_secret": "secret",
        },
    }
    return company_of(name, CompanySettings.model_validate(table), settings())


def companies(dice: random.Random) -> dict[str, Company]:
    """The companies of one run."""
    return {
        name: _company(
            name,
            dice.choice([0.5, 2.0]),
            dice.choice(["supersede", "supersede", "queue"]),
            dice.choice([None, 20.0]),
            dice.choice([None, None, 1]),
        )
        for name in ACCOUNTS
    }


class _Wordless(ChatwootChannel):
    """Shows no typing: in most runs, since it is a third of all calls and changes nothing."""

    async def typing(self, cue: Cue) -> None:
        del cue


class ProcessPersonas:
    """The personas of one process: production channels over its own wire."""

    def __init__(
        self,
        known: dict[str, Company],
        model: Model,
        wire: httpx.AsyncBaseTransport,
        clock: Clock,
        *,
        lead_ms: int,
        shows_typing: bool,
    ) -> None:
        self._known = known
        self._model = model
        self._lead = FixedLead(lead_ms)
        self._shows_typing = shows_typing
        self._lines = Lines(MemorySpending(), clock, settings().hosts)
        self._http = httpx.AsyncClient(transport=wire, timeout=CHANNEL_TIMEOUT_S)
        self._made: dict[str, Persona] = {}

    def persona(self, company_id: str) -> Persona:
        if company_id not in self._known:
            raise UnknownCompany(f"no company {company_id}")
        if company_id not in self._made:
            self._made[company_id] = self._persona(self._known[company_id])
        return self._made[company_id]

    def _persona(self, company: Company) -> Persona:
        assert company.chatwoot is not None
        channel = (ChatwootChannel if self._shows_typing else _Wordless)(
            self._http,
            company.chatwoot,
            typing_http=self._http,
            places=asyncio.Semaphore(CHANNEL_CALLS_MAX),
        )
        return Persona(
            pace=pace_of(company),
            manners=manners_of(company),
            voice=be_brief,
            responder=self._model,
            channels={"chatwoot": channel},
            reader=PlainReader(),
            lead=self._lead,
            line=self._lines.of(company),
            part_chars=company.reply_part_chars,
        )
