"""Charge resolution: an operator sets the outcome of a charge that the gateway cannot resolve.

The gateway is queried first, and a certain answer is settled instead. Queries continue for a week
afterwards, because an operator may be wrong.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

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
from billing.services.collecting.settling import News
from billing.services.context import Context
from billing.services.operating import safety
from billing.store.queries import charges, events, settlements
from billing.store.queries.charges import OperatorsCharge


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the gateway answered, and whether its outcome or the operator's was settled."""

    gateway: str
    settled_by: str


GATEWAY, OPERATOR = "gateway", "operator"


def resolve_charge(context: Context, charge_id: UUID, succeeded: bool, by: Actor) -> Resolution:  # noqa: FBT001 - named at every call
    """Settle an unresolved charge as an operator decides, unless the gateway knows its outcome.

    Raises NotKnown; IllegalMove when the charge is settled, in flight, or younger than the horizon,
    or when the gateway contradicts the operator and a second query must confirm that.
    """
    now = context.clock.now()
    with context.database.transaction() as connection:
        safety.require_ours(context, connection)
        row = charges.to_resolve(connection, charge_id)
    if row is None:
        raise NotKnown(f"no charge has the id {charge_id}")
    if row.contradicted_at is not None and succeeded:
        return _kept(context, row, by, now)
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
    after = _settled(context, charge_id, word, Source.OPERATOR, by)
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
    context: Context, charge_id: UUID, outcome: Outcome, source: Source, by: Actor
) -> ChargeStatus:
    settling.settle(context, [News(charge_id, outcome)], source, by)
    with context.database.transaction() as connection:
        row = charges.to_resolve(connection, charge_id)
    return row.status if row else ChargeStatus.UNKNOWN


def _kept(context: Context, row: OperatorsCharge, by: Actor, now: datetime) -> Resolution:
    """Keep a charge as succeeded although the gateway denies it: an operator has checked it."""
    number = row.gateway_number
    answer = context.gateway.check_status(number, number, row.amount)
    with context.database.transaction() as connection:
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
