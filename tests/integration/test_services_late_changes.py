"""A due planned change before its tick has run, and other actions at that time.

The period that has begun belongs to the new plan already, with its due dates.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
TURNS = START + 28 * DAY
"""28 February, when the month ends and ten days at a time begin."""


@pytest.fixture
def late(engine: Engine) -> UUID:
    """A month ended, periods of ten days were to follow, and no tick ran for thirteen days."""
    engine.plan("MONTH", amount=31_000)
    engine.plan("TEN", amount=9_900, every="10 days")
    engine.plan("OTHER", amount=60_000)
    subscription = engine.subscribe(engine.customer(), "MONTH")
    engine.run()
    changing.change(engine.context, subscription, OPERATOR, plan_code="TEN", at="period-end")
    engine.set_clock(TURNS + 13 * DAY)
    return subscription


def test_an_end_is_planned_by_the_dates_of_the_plan_that_has_begun(
    engine: Engine, late: UUID
) -> None:
    """Not by those of the plan before it, which would bill ten days once more."""
    canceling.cancel(engine.context, late, OPERATOR, at="period-end")
    engine.advance(60 * DAY)

    assert engine.subscription(late)["ended_at"] == TURNS + 20 * DAY
    assert [i["amount"] for i in engine.invoices(late)] == [31_000, 9_900, 9_900]


@pytest.mark.parametrize("what", ["pause", "change"])
def test_a_pause_and_another_change_wait_for_it(engine: Engine, late: UUID, what: str) -> None:
    """They are refused for a moment: they would pass over a change that is due, or drop it."""
    acts = {
        "pause": lambda: pausing.pause(engine.context, late, OPERATOR, at="period-end"),
        "change": lambda: changing.change(
            engine.context, late, OPERATOR, plan_code="OTHER", at="period-end"
        ),
    }
    with pytest.raises(IllegalMove, match=f"is to change as of {TURNS.date()}.*in a moment"):
        acts[what]()
    engine.run()

    assert [i["amount"] for i in engine.invoices(late)] == [31_000, 9_900, 9_900]
    pausing.pause(engine.context, late, OPERATOR, at="period-end")
    assert engine.subscription(late)["pause_at"] == TURNS + 20 * DAY


def test_an_end_at_once_records_the_periods_of_the_plan_that_had_begun(
    engine: Engine, late: UUID
) -> None:
    """Two periods of ten days had begun and were not opened; they are not owed."""
    canceling.cancel(engine.context, late, OPERATOR)

    [told] = engine.told("period.skipped")
    assert told["data"] == {"first": 1, "last": 2, "why": "canceled"}
