"""Makes each company's persona: its pace, manners, voice, responder and channels."""

import asyncio
from typing import TYPE_CHECKING

import httpx

from actors.analytics.spending import Spending
from actors.analytics.tallies import Tallies
from actors.channels.chatwoot import Chatwoot
from actors.channels.chatwoot_archive import Archive
from actors.channels.download import Downloads, file_client
from actors.channels.typing import indicators
from actors.channels.webchat import JournalChannel
from actors.clock import Clock
from actors.companies.company import Company
from actors.companies.directory import Directory
from actors.conversation.lead import Leads
from actors.conversation.line import TURNS_MAX, Lines
from actors.conversation.manners import Manners
from actors.conversation.pace import Pace
from actors.conversation.ports import Channel, Persona
from actors.errors import Misconfigured, Permanent
from actors.knowledge.parsing import Parser
from actors.llm.attachments import Attachments, Means
from actors.llm.custom import responder_of, tools_of
from actors.llm.offline import OfflineResponder
from actors.llm.readings import DOWNLOADS_MAX, Readings
from actors.llm.responder import OpenAIResponder, Responder
from actors.llm.tools import Toolbox
from actors.llm.transcription import OpenAITranscriber, Transcriber
from actors.llm.voice import CompanyVoice
from actors.settings import Settings

if TYPE_CHECKING:
    from httpx2 import AsyncClient as AsyncHttpx2Client
    from openai import AsyncOpenAI

MODEL_CALLS_MAX = TURNS_MAX + DOWNLOADS_MAX
"""Model calls under way in one process: one for each turn that may run, and the voice notes under
transcription. So no turn that its company's line lets begin waits for a connection."""

CHANNEL_CALLS_MAX = 32
"""Posts of one company under way in one process; more wait in line outside the client's pool, which
looks at every connection and every waiting call whenever one ends. Each company has its own line: a
Chatwoot that hangs delays nobody else."""

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
        first_window_ms=company.first_window_ms,
        longest_wait_ms=company.longest_wait_ms,
        largest_batch=company.largest_batch,
        join_max_avg_chars=company.join_max_avg_chars,
        on_new_message="queue" if company.on_new_message == "queue" else "supersede",
        supersede_max=company.supersede_max,
        learned=company.learned_pace,
        window_min_ms=company.window_min_ms,
        window_max_ms=company.window_max_ms,
        answer_age_max_ms=company.answer_age_max_ms,
    )


def manners_of(company: Company) -> Manners:
    """When the company wants its bot to be silent, as the rules take it."""
    return Manners(
        allowed_statuses=company.allowed_statuses,
        stop_labels=company.stop_labels,
        resume_after_ms=company.resume_after_ms,
    )


