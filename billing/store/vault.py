"""Encryption of wallet tokens, phones and request bodies at rest; knows bytes, not what they mean.

Several keys rotate: the first one seals, every one opens.
"""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from billing.domain.errors import NotConfigured


class Vault:
    """Seals and opens values with Fernet keys."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def __repr__(self) -> str:
        return "Vault(keys hidden)"

    def seal(self, value: bytes) -> bytes:
        """Encrypt `value`."""
        return self._fernet.encrypt(value)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt what `seal` made; NotConfigured when no key fits."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise NotConfigured(
                "BILLING_TOKEN_KEY does not open what the database holds;"
                " add the key it was sealed with, separated by a comma"
            ) from None
