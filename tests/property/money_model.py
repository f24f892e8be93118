"""What must happen to every rupiah, computed independently of the engine's code.

The model gets each act and the invoices, payments and refunds that followed. It predicts what is
kept, refunded and credited of each payment, and what remains of each credit. Amounts that depend on
days (a change, a prorated cancellation) are given to it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

MUST_RETURN = {"cancel", "surplus", "void"}


@dataclass
class Paid:
    """A payment whose money moved, and where it is."""

    invoice: UUID
    surplus: bool
    kept: int
    refunded: int = 0
    credited: int = 0


@dataclass
class Credit:
    """What is left of a credit, and the payment that it is a part of; a gift has none."""

    left: int
    charge: UUID | None = None


@dataclass
class Refund:
    """A refund: what it was taken from, and whether it is over."""

    charge: UUID
    amount: int
    purpose: str
    credit: int | None = None
    state: str = "on its way"


@dataclass
class Invoice:
    """An invoice, and what it took of credits: pairs of credit and rupiah, the oldest first."""

    amount: int
    period: int
    change: int
    status: str = "open"
    uses: list[list[int]] = field(default_factory=list)
    charge: UUID | None = None


class Model:
    """One customer's money."""

    def __init__(self) -> None:
        self.invoices: dict[UUID, Invoice] = {}
        self.charges: dict[UUID, Paid] = {}
        self.credits: dict[int, Credit] = {}
        self.refunds: dict[UUID, Refund] = {}
        self.gifts = 0

    # --- what the engine does by itself ------------------------------------------------------

    def opened(self, row: Any) -> None:
        """There is a new invoice: it uses credits, the oldest first."""
        made = Invoice(row["amount"], row["period_index"], row["change_index"])
        owed = row["amount"]
        for number, credit in sorted(self.credits.items()):
            part = min(owed, credit.left)
            if part:
                credit.left -= part
                owed -= part
                made.uses.append([number, part])
        if owed == 0:
            made.status = "paid"
        assert row["amount"] - owed == row["credited"]
        self.invoices[row["id"]] = made

    def voided(self, invoice: UUID) -> None:
        """An invoice becomes void: its used credit returns to the customer."""
        made = self.invoices[invoice]
        self._return_uses(made, sum(part for _, part in made.uses))
        made.status = "void"

    def unserved(self, invoice: UUID, amount: int) -> None:
        """A given-up invoice of an ended subscription returns its credit for unserved days."""
        self._return_uses(self.invoices[invoice], amount)
        self.invoices[invoice].status = "uncollectible"

    def took(self, charge: UUID, invoice: UUID, amount: int) -> tuple[int, str] | None:
        """Money moved; what has to go back of it at once, and why."""
        made = self.invoices[invoice]
        surplus = made.status in {"paid", "void"}
        self.charges[charge] = Paid(invoice, surplus, amount)
        if surplus:
            return amount, "surplus" if made.status == "paid" else "void"
        made.status, made.charge = "paid", charge
        return None

    # --- what a person does ------------------------------------------------------------------

    def give(self, credit: int, amount: int) -> None:
        """A gift."""
        self.credits[credit] = Credit(amount)
        self.gifts += amount

    def kept_of(self, invoice: UUID) -> int:
        """What of an invoice could still go back, to the wallet or to the balance."""
        made = self.invoices[invoice]
        if made.status != "paid":
            return 0
        money = self.charges[made.charge].kept if made.charge else 0
        return money + sum(part for _, part in made.uses)

    def credit_back(self, invoice: UUID, amount: int, next_credit: int | None) -> bool:
        """A part of an invoice becomes balance; whether that made a new credit."""
        made = self.invoices[invoice]
        money = 0
        if made.charge is not None:
            paid = self.charges[made.charge]
            money = min(amount, paid.kept)
            paid.kept -= money
            paid.credited += money
            if money:
                assert next_credit is not None, "a credit is missing"
                self.credits[next_credit] = Credit(money, made.charge)
                self._replace(made.charge)
        self._return_uses(made, amount - money)
        return money > 0

    def cancel_back(self, invoice: UUID, amount: int) -> int:
        """A part of an invoice is returned for a cancellation; returns the refund to the wallet."""
        made = self.invoices[invoice]
        money = min(amount, self.charges[made.charge].kept) if made.charge else 0
        self._return_uses(made, amount - money)
        return money

    def refundable(self, invoice: UUID) -> tuple[UUID, int] | None:
        """The payment that a refund of an invoice is taken from, and what is kept of it."""
        mine = {c: p for c, p in self.charges.items() if p.invoice == invoice}
        first = [c for c, p in mine.items() if p.surplus and p.kept]
        found = first or [c for c, p in mine.items() if not p.surplus] or list(mine)
        return (found[0], mine[found[0]].kept) if found else None

    def payable(self, credit: int) -> int:
        """What of a credit may be paid out."""
        found = self.credits[credit]
        return 0 if found.charge is None else found.left

    def refund(
        self, refund: UUID, charge: UUID, amount: int, purpose: str, credit: int | None = None,
        covers: Collection[UUID] = (),
    ) -> None:  # fmt: skip
        """Money is on its way to the wallet; it takes the place of the refunds that it covers."""
        paid = self.charges[charge]
        if credit is None:
            paid.kept -= amount
        else:
            paid.credited -= amount
            self.credits[credit].left -= amount
        paid.refunded += amount
        assert refund not in self.refunds
        made = Refund(charge, amount, purpose, credit)
        if credit is None:
            made.purpose = self._replace(charge, covers) or purpose
        self.refunds[refund] = made

    def _replace(
        self, charge: UUID, covers: Collection[UUID] = (), besides: UUID | None = None
    ) -> str | None:
        """Money left a payment: what it covers is over, and everything else when none is left.

        Then what is on its way must go back as that had to; returns for what.
        """
        empty, purpose = not self.charges[charge].kept, None
        mine = {n: r for n, r in self.refunds.items() if r.charge == charge and n != besides}
        for number, refund in mine.items():
            if refund.state == "unreturned" and (empty or number in covers):
                refund.state, purpose = "replaced", purpose or refund.purpose
        for refund in mine.values():
            is_asked_for = refund.purpose == "operator" and refund.credit is None
            if empty and purpose and is_asked_for and refund.state == "on its way":
                refund.purpose = purpose
        return purpose

    def covered_by(self, charge: UUID, amount: int) -> list[UUID]:
        """The unreturned refunds that a new one over `amount` replaces."""
        found = []
        for number, refund in self.refunds.items():
            if refund.charge == charge and refund.state == "unreturned" and refund.amount <= amount:
                amount -= refund.amount
                found.append(number)
        return found

    def ended(self, refund: UUID, *, paid: bool) -> None:
        """The gateway has said what became of a refund."""
        made = self.refunds[refund]
        if paid:
            made.state = "paid"
            return
        made.state = "unreturned" if made.purpose in MUST_RETURN else "declined"
        source = self.charges[made.charge]
        source.refunded -= made.amount
        if made.credit is None:
            source.kept += made.amount
        else:
            source.credited += made.amount
            self.credits[made.credit].left += made.amount

    def returned_elsewhere(self, refund: UUID) -> None:
        """A person returned by other means what could not be refunded."""
        made = self.refunds[refund]
        paid = self.charges[made.charge]
        paid.kept -= made.amount
        paid.refunded += made.amount
        made.state = "elsewhere"
        self._replace(made.charge, besides=refund)

    def _return_uses(self, made: Invoice, amount: int) -> None:
        for use in reversed(made.uses):
            part = min(amount, use[1])
            use[1] -= part
            amount -= part
            self.credits[use[0]].left += part
        assert amount == 0, "more went back than the balance had covered"
