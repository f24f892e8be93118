"""Extra lines: an amount that is added to one invoice, such as a setup fee."""

from uuid import UUID

from billing.domain import pricing
from billing.domain.errors import IllegalMove
from billing.domain.events import Actor, event
from billing.domain.intents import Action
from billing.domain.money import checked_amount
from billing.domain.subscription import SubscriptionStatus
from billing.domain.text import checked_name
from billing.services.context import Context
from billing.services.money import next_invoice
from billing.services.subscriptions import intents
from billing.store.queries import events, subscriptions

TITLE_MAX = 50


def build(title: str, amount: int) -> pricing.Line:
    """Build an extra line for one invoice. Raises InvalidValue."""
    checked_name("what it is for", title, TITLE_MAX, field="title")
    return {"kind": "extra", "title": title, "amount": checked_amount(amount)}


def add(context: Context, subscription_id: UUID, title: str, amount: int, by: Actor) -> None:
    """Add an extra line to the next invoice of a subscription only.

    Raises InvalidValue, NotKnown, or IllegalMove when no invoice will come.
    """
    line = build(title, amount)
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = next_invoice.locked(connection, subscription_id)
        if row.status is SubscriptionStatus.UNPAID:
            raise IllegalMove(
                "it is unpaid, and no invoice comes before it resumes",
                hint=f"first: billing subscription resume {subscription_id}",
            )
        intents.meet(
            connection, row, Action.LINE_ADDED, now, by, at=next_invoice.opens_at(row, now)
        )
        extras = [*row.extras, line]
        pricing.check_largest((row.amount, row.next_amount), extras)
        subscriptions.change(connection, subscription_id, extras=extras)
        recorded = event(
            "subscription.extra_added", at=now, by=by, customer_id=row.customer_id,
            subscription_id=subscription_id, title=title, amount=amount,
        )  # fmt: skip
        events.record(connection, [recorded])
