"""Upcoming: announce charges ahead with the event `invoice.upcoming`, once for each period.

The plan's notice says how long ahead. A tick that is late announces late, but never after the
charge is due. Nothing is announced for a subscription that is paused, held or ended by then. A
change after the announcement is not announced again. Charging is not touched.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.events import Event, event
from billing.domain.forecast import periods, wallet_then
from billing.logs import Logger
from billing.services.context import Context
from billing.services.operating import held_rows
from billing.store.queries import events, forecast, notices
from billing.store.queries.forecast import Coming
from billing.store.queries.notices import Announced

log = Logger(__name__)

BATCH = 500
"""Subscriptions that one transaction announces."""
CURRENCY = "IDR"


def announce_due(context: Context, limit: int) -> int:
    """Announce the charges whose notice has come, at most `limit`; return how many."""
    with context.database.transaction() as connection:
        ids = notices.due(connection, context.clock.now(), limit)
    made = 0
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        made += sum(
            held_rows.isolate(
                part,
                lambda some: _announce(context, some),
                lambda each, error: _give_up(context, each, error),
            )
        )
    return made


def _announce(context: Context, ids: Sequence[UUID]) -> int:
    now = context.clock.now()
    with context.database.transaction() as connection:
        locked = {row.id: row for row in notices.lock(connection, ids, now)}
        if not locked:
            return 0
        recorded = list(_events(connection, locked, now))
        notices.mark(connection, list(locked))
        events.record(connection, recorded)
    return len(recorded)


def _events(
    connection: Connection, locked: dict[UUID, Announced], now: datetime
) -> Iterator[Event]:
    for coming in forecast.subscriptions_of(connection, list(locked)):
        made = _event(locked[coming.payer.subscription_id], coming, now)
        if made is not None:
            yield made


def _event(row: Announced, coming: Coming, now: datetime) -> Event | None:
    """Return the event; None when the period is not charged after all."""
    payer, subscription, next_plan = coming
    expected = next(periods(subscription, row.due_at, row.due_at, next_plan), None)
    if expected is None:
        return None
    credited = min(payer.balance or 0, expected.amount)
    until = payer.wallet_until
    return event(
        "invoice.upcoming", at=now, customer_id=payer.customer_id, subscription_id=row.id,
        plan=row.plan, period_index=expected.period_index, amount=expected.amount - credited,
        credited=credited, currency=CURRENCY, charge_at=_written(row.due_at),
        wallet_status=wallet_then(until, row.due_at),
        wallet_expires_at=None if until is None else _written(until),
    )  # fmt: skip


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _give_up(context: Context, subscription_id: UUID, error: Exception) -> None:
    """Pass over a charge that cannot be announced, with an event: it is charged all the same."""
    why, now = held_rows.one_line(error), context.clock.now()
    log.error("notice.failed", subscription=str(subscription_id), error=held_rows.brief(error))
    with context.database.transaction() as connection:
        for row in notices.lock(connection, [subscription_id], now):
            notices.mark(connection, [row.id])
            recorded = event(
                "subscription.notice_failed", at=now, subscription_id=row.id,
                customer_id=notices.customer_of(connection, row.id),
                period_index=row.period_index, why=why,
            )  # fmt: skip
            events.record(connection, [recorded])
