"""Reads what the operator set: environment variables, and the companies file if one is named."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from actors.errors import Misconfigured
from actors.fields import (
    Code,
    CompanyId,
    Day,
    Digits,
    HostName,
    Hours,
    Label,
    OperatorTokens,
    RedisUrl,
    Schema,
    Seconds,
    Secret,
    SecretsKey,
    Several,
    Status,
    Token,
    ToolName,
    Zone,
)
from actors.layers import Layer, merged

DEFAULT_PROMPT = (
    "You answer customers of a company on WhatsApp. Be friendly, brief and concrete; answer in the "
    "customer's language. If you do not know something, say so and offer that a person looks at it."
)


def _about(key: str, what: str) -> PydanticCustomError:
    """An error of a whole table that is about one of its keys; `what` begins after the key."""
    # No formatting by pydantic: braces in a key or a value are only text.
    return PydanticCustomError("about_a_key", "{what}", {"what": f"{key}{what}"})


class Table(BaseModel):
    """A table of the companies file; a key that it does not know is refused by name."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _knows_its_keys(cls, table: Any) -> Any:
        unknown = [key for key in table if key not in cls.model_fields] if _is_table(table) else []
        if unknown:
            known = ", ".join(cls.model_fields)
            raise _about(
                str(unknown[0])[:64], f": Extra inputs are not permitted; the keys here are {known}"
            )
        return table


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


class Behaviour(BaseModel):
    """When and how to speak: a variable for every company, a key for one. Seconds, characters."""

    # The pace.
    quiet_window_s: Seconds = 10
    first_window_s: Seconds | None = None
    longest_wait_s: Seconds = 30
    max_batch: int = Field(20, ge=1, le=100)
    join_max_avg_chars: int = Field(400, ge=1, le=100_000)
    on_new_message: Literal["supersede", "queue"] = "supersede"
    supersede_max: int = Field(3, ge=0, le=10)
    learned_pace: bool = False
    window_min_s: Seconds = 3
    window_max_s: Seconds = 20
    draft_early: bool = False
    early_waste_tokens_max: int = Field(50_000, ge=0, le=1_000_000_000)

    # The manners.
    allowed_statuses: Annotated[Several[Status], Field(min_length=1)] = ("pending", "open")
    stop_labels: Several[Label] = ()
    resume_after_s: float | None = Field(None, gt=0, le=365 * 24 * 3_600)
    reply_part_chars: int = Field(1_500, ge=200, le=4_096)
    time_zone: Zone = "America/Bogota"

    # Attachments.
    attachment_bytes_max: int = Field(16 << 20, ge=1, le=100 << 20)
    attachment_hosts: Several[HostName] = ()
    attachment_private_addresses: bool = False


class ChatwootSettings(Table):
    """How a company's Chatwoot is reached."""

    base_url: AnyHttpUrl
    account_id: int
    api_key: Secret
    webhook_secret: Several[Secret] = ()


class TwilioSettings(Table):
    """A company's account at Twilio, for its typing indicator."""

    account_sid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{2,64}$")]
    auth_token: Secret


class WhatsAppSettings(Table):
    """A company's number in Meta's Cloud API, for its typing indicator."""

    phone_number_id: Digits
    access_token: Secret


class ToolSettings(Table):
    """A tool of a company's own; `parameters` is a JSON schema of an object."""

    call: Code
    description: Annotated[str, StringConstraints(min_length=1, max_length=1_024)]
    parameters: Schema = {"type": "object", "properties": {}}
    timeout_s: float | None = Field(None, gt=0, le=600)


