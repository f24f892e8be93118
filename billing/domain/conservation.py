"""Conservation of money: what became of a succeeded charge, to the last rupiah.

A charge's amount is split into what we keep, what was refunded (or is on its way back) and what
became the customer's credit. Every move takes from one part what it adds to another, so that the
parts always add up. It knows no rows, no gateway and no reason for a move.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from billing.domain.errors import IllegalMove, RefundTooLarge
from billing.domain.money import rupiah


class Part(StrEnum):
    """Where rupiah of a succeeded charge are."""

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
"""Every move there is. Credit is never taken back: credited money leaves by a payout only."""


@dataclass(frozen=True, slots=True)
class Split:
    """What became of one succeeded charge; the three parts add up to its amount."""

    kept: int
    refunded: int = 0
    credited: int = 0

    def __post_init__(self) -> None:
        """Refuse a part below zero, whoever made it."""
        if min(self.kept, self.refunded, self.credited) < 0:
            raise ValueError(f"no part of a charge can be below zero: {self}")

    @property
    def amount(self) -> int:
        """The amount of the charge."""
        return self.kept + self.refunded + self.credited

    def of(self, part: Part) -> int:
        """How many rupiah are in one part."""
        match part:
            case Part.KEPT:
                return self.kept
            case Part.REFUNDED:
                return self.refunded
            case Part.CREDITED:
                return self.credited

    def move(self, amount: int, source: Part, target: Part) -> "Split":
        """Return the split after `amount` rupiah went from one part to another.

        Raises IllegalMove (there is no such move) or RefundTooLarge (less is there).
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
    """How `amount` that goes back of an invoice is taken from its charge, and from credits it used.

    The charge comes first: what the customer paid goes back before what their balance covered.
    """
    part = min(amount, kept_of_charge)
    return part, amount - part
