"""Activity: who did what, when and why: events by actor, kind and day, newest first.

Without `machines` these are the events of people and keys. A filter by kind or actor that includes
the scheduler is limited to one day. Nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from billing.domain.event_kinds import KINDS
from billing.domain.events import MACHINES
from billing.domain.paging import Page
from billing.services.context import Context
from billing.store.queries import activity as statements
from billing.store.queries.activity import Wanted
from billing.store.queries.listing_rows import Event


class Group(StrEnum):
    """Kinds of events that an operator looks for together."""

    CUSTOMERS = "customers"
    SUBSCRIPTIONS = "subscriptions"
    INVOICES = "invoices"
    CHARGES = "charges"
    REFUNDS = "refunds"
    CATALOGUE = "catalogue"
    ACCESS = "access"
    APPROVALS = "approvals"
    WEBHOOKS = "webhooks"
    ENGINE = "engine"


_GROUPS = {
    "customer": Group.CUSTOMERS, "wallet": Group.CUSTOMERS,
    "subscription": Group.SUBSCRIPTIONS, "period": Group.SUBSCRIPTIONS,
    "invoice": Group.INVOICES, "dunning": Group.INVOICES, "charge": Group.CHARGES,
    "refund": Group.REFUNDS, "credit": Group.REFUNDS,
    "plan": Group.CATALOGUE, "coupon": Group.CATALOGUE,
    "key": Group.ACCESS, "person": Group.ACCESS, "approval": Group.APPROVALS,
    "webhook": Group.WEBHOOKS,
}  # fmt: skip


def group_of(kind: str) -> Group:
    """Return the group of a kind of events."""
    return _GROUPS.get(kind.partition(".")[0], Group.ENGINE)


class Asked(NamedTuple):
    """What a person asks for; the day is one in `timezone`."""

    actor: str | None
    group: Group | None
    day: date | None
    machines: bool
    timezone: str


@dataclass(frozen=True, slots=True)
class Activity:
    """A page of events; `day` is the one that they are limited to."""

    events: Sequence[Event]
    next_cursor: str | None
    actors: Sequence[str]
    day: date | None


def read(context: Context, asked: Asked, page: Page) -> Activity:
    """Read a page of events. Raises InvalidValue for a wrong cursor."""
    machines = asked.machines or asked.actor in MACHINES
    day, place = asked.day, ZoneInfo(asked.timezone)
    if machines and (asked.actor or asked.group) and day is None:
        day = context.clock.now().astimezone(place).date()
    since: datetime | None = None
    until: datetime | None = None
    if day is not None:
        since = datetime.combine(day, time(), place)
        until = datetime.combine(day + timedelta(days=1), time(), place)
    kinds = tuple(each for each in KINDS if group_of(each) is asked.group)
    with context.database.transaction() as connection:
        found = statements.activity(
            connection, Wanted(asked.actor, kinds, since, until, machines), page
        )  # fmt: skip
        names = statements.actors(connection)
    return Activity(found.rows, found.next_cursor, names, day)
