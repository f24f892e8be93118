"""Conservation of money: which part of a succeeded charge is kept, refunded or credited.

The three parts of a charge always add up to its amount: what is kept, what is refunded (or is on
its way to the wallet) and what became the customer's credit. A move takes from one part what it
adds to another. This module does not know rows, the gateway or the reason of a move.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from billing.domain.errors import IllegalMove, RefundTooLarge
from billing.domain.money import rupiah


class Part(StrEnum):
    """The part of a succeeded charge in which its rupiah are."""

    KEPT = "kept"
    REFUNDED = "refunded"
    CREDITED = "credited"


MOVES = {
    (Part.KEPT, Part.REFUNDED): "a refund is requested",
    (Part.KEPT, Part.CREDITED): "a part becomes the customer's credit",
    (Part.CREDITED, Part.REFUNDED): "a credit is paid out",
    (Part.REFUNDED, Part.KEPT): "a refund was declined",
    (Part.REFUNDED, Part.CREDITED): "the payout of a credit was declined",
}
"""Every allowed move. Credited money leaves by a payout only: credit never becomes kept again."""


@dataclass(frozen=True, slots=True)
class Split:
    """The three parts of one succeeded charge; they add up to its amount."""

    kept: int
    refunded: int = 0
    credited: int = 0

    def __post_init__(self) -> None:
        """Refuse a negative part."""
        if min(self.kept, self.refunded, self.credited) < 0:
            raise ValueError(f"no part of a charge can be below zero: {self}")

    @property
    def amount(self) -> int:
        """The amount of the charge."""
        return self.kept + self.refunded + self.credited

    def of(self, part: Part) -> int:
        """Return the rupiah of one part."""
        match part:
            case Part.KEPT:
                return self.kept
            case Part.REFUNDED:
                return self.refunded
            case Part.CREDITED:
                return self.credited

    def move(self, amount: int, source: Part, target: Part) -> "Split":
        """Return the split after `amount` rupiah move from one part to another.

        Raises IllegalMove for a move that is not allowed, RefundTooLarge when the part has less.
        """
        if (source, target) not in MOVES:
            raise IllegalMove(f"a charge's money cannot move from {source} to {target}")
        if amount < 1:
            raise ValueError(f"{amount} rupiah cannot be moved")
        left = self.of(source) - amount
        if left < 0:
            raise RefundTooLarge(
                f"{rupiah(self.of(source))} of this charge is {source};"
                f" {rupiah(amount)} cannot be {target}"
            )
        return replace(self, **{source.value: left, target.value: self.of(target) + amount})


def from_charge_first(amount: int, kept_of_charge: int) -> tuple[int, int]:
    """Split a return of `amount` from an invoice: what its charge pays, and what its credits pay.

    The charge comes first: what the customer paid is returned before what credit covered.
    """
    part = min(amount, kept_of_charge)
    return part, amount - part
