"""Subscription page: its state, what comes next and when, why it is not charged, and its timeline.

Nothing is written, and the gateway is not called.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from billing.domain.events import SCHEDULER
from billing.domain.filters import EventFilter
from billing.domain.invoice import InvoiceStatus
from billing.domain.paging import Page
from billing.services.context import Context
from billing.services.reading import read_models, results
from billing.store.queries import listing_rows, lists, pages

EVENTS_MAX = 100
"""Events of the subscription, the newest."""
RETRIES_MAX = 5
"""Dates of the dunning ladder that the timeline shows of one invoice."""
_PAUSED = "subscription.paused"
_ENDED = ("subscription.canceled", "subscription.completed")
_PAUSES = (_PAUSED, "subscription.resumed", *_ENDED)
"""Events with which a pause begins and ends."""
_PLANNED = "subscription.cancel_scheduled"
_PLANS = (_PLANNED, "subscription.cancel_withdrawn", "subscription.cancel_dropped")
TURNS = (*_PAUSES, *_PLANS)
"""The events of which the page says who caused them, and when."""


class Moment(NamedTuple):
    """One mark of the timeline: a span if it has an `until`, and planned if it is `ahead`."""

    kind: str
    at: datetime
    until: datetime | None
    status: str
    amount: int | None
    invoice: UUID | None
    row_id: UUID | None
    ahead: bool


@dataclass(frozen=True, slots=True)
class SubscriptionPage:
    """A subscription with its newest invoices, its events and the marks of its timeline."""

    subscription: results.Subscription
    customer_name: str
    events: Sequence[listing_rows.Event]
    is_cut: bool
    timeline: Sequence[Moment]
    stopped_at: datetime | None
    ended_by: pages.Turn | None
    planned_by: pages.Turn | None
    """Who planned the cancellation that the scheduler carried out."""
    now: datetime

    @property
    def row(self) -> listing_rows.Subscription:
        """Return the subscription's own columns."""
        return self.subscription.row

    @property
    def open_invoices(self) -> list[results.Invoice]:
        """Return the invoices that are owed, oldest first."""
        found = self.subscription.invoices
        return [each for each in found if each.row.status is InvoiceStatus.OPEN]

    @property
    def amount_owed(self) -> int:
        """Return what the wallet still has to pay."""
        owed = self.open_invoices
        return sum(each.row.amount - each.row.amount_from_credit for each in owed)


def row_of(context: Context, subscription_id: UUID) -> listing_rows.Subscription:
    """Read a subscription's own columns. Raises NotKnown."""
    with context.database.transaction() as connection:
        return read_models.known_subscription(connection, subscription_id)


def read(context: Context, subscription_id: UUID) -> SubscriptionPage:
    """Read the page of a subscription. Raises NotKnown."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        found = read_models.subscription_without_ways(connection, subscription_id)
        about = pages.about(connection, subscription_id, TURNS)
        mine = EventFilter(subscription=subscription_id)
        events = lists.events(connection, mine, Page(EVENTS_MAX))
    pauses = [each for each in about.turns if each.kind in _PAUSES]
    ended_by = next((each for each in pauses if each.kind in _ENDED), None)
    marks = [*_past(found), *_pauses(pauses, now), *_ahead(found)]
    return SubscriptionPage(
        subscription=found,
        customer_name=about.customer_name,
        events=events.rows,
        is_cut=events.next_cursor is not None,
        timeline=sorted(marks, key=lambda each: (each.at, each.ahead)),
        stopped_at=about.stopped_at,
        ended_by=ended_by,
        planned_by=_planned_by(about.turns, ended_by),
        now=now,
    )


def _planned_by(turns: Sequence[pages.Turn], ended_by: pages.Turn | None) -> pages.Turn | None:
    """Return who planned a cancellation that came true: the scheduler repeats the reason."""
    if ended_by is None or ended_by.actor != SCHEDULER.name:
        return None
    newest = next((each for each in turns if each.kind in _PLANS), None)
    is_planned = newest is not None and newest.kind == _PLANNED
    return newest if is_planned and newest and newest.reason == ended_by.reason else None


def _past(found: results.Subscription) -> Iterator[Moment]:
    """Yield periods, attempts and refunds of the invoices that are shown."""
    for each in found.invoices:
        invoice = each.row
        yield Moment(
            "change" if invoice.change_index else "period", invoice.period_start_at,
            invoice.period_end_at, invoice.status, invoice.amount, invoice.id, invoice.id,
            ahead=False,
        )  # fmt: skip
        for charge in (made.row for made in each.charges):
            yield Moment(
                "charge", charge.created_at, None, charge.status, charge.amount, invoice.id,
                charge.id, ahead=False,
            )  # fmt: skip
        for back in (made.row for made in each.refunds):
            yield Moment(
                "refund", back.created_at, None, back.status, back.amount, invoice.id, back.id,
                ahead=False,
            )  # fmt: skip


def _pauses(newest_first: Sequence[pages.Turn], now: datetime) -> Iterator[Moment]:
    """Yield each pause with its end; one that has not ended lasts until now."""
    begun: datetime | None = None
    for each in reversed(newest_first):
        if each.kind == _PAUSED:
            begun = begun or each.at
        elif begun is not None:
            yield _pause(begun, each.at)
            begun = None
    if begun is not None:
        yield _pause(begun, now)


def _pause(begun: datetime, until: datetime) -> Moment:
    return Moment("pause", begun, until, "paused", None, None, None, ahead=False)


def _ahead(found: results.Subscription) -> Iterator[Moment]:
    """Yield what is planned: attempts, the next charge, and changes of the subscription."""
    row = found.row
    if row.ended_at is not None:
        return
    for each in found.invoices:
        owed = each.row.amount - each.row.amount_from_credit
        for at in each.retries_at[:RETRIES_MAX]:
            yield Moment("attempt", at, None, "", owed, each.row.id, None, ahead=True)
    following = found.next_invoice
    if following is not None:
        owed = following.amount - following.amount_from_credit
        yield Moment("next charge", following.due_at, None, "", owed, None, None, ahead=True)
    planned = (
        ("cancellation", row.cancel_at), ("pause begins", row.pause_at),
        ("resumption", row.resume_at), ("change of terms", row.change_at),
    )  # fmt: skip
    for kind, instant in planned:
        if instant is not None:
            yield Moment(kind, instant, None, "", None, None, None, ahead=True)
