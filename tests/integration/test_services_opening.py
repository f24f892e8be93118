"""Opening when very many are due: in batches, through the real services and a real database."""

from datetime import timedelta

import pytest

from billing.services import opening
from tests.integration.engine import Engine

MANY = 11


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two to a batch and two batches to a list, so that a few are many."""
    monkeypatch.setattr(opening, "BATCH", 2)
    monkeypatch.setattr(opening, "BATCHES_LISTED", 2)


def subscribed(engine: Engine) -> None:
    """Many subscriptions, and a clock that has passed two of each one's due dates."""
    engine.plan(every="1 day")
    for _ in range(MANY):
        engine.subscribe(engine.customer())
    engine.set_clock(engine.now + timedelta(days=1, hours=1))


@pytest.mark.usefixtures("small_batches")
def test_all_that_is_due_is_opened_whatever_the_batches(engine: Engine) -> None:
    """Each period has begun once and is open once; who waits for the first is told once."""
    subscribed(engine)
    told: list[int] = []

    opened = opening.open_due(
        engine.context, lambda: told.append(engine.one("SELECT count(*) FROM invoices"))
    )

    made = engine.rows("SELECT period_index FROM invoices")
    assert opened == len(made) == 2 * MANY
    assert sorted(row["period_index"] for row in made) == [0] * MANY + [1] * MANY
    assert told == [2]
    assert opening.open_due(engine.context) == 0


@pytest.mark.usefixtures("small_batches")
def test_dates_that_make_no_sense_keep_nobody_waiting(engine: Engine) -> None:
    """However many are due and cannot be opened, opening ends, and the others are opened."""
    subscribed(engine)
    engine.audited = False  # it finds those that stay due
    engine.execute(
        "UPDATE subscriptions SET anchor_local = '1960-01-01', next_due_at = start_at - interval"
        " '1 minute' WHERE id IN (SELECT id FROM subscriptions LIMIT 3)"
    )

    assert opening.open_due(engine.context) == 2 * (MANY - 3)
    assert opening.open_due(engine.context) == 0
