"""Sets up logging: one line a record, unbuffered, without secrets."""

import logging
import re
import sys

URL_PASSWORD_CHARS_MAX = 1_024
"""What stands between the colon and the @ of an address is looked through so far."""

_NAME = (
    r"(?:api[-_]?key|token|secret(?:s[-_]key)?|passw(?:or)?d|passphrase|requirepass|authorization"
    r"|signature(?:-256)?|x-amz-credential|\bsig)"
)
_SECRET = re.compile(
    "|".join(
        (
            # Sentences of ours about a key of a company or about Redis, never about a value.
            r"(?P<kept>companies\.[\w-]{1,64}(?:\.\w+)+: |redis wrong-password: )",
            # Of a header with several secrets, all of the line.
            r"(?P<cookie>\b(?:set-)?cookie\b[\"']?\s*[:=,]\s*)[^\n]+",
            # A name, and what it is set to: in quotes, in escaped quotes, in brackets, or a word.
            rf"(?P<name>{_NAME}\\?[\"']?\s*(?:[=:]|,(?=\s*b?[\"']))\s*)"
            r"(?:b?(?P<quote>[\"'])(?:\\.|(?!(?P=quote))[^\\\n])*"
            r"|\\[\"'](?:\\\\(?:\\.|[^\\])|\\[^\"'\\]|[^\\\n])*"
            r"|[\[{(](?:\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|[^\]})\"'\n])*"
            r"|(?:(?:bearer|basic|token|digest)\s+)?[^\s\"'&)}\]]+)",
            r"(?P<bearer>\bbearer\s+)(?!token\b)[^\s\"'<]{4,}",
            rf"(?P<url>://[^:/@\s]*:)\S{{1,{URL_PASSWORD_CHARS_MAX}}}(?=@)",
            r"(?P<user>://)[^/@\s\"']+(?=@)",
            r"(?P<sent>with args beginning with:)[^\n]*",  # Redis, of a command that it refuses
            r"\bsk-[\w-]+|\bEAA[A-Za-z0-9]{16,}",  # as OpenAI's keys and Meta's tokens begin
        )
    ),
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with what looks like a secret replaced by ***."""
    return _SECRET.sub(_redacted, text)


def _redacted(found: re.Match[str]) -> str:
    if found["kept"]:
        return found[0]
    before = (found[part] for part in ("cookie", "name", "bearer", "url", "user", "sent"))
    return f"{next(filter(None, before), '')}***"


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure_logging(level: str) -> None:
    """Logs of this process go to standard error, one line a record."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("turnwise")
    logger.handlers[:] = [lines]
    logger.setLevel(level)
    logger.propagate = False
    # These log whole links at INFO, signed ids and all.
    for client in ("httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(client).setLevel(logging.WARNING)


def logger(name: str) -> logging.Logger:
    """The logger of one part of Turnwise."""
    return logging.getLogger(f"turnwise.{name}")
