"""Pricing: the amount of an invoice, from the period's price, coupon, extra lines and change.

Amounts are whole rupiah, each part is rounded half-up, and the lines of an invoice always add up to
its amount.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Required, TypedDict

from billing.domain.errors import InvalidValue
from billing.domain.money import MAX_AMOUNT, prorate, rupiah

PERCENT_MAX = 100


class Line(TypedDict, total=False):
    """A line of an invoice; `amount` is rupiah, negative for a reduction."""

    kind: Required[str]
    amount: Required[int]
    title: str  # of an extra line
    code: str  # of a coupon
    price: int  # of a change: the whole period's price, of which `amount` is a part


class Extra(NamedTuple):
    """An extra line of one invoice; `amount` is rupiah."""

    title: str
    amount: int


class Priced(Protocol):
    """The parts of a subscription's next invoice."""

    @property
    def amount(self) -> int:
        """The price of a period in rupiah."""

    @property
    def extras(self) -> Sequence[Line] | None:
        """Extra lines for this invoice only."""

    @property
    def coupon_code(self) -> str | None:
        """The coupon in force."""

    @property
    def coupon_percent(self) -> int | None:
        """The coupon's discount as a percentage."""

    @property
    def coupon_rupiah(self) -> int | None:
        """The coupon's discount in rupiah."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a period's invoice. `period` is the part that a change of plan prorates."""

    amount: int
    period: int
    lines: Sequence[Line]


class Reduction(NamedTuple):
    """A coupon's terms; `cycles` is None when it has no limit."""

    code: str
    percent: int | None
    rupiah: int | None
    cycles: int | None


def discount(amount: int, percent: int | None, rupiah: int | None) -> int:
    """Return a coupon's discount on `amount`: a percentage or rupiah, never more than `amount`."""
    if percent is not None:
        return prorate(amount, percent, PERCENT_MAX)
    return min(amount, rupiah or 0)


def price(row: Priced) -> Price:
    """Compute the invoice of a subscription's next period. A price without extras has no lines."""
    extras: Sequence[Line] = row.extras or ()
    if row.coupon_code is None and not extras:
        return Price(row.amount, row.amount, ())
    lines: list[Line] = [{"kind": "period", "amount": row.amount}]
    period = row.amount
    if row.coupon_code is not None:
        off = discount(period, row.coupon_percent, row.coupon_rupiah)
        period -= off
        lines.append({"kind": "coupon", "code": row.coupon_code, "amount": -off})
    lines += extras
    return Price(total(lines), period, lines)


def total(lines: Iterable[Line]) -> int:
    """Add up the amounts of lines, in rupiah."""
    return sum(line["amount"] for line in lines)


def extras(lines: Iterable[Line]) -> list[Extra]:
    """Return the title and the amount of each extra line."""
    return [Extra(line["title"], line["amount"]) for line in lines]


def coupon_of(lines: Iterable[Line]) -> str | None:
    """Return the code of the coupon that an invoice has used, if any."""
    return next((line["code"] for line in lines if line["kind"] == "coupon"), None)


def check_largest(amounts: Iterable[int | None], extras: Sequence[Line] = ()) -> None:
    """Raise InvalidValue when an invoice could exceed the gateway's limit.

    `amounts` are the period's prices that may be in force when it opens, now and after a planned
    change; `extras` are its extra lines. A coupon is not counted: it may end before.
    """
    most = max(amount or 0 for amount in amounts) + total(extras)
    if most > MAX_AMOUNT:
        raise InvalidValue(
            f"an invoice of {rupiah(most)} would exceed {rupiah(MAX_AMOUNT)}, the most that can be"
            " charged at once; lower the price, the quantity or the extra lines",
            field="amount",
        )


def cycles_left(left: int | None) -> int | None:
    """Return for how many invoices a coupon still counts after one use; None: no limit."""
    return None if left is None else left - 1


@dataclass(frozen=True, slots=True)
class Change:
    """The money of a change within a period: the credit for the old price, the charge for the new.

    `before` and `after` are the prices of the whole period.
    """

    credit: int
    charge: int
    before: int = 0
    after: int = 0

    @property
    def net(self) -> int:
        """The amount owed for the change; a negative one is credited to the customer."""
        return self.charge - self.credit

    @property
    def lines(self) -> list[Line]:
        """The change as lines of an invoice, each with the price of the whole period."""
        return [
            {"kind": "credit", "amount": -self.credit, "price": self.before},
            {"kind": "charge", "amount": self.charge, "price": self.after},
        ]


def change(before: int, after: int, unused: int, whole: int, *, paid: int) -> Change:
    """Prorate by days: credit `unused` of `whole` days of `before`, and charge them at `after`.

    `before` is the price of the whole period that was paid. At most `paid` is credited to the
    customer. Against a charge, days that were paid once are credited in full, even if they were
    refunded since: a higher price charges only the difference. A period shorter than a day is not
    prorated.
    """
    if whole == 0:
        return Change(0, 0, before, after)
    charge = prorate(after, unused, whole)
    return Change(min(prorate(before, unused, whole), charge + paid), charge, before, after)


class CreditLeft(NamedTuple):
    """The unused part of one of a customer's credits."""

    id: int
    customer_id: str
    remaining: int


def allocate(credits_: Sequence[CreditLeft], amount: int) -> list[tuple[int, int]]:
    """Cover `amount` from credits, oldest first; return the credit ids and the amounts used."""
    used = []
    for credit in credits_:
        part = min(credit.remaining, amount)
        if part:
            used.append((credit.id, part))
            amount -= part
    return used
