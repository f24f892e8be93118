"""Charge resolution: an operator sets the outcome of a charge that the gateway cannot resolve.

The gateway is queried first, and a certain answer is settled instead. Queries continue for a week
afterwards, because an operator may be wrong. What changes while the gateway is asked is compared
under the lock, before an operator's word is recorded.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import machine
from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.errors import IllegalMove, NotKnown
from billing.domain.events import Actor, event
from billing.domain.instants import spoken
from billing.domain.money import rupiah
from billing.domain.outcomes import (
    OTHER_AMOUNT,
    Declined,
    Fault,
    NotFound,
    Outcome,
    Pending,
    StatusOutcome,
    Succeeded,
    Unknown,
)
from billing.domain.settlement import Source
from billing.services.collecting import settling
from billing.services.collecting.settling import Check, News
from billing.services.context import Context
from billing.services.operating import safety
from billing.services.operating.confirming import Changed
from billing.store.queries import charges, events, pages, settlements, subscriptions
from billing.store.queries.charges import OperatorsCharge


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the gateway answered, and whether its outcome or the operator's was settled."""

    gateway: str
    settled_by: str


GATEWAY, OPERATOR = "gateway", "operator"


def resolve_charge(
    context: Context,
    charge_id: UUID,
    succeeded: bool,  # noqa: FBT001 - named at every call
    by: Actor,
    seen: int | None = None,
) -> Resolution:
    """Settle an unresolved charge as an operator decides, unless the gateway knows its outcome.

    `seen` is the newest event of the subscription that the operator has read about. Raises
    NotKnown; IllegalMove when the charge is settled, in flight, or younger than the horizon, or
    when the gateway contradicts the operator and a second query must confirm that; Changed when
    something else of the subscription has changed since.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        safety.require_ours(context, connection)
        row = charges.to_resolve(connection, charge_id)
        if row is None:
            raise NotKnown(f"no charge has the id {charge_id}")
        if seen is None:
            seen = pages.newest_event(connection, row.subscription_id)
    if row.contradicted_at is not None and succeeded:
        return _kept(context, row, by, seen)
    _check(context, row, now)
    number = row.gateway_number
    answer = context.gateway.check_status(number, number, row.amount)
    said = _said(answer)
    if isinstance(answer, Succeeded | Declined):
        after = _settled(context, charge_id, answer, Source.STATUS, by)
        if after not in UNRESOLVED:
            return Resolution(said, GATEWAY)
        if succeeded:
            raise IllegalMove(
                f"the gateway says {said}; this must be confirmed by a second query, which is sent"
                " automatically some minutes from now"
            )
    if not succeeded and isinstance(answer, Unknown) and answer.reason == OTHER_AMOUNT:
        raise IllegalMove(_of_another_amount(row, answer.amount))
    word = Succeeded() if succeeded else Declined(Fault.OTHER, "operator")
    unchanged = partial(_check_unchanged, context, row, seen)
    after = _settled(context, charge_id, word, Source.OPERATOR, by, unchanged)
    if after in UNRESOLVED:
        raise IllegalMove(
            f"charge {charge_id} was sent again in the meantime; the gateway is queried first"
        )
    return Resolution(said, OPERATOR)


def _of_another_amount(row: OperatorsCharge, amount: int | None) -> str:
    """Say what to do when the gateway has another payment under this number."""
    has = "an amount that cannot be read" if amount is None else rupiah(amount)
    return (
        f"the gateway has {has} under our number {row.gateway_number}, and charge {row.id} is"
        f" over {rupiah(row.amount)}: the customer may have paid (before a restore?). If that"
        " money was taken and stays, resolve it --as succeeded; else give it back at DOKU, and say"
        " --as declined when the gateway shows it as refunded or failed"
    )


def _check(context: Context, row: OperatorsCharge, now: datetime) -> None:
    """Refuse an outcome that an operator cannot know yet; settling checks again under the lock."""
    status = row.status
    if status not in UNRESOLVED:
        raise IllegalMove(
            f"charge {row.id} {machine.stands(status)}; only an open charge can be resolved"
        )
    if status is ChargeStatus.IN_FLIGHT:
        raise IllegalMove(f"charge {row.id} is in flight; it is queried automatically")
    horizon = timedelta(seconds=context.settings.not_found_horizon_seconds)
    if row.parked_at is None and now < row.sent_at + horizon:
        after = context.settings.not_found_horizon_seconds
        raise IllegalMove(
            f"charge {row.id} was sent at {spoken(row.sent_at)}; it is queried"
            f" automatically, and can be resolved {after} s after that"
        )


def _settled(
    context: Context, charge_id: UUID, outcome: Outcome, source: Source, by: Actor,
    check: Check | None = None,
) -> ChargeStatus:  # fmt: skip
    settling.settle(context, [News(charge_id, outcome)], source, by, check)
    with context.database.transaction() as connection:
        row = charges.to_resolve(connection, charge_id)
    return row.status if row else ChargeStatus.UNKNOWN


def _check_unchanged(
    context: Context, row: OperatorsCharge, seen: int, connection: Connection
) -> None:
    """Raise if the charge was settled, or anything else of its subscription has changed.

    The caller holds the subscription's lock. The events of the charge itself may be of the answer
    that was just recorded; whether its state allows an outcome is checked when it is settled.
    """
    current = charges.to_resolve(connection, row.id) or row
    if current.status not in UNRESOLVED and current.status is not row.status:
        _check(context, current, context.clock.now())
    if pages.has_changed(connection, row.subscription_id, seen, besides_charge=row.id):
        raise Changed(
            f"the subscription of charge {row.id} has changed since you read it; nothing was"
            " recorded, look at it again"
        )


def _kept(context: Context, row: OperatorsCharge, by: Actor, seen: int) -> Resolution:
    """Keep a charge as succeeded although the gateway denies it: an operator has checked it."""
    number = row.gateway_number
    answer = context.gateway.check_status(number, number, row.amount)
    now = context.clock.now()
    with context.database.transaction() as connection:
        subscriptions.lock(connection, [row.subscription_id])
        _check_unchanged(context, row, seen, connection)
        settlements.note_recheck(connection, row.id, None, None)
        recorded = event(
            "charge.confirmed", at=now, by=by, customer_id=row.customer_id,
            subscription_id=row.subscription_id, invoice_id=row.invoice_id,
            charge_id=row.id, gateway=_said(answer),
        )  # fmt: skip
        events.record(connection, [recorded])
    return Resolution(_said(answer), OPERATOR)


def _said(answer: StatusOutcome) -> str:
    match answer:
        case Succeeded():
            return "succeeded"
        case Declined():
            return "failed"
        case Pending():
            return "pending"
        case NotFound():
            return "not found"
        case Unknown(reason=reason):
            return f"nothing certain ({reason})"
