"""Bulk: an operator's action on many chosen rows, each in a transaction of its own.

A row that is refused or fails stops no other. The key of the order makes it act once: each row has
a key made from it, and the report is stored under it. What each row goes through is decided by the
service of one row.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import BillingError, NotKnown
from billing.domain.events import Actor
from billing.domain.payloads import Json
from billing.logs import Logger
from billing.services.context import Context, Request, once
from billing.services.operating import held_rows, invoice_actions
from billing.services.reading import inbox
from billing.services.reading.inbox import Deed
from billing.store.queries import commands
from billing.store.queries.attention import Wanted
from billing.store.queries.holding import Kind
from billing.store.session import brief_locks, is_locked

log = Logger(__name__)

ROWS_MAX = 200
"""Rows of one action."""
_TASK = "console.bulk"
_PREFIX = "api:console/"
"""These keys are removed when they are 30 days old, like those of the HTTP interface."""
LOCKED = "another session is changing it; repeat it in a moment"
FAILED = "an error in the engine; see its log"
GONE = "there is nothing to do any more"


class Order(NamedTuple):
    """What is to be done with which rows, and the customer and rupiah of each for the report.

    `cause` is why the rows are in Attention: those that have left it are left alone.
    """

    deed: Deed
    kind: Kind
    cause: str
    rows: Sequence["Row"]


class Row(NamedTuple):
    """One chosen row."""

    id: UUID
    customer: str | None
    amount: int | None


class Done(NamedTuple):
    """What became of one row; `said` is why nothing was done."""

    id: str
    customer: str | None
    amount: int | None
    is_done: bool
    said: str


class Report(NamedTuple):
    """What an action in bulk did."""

    deed: str
    kind: str
    actor: str
    approved_by: str
    reason: str
    rows: Sequence[Done]


def run(context: Context, order: Order, by: Actor, key: str) -> None:
    """Act once for a key; a repeat changes nothing, also when it names other rows."""
    with context.database.transaction() as connection:
        if is_done(connection, key):
            return
    waiting = _waiting(context, order)
    rows = [_one(context, order, row, by, key, row.id in waiting) for row in order.rows]
    answer: Json = {"rows": [list(each) for each in rows], "reason": by.reason or ""}
    request = Request(
        _PREFIX + key, _TASK,
        {"deed": order.deed.value, "kind": order.kind.value, "actor": by.name,
         "approved_by": by.approved_by or ""},
    )  # fmt: skip
    once(context, request, lambda _connection, _now: answer)


def is_done(connection: Connection, key: str) -> bool:
    """Whether every row of an action was touched: there is a report."""
    return commands.found(connection, _PREFIX + key) is not None


def _waiting(context: Context, order: Order) -> set[UUID]:
    """Return the rows that are in Attention for the reason for which they were chosen."""
    wanted = Wanted(order.kind, order.cause, ids=tuple(str(each.id) for each in order.rows))
    found = inbox.choose(context, wanted, len(order.rows))
    return {UUID(each.item.id) for each in found.rows}


def _one(
    context: Context, order: Order, row: Row, by: Actor, key: str, is_waiting: bool  # noqa: FBT001 - one of two calls
) -> Done:  # fmt: skip
    said, own = "", f"{_PREFIX}{key}/{row.id}"
    try:
        if not is_waiting and not _was_done(context, own):
            return Done(str(row.id), row.customer, row.amount, is_done=False, said=GONE)
        with brief_locks():
            _act(order)(context, row.id, by, Request(own, _TASK, {}))
    except BillingError as refused:
        said = refused.said
    except Exception as error:
        if is_locked(error):
            said = LOCKED
        elif held_rows.is_about_a_row(error):
            why = held_rows.brief(error)  # a traceback contains values of the row
            log.error("bulk.row_failed", kind=order.kind.value, id=str(row.id), why=why)  # noqa: TRY400
            said = FAILED
        else:
            raise
    return Done(str(row.id), row.customer, row.amount, not said, said)


def _was_done(context: Context, key: str) -> bool:
    """Whether a row was done before the process ended without a report."""
    with context.database.transaction() as connection:
        return commands.found(connection, key) is not None


def _act(order: Order) -> Callable[[Context, UUID, Actor, Request], object]:
    if order.deed is Deed.RETRY:
        return invoice_actions.retry_invoice

    def release(context: Context, row_id: UUID, by: Actor, request: Request) -> Json:
        def inside(connection: Connection, _now: datetime) -> Json:
            held_rows.release(context.joined(connection), order.kind, row_id, by)
            return {}

        return once(context, request, inside)

    return release


def report(context: Context, key: str) -> Report:
    """Return what was done under a key. Raises NotKnown."""
    with context.database.transaction() as connection:
        found = commands.found(connection, _PREFIX + key)
    if found is None or found.task != _TASK or found.result is None:
        raise NotKnown("no action in bulk has this id, or its report was removed after 30 days")
    rows = found.result["rows"]
    assert isinstance(rows, list)  # noqa: S101 - `run` stored it
    return Report(
        str(found.arguments["deed"]), str(found.arguments["kind"]), str(found.arguments["actor"]),
        str(found.arguments.get("approved_by", "")), str(found.result["reason"]),
        [Done(*row) for row in rows],
    )  # fmt: skip
