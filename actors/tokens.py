"""Keeps bearer tokens as their SHA-256, and compares a caller's token with them.

A token is long and random, so that its plain hash gives nothing away; a word of a dictionary would
be found by trying. Pure.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

MARK = "sha256:"
"""A token may be given as this and the 64 hexadecimal digits of its SHA-256."""

_HASHED = re.compile(rf"{MARK}[0-9a-fA-F]{{64}}")


def digest(token: str) -> str:
    """SHA-256 in lowercase hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


_OF_NOTHING = digest("")


def hashed(given: str) -> str:
    """What may be stored of a token: its hash; a hash stays what it is."""
    return given.lower() if _HASHED.fullmatch(given) else f"{MARK}{digest(given)}"


def digest_of(given: str) -> str:
    """The digest of a token that was given, in the clear or as its hash."""
    return hashed(given).removeprefix(MARK)


def why_none(given: str) -> str | None:
    """Why this is no token, or None. Says nothing of the token itself."""
    if given.startswith(MARK) and not _HASHED.fullmatch(given):
        return f"after {MARK} come the 64 hexadecimal digits that `turnwise hash-token` prints"
    if digest_of(given) == _OF_NOTHING:
        return "this is the hash of an empty token, which everybody has"
    return None


def fits(token: str, digests: Sequence[str]) -> bool:
    """Whether a caller's token is one of these.

    The time it takes depends on their number alone: digests are compared, all of them, whole.
    """
    given = digest(token)
    same = [hmac.compare_digest(given, known) for known in digests]
    return any(same)
