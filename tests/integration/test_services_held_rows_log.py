"""What the log says of a row that fails: which row, which error, where; no value of the row."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from billing import logs
from billing.services.operating import held_rows
from billing.services.operating.held_rows import Kind
from tests.commands import logs_as_before
from tests.integration.engine import Engine
from tests.integration.held import is_held, release

SECRET = "Rahasia"
SPOILT = "UPDATE customers SET name = :name, erased_at = now()"
"""Refused by a CHECK; PostgreSQL's error has the whole row."""


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Collect what is logged, as one object a line; nothing secret may be in it."""
    stream, found = StringIO(), list[dict[str, Any]]()
    with logs_as_before():
        logs.configure("json", "debug", stream)
        yield found
    assert SECRET not in stream.getvalue()
    assert "Traceback" not in stream.getvalue()
    found += [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_log_of_a_held_row_has_no_value_of_it(engine: Engine) -> None:
    """Neither of an error of the database nor of ours; the stored reason says more."""
    _, subscription = engine.begun()

    def work(_row: object) -> None:
        engine.execute(SPOILT, name=SECRET)

    with logged() as lines:
        held_rows.each(engine.context, Kind.SUBSCRIPTION, [subscription], work)

    said = [line for line in lines if line["event"].startswith("row.")]
    assert [line["event"] for line in said] == ["row.failed", "row.held"]
    assert {line["id"] for line in said} == {str(subscription)}
    assert said[1]["error"].startswith("CheckViolation customers_erased_check at billing.")
    assert said[1]["held_at"] == engine.subscription(subscription)["held_at"].isoformat()
    assert "customers_erased_check" in is_held(engine, Kind.SUBSCRIPTION, subscription)

    release(engine, Kind.SUBSCRIPTION, subscription)
    with logged() as lines:
        held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, subscription, ValueError(SECRET))
    assert [line["error"] for line in lines] == ["ValueError", "ValueError"]
    engine.dead_ends = {"held"}


def test_a_row_that_is_not_held_is_not_logged_as_held(engine: Engine) -> None:
    """One that is held already, and one that needs no more work."""
    _, subscription = engine.begun()
    engine.run()
    [invoice] = engine.invoices(subscription)
    held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, subscription, ValueError("x"))
    engine.dead_ends = {"held"}

    with logged() as lines:
        for kind, row in ((Kind.SUBSCRIPTION, subscription), (Kind.INVOICE, invoice["id"])):
            held_rows.set_aside(engine.context, kind, row, ValueError(SECRET))

    assert [line["event"] for line in lines] == ["row.failed", "row.failed"]


def test_a_batch_that_fails_is_logged_without_values(engine: Engine) -> None:
    """And so is a notice that could not be given."""

    def work(_rows: object) -> None:
        engine.execute(SPOILT, name=SECRET)

    engine.customer()
    with logged() as lines:
        held_rows.isolate(["a"], work, lambda *_: None)

    [failed] = [line for line in lines if line["event"] == "batch.failed"]
    assert failed["rows"] == 1
    assert failed["error"].startswith("CheckViolation customers_erased_check")
