"""A host whose clock is behind: an opened period counts as begun for it too."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import OPERATOR
from billing.domain.subscription import RefundPolicy
from billing.services.reading import auditing
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration.engine import START, Engine

BEHIND = timedelta(minutes=15)
SPANS = "SELECT period_start, period_end FROM invoices WHERE change_index = 0 ORDER BY 1"


def behind(engine: Engine, **plan: Any) -> UUID:
    """A subscription whose first period is paid, read with a clock that is before it."""
    _, subscription = engine.begun(amount=30_000, every="1 month", **plan)
    engine.plan("YEAR", amount=90_000, every="1 year")
    engine.run()
    engine.execute("UPDATE engine SET clock_at = :at", at=START - BEHIND)
    return subscription


def later(engine: Engine) -> None:
    """The clock is right again, and what is due is done."""
    engine.execute("UPDATE engine SET clock_at = :at", at=START + timedelta(days=1))
    engine.run()
    assert auditing.audit(engine.context) == []


def test_a_pause_and_a_resume_from_now_bill_no_second_period(engine: Engine) -> None:
    """The paid period is the current one."""
    subscription = behind(engine)

    pausing.pause(engine.context, subscription, OPERATOR)
    pausing.resume(engine.context, subscription, OPERATOR, start="now")

    later(engine)
    [(start, _)] = [tuple(row.values()) for row in engine.rows(SPANS)]
    assert start == START
    assert engine.one("SELECT count(*) FROM charges") == 1


def test_a_higher_price_is_charged_for_the_whole_period(engine: Engine) -> None:
    """All of its days are still to come."""
    subscription = behind(engine)

    changing.change(engine.context, subscription, OPERATOR, amount=60_000)

    later(engine)
    assert engine.one("SELECT sum(amount) FROM invoices WHERE status = 'paid'") == 60_000
    assert engine.one("SELECT count(*) FROM credits") == 0


def test_another_interval_waits_until_the_period_has_begun(engine: Engine) -> None:
    """A period that began before the one that is paid would be for the same days."""
    subscription = behind(engine)

    with pytest.raises(IllegalMove, match="only just begun; try again"):
        changing.change(engine.context, subscription, OPERATOR, plan_code="YEAR")

    later(engine)
    assert len(engine.rows(SPANS)) == 1


def test_a_prorated_cancellation_gives_all_of_it_back(engine: Engine) -> None:
    """Nothing of the period was used."""
    subscription = behind(engine)

    canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.PRORATED)

    later(engine)
    assert engine.one("SELECT sum(amount) FROM refunds WHERE status = 'succeeded'") == 30_000
