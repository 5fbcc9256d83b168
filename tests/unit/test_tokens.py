"""Bearer tokens: what may be given for one, which fit, and the command that hashes one."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from actors.layers import Layer
from actors.settings import Settings, company_settings
from actors.tokens import digest, digest_of, fits, hashed, why_none

TOKENS = st.text(min_size=1).filter(lambda token: not token.startswith("sha256:"))


@given(TOKENS, TOKENS)
def test_a_token_fits_itself_alone(token: str, other: str) -> None:
    try:
        token.encode(), other.encode()
    except UnicodeEncodeError:  # no header and no file holds half a pair
        return
    known = [digest_of(token), digest_of(hashed(other))]
    assert fits(token, known) and fits(other, known)
    assert fits(token, known[1:]) == (token == other)
    assert not fits(token, [])
    assert not fits(known[0], known) and not fits(hashed(token), known)
    assert hashed(hashed(token)) == hashed(token) and why_none(token) is None


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("sha256:", "64 hexadecimal digits"),
        ("sha256:" + "g" * 64, "64 hexadecimal digits"),
        ("sha256:" + "0" * 63, "64 hexadecimal digits"),
        ("sha256:" + hashlib.sha256(b"").hexdigest(), "the hash of an empty token"),
        ("sha256:" + hashlib.sha256(b"").hexdigest().upper(), "the hash of an empty token"),
    ],
)
def test_what_is_no_token(token: str, says: str) -> None:
    assert says in (why_none(token) or "")
    with pytest.raises(Exception, match=says):
        company_settings("acme", (Layer("file", {"api_token": ["a-good-one", token]}),))
    with pytest.raises(ValidationError, match=says):
        Settings(admin_token=SecretStr(f"a-good-operators-token,{token}"))


@pytest.mark.parametrize("tokens", ["short", "a-good-operators-token,short", ",", ""])
def test_the_operators_tokens_are_long(tokens: str) -> None:
    with pytest.raises(ValidationError, match="16 characters"):
        Settings(admin_token=SecretStr(tokens))


def test_a_plain_start_takes_several_tokens_and_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", f"one-token, {hashed('another')}")
    (company,) = Settings().companies().values()
    assert [token.get_secret_value() for token in company.api_token] == [
        "one-token",
        hashed("another"),
    ]


def run(given: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("turnwise")), "hash-token", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nand another line\n"])
def test_the_command_reads_a_token_and_prints_its_hash(end: str) -> None:
    token = "0123456789-abcdef"
    done = run(f"{token}{end}")
    assert (done.returncode, done.stdout) == (0, f"sha256:{digest(token)}\n")


@pytest.mark.parametrize("token", ["", "short", "with a space in its midst", "with,a,comma,in,it"])
def test_the_command_refuses_what_is_no_good_token(token: str) -> None:
    done = run(f"{token}\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "openssl rand -hex 32" in done.stderr
    assert not token or token not in done.stderr


def test_the_command_takes_no_token_as_an_argument() -> None:
    done = run("0123456789-abcdef\n", "0123456789-abcdef")
    assert done.returncode != 0 and "sha256" not in done.stdout
