"""Crediting: add credit to a customer, and refund it; invoices use the oldest credit first."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor
from billing.domain.money import checked_amount
from billing.domain.payloads import Json
from billing.domain.refund import RefundPurpose
from billing.services.context import (
    Context,
    Request,
    check_same_order,
    id_in,
    number_in,
    once,
    order_name,
)
from billing.services.money import charge_money
from billing.services.operating import customers
from billing.store.queries import balances, charges, subscriptions
from billing.store.queries.charges import Money


def grant(
    context: Context, customer_id: str, amount: int, by: Actor, request: Request | None = None
) -> int:
    """Add `amount` rupiah of credit without a payment, and return its id; a reason is required.

    Raises InvalidValue (no reason), NotKnown or IllegalMove (an erased customer).
    """
    checked_amount(amount)
    if not by.reason:
        raise InvalidValue(
            "a credit needs a reason", field="reason", hint='--reason "why the customer gets it"'
        )
    why = by.reason

    def act(connection: Connection, now: datetime) -> Json:
        customers.lock(connection, customer_id)
        made = charge_money.give(connection, customer_id, amount, why, by, now)
        return {"id": made, "customer": customer_id, "amount": amount}

    return number_in(once(context, request, act), "id")


def refund(context: Context, credit_id: int, by: Actor, request: Request | None = None) -> UUID:
    """Refund the unused part of a credit through the gateway, and return the id of the refund.

    The money goes to the wallet that paid it. A declined payout returns the money to the credit.

    Raises NotKnown, or IllegalMove: nothing is unused, or no payment made the credit.
    """

    def act(connection: Connection, now: datetime) -> Json:
        paid = _charge_behind(connection, credit_id)
        subscriptions.lock(connection, [paid.subscription_id])
        name = order_name(request)
        earlier = charge_money.ordered_before(connection, paid.id, name)
        if earlier is not None:
            check_same_order(request, is_same=earlier.credit_id == credit_id)
            return {"credit": credit_id, "refund": str(earlier.id), "amount": earlier.amount}
        credit = balances.lock_one(connection, credit_id)
        assert credit is not None  # noqa: S101 - credits are never deleted
        amount = min(credit.remaining, credit.from_charge - credit.paid_out)
        if not credit.remaining:
            raise IllegalMove(f"nothing is left of credit {credit_id}; it was used or paid out")
        if not amount:
            raise IllegalMove(
                f"no payment backs what is left of credit {credit_id}; only an invoice uses it"
            )
        taken = charge_money.Taken.by(paid)
        why = by.reason or "credit paid out"
        order = charge_money.Order(name, amount, RefundPurpose.PAYOUT, why, credit_id)
        made = charge_money.request_refund(connection, taken, order, by, now)
        changed = charge_money.CreditChange("paid_out", credit_id, amount, why)
        charge_money.record_credits(connection, [changed], by, now, taken.about, refund=str(made))
        return {"credit": credit_id, "refund": str(made), "amount": amount}

    return id_in(once(context, request, act), "refund")


def _charge_behind(connection: Connection, credit_id: int) -> Money:
    """Return the charge from which a credit was made."""
    credit = balances.one(connection, credit_id)
    if credit is None:
        raise NotKnown(
            f"no credit has the id {credit_id}", hint="see: billing credit list CUSTOMER"
        )
    paid = credit.charge_id and charges.money_of(connection, credit.charge_id)
    if not paid:
        raise IllegalMove(f"no payment backs credit {credit_id}; only an invoice uses it")
    return paid
