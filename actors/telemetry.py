"""Sets up logging: one line a record, unbuffered, without secrets."""

import logging
import re
import sys

_SECRET = re.compile(
    r"(?i)((?:api[-_]?key|api[-_]access[-_]token|authorization|password|secret|token)"
    r"[\"']?\s*[=:]\s*[\"']?(?:bearer\s+)?)([^\s\"',;&]+)"
    r"|(://[^:/@\s]*:)(\S+)(?=@)"
    r"|(\b)(sk-[\w-]+)"
)


def redact(text: str) -> str:
    """The text with what looks like a secret replaced by ***."""
    return _SECRET.sub(lambda found: f"{found[1] or found[3] or ''}***", text)


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
