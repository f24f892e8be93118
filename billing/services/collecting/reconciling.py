"""Reconciling: query the gateway for the status of unresolved charges."""

from collections.abc import Sequence
from uuid import UUID

from billing.domain.outcomes import StatusOutcome, Unknown
from billing.domain.settlement import Source
from billing.logs import Logger
from billing.services.collecting import charging, settling, unsent_checks
from billing.services.collecting.settling import News
from billing.services.context import LEASE_SECONDS, Context
from billing.services.operating import safety
from billing.store.queries import charges
from billing.store.queries.charges import Question

log = Logger(__name__)


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease unresolved charges whose status query is due."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not safety.is_ours(context, connection):
            return []
        return charges.lease_to_ask(connection, now, lease_seconds=LEASE_SECONDS, limit=limit)


def ask(context: Context, charge_ids: Sequence[UUID]) -> None:
    """Query each charge once, settle the answers, and resend what the gateway never received."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not safety.is_ours(context, connection):
            charges.end_leases(connection, charge_ids)
            return
        due = unsent_checks.unresolved(connection, charges.to_ask(connection, charge_ids, now), now)
    answers = context.pool.map(lambda row: _answer(context, row), due)
    news = [News(row.id, answer) for row, answer in zip(due, answers, strict=True)]
    again = settling.settle(context, news, Source.STATUS)
    if due:
        with context.database.transaction() as connection:
            later = context.clock.now()
            charges.ask_again(connection, [row.id for row in due], now, later)
    charging.send(context, again)


def _answer(context: Context, row: Question) -> StatusOutcome:
    """Query one charge; a bug in our client counts as no answer."""
    number = row.gateway_number
    try:
        return context.gateway.check_status(number, number, row.amount)
    except Exception as error:
        log.exception("charge.status_query_failed", charge=str(row.id))
        return Unknown(f"the client failed: {type(error).__name__}")