class CompanySettings(Table, Behaviour):
    """One table `[companies.<id>]` of the companies file; what it leaves out comes from the
    environment."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    prompt: str | None = None
    model: str | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    hours: dict[Day, Hours] = {}
    responder: Code | None = None
    tools: dict[ToolName, ToolSettings] = Field({}, max_length=64)
    hand_over: bool = True
    tune: bool = False
    waiting_max: int | None = Field(None, ge=1)
    retention_days: int = Field(90, ge=1, le=36_500)
    api_token: Several[Token] = ()
    webchat: bool = False
    webchat_agent: bool = False
    chatwoot: ChatwootSettings | None = None
    twilio: TwilioSettings | None = None
    whatsapp: WhatsAppSettings | None = None

    @model_validator(mode="after")
    def _windows_fit(self) -> Self:
        if self.window_min_s > self.window_max_s:
            raise _about(
                "window_min_s",
                f" ({self.window_min_s:g}) is above window_max_s ({self.window_max_s:g}); "
                "make it at most as long",
            )
        windows = ["quiet_window_s", "first_window_s"]
        # Without a learned pace its bounds bind nobody.
        windows += ["window_min_s", "window_max_s"] if self.learned_pace else []
        for name in windows:
            window_s = getattr(self, name)
            if window_s is not None and self.longest_wait_s < window_s:
                raise _about(
                    "longest_wait_s",
                    f" ({self.longest_wait_s:g}) is below {name} ({window_s:g}); "
                    "make it at least as long",
                )
        return self


ELSEWHERE = {
    "prompt": "system_prompt",
    "model": "model_name",
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "waiting_max": "waiting_per_company_max",
}
"""Keys of a company whose default is a variable, where that is no key of Behaviour."""

DEMO = {
    "name": "Demo",
    "webchat": True,
    "webchat_agent": True,
    "learned_pace": True,
    "draft_early": True,
}
"""The company of a start without any."""


class Settings(Behaviour, BaseSettings):
    """The environment. Each field is the variable of the same name in capitals."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    # Where things are.
    redis_url: RedisUrl = SecretStr("")
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
    transcription_model: str = "gpt-4o-mini-transcribe"
    tools_s: float = Field(10, gt=0, le=600)
    offline_latency_s: float = Field(1.5, ge=0, le=600)

    # The one company of a plain start.
    company_id: CompanyId = "default"
    chatwoot_base_url: AnyHttpUrl | None = None
    chatwoot_api_key: Secret | None = None
    account_id: int | None = None
    chatwoot_webhook_secret: Secret | None = None
    twilio_account_sid: str | None = None
    twilio_auth_token: Secret | None = None
    api_token: Secret | None = None
    companies_file: Path | None = None

    # The operator's.
    admin_token: OperatorTokens | None = None
    secrets_key: SecretsKey | None = None

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

    def foundation(self) -> tuple[Layer, Layer]:
        """What every company stands on: the defaults of the variables, and those that are set."""
        names = {name: name for name in Behaviour.model_fields} | ELSEWHERE
        values = {key: getattr(self, variable) for key, variable in names.items()}
        chosen = {key for key, variable in names.items() if variable in self.model_fields_set}
        return (
            Layer("default", {key: values[key] for key in values if key not in chosen}),
            Layer("environment", {key: values[key] for key in values if key in chosen}),
        )

    def layers(self) -> dict[str, tuple[Layer, ...]]:
        """The tables of every company that the companies file or the environment names, the lowest
        first. What is in them is not looked at yet.

        Raises Misconfigured if the file cannot be read, is not TOML or holds no companies.
        """
        if self.companies_file is not None:
            return {
                company_id: (*self.foundation(), Layer("file", table))
                for company_id, table in read_tables(self.companies_file).items()
            }
        given: dict[str, Any] = {"api_token": self.api_token}
        given |= {"twilio": self._twilio(), "chatwoot": self._chatwoot()}
        of_company = Layer("environment", {key: v for key, v in given.items() if v is not None})
        default, environment = self.foundation()
        if "chatwoot" in of_company.table:
            return {self.company_id: (default, environment, of_company)}
        # A short LONGEST_WAIT_S alone is no reason not to start the demo.
        window_s = min(self.window_max_s, self.longest_wait_s)
        fitting = {"window_max_s": window_s, "window_min_s": min(self.window_min_s, window_s)}
        demo = Layer("default", DEMO | fitting)
        return {"demo": (default, demo, environment, of_company)}

    def companies(self) -> dict[str, CompanySettings]:
        """The good companies of the file, or the one company of a plain start.

        Raises Misconfigured where the file cannot be read, or no company is good.
        """
        good, reasons = {}, []
        for company_id, layers in self.layers().items():
            try:
                good[company_id] = company_settings(company_id, layers)
            except Misconfigured as error:
                reasons.append(str(error))
        if not good:
            raise Misconfigured(self.located(reasons[0]))
        return good

    def located(self, reason: str) -> str:
        """The sentence of company_settings with the place that the operator has to correct."""
        if self.companies_file is not None:
            return f"COMPANIES_FILE {self.companies_file}: {reason}"
        told = re.sub(r"^companies\.[^.:]+[.:]\s*", "", reason)
        # A plain start has variables: `prompt: …` and `longest_wait_s (5) is below …`.
        return re.sub(r"^[\w.]+(?=: | \()|\b[a-z_]+_s(?= \()", _variable, told)

    def _twilio(self) -> dict[str, Any] | None:
        parts = {
            "TWILIO_ACCOUNT_SID": self.twilio_account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio_auth_token,
        }
        if not _all_or_none("Twilio", parts):
            return None
        return {"account_sid": self.twilio_account_sid, "auth_token": self.twilio_auth_token}

    def _chatwoot(self) -> dict[str, Any] | None:
        parts = {
            "CHATWOOT_BASE_URL": self.chatwoot_base_url,
            "CHATWOOT_API_KEY": self.chatwoot_api_key,
            "ACCOUNT_ID": self.account_id,
        }
        if not _all_or_none("Chatwoot", parts):
            return None
        table = {
            "base_url": str(self.chatwoot_base_url),
            "api_key": self.chatwoot_api_key,
            "account_id": self.account_id,
        }
        secret = self.chatwoot_webhook_secret
        return table if secret is None else {**table, "webhook_secret": secret}


