"""Token keys: whether BILLING_TOKEN_KEY opens what the database holds, in old rows and new ones.

A key that was removed too early, or lost, shows here and not at the next charge. It looks at a
bounded sample, opens values only to see that they open, and keeps nothing of them.
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
"""So many of each kind are tried, which takes some milliseconds."""


class Opened(NamedTuple):
    """How many sealed values of one kind were tried, and how many no key opens."""

    what: str
    tried: int
    shut: int


def opens(context: Context, value: bytes) -> bool:
    """Whether a key of the settings opens one sealed value."""
    return _opens(context.vault, value)


def _opens(vault: Vault, value: bytes) -> bool:
    try:
        vault.open(value)
    except NotConfigured:
        return False
    return True


def try_all(database: Database, vault: Vault) -> list[Opened]:
    """Try the oldest, the newest and others of the tokens, phones and bodies there are."""
    with database.transaction() as connection:
        samples = sealed.samples(connection, SAMPLE_MAX)
    return [
        Opened(what, len(values), sum(not _opens(vault, value) for value in values))
        for what, values in samples.items()
    ]


def trouble(tried: Iterable[Opened]) -> str:
    """One line about what cannot be opened, and what would be right; empty when all can."""
    shut = [each for each in tried if each.shut]
    if not shut:
        return ""
    counts = ", ".join(f"{each.shut} of {each.tried} {each.what}" for each in shut)
    return (
        f"BILLING_TOKEN_KEY does not open {counts} that were tried; add the key they were sealed"
        " with, separated by a comma, or link the wallets anew:"
        " billing wallet bind CUSTOMER --replace"
    )


def check(context: Context) -> str:
    """What cannot be opened, in one line. Raises NotConfigured when nothing can."""
    tried = try_all(context.database, context.vault)
    shut = trouble(tried)
    if shut and none_opens(tried):
        raise NotConfigured(shut)
    return shut


def none_opens(tried: Iterable[Opened]) -> bool:
    """Whether there are sealed values, and none of them can be opened: the key is a wrong one."""
    found = [each for each in tried if each.tried]
    return bool(found) and all(each.shut == each.tried for each in found)
