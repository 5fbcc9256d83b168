"""Says what a company is to Turnwise: its credentials, voice, pace and limits."""

from dataclasses import dataclass, field
from typing import Any

from actors.errors import Permanent
from actors.tokens import fits


class UnknownCompany(Permanent):
    """No company has this id."""


class BrokenCompany(Permanent):
    """The company's settings are wrong, and were never right since this process began; the message
    is the reason. It lasts until the operator corrects them: nothing is to be given up for it."""


@dataclass(frozen=True, slots=True)
class ChatwootAccount:
    """How a company's Chatwoot is reached, and how its webhooks prove themselves."""

    base_url: str
    account_id: int
    api_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Twilio:
    """Credentials of the company's Twilio account, for its typing indicator."""

    account_sid: str
    auth_token: str = field(repr=False)
    base_url: str = "https://messaging.twilio.com"


@dataclass(frozen=True, slots=True)
class WhatsAppCloud:
    """Credentials of the company's number in Meta's Cloud API, for its typing indicator."""

    phone_number_id: str
    access_token: str = field(repr=False)
    base_url: str = "https://graph.facebook.com/v23.0"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A company's own tool: `call` is `module:callable`, `parameters` an object's JSON schema."""

    name: str
    call: str
    description: str
    parameters: dict[str, Any]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class FileRules:
    """Which attachments are fetched. `hosts`: names that may be asked, redirects included, a
    leading dot for all names below; the host of the company's Chatwoot is always one of them."""

    hosts: tuple[str, ...]
    bytes_max: int
    private_addresses: bool


@dataclass(frozen=True, slots=True)
class Company:
    """A tenant. `api_tokens_sha256` is () where its API is closed; times in milliseconds.

    `prompt` is a template (llm.voice). `hours`: opening hours by weekday (mon … sun), as pairs of
    minutes since midnight in `zone`; a closed day has none, {} where no hours are known.
    `responder` and a tool's `call` name code as `module:callable`. `resume_after_ms`: the bot comes
    back so long after a person's last word, None: only by status or by hand.
    `early_waste_tokens_max`: tokens a day that early drafts may waste.
    """

    company_id: str
    name: str
    prompt: str
    model: str
    temperature: float | None
    max_tokens: int | None
    zone: str
    hours: dict[str, tuple[tuple[int, int], ...]]
    responder: str | None
    tools: tuple[ToolSpec, ...]
    hand_over: bool
    # The pace: see conversation.pace.Pace.
    quiet_window_ms: int
    first_window_ms: int | None
    longest_wait_ms: int
    largest_batch: int
    join_max_avg_chars: int
    on_new_message: str
    supersede_max: int
    learned_pace: bool
    window_min_ms: int
    window_max_ms: int
    draft_early: bool
    early_waste_tokens_max: int
    tune: bool
    # The manners: see conversation.manners.Manners.
    allowed_statuses: tuple[str, ...]
    stop_labels: tuple[str, ...]
    resume_after_ms: int | None
    # Replies and limits.
    reply_part_chars: int
    waiting_max: int
    retention_days: int
    files: FileRules
    # Where it answers.
    webchat: bool
    webchat_agent: bool
    chatwoot: ChatwootAccount | None
    twilio: Twilio | None
    whatsapp: WhatsAppCloud | None
    api_tokens_sha256: tuple[str, ...] = field(repr=False)

    def owns_token(self, token: str) -> bool:
        """Whether this is one of the company's API tokens; any wrong one takes the same time."""
        return fits(token, self.api_tokens_sha256)