def _variable(key: re.Match[str]) -> str:
    return ELSEWHERE.get(key[0], key[0]).replace(".", "_").upper()


def _all_or_none(what: str, parts: dict[str, Any]) -> bool:
    missing = [name for name, value in parts.items() if value is None]
    if missing and len(missing) < len(parts):
        raise Misconfigured(f"{what} is set up by half: set {', '.join(missing)} too")
    return not missing


def read_tables(path: Path) -> dict[str, Any]:
    """The tables of a companies file by company; not looked at. Raises Misconfigured."""
    try:
        whole = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"COMPANIES_FILE {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"COMPANIES_FILE {path} is not TOML: {error}") from error
    unknown = [key for key in whole if key != "companies"]
    tables = whole.get("companies")
    if unknown:
        what = f"{unknown[0]}: Extra inputs are not permitted; every key is in a [companies.<id>]"
    elif not _is_table(tables) or not tables:
        what = "companies: Field required; write one table [companies.<id>] for each company"
    else:
        return dict(tables)
    raise Misconfigured(f"COMPANIES_FILE {path}: {what}")


def company_settings(company_id: str, layers: tuple[Layer, ...]) -> CompanySettings:
    """The company that these layers make. Raises Misconfigured with the key's path and what is
    allowed there, never with a secret."""
    at = f"companies.{company_id[:64]}"
    try:
        TypeAdapter(CompanyId).validate_python(company_id)
        for layer in layers:
            TypeAdapter(dict[str, Any]).validate_python(layer.table)
        return CompanySettings.model_validate(merged(layers))
    except ValidationError as error:
        raise Misconfigured(one_sentence(error, at)) from error


def one_sentence(error: ValidationError, at: str = "") -> str:
    """What is wrong, where (below `at`), without the value (it may be a secret)."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join([*([at] if at else []), *map(str, first["loc"])]).removesuffix(".[key]")
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "about_a_key":
        return f"{where}.{message}" if where else message
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
