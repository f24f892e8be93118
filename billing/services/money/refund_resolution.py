"""Refund resolution: an operator decides about a refund that needs one.

An operator sets the outcome of a parked refund, after the gateway was queried. A declined refund
whose money must be returned is replaced by another refund, was returned by other means, or is
waived. If the gateway later says otherwise, a contradiction is recorded.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import machine, refund
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown, RefundTooLarge
from billing.domain.events import SCHEDULER, Actor, Event, event
from billing.domain.outcomes import Declined, NotFound, Pending, StatusOutcome, Succeeded, Unknown
from billing.domain.refund import UNSETTLED, RefundMove, RefundStatus, RefundVerdict
from billing.services.context import Context
from billing.services.money import charge_money
from billing.services.operating import safety
from billing.store.queries import charges, events, invoices, refunds
from billing.store.queries.refunds import LockedRefund

LOOK_BACK_AFTER = timedelta(days=1)
LOOKS_BACK_MAX = 7
"""How many daily queries follow an operator's decision, until the gateway answers."""
REASON_NEEDED = 'a decision needs a reason: --reason "who said so"'


class Resolved(TypedDict):
    """The answer to a decision about a refund: its new status, and what the gateway said."""

    refund: str
    status: str
    gateway: str | None


class Retried(TypedDict):
    """The refund that is attempted now: the same one, or its replacement."""

    refund: str


def resolve_refund(
    context: Context, refund_id: UUID, verdict: RefundVerdict, by: Actor
) -> Resolved:
    """Set the outcome of a refund, and return what the gateway answered before.

    `succeeded` and `declined` are for a refund that is parked, or unknown for longer than the
    horizon; the gateway is queried first, and must not say the opposite. `returned-elsewhere` and
    `kept` are for an unreturned one. Raises NotKnown, InvalidValue (no reason) or IllegalMove.
    """
    if not by.reason:
        raise InvalidValue(REASON_NEEDED)
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = _locked(connection, refund_id)
        if verdict in {RefundVerdict.RETURNED_ELSEWHERE, RefundVerdict.KEPT}:
            return _end_unreturned(connection, row, verdict, by, now)
        if not safety.is_ours(context, connection):
            raise IllegalMove(
                "this database belongs to another gateway than the settings name, so it cannot"
                " be queried; if they are right: billing start-charging"
            )
    horizon = context.limits.not_found_horizon
    _check_resolvable(row, horizon, now)
    answer = context.gateway.check_status(str(refund_id), row.gateway_number, row.amount)
    _check_agrees(answer, verdict)
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = _locked(connection, refund_id)
        _check_resolvable(row, horizon, now)
        _settle_by_word(connection, row, verdict, answer, by, now)
    return {"refund": str(refund_id), "status": _WORD[verdict].value, "gateway": said(answer)}


_WORD = {
    RefundVerdict.SUCCEEDED: RefundStatus.SUCCEEDED,
    RefundVerdict.DECLINED: RefundStatus.DECLINED,
}


def said(answer: StatusOutcome) -> str:
    """Format the gateway's answer in one or two words."""
    match answer:
        case Succeeded():
            return "succeeded"
        case Declined():
            return "failed"
        case NotFound():
            return "not found"
        case Pending():
            return "pending"
        case Unknown(reason=reason):
            return f"unknown ({reason})"


def _locked(connection: Connection, refund_id: UUID) -> LockedRefund:
    row = refunds.lock(connection, refund_id)
    if row is None:
        raise NotKnown(f"no refund has the id {refund_id}", hint="see: billing refunds list")
    return row


def _check_resolvable(row: LockedRefund, horizon: timedelta, now: datetime) -> None:
    status, sent_at = row.status, row.sent_at
    if status not in refund.UNSETTLED:
        raise IllegalMove(f"refund {row.id} is {status}; only an unsettled one is resolved")
    is_old = status is RefundStatus.UNKNOWN and sent_at is not None and now >= sent_at + horizon
    if row.parked_at is None and not is_old:
        raise IllegalMove(
            f"refund {row.id} is {status} and neither parked nor older than"
            f" {int(horizon.total_seconds()) // 60} minutes; status queries are still being sent"
        )


def _check_agrees(answer: StatusOutcome, verdict: RefundVerdict) -> None:
    if isinstance(answer, Succeeded) and verdict is not RefundVerdict.SUCCEEDED:
        raise IllegalMove("the gateway says that it paid this refund; resolve it --as succeeded")
    if isinstance(answer, Declined) and verdict is not RefundVerdict.DECLINED:
        raise IllegalMove("the gateway says that this refund failed; resolve it --as declined")


