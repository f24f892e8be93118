"""Ways out: the commands that an operator can use in each state of an object.

One table for `show`, for `--help` and for the timeline, so that all of them name the same commands.
This module does not know how a command is carried out.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from billing.domain.charge import ChargeStatus
from billing.domain.invoice import InvoiceStatus
from billing.domain.refund import RefundStatus
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus


class Need(StrEnum):
    """A condition for a command to be accepted; a command without one is always accepted."""

    CHARGEABLE = "chargeable"
    """Its invoice comes first, nothing of its subscription is unresolved, and there is a wallet."""
    NO_WALLET = "no_wallet"
    LINK_OPEN = "link_open"
    NOTHING_LATE = "nothing_late"
    """Nothing that was planned for the subscription is overdue."""
    NO_END_DUE = "no_end_due"
    DECIDABLE = "decidable"
    """Parked, or older than the horizon: an operator's decision is accepted."""
    WAITS = "waits"
    """The refund waits for an operator, and there is money for it."""
    KEPT = "kept"
    """The charge has money that can still be refunded."""


Facts = Mapping[Need, bool | datetime]
"""Whether a need is met, or from when it will be; a missing need is not met."""


class Way(NamedTuple):
    """A command with placeholders in capitals for ids, and its effect."""

    command: str
    does: str
    need: Need | None = None
    from_at: datetime | None = None
    """When it will be accepted, if not yet."""

    def named(self, names: Mapping[str, object]) -> "Way | None":
        """Return the command with ids filled in; None when an id is not known."""
        words = self.command.split(" ")
        if any(word.isupper() and names.get(word.lower()) is None for word in words):
            return None
        filled = (str(names[word.lower()]) if word.isupper() else word for word in words)
        return self._replace(command=" ".join(filled))

    def among(self, facts: Facts) -> "Way | None":
        """Return the command with the date from which it is accepted; None if that is unknown."""
        met = True if self.need is None else facts.get(self.need, False)
        if isinstance(met, datetime):
            return self._replace(from_at=met)
        return self if met else None


_LINK = Way("billing wallet link CUSTOMER --phone 62…", "link a wallet", Need.NO_WALLET)
_REFRESH = Way(
    "billing wallet refresh CUSTOMER", "check whether the customer has finished linking",
    Need.LINK_OPEN,
)  # fmt: skip
_RETRY = Way(
    "billing invoice retry INVOICE", "attempt the invoice again immediately", Need.CHARGEABLE
)
_VOID = Way("billing invoice void INVOICE", "void it")
_CANCEL = Way("billing subscription cancel SUBSCRIPTION", "cancel it", Need.NO_END_DUE)
_PAUSE = Way("billing subscription pause SUBSCRIPTION", "pause it", Need.NOTHING_LATE)
_RESUME = Way(
    "billing subscription resume SUBSCRIPTION", "resume with the next period", Need.NOTHING_LATE
)
_UNLINK = Way("billing wallet unlink CUSTOMER", "delete the token")
_RESOLVE = Way(
    "billing charge resolve CHARGE --as …", "set its outcome, if the gateway does not know it",
    Need.DECIDABLE,
)  # fmt: skip
_LOOK = Way("billing charge show CHARGE", "show its state; the gateway is queried automatically")
_AGAIN = Way("billing refunds retry REFUND", "query or send a parked refund again", Need.WAITS)
_REFUND = Way("billing refund INVOICE", "request another refund of what is kept", Need.KEPT)
_DECIDE = Way(
    'billing refunds resolve REFUND --as … --reason "…"', "set the outcome of a parked refund",
    Need.DECIDABLE,
)  # fmt: skip

Ways = tuple[Way, ...]
State = TypeVar("State", bound=StrEnum)
Table = Mapping[State, Ways]
"""What can be done in each state."""

SUBSCRIPTION: Mapping[SubscriptionStatus, Ways] = {
    SubscriptionStatus.PENDING: (_LINK, _REFRESH, _CANCEL),
    SubscriptionStatus.TRIALING: (_LINK, _REFRESH, _PAUSE, _CANCEL),
    SubscriptionStatus.ACTIVE: (_LINK, _REFRESH, _PAUSE, _CANCEL),
    SubscriptionStatus.PAST_DUE: (_RETRY, _LINK, _REFRESH, _CANCEL),
    SubscriptionStatus.PAUSED: (_RESUME, _CANCEL),
    SubscriptionStatus.UNPAID: (_RETRY, _RESUME, _CANCEL),
}
INVOICE: Mapping[InvoiceStatus, Ways] = {
    InvoiceStatus.OPEN: (_RETRY, _VOID),
    InvoiceStatus.UNCOLLECTIBLE: (_RETRY, _VOID),
}
CHARGE: Mapping[ChargeStatus, Ways] = {
    ChargeStatus.IN_FLIGHT: (_LOOK,),
    ChargeStatus.PENDING: (_RESOLVE,),
    ChargeStatus.UNKNOWN: (_RESOLVE,),
    ChargeStatus.DECLINED: (_RETRY,),
    ChargeStatus.UNSENT: (_RETRY,),
}
REFUND: Mapping[RefundStatus, Ways] = {
    RefundStatus.REQUESTED: (_AGAIN, _DECIDE),
    RefundStatus.IN_FLIGHT: (_AGAIN,),
    RefundStatus.UNKNOWN: (_AGAIN, _DECIDE),
    RefundStatus.DECLINED: (_REFUND,),
    RefundStatus.WAIVED: (_REFUND,),
    RefundStatus.UNRETURNED: (
        Way("billing refunds retry REFUND", "replace it with a new refund", Need.WAITS),
        Way(
            'billing refunds resolve REFUND --as … --reason "…"',
            "record that the money was returned otherwise, or is kept",
        ),
    ),
}
WALLET: Mapping[WalletStatus, Ways] = {
    WalletStatus.PENDING: (
        _REFRESH,
        Way("billing wallet unlink CUSTOMER", "drop the link"),
    ),
    WalletStatus.ACTIVE: (_UNLINK,),
    WalletStatus.EXPIRED: (_LINK, _UNLINK),
    WalletStatus.UNLINKING: (Way(_UNLINK.command, "query the gateway again now"),),
}


def of(table: Table[State], status: str, **names: object) -> list[Way]:
    """List what an operator can do in a state, with the ids of this object filled in."""
    ways = next((ways for state, ways in table.items() if state == status), ())
    return [named for way in ways if (named := way.named(names)) is not None]


def every(state: StrEnum) -> Ways:
    """Return all commands for a state of any machine, also those that are not possible now."""
    match state:
        case SubscriptionStatus():
            return SUBSCRIPTION.get(state, ())
        case InvoiceStatus():
            return INVOICE.get(state, ())
        case ChargeStatus():
            return CHARGE.get(state, ())
        case RefundStatus():
            return REFUND.get(state, ())
        case WalletStatus():
            return WALLET.get(state, ())
    return ()


def told(table: Table[State]) -> str:
    """Describe a whole table in words, for the end of a help text."""
    lines = (
        f"{state}: {' or '.join(way.command for way in ways)}" for state, ways in table.items()
    )
    return "\n\n".join(("What you can do in each state:", *lines))
