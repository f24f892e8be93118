"""Today: what was charged, declined and refunded in each hour, against two days before.

The hours are counted from the event feed, together with the metrics: a tick or a reader counts what
is new.
"""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import NamedTuple

from billing.domain.instants import HOME
from billing.services.context import Context
from billing.services.operating import metrics as counting
from billing.store.queries import event_feed, metrics
from billing.store.queries.metrics import HourTotal

DAY, WEEK, HOUR = timedelta(days=1), timedelta(days=7), timedelta(hours=1)
HOURS = 24
CHARGED, DECLINED, REFUNDED = "charge.succeeded", "charge.declined", "refund.succeeded"
NOTHING = (0, 0)
UNPLACED_MAX = 100_000
"""Events that are counted as not counted yet, at most."""


class Hour(NamedTuple):
    """An hour of today; the last two amounts are those charged in the same hour of other days."""

    begins_at: datetime
    charges_count: int
    amount: int
    declines_count: int
    refunds_count: int
    amount_refunded: int
    amount_yesterday: int
    amount_week_ago: int


class Today(NamedTuple):
    """The hours of today that have begun, and of the other two days as far and as a whole.

    The day begins at midnight in Jakarta. `uncounted_count` is how many events are not counted yet.
    """

    at: datetime
    hours: list[Hour]
    amount: int
    amount_yesterday: int
    amount_yesterday_in_all: int
    amount_week_ago: int
    amount_week_ago_in_all: int
    uncounted_count: int


def read(context: Context) -> Today:
    """Count new events, and return the hours of today."""
    counting.count_unless_locked(context)
    return counted(context)


def counted(context: Context) -> Today:
    """Return the hours of today as far as they are counted."""
    at = context.clock.now()
    midnight = datetime.combine(at.astimezone(HOME).date(), time(), HOME)
    with context.database.transaction() as connection:
        found = metrics.hours(connection, midnight - WEEK, midnight + DAY)
        uncounted = metrics.behind(connection) + event_feed.unplaced(connection, UNPLACED_MAX)
    days = [_of_day(found, begin) for begin in (midnight, midnight - DAY, midnight - WEEK)]
    hours = [
        _hour(midnight + number * HOUR, number, days)
        for number in range(HOURS)
        if midnight + number * HOUR <= at
    ]
    whole = [sum(amount for _events, amount in _charged(day).values()) for day in days]
    return Today(
        at=at,
        hours=hours,
        amount=whole[0],
        amount_yesterday=sum(hour.amount_yesterday for hour in hours),
        amount_yesterday_in_all=whole[1],
        amount_week_ago=sum(hour.amount_week_ago for hour in hours),
        amount_week_ago_in_all=whole[2],
        uncounted_count=uncounted,
    )


Totals = Mapping[tuple[int, str], tuple[int, int]]
"""Events and rupiah, by hour of a local day and kind of event."""


def _of_day(found: list[HourTotal], begin: datetime) -> Totals:
    return {
        (row.hour.astimezone(HOME).hour, row.name): (row.events, row.amount)
        for row in found
        if begin <= row.hour < begin + DAY
    }


def _charged(day: Totals) -> Totals:
    return {key: value for key, value in day.items() if key[1] == CHARGED}


def _hour(begins_at: datetime, number: int, days: list[Totals]) -> Hour:
    today, yesterday, week_ago = days
    charges, amount = today.get((number, CHARGED), NOTHING)
    refunds, refunded = today.get((number, REFUNDED), NOTHING)
    return Hour(
        begins_at=begins_at,
        charges_count=charges,
        amount=amount,
        declines_count=today.get((number, DECLINED), NOTHING)[0],
        refunds_count=refunds,
        amount_refunded=refunded,
        amount_yesterday=yesterday.get((number, CHARGED), NOTHING)[1],
        amount_week_ago=week_ago.get((number, CHARGED), NOTHING)[1],
    )
