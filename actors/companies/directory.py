"""Builds the companies from the settings and finds them by id."""

import hashlib
from collections.abc import Iterator

from pydantic import SecretStr

from actors.companies.company import ChatwootAccount, Company, UnknownCompany
from actors.settings import ChatwootSettings, CompanySettings, Settings


class Directory:
    """All companies of this deployment."""

    def __init__(self, settings: Settings) -> None:
        self._companies = {
            company_id: _company(company_id, table, settings)
            for company_id, table in settings.companies().items()
        }

    def company(self, company_id: str) -> Company:
        """Raises UnknownCompany, which names it."""
        try:
            return self._companies[company_id]
        except KeyError:
            raise UnknownCompany(
                f"company {company_id[:64]!r} is not known here; known companies are set by "
                "COMPANY_ID or in COMPANIES_FILE"
            ) from None

    def __iter__(self) -> Iterator[Company]:
        return iter(self._companies.values())


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _chatwoot(table: ChatwootSettings | None) -> ChatwootAccount | None:
    if table is None:
        return None
    return ChatwootAccount(
        base_url=str(table.base_url).rstrip("/"),
        account_id=table.account_id,
        api_key=table.api_key.get_secret_value(),
        webhook_secrets=tuple(secret.get_secret_value() for secret in table.webhook_secret),
    )


def _company(company_id: str, table: CompanySettings, settings: Settings) -> Company:
    token = _plain(table.api_token)
    return Company(
        company_id=company_id,
        name=table.name or company_id,
        prompt=table.prompt or settings.system_prompt,
        model=table.model or settings.model_name,
        temperature=settings.temperature if table.temperature is None else table.temperature,
        max_tokens=table.max_tokens or settings.max_tokens,
        quiet_window_ms=round(table.quiet_window_s * 1_000),
        longest_wait_ms=round(table.longest_wait_s * 1_000),
        largest_batch=table.max_batch,
        join_max_avg_chars=table.join_max_avg_chars,
        on_new_message=table.on_new_message,
        webchat=table.webchat,
        retention_days=table.retention_days,
        chatwoot=_chatwoot(table.chatwoot),
        api_token_sha256=hashlib.sha256(token.encode()).hexdigest() if token else None,
    )
