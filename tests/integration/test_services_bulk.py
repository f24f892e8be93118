"""An action on many rows: a row that cannot be changed stops no other, and a key acts once."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from billing.domain.errors import NotKnown
from billing.domain.events import Actor
from billing.services.operating import bulk, held_rows
from billing.services.operating.bulk import Order, Row
from billing.services.operating.held_rows import Kind
from billing.services.reading.inbox import Deed
from tests.integration.engine import Engine
from tests.integration.races import at_once
from tests.integration.test_services_locked_rows import impatient, locked, made
from tests.integration.test_services_reopening import given_up

BY = Actor("budi", "all of them")


def order(deed: Deed, kind: Kind, cause: str, *ids: UUID) -> Order:
    """An order for some rows."""
    return Order(deed, kind, cause, [Row(each, None, None) for each in ids])


def test_a_locked_row_stops_no_other(engine: Engine) -> None:
    """The report says which one to repeat, and it is repeated under another key."""
    subscriptions = made(engine, 3)
    engine.tick(["open_periods"])
    engine.set_clock(engine.now + timedelta(minutes=1))
    invoices = [engine.invoices(each)[0]["id"] for each in subscriptions]
    wanted = order(Deed.RETRY, Kind.INVOICE, "late", *invoices)
    with locked(engine, subscriptions[1]), impatient(engine) as context:
        bulk.run(context, wanted, BY, "first")
    found = bulk.report(engine.context, "first").rows
    assert [each.is_done for each in found] == [True, False, True]
    assert found[1].said == bulk.LOCKED
    bulk.run(engine.context, wanted, BY, "first")
    assert len(engine.told("invoice.retry_requested")) == 2
    bulk.run(engine.context, order(Deed.RETRY, Kind.INVOICE, "late", invoices[1]), BY, "second")
    assert len(engine.told("invoice.retry_requested")) == 3
    engine.run()
    assert {row["status"] for row in engine.rows("SELECT status FROM invoices")} == {"paid"}


def test_two_clicks_at_once_act_once(engine: Engine) -> None:
    """Both get the same report, and each row has one event."""
    _, subscription = given_up(engine)
    [invoice] = engine.invoices(subscription)
    wanted = order(Deed.RETRY, Kind.INVOICE, "uncollectible", invoice["id"])
    answers = at_once(*[lambda: bulk.run(engine.context, wanted, BY, "key")] * 2)
    assert answers == [None, None]
    assert [each.is_done for each in bulk.report(engine.context, "key").rows] == [True]
    assert len(engine.told("invoice.retry_requested")) == 1
    assert len(engine.told("invoice.reopened")) == 1
    engine.run()


def test_an_error_of_one_row_is_logged_and_reported(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are released; an error that no row causes is raised, and no report is stored."""
    rows = made(engine, 3)
    for each in rows:
        held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, each, ValueError("bad"))
    release = held_rows.release

    def failing(error: Exception) -> None:
        def act(context: object, kind: Kind, row_id: UUID, by: Actor) -> object:
            if row_id == rows[1]:
                raise error
            return release(engine.context, kind, row_id, by)

        monkeypatch.setattr(held_rows, "release", act)

    wanted = order(Deed.RELEASE, Kind.SUBSCRIPTION, "held", *rows)
    failing(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        bulk.run(engine.context, wanted, BY, "broken")
    with pytest.raises(NotKnown):
        bulk.report(engine.context, "broken")
    failing(ValueError("a bad value"))
    bulk.run(engine.context, wanted, BY, "broken")
    found = bulk.report(engine.context, "broken").rows
    assert [(each.is_done, each.said) for each in found] == [
        (True, ""), (False, bulk.FAILED), (True, ""),
    ]  # fmt: skip
    assert len(engine.told("subscription.released")) == 2
    monkeypatch.undo()
    bulk.run(engine.context, wanted, BY, "again")
    assert len(engine.told("subscription.released")) == 3


def test_an_unknown_row_is_refused_in_the_report(engine: Engine) -> None:
    """With one line; the report has the person, the reason and the rupiah."""
    wanted = Order(Deed.RETRY, Kind.INVOICE, "uncollectible", [Row(uuid4(), "c1", 50_000)])
    bulk.run(engine.context, wanted, BY, "key")
    report = bulk.report(engine.context, "key")
    assert (report.actor, report.reason, report.deed) == ("budi", "all of them", "retry")
    [row] = report.rows
    assert (row.customer, row.amount, row.is_done) == ("c1", 50_000, False)
    assert row.said == bulk.GONE
