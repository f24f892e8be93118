"""Crediting: the customer's balance, made of credits that the next invoices use, oldest first."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.events import Actor, event
from billing.domain.money import checked_amount, rupiah
from billing.services import settling
from billing.services.context import Context, Request, once
from billing.store.queries import balances, catalog, charges, events, invoices, subscriptions


def give(
    connection: Connection,
    invoice: Mapping[Any, Any],
    amount: int,
    reason: str,
    by: Actor,
    now: datetime,
) -> None:
    """Make a part of what an invoice was paid the customer's; its subscription is locked."""
    customer, source = invoice["customer_id"], invoice["id"]
    made = balances.give(connection, customer, amount, reason, now, source)
    told = event(
        "credit.given", at=now, by=by, customer_id=customer, invoice_id=source,
        subscription_id=invoice["subscription_id"], credit=made, amount=amount, why=reason,
    )  # fmt: skip
    events.record(connection, [told])


def grant(
    context: Context, customer_id: str, amount: int, by: Actor, request: Request | None = None
) -> dict[str, Any]:
    """Give a customer `amount` rupiah that no payment stands behind, for a reason.

    Raises InvalidValue (no reason) or NotKnown.
    """
    checked_amount(amount)
    if not by.reason:
        raise InvalidValue('a credit needs a reason: --reason "why the customer gets it"')
    why = by.reason

    def act(connection: Connection, now: datetime) -> dict[str, Any]:
        if catalog.customer(connection, customer_id) is None:
            raise NotKnown(f"no customer has the id {customer_id!r}; see: billing customer list")
        made = balances.give(connection, customer_id, amount, why, now)
        told = event(
            "credit.given", at=now, by=by, customer_id=customer_id, credit=made, amount=amount
        )
        events.record(connection, [told])
        return {"id": made, "customer": customer_id, "amount": amount}

    return once(context, request, act)


def refund(
    context: Context, credit_id: int, by: Actor, request: Request | None = None
) -> dict[str, Any]:
    """Pay what is left of a credit back through the gateway, from the payment it came from.

    Raises NotKnown, or IllegalMove: nothing is left, or no payment stands behind it.
    """

    def act(connection: Connection, now: datetime) -> dict[str, Any]:
        source = _source(connection, credit_id)
        subscriptions.lock(connection, [source["subscription_id"]])
        [credit] = balances.lock_one(connection, credit_id)
        paid = charges.paying(connection, source["id"])
        left = paid["amount"] - paid["amount_refunding"] if paid is not None else 0
        amount = credit["remaining"]
        if not amount:
            raise IllegalMove(f"nothing is left of credit {credit_id}; it was used or paid out")
        if paid is None or left < amount:
            raise IllegalMove(
                f"{rupiah(left)} can be given back of invoice {source['id']}, which credit"
                f" {credit_id} comes from, but {rupiah(amount)} are left of it"
            )
        why = by.reason or "credit paid out"
        made = settling.give_back(connection, paid, amount, why, by, now)
        balances.pay_out(connection, credit_id, amount)
        about = {"customer_id": credit["customer_id"], "invoice_id": source["id"]}
        told = event("credit.paid_out", at=now, by=by, **about, credit=credit_id, amount=amount)
        events.record(connection, [told])
        return {"credit": credit_id, "refund": str(made), "amount": amount}

    return once(context, request, act)


def _source(connection: Connection, credit_id: int) -> Mapping[Any, Any]:
    """The invoice that a credit comes from."""
    credit = balances.one(connection, credit_id)
    if credit is None:
        raise NotKnown(f"no credit has the id {credit_id}; see: billing credit list CUSTOMER")
    source = credit["invoice_id"] and invoices.one(connection, credit["invoice_id"])
    if not source:
        raise IllegalMove(f"no payment stands behind credit {credit_id}; only an invoice uses it")
    return source
