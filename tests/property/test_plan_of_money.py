"""After any life each invoice, charge and refund is of the plan that the events name.

The plan is found a second time by the statements with which an upgrade fills older rows.
"""

import os
from collections import Counter
from datetime import timedelta
from importlib import import_module
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.domain.filters import ChargeFilter, Counted, InvoiceFilter, RefundFilter
from billing.domain.paging import Page
from billing.services.operating import counting_ahead
from billing.services.reading import lists
from tests.integration.engine import Engine
from tests.property.test_lives import Deed, deeds, live, plans, schedules

upgrade = import_module("billing.store.migrations.versions.0031_plan_of_money")
TABLES = ("invoices", "charges", "refunds")
COUNTED = """
    SELECT plan_code, count(*) AS count FROM invoices i WHERE status = 'open'
    AND blocked_on IS DISTINCT FROM 'wallet' AND next_attempt_at <= :until GROUP BY 1"""

few = settings(
    max_examples=int(os.environ.get("STATEFUL_EXAMPLES", "6")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def of_each(engine: Engine) -> dict[str, list[Any]]:
    """The plan of each row, by table."""
    return {
        table: engine.rows(f"SELECT id, plan_code FROM {table} ORDER BY id") for table in TABLES
    }


@few
@given(plan=plans, schedule=schedules, life=st.lists(deeds, max_size=12))
def test_the_plan_of_money_is_the_one_of_its_events_and_each_list_has_its_rows(
    engine: Engine, plan: dict[str, object], schedule: dict[str, str], life: list[Deed]
) -> None:
    """Read from the events, counted ahead, and listed by plan: three times the same."""
    live(engine, plan | schedule, life)
    written = of_each(engine)
    check_events(engine, written)
    check_lists(engine, written)
    check_ahead(engine)


def check_events(engine: Engine, written: dict[str, list[Any]]) -> None:
    """What an upgrade would fill in is what the engine wrote; nothing is kept of it."""
    with engine.undone() as connection:
        for table in TABLES:
            connection.execute(text(f"UPDATE {table} SET plan_code = 'wrong'"))
        for statement in (
            upgrade.OF_SUBSCRIPTIONS, upgrade.OF_EVENTS,
            *(upgrade.OF_INVOICES.format(table) for table in TABLES[1:]),
        ):  # fmt: skip
            connection.execute(text(statement))
        filled = {
            table: connection.execute(text(f"SELECT id, plan_code FROM {table} ORDER BY id"))
            .mappings()
            .all()
            for table in TABLES
        }
    assert {table: [dict(row) for row in rows] for table, rows in filled.items()} == {
        table: [dict(row) for row in rows] for table, rows in written.items()
    }


def check_lists(engine: Engine, written: dict[str, list[Any]]) -> None:
    """Each list by plan, read in pages, has every row of the plan and no other."""
    for read, wanted, table in (
        (lists.invoices, InvoiceFilter(), "invoices"), (lists.charges, ChargeFilter(), "charges"),
        (lists.refunds, RefundFilter(), "refunds"),
    ):  # fmt: skip
        for plan in {row["plan_code"] for row in written[table]}:
            found, after = [], None
            while True:
                page = read(engine.context.database, wanted._replace(plan=plan), Page(7, after))  # type: ignore[operator]
                found += [getattr(each, "row", each).id for each in page.rows]
                after = page.next_cursor
                if after is None:
                    break
            expected = [row["id"] for row in written[table] if row["plan_code"] == plan]
            assert sorted(found) == sorted(expected), (table, plan)


def check_ahead(engine: Engine) -> None:
    """The invoices that a tick counts ahead by plan are those of the list behind the number."""
    assert counting_ahead.count(engine.context)
    totals = engine.rows("SELECT * FROM ahead_totals WHERE kind = 'invoice'")
    counts: Counter[str] = Counter()
    for row in totals:
        counts[row["plan_code"]] += row["charges"]
    until = engine.one("SELECT until FROM ahead_state")
    rows = engine.rows(COUNTED, until=until)
    assert counts == {row["plan_code"]: row["count"] for row in rows}
    for plan in counts:
        found = [
            each
            for name in (Counted.INVOICES_AHEAD, Counted.INVOICES_WAITING)
            for each in lists.invoices(
                engine.context.database,
                InvoiceFilter(
                    plan=plan, counted=name, at=engine.now - timedelta(days=9_999), before=until
                ),
                Page(1_000),
            ).rows
        ]
        assert len(found) == counts[plan]