def _settle_by_word(
    connection: Connection,
    row: LockedRefund,
    verdict: RefundVerdict,
    answer: StatusOutcome,
    by: Actor,
    now: datetime,
) -> None:
    if verdict is RefundVerdict.SUCCEEDED:
        if row.status is RefundStatus.REQUESTED:
            raise IllegalMove(f"refund {row.id} was never received; resolve it --as declined")
        status = refund.advance(row.status, RefundMove.SUCCEED)
    else:
        status = refund.advance(row.status, refund.declining(row.purpose))
    facts: dict[str, object] = {"amount": row.amount, "gateway": said(answer)}
    if status is RefundStatus.SUCCEEDED:
        _count_returned(connection, row)
    else:
        facts["back_to"] = charge_money.put_back(connection, row)
    refunds.change(
        connection, row.id, status=status, settled_at=now, parked_at=None, resolved_at=now,
        waits=0, next_attempt_at=now + LOOK_BACK_AFTER,
    )  # fmt: skip
    _tell(connection, refund.recorded_as(status), row, by, now, **facts)


def _end_unreturned(
    connection: Connection, row: LockedRefund, verdict: RefundVerdict, by: Actor, now: datetime
) -> Resolved:
    """Close an unreturned refund: returned by other means, or not returned at all."""
    status = row.status
    if status is not RefundStatus.UNRETURNED:
        raise IllegalMove(
            f"refund {row.id} is {status}; only an unreturned one is resolved --as {verdict}"
        )
    if verdict is RefundVerdict.KEPT:
        status = refund.advance(status, RefundMove.WAIVE)
    else:
        row = _what_is_kept(connection, row, by, now)
        status = refund.advance(row.status, RefundMove.RETURN_ELSEWHERE)
        charge_money.take_out_again(connection, row, by, now)
        _count_returned(connection, row)
    refunds.change(
        connection, row.id, status=status, resolved_at=now, waits=0,
        next_attempt_at=now + LOOK_BACK_AFTER,
    )  # fmt: skip
    _tell(connection, f"refund.{status}", row, by, now, amount=row.amount)
    return {"refund": str(row.id), "status": status.value, "gateway": None}


def _what_is_kept(
    connection: Connection, row: LockedRefund, by: Actor, now: datetime
) -> LockedRefund:
    """Return an unreturned refund, or one of what is kept if other refunds returned a part of it.

    The amount of a refund that was sent never changes: its status query names it.
    """
    paid = charges.money_of(connection, row.charge_id)
    if paid is None or not 0 < paid.kept < row.amount:
        return row
    made = _locked(connection, _replace(connection, row, by, now))
    charge_money.put_back(connection, made)
    status = refund.advance(made.status, RefundMove.LEAVE_UNRETURNED)
    refunds.change(connection, made.id, status=status, settled_at=now, next_attempt_at=None)
    return made._replace(status=status)


def _count_returned(connection: Connection, row: LockedRefund) -> None:
    if not row.surplus:
        invoices.add_refunded(connection, row.invoice_id, row.amount)


def go_on(connection: Connection, refund_id: UUID, by: Actor, now: datetime) -> UUID:
    """Retry a refund that needs an operator; return the refund that is attempted now.

    The caller holds its subscription's lock. Raises IllegalMove when there is nothing to retry, or
    when the next attempt is automatic.
    """
    row = _locked(connection, refund_id)
    if row.status is RefundStatus.UNRETURNED:
        return _replace(connection, row, by, now)
    if row.parked_at is None:
        is_tried = row.status in UNSETTLED
        why = "it is retried automatically" if is_tried else "there is nothing to retry"
        raise IllegalMove(f"refund {refund_id} {machine.stands(row.status)}; {why}")
    refunds.change(connection, refund_id, next_attempt_at=now, parked_at=None, waits=0)
    _tell(connection, "refund.retry_requested", row, by, now)
    return refund_id


