"""Catalogue: plans and coupons, what each is, and how many subscriptions run on a plan.

Nothing is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from billing.domain.filters import CatalogStatus, CouponFilter, PlanFilter
from billing.domain.paging import Listed, Page
from billing.services.context import Context
from billing.services.reading import catalog, lists
from billing.services.reading.results import local
from billing.store.queries import coupons as coupon_rows
from billing.store.queries import listing_rows, running
from billing.store.queries.running import Running

COUNT_MAX = 10_000
"""Running subscriptions are counted up to here; there is one more when there are more."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A page of plans with their running subscriptions, and a page of coupons."""

    plans: Listed[listing_rows.Plan]
    coupons: Listed[coupon_rows.Coupon]
    running: Mapping[str, Running]


@dataclass(frozen=True, slots=True)
class PlanPage:
    """A plan, its running subscriptions, and who created and archived it."""

    row: listing_rows.Plan
    running: Running
    events: Sequence[listing_rows.Event]


def read(
    context: Context, status: CatalogStatus | None, plans: Page, coupons: Page
) -> Catalogue:  # fmt: skip
    """Read a page of plans and one of coupons. Raises InvalidValue for a wrong cursor."""
    with context.database.transaction() as connection:
        database = context.joined(connection).database
        offered = lists.plans(database, PlanFilter(status), plans)
        reductions = lists.coupons(database, CouponFilter(status), coupons)
        codes = [each.code for each in offered.rows]
        return Catalogue(
            offered, reductions, running.of_plans(connection, codes, COUNT_MAX + 1)
        )  # fmt: skip


def plan(context: Context, code: str) -> PlanPage:
    """Read one plan. Raises NotKnown."""
    with context.database.transaction() as connection:
        row = catalog.plan(context.joined(connection).database, code)
        counts = running.of_plans(connection, [code], COUNT_MAX + 1)[code]
        events = running.events_of_plan(connection, code)
    return PlanPage(row, counts, [local(each, row.timezone) for each in events])
