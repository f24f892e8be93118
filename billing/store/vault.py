"""Vault: encryption of wallet tokens, phones and request bodies at rest.

AES-256-GCM, with a key that is derived from each Fernet key of the settings. Several keys allow
rotation: the first one encrypts, each one decrypts. This module does not know the meaning of the
bytes.
"""

import hmac
import os
from base64 import urlsafe_b64decode
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from billing.domain.errors import NotConfigured

FORMAT = b"\x01"
"""The first byte of an encrypted value, so that another format can be added later."""
NONCE_BYTES = 12
"""Random nonces are safe for 2**32 values under one key (NIST SP 800-38D, 8.3)."""


class Vault:
    """Encrypts and decrypts values with keys in Fernet's format."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._ciphers = [AESGCM(_derived(key, b"billing vault 1")) for key in keys]
        self._hash_keys = [_derived(key, b"billing token hash 1") for key in keys]

    def __repr__(self) -> str:
        return "Vault(keys hidden)"

    def seal(self, value: bytes) -> bytes:
        """Encrypt `value`."""
        self._require_keys()
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + nonce + self._ciphers[0].encrypt(nonce, value, FORMAT)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt what `seal` encrypted; raises NotConfigured when no key fits."""
        self._require_keys()
        try:
            return self._opened(sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :])
        except (InvalidTag, ValueError):
            raise NotConfigured(
                "BILLING_TOKEN_KEY does not open what the database holds;"
                " add the key it was sealed with, separated by a comma"
            ) from None

    @property
    def hash_prefix(self) -> bytes:
        """The prefix of a hash under the newest key; a hash with another prefix is outdated."""
        return _key_name(self._hash_keys[0])

    def hashes(self, value: bytes) -> list[bytes]:
        """Hash `value` under each key, the newest first, to find it again without decrypting it.

        HMAC-SHA256 after four bytes that name the key: without the key, values cannot be guessed.
        """
        return [_key_name(key) + hmac.digest(key, value, "sha256") for key in self._hash_keys]

    def _require_keys(self) -> None:
        if not self._ciphers:
            raise NotConfigured("BILLING_TOKEN_KEY is not set; this command needs it")

    def _opened(self, form: bytes, nonce: bytes, sealed: bytes) -> bytes:
        if form != FORMAT:
            raise InvalidTag
        for cipher in self._ciphers[:-1]:
            try:
                return cipher.decrypt(nonce, sealed, FORMAT)
            except InvalidTag:
                continue
        return self._ciphers[-1].decrypt(nonce, sealed, FORMAT)


def _derived(key: str, purpose: bytes) -> bytes:
    """Derive a key that is neither half of the Fernet key: one key has one use."""
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose)
    return derive.derive(urlsafe_b64decode(key))


def _key_name(key: bytes) -> bytes:
    return hmac.digest(key, b"name", "sha256")[:4]
