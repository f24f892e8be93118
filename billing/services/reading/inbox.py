"""Inbox: what will not move by itself, a page at a time, and the rows of an action in bulk.

The rows are those of `attention`; here are their counts, the breaker and the last audit. Nothing is
written.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from billing.domain.paging import Listed, Of, Page, cursor, place_of
from billing.domain.waiting import Brake
from billing.services.context import Context
from billing.services.operating.upkeep import AUDIT_FINDINGS
from billing.services.reading import attention
from billing.services.reading.attention import Attention
from billing.store.queries import console, prospects
from billing.store.queries.attention import Count, Item, Wanted
from billing.store.queries.console import Findings, GatewayState
from billing.store.queries.holding import Kind
from billing.store.queries.prospects import Chargeable

_PLACE = (int, datetime, str, str)
_RETRYABLE = frozenset({"uncollectible", "waits for balance", "no date"})


class Deed(StrEnum):
    """What can be done with many rows at once."""

    RETRY = "retry"
    RELEASE = "release"


class Obstacle(StrEnum):
    """Why a retry of an invoice would be refused."""

    OLDER = "older"
    UNRESOLVED = "unresolved"
    WALLET = "wallet"
    NOTHING_OWED = "nothing_owed"


class Inbox(NamedTuple):
    """The counts of everything that waits, and one page of the rows that were asked for."""

    at: datetime
    counts: Sequence[Count]
    listed: Listed[Attention]
    findings: Findings | None
    gateway: GatewayState


class Chosen(NamedTuple):
    """A row of an action in bulk, and why the action would be refused for it."""

    item: Item
    age_seconds: int
    obstacle: Obstacle | None


class Choice(NamedTuple):
    """The rows of an action in bulk; `is_cut` says that the filter has more.

    `brake` keeps due invoices from being charged with the next tick.
    """

    rows: Sequence[Chosen]
    is_cut: bool
    brake: Brake | None

    @property
    def accepted(self) -> list[Chosen]:
        """Return the rows for which nothing stands in the way."""
        return [each for each in self.rows if each.obstacle is None]

    @property
    def amount(self) -> int:
        """Return the rupiah of the rows for which nothing stands in the way."""
        return sum(each.item.amount or 0 for each in self.accepted)


def deed_for(kind: str, cause: str) -> Deed | None:
    """Return what can be done with many rows of a kind and cause; None when each needs a look."""
    if cause == "held" and kind in set(Kind):
        return Deed.RELEASE
    return Deed.RETRY if kind == "invoice" and cause in _RETRYABLE else None


def read(context: Context, wanted: Wanted, page: Page) -> Inbox:
    """Return one page, alarms first, then oldest first. Raises InvalidValue for a wrong cursor."""
    at, settings = context.clock.now(), context.settings
    of = Of.wanted("attention", wanted)
    after = None if page.after is None else _item_at(page.after, of)
    with context.database.transaction() as connection:
        found, counts = attention.page(
            connection, at, settings.tick_seconds, page.limit + 1, after,
            horizon=context.limits.not_found_horizon, wanted=wanted,
        )  # fmt: skip
        return Inbox(
            at=at,
            counts=counts,
            listed=_page(found, page.limit, of),
            findings=console.findings(connection, AUDIT_FINDINGS),
            gateway=console.gateway(connection),
        )


def _page(found: list[Attention], limit: int, of: Of) -> Listed[Attention]:
    if len(found) <= limit:
        return Listed(found, None)
    last = found[limit - 1].item
    return Listed(
        found[:limit], cursor(of, [int(last.alarm), last.since_at, last.kind, last.id])
    )  # fmt: skip


def _item_at(text: str, of: Of) -> Item:
    """Return an item that stands at the place of a cursor."""
    alarm, since_at, kind, row_id = place_of(text, of, _PLACE)
    assert isinstance(since_at, datetime)  # noqa: S101 - `place_of` checked it
    return Item(
        str(kind), str(row_id), None, None, since_at, None, "", None, alarm=bool(alarm)
    )  # fmt: skip


def choose(context: Context, wanted: Wanted, limit: int) -> Choice:
    """Return the rows that an action in bulk would touch, oldest first, at most `limit`."""
    at = context.clock.now()
    with context.database.transaction() as connection:
        found = attention.listed(
            context.joined(connection).database, at, context.settings.tick_seconds, limit + 1,
            wanted=wanted,
        )  # fmt: skip
        shown = found[:limit]
        ids = [UUID(each.item.id) for each in shown if each.item.kind == "invoice"]
        owed = prospects.chargeable(connection, ids)
        brake = prospects.brakes(connection).first
    rows = [Chosen(each.item, each.age_seconds, _obstacle(each.item, owed)) for each in shown]
    return Choice(rows, is_cut=len(found) > limit, brake=brake)


def brake(context: Context) -> Brake | None:
    """Return what keeps due invoices from being charged with the next tick."""
    with context.database.transaction() as connection:
        return prospects.brakes(connection).first


def _obstacle(item: Item, owed: dict[UUID, Chargeable]) -> Obstacle | None:
    if item.kind != "invoice" or deed_for(item.kind, item.cause) is not Deed.RETRY:
        return None
    debt = owed.get(UUID(item.id))
    if debt is None:
        return Obstacle.NOTHING_OWED
    if debt.first != debt.invoice:
        return Obstacle.OLDER
    if debt.unresolved:
        return Obstacle.UNRESOLVED
    return None if debt.wallet_good else Obstacle.WALLET
