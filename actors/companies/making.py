"""Makes a company of its settings: seconds become milliseconds, tokens digests, tables values."""

from pydantic import SecretStr

from actors.companies.company import (
    ChatwootAccount,
    Company,
    FileRules,
    ToolSpec,
    Twilio,
    WhatsAppCloud,
)
from actors.fields import DAYS, opening_hours
from actors.settings import ChatwootSettings, CompanySettings, Settings
from actors.tokens import digest_of

Spans = tuple[tuple[int, int], ...]


def company_of(company_id: str, table: CompanySettings, settings: Settings) -> Company:
    """The company that these settings describe. The table has every variable's value where it has
    none of its own (settings.company_settings)."""
    return Company(
        company_id=company_id,
        name=table.name or company_id,
        prompt=table.prompt or settings.system_prompt,
        model=table.model or settings.model_name,
        temperature=table.temperature,
        max_tokens=table.max_tokens,
        zone=table.time_zone,
        hours=_hours(table),
        responder=table.responder,
        tools=_tools(table, settings),
        hand_over=table.hand_over,
        quiet_window_ms=_ms(table.quiet_window_s),
        first_window_ms=_ms_or_none(table.first_window_s),
        longest_wait_ms=_ms(table.longest_wait_s),
        largest_batch=table.max_batch,
        join_max_avg_chars=table.join_max_avg_chars,
        on_new_message=table.on_new_message,
        supersede_max=table.supersede_max,
        learned_pace=table.learned_pace,
        window_min_ms=_ms(table.window_min_s),
        window_max_ms=_ms(table.window_max_s),
        draft_early=table.draft_early,
        early_waste_tokens_max=table.early_waste_tokens_max,
        tune=table.tune,
        allowed_statuses=table.allowed_statuses,
        stop_labels=table.stop_labels,
        resume_after_ms=_ms_or_none(table.resume_after_s),
        reply_part_chars=table.reply_part_chars,
        waiting_max=table.waiting_max or settings.waiting_per_company_max,
        retention_days=table.retention_days,
        files=FileRules(
            hosts=tuple(host.lower() for host in table.attachment_hosts),
            bytes_max=table.attachment_bytes_max,
            private_addresses=table.attachment_private_addresses,
        ),
        webchat=table.webchat,
        webchat_agent=table.webchat_agent,
        chatwoot=_chatwoot(table.chatwoot),
        twilio=_twilio(table),
        whatsapp=_whatsapp(table),
        api_tokens_sha256=tuple(digest_of(_plain(token)) for token in table.api_token),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _ms_or_none(seconds: float | None) -> int | None:
    return None if seconds is None else _ms(seconds)


def _plain(secret: SecretStr) -> str:
    return secret.get_secret_value()


def _hours(table: CompanySettings) -> dict[str, Spans]:
    """Every day of the week, one that is left out as closed; {} where no hours are given."""
    if not table.hours:
        return {}
    return {day: opening_hours(table.hours.get(day, "closed")) for day in DAYS}


def _tools(table: CompanySettings, settings: Settings) -> tuple[ToolSpec, ...]:
    return tuple(
        ToolSpec(
            name=name,
            call=tool.call,
            description=tool.description,
            parameters=tool.parameters,
            timeout_s=settings.tools_s if tool.timeout_s is None else tool.timeout_s,
        )
        for name, tool in table.tools.items()
    )


def _chatwoot(table: ChatwootSettings | None) -> ChatwootAccount | None:
    if table is None:
        return None
    return ChatwootAccount(
        base_url=str(table.base_url).rstrip("/"),
        account_id=table.account_id,
        api_key=_plain(table.api_key),
        webhook_secrets=tuple(_plain(secret) for secret in table.webhook_secret),
    )


def _twilio(table: CompanySettings) -> Twilio | None:
    if (given := table.twilio) is None:
        return None
    return Twilio(given.account_sid, _plain(given.auth_token))


def _whatsapp(table: CompanySettings) -> WhatsAppCloud | None:
    if (given := table.whatsapp) is None:
        return None
    return WhatsAppCloud(given.phone_number_id, _plain(given.access_token))
