"""Statements about notifications: find the charge that one names, and make its query due."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.notifications import Recorded
from billing.store.expressions import listed
from billing.store.selecting import at_most_one, columns
from billing.store.statements import text


class NotifiedCharge(NamedTuple):
    """A charge that a notification names."""

    id: UUID
    gateway_number: str
    customer_id: str
    subscription_id: UUID
    invoice_id: UUID
    status: ChargeStatus
    amount: int
    sent_at: datetime
    next_check_at: datetime | None
    notified_at: datetime | None
    suspected: bool
    contradicted: bool

    @property
    def recorded(self) -> Recorded:
        """The facts that the decision needs."""
        return Recorded(
            self.status, self.amount, self.sent_at, self.next_check_at, self.notified_at,
            self.suspected, self.contradicted,
        )  # fmt: skip


_UNRESOLVED = listed("status", UNRESOLVED)
_NAMED = columns(
    NotifiedCharge,
    suspected=f"fault IS NOT NULL AND {_UNRESOLVED}",
    contradicted="contradicted_at IS NOT NULL",
)


def named(
    connection: Connection, request_id: UUID | None, number: str | None
) -> NotifiedCharge | None:
    """Read the charge with this Request-Id and gateway number, or with the one that is given."""
    given = {"id": request_id, "gateway_number": number}
    wanted = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        return None
    where = " AND ".join(f"{name} = :{name}" for name in wanted)
    statement = text(f"SELECT {_NAMED} FROM charges WHERE {where}")  # noqa: S608 - constants of ours
    return at_most_one(NotifiedCharge, connection.execute(statement, wanted))


def query_at(connection: Connection, charge: NotifiedCharge, at: datetime) -> bool:
    """Make the charge's status query due at `at`; False when the charge has changed since.

    The query does not count in the schedule of queries, so that repeated notifications cannot use
    them up and park the charge. The queries of a settled charge begin again.
    """
    statement = text(
        "UPDATE charges SET next_check_at = :at, notified_at = :at, status_queries ="  # noqa: S608 - a constant of ours
        f" CASE WHEN {_UNRESOLVED} THEN greatest(status_queries - 1, 0) ELSE 0 END"
        " WHERE id = :id AND status = :status"
        " AND next_check_at IS NOT DISTINCT FROM CAST(:before AS timestamptz)"
    )
    parameters = {
        "id": charge.id, "at": at, "status": charge.status, "before": charge.next_check_at
    }  # fmt: skip
    return connection.execute(statement, parameters).rowcount == 1


def note(connection: Connection, charge: NotifiedCharge, at: datetime) -> bool:
    """Record the time of a notification only; False when the charge has changed since."""
    statement = text(
        "UPDATE charges SET notified_at = :at WHERE id = :id AND status = :status"
        " AND notified_at IS NOT DISTINCT FROM CAST(:before AS timestamptz)"
    )
    parameters = {
        "id": charge.id, "at": at, "status": charge.status, "before": charge.notified_at
    }  # fmt: skip
    return connection.execute(statement, parameters).rowcount == 1
