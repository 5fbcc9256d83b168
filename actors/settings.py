"""Reads what the operator set: environment variables, and the companies file if one is named."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from actors.errors import Misconfigured

CompanyId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Seconds = Annotated[float, Field(ge=0, le=3_600)]
Secret = Annotated[SecretStr, Field(min_length=1)]


def _several(value: Any) -> Any:
    """One secret, or several: an agent bot and an account webhook have one each."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str):
        return tuple(part for part in (part.strip() for part in value.split(",")) if part)
    return () if value is None else value


DEFAULT_PROMPT = (
    "You answer customers of a company on WhatsApp. Be friendly, brief and concrete; answer in the "
    "customer's language. If you do not know something, say so and offer that a person looks at it."
)


class PaceSettings(BaseModel):
    """When to speak; seconds and characters."""

    model_config = ConfigDict(extra="forbid")

    quiet_window_s: Seconds = 10
    longest_wait_s: Seconds = 30
    max_batch: int = Field(20, ge=1, le=100)
    join_max_avg_chars: int = Field(400, ge=1, le=100_000)
    on_new_message: Literal["supersede", "queue"] = "supersede"

    @model_validator(mode="after")
    def _wait_covers_window(self) -> "PaceSettings":
        if self.longest_wait_s < self.quiet_window_s:
            raise ValueError(
                f"longest_wait_s ({self.longest_wait_s:g}) is below quiet_window_s "
                f"({self.quiet_window_s:g}); make it at least as long"
            )
        return self


class ChatwootSettings(BaseModel):
    """How a company's Chatwoot is reached."""

    model_config = ConfigDict(extra="forbid")

    base_url: AnyHttpUrl
    account_id: int
    api_key: Secret
    webhook_secret: Annotated[tuple[Secret, ...], BeforeValidator(_several)] = ()


class CompanySettings(PaceSettings):
    """One table `[companies.<id>]` of the companies file; what it leaves out comes from the
    environment."""

    name: str | None = None
    prompt: str | None = None
    model: str | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    api_token: Secret | None = None
    webchat: bool = False
    retention_days: int = Field(90, ge=1, le=36_500)
    chatwoot: ChatwootSettings | None = None


class CompaniesFile(BaseModel):
    """The companies file."""

    model_config = ConfigDict(extra="forbid")

    companies: dict[CompanyId, CompanySettings] = Field(min_length=1)


class Settings(BaseSettings):
    """The environment. Each field is the variable of the same name in capitals."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    # Where things are.
    redis_url: SecretStr = SecretStr("")
    ray_address: str = ""
    bind_address: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65_535)
    dashboard_port: int = Field(8265, ge=1, le=65_535)
    data_dir: Path = Path(".turnwise")

    # The model.
    openai_api_key: Secret | None = None
    openai_base_url: AnyHttpUrl | None = None
    model_name: str = "gpt-4.1-mini"
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    model_timeout_s: float = Field(60, gt=0, le=600)
    history_tokens: int = Field(3_000, ge=0, le=200_000)
    system_prompt: str = DEFAULT_PROMPT

    # The one company of a plain start.
    company_id: CompanyId = "default"
    chatwoot_base_url: AnyHttpUrl | None = None
    chatwoot_api_key: Secret | None = None
    account_id: int | None = None
    chatwoot_webhook_secret: Secret | None = None
    api_token: Secret | None = None
    companies_file: Path | None = None

    # The pace, for every company that sets none of its own.
    quiet_window_s: Seconds = 10
    longest_wait_s: Seconds = 30
    max_batch: int = Field(20, ge=1, le=100)
    join_max_avg_chars: int = Field(400, ge=1, le=100_000)
    on_new_message: Literal["supersede", "queue"] = "supersede"

    # Size and bounds.
    placement: Literal["shared", "dedicated"] = "shared"
    hosts: int = Field(2, ge=1, le=1_024)
    dedicated_max: int = Field(50, ge=1, le=10_000)
    replicas: int = Field(1, ge=1, le=1_000)
    requests_per_replica_max: int = Field(512, ge=1)
    waiting_per_company_max: int = Field(10_000, ge=1)
    waiting_per_conversation_max: int = Field(100, ge=1, le=1_000)
    durability: Literal["everysec", "always", "replicated"] = "everysec"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def companies(self) -> dict[str, CompanySettings]:
        """The tables of the companies file, or the one company of a plain start.

        Raises Misconfigured if the file cannot be read or does not fit.
        """
        if self.companies_file is not None:
            return self._companies_from(self.companies_file)
        chatwoot = self._chatwoot()
        if chatwoot is None:
            demo = CompanySettings(name="Demo", webchat=True, api_token=self.api_token)
            return {"demo": self._with_own_pace(demo)}
        company = CompanySettings(chatwoot=chatwoot, api_token=self.api_token)
        return {self.company_id: self._with_own_pace(company)}

    def _companies_from(self, path: Path) -> dict[str, CompanySettings]:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise Misconfigured(
                f"COMPANIES_FILE {path} cannot be read: {error.strerror}"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Misconfigured(f"COMPANIES_FILE {path} is not TOML: {error}") from error
        for company in (tables.get("companies") or {}).values():
            if isinstance(company, dict):
                for name in PaceSettings.model_fields:
                    company.setdefault(name, getattr(self, name))
        try:
            return CompaniesFile.model_validate(tables).companies
        except ValidationError as error:
            raise Misconfigured(f"COMPANIES_FILE {path}: {one_sentence(error)}") from error

    def _with_own_pace(self, company: CompanySettings) -> CompanySettings:
        pace = {name: getattr(self, name) for name in PaceSettings.model_fields}
        try:
            return CompanySettings.model_validate({**dict(company), **pace})
        except ValidationError as error:
            raise Misconfigured(one_sentence(error)) from error

    def _chatwoot(self) -> ChatwootSettings | None:
        parts = {
            "CHATWOOT_BASE_URL": self.chatwoot_base_url,
            "CHATWOOT_API_KEY": self.chatwoot_api_key,
            "ACCOUNT_ID": self.account_id,
        }
        missing = [name for name, value in parts.items() if value is None]
        if len(missing) == len(parts):
            return None
        if missing:
            raise Misconfigured(f"Chatwoot is set up by half: set {', '.join(missing)} too")
        return ChatwootSettings.model_validate(
            {
                "base_url": self.chatwoot_base_url,
                "api_key": self.chatwoot_api_key,
                "account_id": self.account_id,
                "webhook_secret": self.chatwoot_webhook_secret,
            }
        )


def one_sentence(error: ValidationError) -> str:
    """What is wrong, where, without the value (it may be a secret)."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def read_settings() -> Settings:
    """The settings of this process. Raises Misconfigured, one sentence that names the variable."""
    try:
        settings = Settings()
    except ValidationError as error:
        where, _, what = one_sentence(error).partition(":")
        raise Misconfigured(f"{where.upper()}:{what}; correct this environment variable") from error
    settings.companies()
    return settings
