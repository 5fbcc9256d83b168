"""Names the kinds of values that settings take, and says what is wrong with one that is no such."""

import base64
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints
from pydantic_settings import NoDecode

from actors.tokens import why_none

PASSPHRASE_CHARS_MIN = 16
OPERATOR_TOKEN_CHARS_MIN = 16
SCHEMA_CHARS_MAX = 16_384
"""The largest JSON schema of a tool's parameters."""

DAY_MINUTES = 24 * 60

_T = TypeVar("_T")
_KEY = re.compile(r"[\w-]{43}=?", re.ASCII)
_SPAN = re.compile(r"([01]\d|2[0-4]):([0-5]\d)\s*-\s*([01]\d|2[0-4]):([0-5]\d)")


def several(value: Any) -> Any:
    """One text, or several with commas between."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str):
        return tuple(part for part in (part.strip() for part in value.split(",")) if part)
    return () if value is None else value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError(
            f"{name!r} is no time zone; use a name of the IANA database, such as America/Bogota"
        ) from None
    return name


def opening_hours(text: str) -> tuple[tuple[int, int], ...]:
    """Pairs of minutes since midnight. Raises ValueError, which says how hours are written."""
    if text.strip() == "closed":
        return ()
    spans = []
    for part in text.split(","):
        if (found := _SPAN.fullmatch(part.strip())) is None:
            break
        hour, minute, end_hour, end_minute = map(int, found.groups())
        spans.append((hour * 60 + minute, end_hour * 60 + end_minute))
    flat = [minute for span in spans for minute in span]
    whole = len(spans) == len(text.split(",")) and flat[-1] <= DAY_MINUTES
    if not whole or any(later <= earlier for earlier, later in pairwise(flat)):
        raise ValueError(
            f'{text!r} are no hours; write "08:00-18:00", or "08:00-12:00, 14:00-18:00" in order, '
            'or "closed"; past midnight belongs to the next day ("24:00" ends a day)'
        )
    return tuple(spans)


def _hours(text: str) -> str:
    opening_hours(text)
    return text


def _digits(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _code(place: str) -> str:
    module, colon, name = place.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError(f"{place!r} is no place of code; write module:callable")
    return place


def key_bytes(key: str) -> bytes | None:
    """The 32 bytes of a key in urlsafe base64; None for a passphrase."""
    return base64.urlsafe_b64decode(f"{key[:43]}=") if _KEY.fullmatch(key) else None


def _no_short_passphrase(given: SecretStr) -> SecretStr:
    keys = several(given)
    if not keys or any(key_bytes(key) is None and len(key) < PASSPHRASE_CHARS_MIN for key in keys):
        raise ValueError(
            "a key is 32 bytes in urlsafe base64, or a passphrase of at least "
            f"{PASSPHRASE_CHARS_MIN} characters without commas; several have commas between them"
        )
    return given


def _redis_url(given: SecretStr) -> SecretStr:
    """Says nothing of the address itself: what it takes for a port or a path may be the password's
    second half."""
    url = given.get_secret_value()
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- raises where it is no number
        whole = "@" not in parts.path + parts.query + parts.fragment
    except ValueError:
        whole = False
    if url and (not whole or parts.scheme not in ("redis", "rediss", "unix")):
        raise ValueError(
            "it is not a Redis address; write redis://:<password>@<host>:<port>/0 (rediss:// for "
            "TLS), with every / ? # @ % of the password percent-encoded"
        )
    return given


def _token(given: SecretStr) -> SecretStr:
    if (why := why_none(given.get_secret_value())) is not None:
        raise ValueError(why)
    return given


def _operator_tokens(given: SecretStr) -> SecretStr:
    tokens = several(given)
    for token in tokens:
        _token(SecretStr(token))
    if not tokens or any(len(token) < OPERATOR_TOKEN_CHARS_MIN for token in tokens):
        raise ValueError(
            f"a token has at least {OPERATOR_TOKEN_CHARS_MIN} characters; several have commas "
            "between them"
        )
    return given


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") != "object" or not isinstance(schema.get("properties", {}), Mapping):
        raise ValueError('a JSON schema of an object is needed: type = "object", and properties')
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"this is no JSON: {error}") from None
    if size > SCHEMA_CHARS_MAX:
        raise ValueError(f"it has {size} characters as JSON, {SCHEMA_CHARS_MAX} are allowed")
    return schema


CompanyId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Secret = Annotated[SecretStr, Field(min_length=1)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Token = Annotated[Secret, AfterValidator(_token)]
"""A bearer token that callers send, or `sha256:` and its SHA-256."""

OperatorTokens = Annotated[SecretStr, AfterValidator(_operator_tokens)]
SecretsKey = Annotated[SecretStr, AfterValidator(_no_short_passphrase)]
Several = Annotated[tuple[_T, ...], NoDecode, BeforeValidator(several), Field(max_length=100)]
"""Values of one kind: a list, or one text with commas between them (a variable is always one)."""

Seconds = Annotated[float, Field(ge=0, le=3_600)]
Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
Hours = Annotated[str, StringConstraints(max_length=200), AfterValidator(_hours)]
Status = Literal["pending", "open", "resolved", "snoozed"]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]
HostName = Annotated[str, StringConstraints(pattern=r"^\.?[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$")]
Digits = Annotated[str, BeforeValidator(_digits), StringConstraints(pattern=r"^\d{1,32}$")]
Code = Annotated[str, StringConstraints(max_length=200), AfterValidator(_code)]
"""Where a callable stands: `module:callable`."""

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Schema = Annotated[dict[str, Any], AfterValidator(_schema)]
"""A JSON schema of an object."""
