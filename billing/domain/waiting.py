"""Waiting: why an open invoice is not charged at this moment, as a sentence.

From everything that blocks an invoice, the first condition that must end is shown. This module does
not know rows or the clock.
"""

from enum import StrEnum
from typing import NamedTuple

from billing.domain.invoice import Blocked
from billing.domain.money import rupiah

WALLET = "a linked wallet"
NEXT_TICK = "the next tick"
CONFIRMING = "the gateway, which is queried again to confirm a final answer"


class Standing(NamedTuple):
    """What is known of an open invoice and of the engine."""

    due: bool
    leased: bool
    blocked_on: str | None
    shortfall: int | None
    reason: str | None
    older_open: bool
    unresolved: bool
    held_why: str | None = None
    """Why the invoice is held, or the subscription's unresolved charge is."""
    confirming: bool = False
    """Whether the unresolved charge has an answer that a second query must confirm."""


class Brake(StrEnum):
    """Why no due invoice of any customer is charged with the next tick."""

    STOPPED = "stopped"
    RESTING = "resting"


class Brakes(NamedTuple):
    """What stops the charging of all invoices."""

    stopped: bool
    stopped_reason: str | None
    resting: bool

    @property
    def first(self) -> Brake | None:
        """Return what must end first; None when a due invoice is charged with the next tick."""
        if self.stopped:
            return Brake.STOPPED
        return Brake.RESTING if self.resting else None


def waits_for(standing: Standing, brakes: Brakes) -> str | None:
    """Return what an open invoice waits for; None when it is not due yet."""
    before = _stands_before(standing)
    if before is not None:
        return before
    if standing.blocked_on == Blocked.WALLET:
        return WALLET
    if standing.blocked_on == Blocked.BALANCE:
        short = f": {rupiah(standing.shortfall)} short" if standing.shortfall else ""
        return f"money in the wallet{short}"
    if standing.reason:
        return f"its next date: {standing.reason}"
    if not standing.due:
        return None
    if brakes.stopped:
        why = f" ({brakes.stopped_reason})" if brakes.stopped_reason else ""
        return f"charging, which is stopped{why}"
    if brakes.resting:
        return "the gateway, which is not called for a short time after failures"
    if standing.leased:
        return "a worker, which has its message; after 45 seconds another message is sent"
    return NEXT_TICK


def _stands_before(standing: Standing) -> str | None:
    """Return what must end before the invoice itself is considered."""
    if standing.held_why is not None:
        return f"an operator, because it is held: {standing.held_why}"
    if standing.confirming:
        return CONFIRMING
    if standing.unresolved:
        return "the outcome of an unresolved charge"
    return "an older invoice, which is charged first" if standing.older_open else None
