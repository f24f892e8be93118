"""Live view: the current state in a few figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from uuid import UUID

from billing.domain.periods import zone
from billing.services.context import Context
from billing.store.queries import engine, overview
from billing.store.queries.overview import BookedCharge, BookedRefund, Collections, Month, News

PLACE = "Asia/Jakarta"


@dataclass(frozen=True, slots=True)
class Overview:
    """Today's figures in rupiah, subscriptions by status, the newest events, and the kill switch.

    `stopped_at` is None while charging is not stopped.
    """

    now: datetime
    figures: Collections
    subscriptions: dict[str, int]
    events: Sequence[News]
    stopped_at: datetime | None = None
    stopped_reason: str | None = None


def watch(context: Context, after_event: int, limit: int) -> Overview:
    """Return the current figures; `after_event` is the id of the last event already seen."""
    now = context.clock.now()
    today = datetime.combine(now.astimezone(zone(PLACE)).date(), time(), zone(PLACE))
    with context.database.transaction() as connection:
        state = engine.state(connection)
        return Overview(
            now,
            overview.collections(connection, today),
            overview.subscriptions_by_status(connection),
            overview.events_after(connection, after_event, limit),
            state.stopped_at,
            state.stopped_reason,
        )


def is_unused(context: Context) -> bool:
    """Whether the database has neither plans nor customers."""
    with context.database.transaction() as connection:
        return overview.is_empty(connection)


def by_month(context: Context) -> list[Month]:
    """Return the monthly figures."""
    with context.database.transaction() as connection:
        return overview.months(connection, PLACE)


def last_paid_invoice(context: Context, subscription_id: UUID) -> UUID | None:
    """Return the newest paid invoice of a subscription."""
    with context.database.transaction() as connection:
        return overview.last_paid_invoice(connection, subscription_id)


def booked(context: Context) -> tuple[dict[str, BookedCharge], dict[str, BookedRefund]]:
    """Return every charge by gateway number, and every refund by Request-Id."""
    with context.database.transaction() as connection:
        return overview.charges_by_number(connection), overview.refunds_by_id(connection)


def count_of(context: Context, customer_id: str, kind: str) -> int:
    """Count the events of one kind of a customer."""
    with context.database.transaction() as connection:
        return overview.count_events(connection, customer_id, kind)
