"""An invoice: the amount owed for one period.

open ──> paid | uncollectible | void
uncollectible ──> paid         a late payment still counts
uncollectible ──> open         an operator requested one more attempt
"""

from enum import StrEnum

from billing.domain import machine


class InvoiceStatus(StrEnum):
    """The state of an invoice."""

    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


class InvoiceMove(StrEnum):
    """What can happen to an invoice."""

    PAY = "pay"
    GIVE_UP = "give_up"
    VOID = "void"
    REOPEN = "reopen"


class Blocked(StrEnum):
    """Why an open invoice is not charged although its date has come."""

    WALLET = "wallet"
    BALANCE = "balance"


_S, _M = InvoiceStatus, InvoiceMove
TRANSITIONS: dict[InvoiceStatus, dict[InvoiceMove, InvoiceStatus]] = {
    _S.OPEN: {_M.PAY: _S.PAID, _M.GIVE_UP: _S.UNCOLLECTIBLE, _M.VOID: _S.VOID},
    _S.UNCOLLECTIBLE: {_M.PAY: _S.PAID, _M.VOID: _S.VOID, _M.REOPEN: _S.OPEN},
    _S.PAID: {},
    _S.VOID: {},
}


def advance(status: InvoiceStatus, move: InvoiceMove) -> InvoiceStatus:
    """Return the status after `move`, or raise IllegalMove."""
    return machine.advance(TRANSITIONS, "the invoice", status, move)
