"""Segments: what was paid for the days of a current period, and what its unused days are worth.

A period is paid by its first invoice and by one for each change that cost something; each of them
paid for its own days. An unpaid invoice adds nothing. This module does not know rows, or why a
period ends early.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from billing.domain.invoice import InvoiceStatus
from billing.domain.money import prorate
from billing.domain.pricing import Line

_CHANGE, _EXTRA = "credit", "extra"


class Segment(NamedTuple):
    """An invoice of a period: its rupiah, the days that they pay for, and what is kept."""

    cost: int
    days: int
    kept: int


def cost(amount: int, lines: Sequence[Line]) -> int:
    """Return the part of an invoice of `amount` that is for days: all except its extra lines."""
    extras: int = sum(line["amount"] for line in lines if line["kind"] == _EXTRA)
    return amount - extras


class Priced(Protocol):
    """An invoice, with the price of the whole period in its lines."""

    @property
    def change_index(self) -> int:
        """0 for the first invoice of its period."""

    @property
    def status(self) -> InvoiceStatus:
        """Whether it is paid."""

    @property
    def lines(self) -> Sequence[Line]:
        """Empty when the invoice has the price of the period and nothing else."""


def price_before(invoice: Priced, price: int) -> int:
    """Return the price of the whole period before this invoice; zero for the first one.

    `price` is the result for a change whose lines do not contain it.
    """
    if invoice.change_index == 0:
        return 0
    said = [line.get("price") for line in invoice.lines if line["kind"] == _CHANGE]
    return price if not said or said[0] is None else int(said[0])


def price_paid(price: int, newest: Priced) -> int:
    """Return what is paid of the whole period's `price`, given the period's newest invoice.

    A change that is open or uncollectible does not count. (A void one was taken out of the price
    when it became void.)
    """
    unpaid = newest.status in {InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE}
    return price_before(newest, price) if unpaid else price


@dataclass(frozen=True, slots=True)
class Unused:
    """The unused days of a period: how many, at which paid price, and what can be returned.

    `most` is the part of each invoice that its unused days are worth, the newest change first.
    """

    days: int
    whole: int
    price: int
    most: Sequence[int]

    @property
    def returnable(self) -> int:
        """What all invoices together can return for these days."""
        return sum(self.most)

    @property
    def worth(self) -> int:
        """What was paid for these days and is still kept."""
        if self.whole == 0:
            return 0
        return min(prorate(self.price, self.days, self.whole), self.returnable)

    def spread(self, amount: int) -> list[int]:
        """Split a return of `amount` among the invoices, the newest change first."""
        parts = []
        for most in self.most:
            parts.append(min(amount, most))
            amount -= parts[-1]
        return parts


def unused(days: int, whole: int, price: int, segments: Sequence[Segment]) -> Unused:
    """Value `days` unused days of `whole` days; `segments` begin with the newest change."""
    most = [
        min(part.kept, prorate(part.cost, min(days, part.days), part.days)) if part.days else 0
        for part in segments
    ]
    return Unused(days, whole, price, most)
