"""Approvals: the requests that wait for a second person, and those that have ended.

Nothing is written. A request whose time is over is shown as expired, also before the hourly tick
has ended it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from billing.domain.approvals import Approvable, ApprovalStatus
from billing.domain.errors import NotKnown
from billing.services.context import Context
from billing.services.reading import inbox
from billing.services.reading.inbox import Choice
from billing.store.queries import approvals, pages
from billing.store.queries.approvals import Listed
from billing.store.queries.attention import Wanted

SHOWN_MAX = 100
ENDED_MAX = 50


class Board(NamedTuple):
    """What waits, oldest first, and what has ended, newest first; `is_cut` says there is more."""

    waiting: Sequence[Listed]
    ended: Sequence[Listed]
    is_cut: bool


class Known(NamedTuple):
    """One request: of an action in bulk with its rows as they are now, and its report's key.

    `amounts` are the rupiah of each row that were shown when it was asked.
    """

    row: Listed
    choice: Choice | None
    amounts: dict[str, int | None]
    customers: dict[str, str | None]
    report: str | None
    invoice: UUID | None


def read(context: Context) -> Board:
    """Read the requests that wait, and the newest that have ended."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        waiting = approvals.waiting(connection, now, SHOWN_MAX + 1)
        ended = approvals.ended(connection, now, ENDED_MAX)
    return Board(
        waiting[:SHOWN_MAX], [_as_of(each, now) for each in ended], len(waiting) > SHOWN_MAX
    )


def one(context: Context, approval_id: UUID) -> Known:
    """Read one request. Raises NotKnown."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = approvals.shown(connection, approval_id)
        if row is None:
            raise NotKnown(f"no request for approval has the id {approval_id}")
        key = row.subject.removeprefix("bulk/")
        is_bulk = row.kind is Approvable.BULK
        is_done = is_bulk and pages.is_key_used(connection, f"api:console/{key}")
    row = _as_of(row, now)
    if not is_bulk:
        invoice = UUID(row.subject) if row.kind is Approvable.REFUND else None
        return Known(row, None, {}, {}, None, invoice)
    chosen = _chosen(row)
    choice = None
    if row.status is ApprovalStatus.OPEN:
        kind, cause = str(row.arguments["kind"]), str(row.arguments["cause"])
        wanted = Wanted(kind, cause, ids=tuple(each[0] for each in chosen))
        choice = inbox.choose(context, wanted, len(chosen))
    return Known(
        row, choice, {each[0]: each[2] for each in chosen}, {each[0]: each[1] for each in chosen},
        key if is_done else None, None,
    )  # fmt: skip


def was_prepared(context: Context, row: Listed, person_id: UUID) -> bool:
    """Whether a person cannot approve a request: the access is newer than the request."""
    with context.database.transaction() as connection:
        return approvals.was_prepared(connection, row, person_id)


def _chosen(row: Listed) -> list[tuple[str, str | None, int | None]]:
    chosen = row.arguments["rows"]
    assert isinstance(chosen, list)  # noqa: S101 - the request stores it so
    return [(str(row_id), customer, amount) for row_id, customer, amount in chosen]


def _as_of(row: Listed, now: datetime) -> Listed:
    """Return a request as it is now; what cannot be continued any more is not unfinished."""
    row = row._replace(is_unfinished=row.is_unfinished and row.ends_at > now)
    if row.status is ApprovalStatus.OPEN and row.ends_at <= now:
        return row._replace(status=ApprovalStatus.EXPIRED)
    return row
