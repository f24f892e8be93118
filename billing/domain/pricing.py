"""What an invoice comes to: the period's price, a coupon, lines of its own, and a change's parts.

Whole rupiah, each part rounded half-up; the lines of an invoice always add up to its amount.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Required, TypedDict

from billing.domain.errors import InvalidValue
from billing.domain.money import MAX_AMOUNT, prorate, rupiah

PERCENT_MAX = 100


class Line(TypedDict, total=False):
    """A line of an invoice; `amount` is rupiah, negative when it lowers the sum."""

    kind: Required[str]
    amount: Required[int]
    title: str  # of an extra line
    code: str  # of a coupon
    price: int  # of a change: the whole period's, of which `amount` is a part


class Priced(Protocol):
    """What the next invoice of a subscription is made of."""

    @property
    def amount(self) -> int:
        """The rupiah of a period."""

    @property
    def extras(self) -> Sequence[Line] | None:
        """Lines for this invoice alone."""

    @property
    def coupon_code(self) -> str | None:
        """The coupon in force."""

    @property
    def coupon_percent(self) -> int | None:
        """What it takes off, as a percentage."""

    @property
    def coupon_rupiah(self) -> int | None:
        """What it takes off, in rupiah."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a period's invoice comes to. `period` is the part that a change of plan prorates."""

    amount: int
    period: int
    lines: Sequence[Line]


class Reduction(NamedTuple):
    """A coupon, as prices see it; `cycles` is None when it counts for ever."""

    code: str
    percent: int | None
    rupiah: int | None
    cycles: int | None


def discount(amount: int, percent: int | None, rupiah: int | None) -> int:
    """What a coupon takes off `amount`: a percentage, or rupiah; never more than there is."""
    if percent is not None:
        return prorate(amount, percent, PERCENT_MAX)
    return min(amount, rupiah or 0)


def price(row: Priced) -> Price:
    """What the next period of a subscription costs. A plain price has no lines."""
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
    return Price(sum(line["amount"] for line in lines), period, lines)


def check_largest(amounts: Iterable[int | None], extras: Sequence[Line] = ()) -> None:
    """Raise InvalidValue when an invoice could come to more than the gateway takes.

    `amounts` are the prices of a period that may be in force when it opens, now and after a
    planned change; `extras` are the lines of its own. A coupon is not counted: it may end first.
    """
    most = max(amount or 0 for amount in amounts) + sum(line["amount"] for line in extras)
    if most > MAX_AMOUNT:
        raise InvalidValue(
            f"an invoice of {rupiah(most)} would exceed {rupiah(MAX_AMOUNT)}, the most that can be"
            " charged at once; lower the price, the quantity or the extra lines"
        )


def cycles_left(left: int | None) -> int | None:
    """How often a coupon still counts after one use; None is for ever, nought is never again."""
    return None if left is None else left - 1


@dataclass(frozen=True, slots=True)
class Change:
    """The money of a change within a period: what was paid too much, and what is to be paid.

    `before` and `after` are the prices of the whole period.
    """

    credit: int
    charge: int
    before: int = 0
    after: int = 0

    @property
    def net(self) -> int:
        """What is owed for the change; below nought is the customer's."""
        return self.charge - self.credit

    @property
    def lines(self) -> list[Line]:
        """The change as lines of an invoice, each with the whole period's price that it is of."""
        return [
            {"kind": "credit", "amount": -self.credit, "price": self.before},
            {"kind": "charge", "amount": self.charge, "price": self.after},
        ]


def change(before: int, after: int, unused: int, whole: int, *, paid: int) -> Change:
    """Prorate by days: credit `unused` of `whole` days of `before`, charge them of `after`.

    `before` is the whole period's price that was paid. No more than `paid` comes back, but days
    that were paid once are credited against a charge whatever was given back of them since: a
    dearer price charges the difference only. A period shorter than a day is not prorated.
    """
    if whole == 0:
        return Change(0, 0, before, after)
    charge = prorate(after, unused, whole)
    return Change(min(prorate(before, unused, whole), charge + paid), charge, before, after)


class CreditLeft(NamedTuple):
    """What is left of one of a customer's credits."""

    id: int
    customer_id: str
    remaining: int


def allocate(credits_: Sequence[CreditLeft], amount: int) -> list[tuple[int, int]]:
    """Cover `amount` from credits, oldest first: ids and what is used."""
    used = []
    for credit in credits_:
        part = min(credit.remaining, amount)
        if part:
            used.append((credit.id, part))
            amount -= part
    return used
