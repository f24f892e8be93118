"""Token keys: check whether BILLING_TOKEN_KEY decrypts the values in the database.

A key that was lost or removed too early is found here and not at the next charge. The check reads a
bounded sample, decrypts values only to test the key, and stores nothing.
"""

from collections.abc import Iterable
from typing import NamedTuple

from billing.domain.errors import NotConfigured
from billing.services.context import Context
from billing.store.queries import sealed
from billing.store.session import Database
from billing.store.vault import Vault

UNOPENABLE = "BILLING_TOKEN_KEY does not open its token any more"
SAMPLE_MAX = 500
"""Sample size of each kind; decrypting it takes some milliseconds."""


class Opened(NamedTuple):
    """How many encrypted values of one kind were sampled, and how many no key decrypts."""

    what: str
    tried: int
    shut: int


def opens(context: Context, value: bytes) -> bool:
    """Whether a key of the settings decrypts one value."""
    return _opens(context.vault, value)


def _opens(vault: Vault, value: bytes) -> bool:
    try:
        vault.open(value)
    except NotConfigured:
        return False
    return True


def try_all(database: Database, vault: Vault) -> list[Opened]:
    """Sample the oldest, the newest and other tokens, phones and bodies."""
    with database.transaction() as connection:
        samples = sealed.samples(connection, SAMPLE_MAX)
    return [
        Opened(what, len(values), sum(not _opens(vault, value) for value in values))
        for what, values in samples.items()
    ]


def trouble(tried: Iterable[Opened]) -> str:
    """Describe in one line what cannot be decrypted, and how to fix it; empty when all can."""
    shut = [each for each in tried if each.shut]
    if not shut:
        return ""
    counts = ", ".join(f"{each.shut} of {each.tried} {each.what}" for each in shut)
    ways = []
    if any(each.what not in {sealed.SECRETS, sealed.FACTORS} for each in shut):
        ways.append("link the wallets again: billing wallet link CUSTOMER --replace")
    if any(each.what == sealed.SECRETS for each in shut):
        ways.append("make new secrets: billing webhook rotate-secret ID")
    if any(each.what == sealed.FACTORS for each in shut):
        ways.append("make new second factors: billing person second-factor NAME")
    return (
        f"BILLING_TOKEN_KEY does not open {counts}; add the key they were encrypted"
        f" with, separated by a comma, or {'; and '.join(ways)}"
    )


def check(context: Context) -> str:
    """Describe what cannot be decrypted. Raises NotConfigured when nothing can."""
    tried = try_all(context.database, context.vault)
    shut = trouble(tried)
    if shut and none_opens(tried):
        raise NotConfigured(shut)
    return shut


def none_opens(tried: Iterable[Opened]) -> bool:
    """Whether there are encrypted values and none can be decrypted: the key is wrong."""
    found = [each for each in tried if each.tried]
    return bool(found) and all(each.shut == each.tried for each in found)
