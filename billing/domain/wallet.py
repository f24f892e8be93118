"""A wallet: a customer's linked OVO account, and its token with one year of life.

pending ─┬─> active ─┬─> expired       the token's year ended, or the gateway said so
         ├─> failed  └─> unlinking ──> unlinked
         └─> unlinked
"""

from datetime import datetime, timedelta
from enum import StrEnum

from billing.domain import machine

TOKEN_LIFE_YEARS = 1
"""DOKU, Get List Token: "valid for 1 year"; no expiry date is returned."""
NOTICES = tuple(timedelta(days=days) for days in (30, 14, 7, 1))
"""How long before a token expires an event is recorded, each once."""
LINK_LIFE = timedelta(days=7)
"""Our own limit: how long a registration link is polled before it counts as failed."""


class WalletStatus(StrEnum):
    """The state of a wallet."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"
    UNLINKING = "unlinking"
    UNLINKED = "unlinked"
    FAILED = "failed"


LIVE = (WalletStatus.PENDING, WalletStatus.ACTIVE, WalletStatus.UNLINKING)
"""A customer has at most one wallet in these states."""


class WalletMove(StrEnum):
    """What can happen to a wallet."""

    LINK = "link"
    FAIL = "fail"
    EXPIRE = "expire"
    UNLINK = "unlink"
    CONFIRM_UNLINKED = "confirm_unlinked"


_S, _M = WalletStatus, WalletMove
TRANSITIONS: dict[WalletStatus, dict[WalletMove, WalletStatus]] = {
    _S.PENDING: {_M.LINK: _S.ACTIVE, _M.FAIL: _S.FAILED, _M.UNLINK: _S.UNLINKED},
    _S.ACTIVE: {_M.EXPIRE: _S.EXPIRED, _M.UNLINK: _S.UNLINKING},
    _S.EXPIRED: {_M.UNLINK: _S.UNLINKING},
    _S.UNLINKING: {_M.CONFIRM_UNLINKED: _S.UNLINKED},
    _S.UNLINKED: {},
    _S.FAILED: {},
}


def advance(status: WalletStatus, move: WalletMove) -> WalletStatus:
    """Return the status after `move`, or raise IllegalMove."""
    return machine.advance(TRANSITIONS, "the wallet", status, move)


def next_notice(expires_at: datetime, now: datetime) -> datetime | None:
    """Return when the next expiry notice is due after `now`; None when all were recorded."""
    return min((expires_at - ahead for ahead in NOTICES if expires_at - ahead > now), default=None)


def poll_after(age: timedelta) -> timedelta:
    """Return the wait before the next poll for the token of a link of this `age`."""
    if age < timedelta(minutes=10):
        return timedelta(seconds=5)
    return timedelta(minutes=1) if age < timedelta(hours=2) else timedelta(minutes=30)
