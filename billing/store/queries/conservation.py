"""Statements that move rupiah between a charge's parts, refunds, credits and their uses.

Only `services.returns` calls the statements that write. A charge's row is locked while its parts
change, and the CHECK on the row rejects parts that do not add up.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, insert, select

from billing.domain.conservation import Part, Split
from billing.domain.refund import RefundPurpose, RefundStatus
from billing.store.selecting import columns, every
from billing.store.statements import text


class CreditUse(NamedTuple):
    """What an invoice used of a credit and has not returned to it."""

    credit_id: int
    amount: int


_USES = text(
    f"SELECT {columns(CreditUse, 'u', amount='u.amount - u.returned')} FROM credit_uses u"  # noqa: S608 - a constant of ours
    " JOIN credits c ON c.id = u.credit_id WHERE u.invoice_id = :id AND u.returned < u.amount"
    " ORDER BY c.id FOR UPDATE OF c"
)


class NewRefund(NamedTuple):
    """A requested refund; its other columns have their defaults."""

    id: UUID
    charge_id: UUID
    invoice_id: UUID
    customer_id: str
    sequence: int
    amount: int
    source: Part
    credit_id: int | None
    purpose: RefundPurpose
    replaces: UUID | None
    reason: str
    status: RefundStatus
    created_at: datetime
    next_attempt_at: datetime


def lock_split(connection: Connection, charge_id: UUID) -> Split | None:
    """Lock a succeeded charge and read its three parts; None if it did not succeed."""
    statement = text(
        "SELECT kept, refunded, credited FROM charges WHERE id = :id AND status = 'succeeded'"
        " FOR NO KEY UPDATE"
    )
    row = connection.execute(statement, {"id": charge_id}).one_or_none()
    return None if row is None else Split(row.kept, row.refunded, row.credited)


def write_split(connection: Connection, charge_id: UUID, split: Split) -> None:
    """Write the three parts of a charge whose lock the caller holds."""
    statement = text(
        "UPDATE charges SET kept = :kept, refunded = :refunded, credited = :credited WHERE id = :id"
    )
    parameters = {"kept": split.kept, "refunded": split.refunded, "credited": split.credited}
    connection.execute(statement, {"id": charge_id, **parameters})


def next_sequence(connection: Connection, charge_id: UUID) -> int:
    """Read the sequence of a charge's next refund, from 1."""
    statement = text("SELECT coalesce(max(sequence), 0) + 1 FROM refunds WHERE charge_id = :id")
    return int(connection.execute(statement, {"id": charge_id}).scalar_one())


def add_refund(connection: Connection, new: NewRefund) -> None:
    """Insert a refund, of the plan of its charge."""
    from billing.store.tables import CHARGES, REFUNDS

    plan = select(CHARGES.c.plan_code).where(CHARGES.c.id == new.charge_id).scalar_subquery()
    connection.execute(insert(REFUNDS).values(**new._asdict(), plan_code=plan))


def add_credit(
    connection: Connection,
    customer_id: str,
    amount: int,
    reason: str,
    at: datetime,
    *,
    invoice_id: UUID | None = None,
    charge_id: UUID | None = None,
) -> int:
    """Insert a credit, of a charge's money or without a payment, and return its id."""
    from billing.store.tables import CREDITS

    values = {
        "customer_id": customer_id,
        "amount": amount,
        "remaining": amount,
        "invoice_id": invoice_id,
        "charge_id": charge_id,
        "from_charge": 0 if charge_id is None else amount,
        "reason": reason,
        "created_at": at,
    }
    statement = insert(CREDITS).values(**values).returning(CREDITS.c.id)
    return int(connection.execute(statement).scalar_one())


def pay_out(connection: Connection, credit_id: int, amount: int) -> bool:
    """Reserve part of a credit for a payout; False when less is left of it."""
    statement = text(
        "UPDATE credits SET remaining = remaining - :amount, paid_out = paid_out + :amount"
        " WHERE id = :id AND remaining >= :amount AND paid_out + :amount <= from_charge"
    )
    return connection.execute(statement, {"id": credit_id, "amount": amount}).rowcount == 1


def undo_pay_out(connection: Connection, credit_id: int, amount: int) -> None:
    """Return a declined payout to its credit."""
    statement = text(
        "UPDATE credits SET remaining = remaining + :amount, paid_out = paid_out - :amount"
        " WHERE id = :id"
    )
    connection.execute(statement, {"id": credit_id, "amount": amount})


def lock_uses(connection: Connection, invoice_id: UUID) -> list[CreditUse]:
    """Lock the credits that an invoice used, and read what can be returned, oldest first."""
    return every(CreditUse, connection.execute(_USES, {"id": invoice_id}))


def return_uses(connection: Connection, invoice_id: UUID, uses: Sequence[CreditUse]) -> None:
    """Return what an invoice used to credits whose locks the caller holds."""
    if not uses:
        return
    parameters = [{**use._asdict(), "invoice_id": invoice_id} for use in uses]
    connection.execute(
        text(
            "UPDATE credit_uses SET returned = returned + :amount"
            " WHERE credit_id = :credit_id AND invoice_id = :invoice_id"
        ),
        parameters,
    )
    connection.execute(
        text("UPDATE credits SET remaining = remaining + :amount WHERE id = :credit_id"),
        [use._asdict() for use in uses],
    )
