"""Says what a company is to Turnwise: its credentials, voice, pace and limits."""

import hashlib
import hmac
from dataclasses import dataclass, field

from actors.errors import Permanent


class UnknownCompany(Permanent):
    """No company has this id."""


@dataclass(frozen=True, slots=True)
class ChatwootAccount:
    """How a company's Chatwoot is reached, and how its webhooks prove themselves."""

    base_url: str
    account_id: int
    api_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Company:
    """A tenant. `api_token_sha256` is None where its API is closed; times in milliseconds."""

    company_id: str
    name: str
    prompt: str
    model: str
    temperature: float | None
    max_tokens: int | None
    quiet_window_ms: int
    longest_wait_ms: int
    largest_batch: int
    join_max_avg_chars: int
    on_new_message: str
    webchat: bool
    retention_days: int
    chatwoot: ChatwootAccount | None
    api_token_sha256: str | None = field(repr=False)

    def owns_token(self, token: str) -> bool:
        """Whether this is the company's API token; takes the same time for any wrong one."""
        expected = self.api_token_sha256 or "0" * 64
        given = hashlib.sha256(token.encode()).hexdigest()
        return hmac.compare_digest(expected, given) and self.api_token_sha256 is not None
