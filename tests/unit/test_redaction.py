"""What looks like a secret does not get into the log, and what does not stays readable."""

import io
import json
import logging
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.telemetry import configure_logging, logger, redact

TEMPLATES = [
    "redis://:{}@127.0.0.1:6379/0",
    "rediss://user:{}@redis.example:6379/0?ssl_ca_certs=/etc/ca.pem",
    "redis://:p@ss/{}@127.0.0.1:1/0",
    "Authorization: Bearer {}",
    "authorization: Basic {}",
    "Authorization: Token {}",
    "the header was Bearer {}",
    "api_access_token: {}",
    "X-Chatwoot-Signature: sha256={}",
    "x-hub-signature-256: {}",
    "OPENAI_API_KEY={}",
    "ADMIN_TOKEN={}",
    "SECRETS_KEY={}",
    "CHATWOOT_WEBHOOK_SECRET={}",
    "TWILIO_AUTH_TOKEN={}",
    "requirepass: {}",
    "https://files.example/a?token={}&x=1",
    "https://files.example/a?sig={}",
    "https://s3.example/a?X-Amz-Signature={}",
    "https://s3.example/a?x=1&X-Amz-Security-Token={}",
]
OF_LETTERS = [
    "https://{}@chat.example/path",
    "Incorrect API key provided: sk-{}",
    "Error validating access token: EAAabcdefghijklmnop{}",
]
QUOTED = [
    '{{"password": {}}}',
    '{{"chatwoot": {{"api_key": {}, "account_id": 1}}}}',
    "api_token = {}",
    "webhook_secret: [{0}, {0}]",
    '{{"api_token":[{}]}}',
]
REPRS = [
    "{{'api-access-token': {}}}",
    "(b'authorization', b{})",
    "[(b'x-chatwoot-signature', b{})]",
    "auth_token={}",
]


def marked(text: str) -> str:
    """No template has it, and neither end may be left."""
    return f"hunter2{text}hunter2"


PLAIN = st.text(string.ascii_letters + string.digits + "-_.~+/=%!$*", max_size=40).map(marked)


@pytest.mark.parametrize("template", TEMPLATES)
@given(secret=PLAIN)
def test_a_secret_is_not_logged(template: str, secret: str) -> None:
    assert "hunter2" not in redact(f"failed with {template.format(secret)} at once")


@pytest.mark.parametrize("template", OF_LETTERS)
@given(secret=st.text(string.ascii_letters + string.digits, max_size=40).map(marked))
def test_a_secret_of_letters_and_digits_is_not_logged(template: str, secret: str) -> None:
    assert "hunter2" not in redact(f"failed with {template.format(secret)} at once")


@pytest.mark.parametrize("template", QUOTED)
@given(secret=st.text(max_size=40).map(marked))
def test_a_secret_in_json_is_not_logged_whatever_it_is_made_of(template: str, secret: str) -> None:
    whole = template.format(json.dumps(secret))
    assert "hunter2" not in redact(f"failed with {whole} at once")
    assert "hunter2" not in redact(json.dumps({"body": whole}))


@pytest.mark.parametrize("template", REPRS)
@given(secret=PLAIN)
def test_a_secret_in_a_repr_is_not_logged(template: str, secret: str) -> None:
    assert "hunter2" not in redact(f"failed with {template.format(repr(secret))} at once")


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("Cookie: turnwise_chat=acme:web-1:17:hunter2; other=hunter2\nnext", "Cookie: ***\nnext"),
        ("set-cookie: a=hunter2; Path=/", "set-cookie: ***"),
        ("password='it\\'s hunter2' and more", "password=***' and more"),
        ('"secret": "say \\"hunter2\\" twice", "x": 1', '"secret": ***", "x": 1'),
        ("unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'hunter2'",
         "unknown command 'HELLO', with args beginning with:***"),
        ("password=a,hunter2;b x", "password=*** x"),
    ],
)  # fmt: skip
def test_all_of_a_secret_is_taken_and_no_more(line: str, left: str) -> None:
    assert redact(line) == left


@pytest.mark.parametrize(
    "line",
    [
        "companies.acme.api_token: it does not open with this SECRETS_KEY; set the key",
        "companies.acme.chatwoot.webhook_secret: a secret is stored encrypted only",
        "conversation acme:321 waits: redis wrong-password: Redis refuses the password; correct it",
        "the bearer token is not one of company acme",
        "tokens_in=7 tokens_out=5 of MAX_TOKENS 300",
        "http://127.0.0.1:8000/chat and eva@example.com",
        "company acme is broken: companies.acme.longest_wait_s (1) is below quiet_window_s (10)",
        "the signature is missing: no X-Chatwoot-Timestamp header",
    ],
)
def test_what_an_operator_has_to_read_stays(line: str) -> None:
    assert redact(line) == line


def test_a_long_line_takes_no_long_time() -> None:
    began = time.monotonic()
    for part in (
        "://a:",
        'token="',
        "token=",
        "cookie",
        "bearer ",
        '\\"',
        "secret: [",
        "api_key='\\",
    ):
        redact(part * (200_000 // len(part)))
    assert time.monotonic() - began < 5


def test_a_traceback_is_redacted_too() -> None:
    before = logging.getLogger("turnwise").handlers[:]
    configure_logging("INFO")
    (handler,) = logging.getLogger("turnwise").handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written := io.StringIO())
    try:
        raise ValueError("Authorization: Bearer hunter2-hunter2")
    except ValueError:
        logger("test").exception("failed with token=hunter2")
    logging.getLogger("turnwise").handlers[:] = before
    assert "ValueError: Authorization: ***" in written.getvalue()
    assert "hunter2" not in written.getvalue()
