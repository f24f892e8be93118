"""Upcoming: announce charges ahead with the event `invoice.upcoming`, once for each date.

The plan's notice says how long ahead. A tick that is late announces late, but never after the
charge is due. Nothing is announced for a subscription that is paused, held or ended by then. A
period that gets another date, as after a pause, is announced again; a change of its amount is not.
Credit that an earlier announced charge of the customer takes is not counted again. Charging is not
touched.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.events import Event, event
from billing.domain.forecast import Expected, periods, wallet_then
from billing.logs import Logger
from billing.services.context import Context
from billing.services.operating import held_rows
from billing.store.queries import events, forecast, notices
from billing.store.queries.forecast import Payer
from billing.store.queries.notices import Announced, Promise

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
    found = forecast.subscriptions_of(connection, list(locked))
    due = {row.id: row.due_at for row in locked.values()}
    found.sort(key=lambda coming: due[coming.payer.subscription_id])
    with_credit = sorted({coming.payer.customer_id for coming in found if coming.payer.balance})
    promised = notices.promises(connection, with_credit) if with_credit else []
    for coming in found:
        row = locked[coming.payer.subscription_id]
        expected = next(
            periods(coming.subscription, row.due_at, row.due_at, coming.next_plan), None
        )
        if expected is None:
            continue  # the period is not charged after all
        credited = min(_left(coming.payer, row.due_at, promised), expected.amount)
        promised.append(Promise(coming.payer.customer_id, row.due_at, credited))
        yield _event(row, coming.payer, expected, credited, now)


def _left(payer: Payer, due_at: datetime, promised: Sequence[Promise]) -> int:
    """Return the customer's credit without what charges take that are due by then."""
    taken = sum(
        each.credited
        for each in promised
        if each.customer_id == payer.customer_id and each.due_at <= due_at
    )
    return max((payer.balance or 0) - taken, 0)


def _event(row: Announced, payer: Payer, expected: Expected, credited: int, now: datetime) -> Event:
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
