"""Seals the secrets of a company that is kept in Redis, so that nobody reads them there.

Tokens that callers send are kept as hashes. Earlier releases sealed them too, and those open still.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import SecretStr

from actors.errors import Misconfigured
from actors.fields import key_bytes, several
from actors.tokens import hashed

SECRETS = (
    ("api_token",),
    ("chatwoot", "api_key"),
    ("chatwoot", "webhook_secret"),
    ("twilio", "auth_token"),
    ("whatsapp", "access_token"),
)
"""Where a company's table holds a secret."""

HASHED = (("api_token",),)
"""Of these only the hash is kept: they are compared with what callers send, and never sent on."""

MARK = "sealed"
"""A sealed secret is the table {MARK: "v1.<key's name>.<nonce and ciphertext>"}: no secret that
somebody gives is a table."""

NONCE_BYTES = 12
SALT = b"turnwise:companies"
"""Fixed: all processes make the same key of the same passphrase without asking each other."""

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1
"""32 MiB and about a tenth of a second for each passphrase, once a process (RFC 7914)."""


class Seal:
    """Encrypts with the first key of SECRETS_KEY, decrypts with any of them (AES-256-GCM).

    A secret is bound to its company and its place: moved anywhere else, it does not open.
    """

    def __init__(self, secrets_key: SecretStr | None) -> None:
        self._given: tuple[str, ...] = several(secrets_key)

    def sealed(self, company_id: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """The table as it may be stored: its tokens hashed, its other secrets sealed. Raises
        Misconfigured without SECRETS_KEY."""
        return _replaced(table, lambda path, value: self._seal(company_id, path, value))

    def opened(self, company_id: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """The table with its secrets in the clear. Raises Misconfigured, which names the key."""
        return _replaced(table, lambda path, value: self._open(company_id, path, value))

    @cached_property
    def _keys(self) -> dict[str, AESGCM]:
        keys = [key_bytes(given) or _stretched(given) for given in self._given]
        return {hashlib.sha256(b"name:" + key).hexdigest()[:8]: AESGCM(key) for key in keys}

    def _seal(self, company_id: str, path: tuple[str, ...], value: Any) -> Any:
        if path in HASHED:
            return [hashed(str(token)) for token in several(value)]
        if not self._given:
            raise Misconfigured(
                f"companies.{company_id}.{'.'.join(path)}: a secret is stored encrypted only; set "
                "SECRETS_KEY (32 bytes in urlsafe base64, or a passphrase) and start again"
            )
        name, key = next(iter(self._keys.items()))
        nonce = os.urandom(NONCE_BYTES)
        box = nonce + key.encrypt(nonce, json.dumps(value).encode(), _binding(company_id, path))
        return {MARK: f"v1.{name}.{base64.urlsafe_b64encode(box).decode()}"}

    def _open(self, company_id: str, path: tuple[str, ...], value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        where = f"companies.{company_id}.{'.'.join(path)}"
        if not self._given:
            raise Misconfigured(f"{where}: it is stored encrypted, and SECRETS_KEY is not set")
        version, _, rest = str(value.get(MARK, "")).partition(".")
        name, _, text = rest.partition(".")
        try:
            if version == "v1" and name in self._keys:
                box = base64.urlsafe_b64decode(text)
                plain = self._keys[name].decrypt(
                    box[:NONCE_BYTES], box[NONCE_BYTES:], _binding(company_id, path)
                )
                return json.loads(plain)
        except (InvalidTag, ValueError):
            pass
        raise Misconfigured(
            f"{where}: it does not open with this SECRETS_KEY; set the key that it was stored with "
            "(several have commas between them), or store the secret again"
        )


def _stretched(passphrase: str) -> bytes:
    scrypt = Scrypt(salt=SALT, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
    return scrypt.derive(passphrase.encode())


def _binding(company_id: str, path: tuple[str, ...]) -> bytes:
    return f"turnwise:{company_id}:{'.'.join(path)}".encode()


def _replaced(
    table: Mapping[str, Any], change: Callable[[tuple[str, ...], Any], Any]
) -> dict[str, Any]:
    """The table with each secret that it has changed."""
    result = dict(table)
    for path in SECRETS:
        first, *rest = path
        if not rest and first in result:
            result[first] = change(path, result[first])
        elif rest and isinstance(inner := result.get(first), Mapping) and rest[0] in inner:
            result[first] = {**inner, rest[0]: change(path, inner[rest[0]])}
    return result