def retry_refund(context: Context, refund_id: UUID, by: Actor) -> Retried:
    """Query or resend a parked refund, or replace an unreturned one with a new one.

    Raises NotKnown or IllegalMove.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        _locked(connection, refund_id)
        return {"refund": str(go_on(connection, refund_id, by, now))}


def _replace(connection: Connection, row: LockedRefund, by: Actor, now: datetime) -> UUID:
    """Send the money of an unreturned refund under a new Request-Id."""
    paid = charges.money_of(connection, row.charge_id)
    assert paid is not None  # noqa: S101 - a foreign key ensures it
    amount = min(row.amount, paid.kept)
    if not amount:
        raise IllegalMove(
            f"nothing is kept of the charge of refund {row.id} any more; resolve it --as kept"
        )
    name = f"instead of {row.id}"
    order = charge_money.Order(name, amount, row.purpose, row.reason, covers=frozenset((row.id,)))
    return charge_money.request_refund(connection, charge_money.Taken.by(paid), order, by, now)


def request_in_place_of(
    connection: Connection,
    taken: charge_money.Taken,
    order: charge_money.Order,
    by: Actor,
    now: datetime,
) -> UUID:
    """Request an operator's refund; it replaces unreturned ones that it covers."""
    left, covered = order.amount, set[UUID]()
    for row in refunds.unreturned_of(connection, taken.charge_id):
        if row.amount <= left:
            left -= row.amount
            covered.add(row.id)
    order = replace(order, covers=frozenset(covered))
    return charge_money.request_refund(connection, taken, order, by, now)


def look_back(
    connection: Connection, row: LockedRefund, answer: StatusOutcome, now: datetime
) -> None:
    """Compare an operator's decision, or a decline, with the gateway's later answer.

    Money that was returned is recorded if it is still kept; a contradiction is recorded anyway.
    """
    if isinstance(answer, Pending | Unknown):
        looks = row.waits + 1
        due = now + LOOK_BACK_AFTER if looks < LOOKS_BACK_MAX else None
        refunds.change(connection, row.id, waits=looks, next_attempt_at=due)
        return
    status, changes = row.status, refunds.Changes(next_attempt_at=None)
    if isinstance(answer, Succeeded) != (status is RefundStatus.SUCCEEDED):
        is_booked = status not in refund.RETURNED and _book_late(connection, row, now)
        _tell(
            connection, "refund.contradicted", row, SCHEDULER, now, amount=row.amount,
            booked=is_booked, ours=status, gateway=said(answer),
        )  # fmt: skip
        if is_booked:
            status = refund.advance(status, RefundMove.SUCCEED)
            changes |= {"status": status, "settled_at": now}
            data = {"amount": row.amount, "late": True}
            _tell(connection, "refund.succeeded", row, SCHEDULER, now, **data)
    refunds.change(connection, row.id, **changes)


def _book_late(connection: Connection, row: LockedRefund, now: datetime) -> bool:
    """Record a late refund whose money is kept again; False when that money was used since."""
    try:
        charge_money.take_out_again(connection, row, SCHEDULER, now)
    except RefundTooLarge:
        return False
    _count_returned(connection, row)
    return True


def acknowledge_contradiction(context: Context, refund_id: UUID, by: Actor) -> None:
    """Mark a contradicted refund as handled by an operator.

    Raises NotKnown, InvalidValue (no reason) or IllegalMove (nothing was contradicted).
    """
    if not by.reason:
        raise InvalidValue(REASON_NEEDED)
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = _locked(connection, refund_id)
        if not refunds.is_contradicted(connection, refund_id):
            raise IllegalMove(f"nothing contradicts refund {refund_id}")
        _tell(connection, "refund.contradiction_acknowledged", row, by, now)


def acknowledge_breach(context: Context, charge_id: UUID, by: Actor) -> None:
    """Mark a charge whose parts did not add up as handled by an operator.

    Raises NotKnown, InvalidValue (no reason) or IllegalMove (nothing was found).
    """
    if not by.reason:
        raise InvalidValue(REASON_NEEDED)
    now = context.clock.now()
    with context.database.transaction() as connection:
        paid = charges.money_of(connection, charge_id)
        if paid is None:
            raise NotKnown(f"no charge has the id {charge_id}")
        if not refunds.has_breach(connection, charge_id):
            raise IllegalMove(f"nothing is wrong with the money of charge {charge_id}")
        recorded = event(
            "charge.breach_acknowledged", at=now, by=by, customer_id=paid.customer_id,
            subscription_id=paid.subscription_id, invoice_id=paid.invoice_id, charge_id=charge_id,
        )  # fmt: skip
        events.record(connection, [recorded])


def _tell(
    connection: Connection, kind: str, row: LockedRefund, by: Actor, now: datetime, **data: object
) -> None:
    events.record(connection, [refund_event(row, kind, by, now, **data)])


def refund_event(row: LockedRefund, kind: str, by: Actor, now: datetime, **data: object) -> Event:
    """Build an event about a refund, with the ids of everything it belongs to."""
    return event(
        kind, at=now, by=by, customer_id=row.customer_id, subscription_id=row.subscription_id,
        invoice_id=row.invoice_id, charge_id=row.charge_id, data=data, refund=str(row.id),
    )  # fmt: skip
