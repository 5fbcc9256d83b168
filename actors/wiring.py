"""Builds every part from the settings, once a process; nobody else makes clients."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from actors.channels.chatwoot import Chatwoot
from actors.channels.webchat import JournalChannel
from actors.clock import Clock, Dice, Ids, SystemClock, SystemDice, SystemIds
from actors.companies.company import Company
from actors.companies.directory import Directory
from actors.conversation.pace import Pace
from actors.conversation.ports import Channel, Persona, Ports
from actors.journal.stream import Journal
from actors.llm.offline import OfflineResponder
from actors.llm.responder import OpenAIResponder, Responder
from actors.settings import Settings
from actors.telemetry import configure_logging

if TYPE_CHECKING:
    from httpx2 import AsyncClient as AsyncHttpx2Client

REDIS_CONNECTIONS_MAX = 64
"""Connections of one process to Redis. A caller waits for a free one: whoever may not wait, such as
the ingress, sets a limit around the whole call."""

REDIS_CONNECT_S = 1.0
REDIS_TIMEOUT_S = 3.0

MODEL_CALLS_MAX = 2_000
"""Model calls under way in one process; more wait for a connection, within the time limit."""

CHANNEL_CALLS_MAX = 32
"""Posts to Chatwoot under way in one process; more wait in line outside the client's pool, which
looks at every connection and every waiting call whenever one ends."""

TYPING_CALLS_MAX = 4
"""Connections kept for typing indicators, so that they never stand in a reply's way."""

CHANNEL_TIMEOUT_S = 10.0
KEEPALIVE_MAX = 100


def channel_client(calls_max: int) -> httpx.AsyncClient:
    """A client for a channel's API."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=calls_max)
    return httpx.AsyncClient(timeout=CHANNEL_TIMEOUT_S, limits=limits)


def pace_of(company: Company) -> Pace:
    """The company's pace as the rules take it."""
    return Pace(
        quiet_window_ms=company.quiet_window_ms,
        longest_wait_ms=company.longest_wait_ms,
        largest_batch=company.largest_batch,
        join_max_avg_chars=company.join_max_avg_chars,
        on_new_message="queue" if company.on_new_message == "queue" else "supersede",
    )


def redis_client(settings: Settings) -> Redis:
    """A client that fails fast and does not repeat by itself: callers know what may be repeated."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        max_connections=REDIS_CONNECTIONS_MAX,
        timeout=None,
        socket_connect_timeout=REDIS_CONNECT_S,
        socket_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
    return Redis(connection_pool=pool)


class _Personas:
    """Every company's persona, made when first asked for."""

    def __init__(self, settings: Settings, directory: Directory) -> None:
        self._settings = settings
        self._directory = directory
        self._personas: dict[str, Persona] = {}
        self._channel_http = channel_client(CHANNEL_CALLS_MAX)
        self._channel_places = asyncio.Semaphore(CHANNEL_CALLS_MAX)
        self._typing_http = channel_client(TYPING_CALLS_MAX)
        self._model_http: AsyncHttpx2Client | None = None

    def persona(self, company_id: str) -> Persona:
        company = self._directory.company(company_id)
        if company_id not in self._personas:
            self._personas[company_id] = Persona(
                pace=pace_of(company),
                prompt=company.prompt,
                responder=self._responder(company),
                channels=self._channels(company),
            )
        return self._personas[company_id]

    async def aclose(self) -> None:
        """Closes the clients' connections."""
        await self._channel_http.aclose()
        await self._typing_http.aclose()
        if self._model_http is not None:
            await self._model_http.aclose()

    def _channels(self, company: Company) -> dict[str, Channel]:
        journal = JournalChannel()
        channels: dict[str, Channel] = {"webchat": journal, "api": journal}
        if company.chatwoot is not None:
            channels["chatwoot"] = Chatwoot(
                self._channel_http,
                company.chatwoot,
                typing_http=self._typing_http,
                places=self._channel_places,
            )
        return channels

    def _responder(self, company: Company) -> Responder:
        settings = self._settings
        if settings.openai_api_key is None:
            return OfflineResponder()
        # These take 0.5 s to import; nobody needs them without a key.
        from httpx2 import Limits
        from openai import AsyncOpenAI, DefaultAioHttpClient

        if self._model_http is None:
            # Over aiohttp: its cost per call does not grow with the calls under way.
            self._model_http = DefaultAioHttpClient(
                timeout=settings.model_timeout_s,
                limits=Limits(
                    max_connections=MODEL_CALLS_MAX, max_keepalive_connections=KEEPALIVE_MAX
                ),
            )
        base_url = settings.openai_base_url
        client = AsyncOpenAI(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=str(base_url) if base_url else None,
            http_client=self._model_http,
            timeout=settings.model_timeout_s,
            max_retries=0,
        )
        return OpenAIResponder(
            client,
            company.model,
            temperature=company.temperature,
            max_tokens=company.max_tokens,
            max_tokens_name="max_tokens" if base_url else "max_completion_tokens",
        )


@dataclass(frozen=True)
class Parts:
    """Everything that one process of Turnwise is made of."""

    settings: Settings
    directory: Directory
    redis: Redis
    journal: Journal
    ports: Ports
    clock: Clock
    dice: Dice
    ids: Ids = field(default_factory=SystemIds)


def build(settings: Settings) -> Parts:
    """Builds the parts. Connects to nothing yet. Raises errors.Misconfigured."""
    configure_logging(settings.log_level)
    directory = Directory(settings)
    redis = redis_client(settings)
    journal = Journal(
        redis,
        waiting_max=settings.waiting_per_conversation_max,
        replicas=1 if settings.durability == "replicated" else 0,
    )
    clock, dice = SystemClock(), SystemDice()
    ports = Ports(
        log=journal,
        personas=_Personas(settings, directory),
        clock=clock,
        dice=dice,
        history_tokens=settings.history_tokens,
    )
    return Parts(settings, directory, redis, journal, ports, clock, dice)