class Personas:
    """Every company's persona, made when first asked for and again when the company changes.
    `lines`: where the companies' turns wait in this process."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        tallies: Tallies,
        spending: Spending,
        clock: Clock,
    ) -> None:
        shared = settings.placement == "shared"
        self.lines = Lines(spending, clock, settings.hosts if shared else settings.dedicated_max)
        self._settings = settings
        self._directory = directory
        self._clock = clock
        self._leads = Leads(tallies, clock)
        self._made: dict[str, tuple[Company, Persona]] = {}
        self._journal = JournalChannel()
        self._channel_http = channel_client(CHANNEL_CALLS_MAX)
        self._typing_http = channel_client(TYPING_CALLS_MAX)
        self._file_http = file_client()
        self._readings = Readings()
        self._means = Means(Downloads(self._file_http, clock), Parser(), self._readings)
        self._model_http: AsyncHttpx2Client | None = None
        self._model: AsyncOpenAI | None = None

    def persona(self, company_id: str) -> Persona:
        """The company's persona as it is now. Raises errors.Permanent where there is none."""
        company = self._directory.company(company_id)
        known, persona = self._made.get(company_id, (None, None))
        if persona is None or known is not company:
            persona = self._persona(company)
            self._made[company_id] = (company, persona)
        return persona

    async def warm(self, company: Company) -> None:
        """Makes ready what the company's first turn needs: its code, its clients, the way to its
        Chatwoot. Raises Retryable or Permanent."""
        persona = await asyncio.to_thread(self.persona, company.company_id)
        chatwoot = persona.channels.get("chatwoot")
        if isinstance(chatwoot, Chatwoot):
            await chatwoot.reach()

    def archive(self, company: Company) -> Archive | None:
        """What the company's Chatwoot holds; None where it has none."""
        account = company.chatwoot
        return None if account is None else Archive(self._channel_http, account)

    async def aclose(self) -> None:
        """Closes the clients' connections."""
        await self._readings.aclose()
        for http in (self._channel_http, self._typing_http, self._file_http):
            await http.aclose()
        if self._model_http is not None:
            await self._model_http.aclose()

    def _persona(self, company: Company) -> Persona:
        try:
            return Persona(
                pace=pace_of(company),
                manners=manners_of(company),
                voice=CompanyVoice(company),
                responder=self._responder(company),
                channels=self._channels(company),
                reader=self._reader(company),
                lead=self._leads.of(company),
                line=self.lines.of(company),
                part_chars=company.reply_part_chars,
                in_doubt="hold" if company.in_doubt == "hold" else "resend",
            )
        except Misconfigured as error:
            raise Permanent(f"company {company.company_id} cannot speak: {error}") from error

    def _channels(self, company: Company) -> dict[str, Channel]:
        channels: dict[str, Channel] = {"webchat": self._journal, "api": self._journal}
        if company.chatwoot is not None:
            channels["chatwoot"] = Chatwoot(
                self._channel_http,
                company.chatwoot,
                typing_http=self._typing_http,
                places=asyncio.Semaphore(CHANNEL_CALLS_MAX),
                indicators=indicators(
                    self._typing_http, twilio=company.twilio, whatsapp=company.whatsapp
                ),
            )
        return channels

    def _reader(self, company: Company) -> Attachments:
        transcriber: Transcriber | None = None
        if self._settings.openai_api_key is not None:
            model = self._settings.transcription_model
            transcriber = OpenAITranscriber(self._client(), model, self._clock)
        chatwoot = company.chatwoot
        return Attachments(
            company.company_id,
            company.files,
            chatwoot.base_url if chatwoot else None,
            self._means,
            transcriber,
        )

    def _responder(self, company: Company) -> Responder:
        settings = self._settings
        own = responder_of(company, timeout_s=settings.model_timeout_s)
        if own is not None:
            return own
        if settings.openai_api_key is None:
            return OfflineResponder(
                self._clock, latency_s=settings.offline_latency_s, hand_over=company.hand_over
            )
        return OpenAIResponder(
            self._client(),
            company.model,
            toolbox=Toolbox(
                company.company_id, tools_of(company), self._clock, hand_over=company.hand_over
            ),
            temperature=company.temperature,
            max_tokens=company.max_tokens,
            max_tokens_name="max_tokens" if settings.openai_base_url else "max_completion_tokens",
        )

    def _client(self) -> "AsyncOpenAI":
        if self._model is not None:
            return self._model
        # These take 0.5 s to import; nobody needs them without a key.
        from httpx2 import Limits
        from openai import AsyncOpenAI, DefaultAioHttpClient

        settings = self._settings
        assert settings.openai_api_key is not None
        # Over aiohttp: its cost per call does not grow with the calls under way.
        self._model_http = DefaultAioHttpClient(
            timeout=settings.model_timeout_s,
            limits=Limits(max_connections=MODEL_CALLS_MAX, max_keepalive_connections=KEEPALIVE_MAX),
        )
        base_url = settings.openai_base_url
        self._model = AsyncOpenAI(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=str(base_url) if base_url else None,
            http_client=self._model_http,
            timeout=settings.model_timeout_s,
            max_retries=0,
        )
        return self._model
