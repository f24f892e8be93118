"""Previews and repeats in a life: what a preview says is what the deed does, and once is enough.

The sums are made here, over the rows before and after. It does not know what a deed is.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import BillingError
from billing.services.context import Context, Request, once
from billing.services.subscriptions.previewing import Preview
from tests.integration.engine import Engine

A = TypeVar("A")
_SUMS = """
    SELECT s.status, s.next_due_at, s.cancel_at, s.change_at,
        (SELECT coalesce(sum(r.amount), 0) FROM refunds r JOIN invoices i ON i.id = r.invoice_id
            WHERE i.subscription_id = s.id)::bigint AS refunded,
        (SELECT coalesce(sum(remaining), 0) FROM credits
            WHERE customer_id = s.customer_id)::bigint AS credit,
        (SELECT coalesce(sum(amount - credited), 0) FROM invoices
            WHERE subscription_id = s.id AND status <> 'void')::bigint AS owed,
        (SELECT coalesce(sum(amount), 0) FROM invoices
            WHERE subscription_id = s.id AND status = 'void')::bigint AS voided,
        (SELECT coalesce(sum(amount - credited), 0) FROM invoices
            WHERE subscription_id = s.id AND status = 'void')::bigint AS void_rest,
        (SELECT count(*) FROM invoices WHERE subscription_id = s.id AND status = 'void') AS voids,
        (SELECT coalesce(max(id), 0) FROM events) AS last_event
    FROM subscriptions s WHERE s.id = :id"""
_OTHERS = """
    SELECT kind FROM events WHERE subscription_id = :id AND id > :after
    AND (kind LIKE 'charge.%' OR kind IN ('invoice.opened', 'invoice.paid',
        'invoice.uncollectible', 'invoice.reopened'))"""

_SCHEDULED = """
    SELECT 1 FROM events WHERE subscription_id = :id AND id > :after
    AND kind = 'subscription.cancel_scheduled'"""


class Money(NamedTuple):
    """A subscription's money and dates, and the last event."""

    status: str
    next_due_at: datetime | None
    cancel_at: datetime | None
    change_at: datetime | None
    refunded: int
    credit: int
    owed: int
    voided: int
    void_rest: int
    voids: int
    last_event: int


class Planned(NamedTuple):
    """A cancellation on a date, with what its preview said."""

    at: datetime
    before: Money
    said: Preview
    last_event: int


class Foresight:
    """Checks the deeds of one subscription."""

    def __init__(self, engine: Engine, subscription: UUID) -> None:
        self._engine, self._id = engine, subscription
        self._keys = 0
        self._planned: Planned | None = None

    def _look(self) -> Money:
        [row] = self._engine.rows(_SUMS, id=self._id)
        return Money(**row)

    def once(self, act: Callable[[Request], A]) -> A:
        """Do something with a key, and again with the same: the second changes nothing."""
        self._keys += 1
        request = Request(f"life-{self._keys}", "life", {})
        self._planned = None
        made = act(request)
        after = self._look()
        assert act(request) == made
        assert self._look() == after
        return made

    def done(self, act: Callable[[Request], A], preview: Callable[[], Preview] | None) -> A:
        """Do something twice with one key; compare it with its preview, if it has one."""
        return self.once(act) if preview is None else self.foretold(preview, act)

    def joined(self, request: Request, act: Callable[[Context], object]) -> dict[str, Any]:
        """Do something that knows no keys, with a key, as the HTTP interface does."""

        def inside(connection: Connection, _now: datetime) -> dict[str, Any]:
            act(self._engine.context.joined(connection))
            return {}

        return once(self._engine.context, request, inside)

    def foretold(self, preview: Callable[[], Preview], act: Callable[[Request], A]) -> A:
        """Preview a deed, do it twice with one key, and compare."""
        before, said, refused = self._look(), None, None
        try:
            said = preview()
        except BillingError as error:
            refused = error
        assert self._look() == before, "a preview has written something"
        try:
            made = self.once(act)
        except BillingError as error:
            if str(refused) != str(error):
                raise AssertionError(f"the preview said {refused or said}") from error
            raise
        assert said is not None, f"the preview was refused: {refused}"
        after = self._look()
        dates = (said.status, said.next_due_at, said.cancel_at, said.change_at)
        assert dates == (after.status, after.next_due_at, after.cancel_at, after.change_at)
        scheduled = self._engine.rows(_SCHEDULED, id=self._id, after=before.last_event)
        if not scheduled:
            _compare(said, before, after)
        elif said.amount_refunded is not None and after.cancel_at is not None:
            self._planned = Planned(after.cancel_at, before, said, after.last_event)
        return made

    def passed(self) -> None:
        """Compare a cancellation whose date has come, unless more than time has passed."""
        planned = self._planned
        if planned is None:
            return
        now: dict[str, Any] = self._engine.subscription(self._id)
        if now["ended_at"] is None and now["cancel_at"] == planned.at:
            return
        self._planned = None
        others = self._engine.rows(_OTHERS, id=self._id, after=planned.last_event)
        if now["ended_at"] == planned.at and not others:
            _compare(planned.said, planned.before, self._look())


def _compare(said: Preview, before: Money, after: Money) -> None:
    """What was said of money is the difference."""
    # An invoice that became void was owed before; what is new is not.
    opened = after.owed + after.void_rest - before.owed - before.void_rest
    assert said.amount_refunded == after.refunded - before.refunded
    assert said.amount_credited == after.credit - before.credit
    assert said.invoices_voided == after.voids - before.voids
    assert said.amount_voided == after.voided - before.voided
    assert said.amount_charged == opened
