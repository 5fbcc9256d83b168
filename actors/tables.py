"""Describes a company's table: which keys there are, and what fits them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from actors.errors import Misconfigured
from actors.fields import (
    Code,
    CompanyId,
    Day,
    Digits,
    HostName,
    Hours,
    Label,
    Schema,
    Seconds,
    Secret,
    Several,
    Status,
    Token,
    ToolName,
    Zone,
)
from actors.layers import Layer, merged


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
        unknown = [key for key in table if key not in cls.model_fields] if is_table(table) else []
        if unknown:
            known = ", ".join(cls.model_fields)
            raise _about(
                str(unknown[0])[:64], f": Extra inputs are not permitted; the keys here are {known}"
            )
        return table


def is_table(value: Any) -> bool:
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
    in_doubt: Literal["resend", "hold"] = "resend"
    answer_age_max_s: float | None = Field(86_400, gt=0, le=365 * 24 * 3_600)
    time_zone: Zone = "America/Bogota"
    catch_up: bool = True
    catch_up_age_s: float = Field(21_600, gt=0, le=24 * 3_600)
    catch_up_inboxes: Several[Digits] = ()
    turns_at_once_max: int | None = Field(None, ge=1, le=100_000)
    messages_per_minute_max: int | None = Field(None, ge=1, le=1_000_000)
    tokens_per_minute_max: int | None = Field(None, ge=1, le=1_000_000_000)

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
