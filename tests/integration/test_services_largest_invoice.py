"""The largest invoice: what could never be charged is refused where it is configured."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import InvalidValue
from billing.domain.events import OPERATOR
from billing.domain.money import MAX_AMOUNT
from billing.services.money import coupons, extra_lines
from billing.services.operating import importing
from billing.services.subscriptions import changing, subscribing
from tests.integration.engine import Engine

DAY = timedelta(days=1)


class TestTheLargestInvoice:
    """An amount that can never be charged is refused when it is configured."""

    def _begun(self, engine: Engine, **options: Any) -> UUID:
        engine.plan(amount=MAX_AMOUNT - 1_000)
        customer = engine.customer(cash=10**12)
        return engine.subscribe(customer, **options)

    def test_a_setup_fee_that_is_too_much_is_refused(self, engine: Engine) -> None:
        """Price and setup fee are one invoice."""
        with pytest.raises(InvalidValue, match="would exceed"):
            self._begun(engine, setup_fee=1_001)
        assert engine.counts()["subscriptions"] == 0

    @pytest.mark.parametrize("at", ["now", "period-end"])
    def test_a_price_that_is_too_much_with_a_line_that_is_there(
        self, engine: Engine, at: str
    ) -> None:
        """An extra line, then a change, at once or planned."""
        subscription = self._begun(engine)
        engine.run()
        extra_lines.add(engine.context, subscription, "towel", 999, OPERATOR)
        with pytest.raises(InvalidValue, match="would exceed"):
            changing.change(engine.context, subscription, OPERATOR, amount=MAX_AMOUNT, at=at)
        engine.advance(35 * DAY)
        assert [i["status"] for i in engine.invoices(subscription)] == ["paid", "paid"]

    def test_a_line_that_is_too_much_for_a_price_that_is_planned(self, engine: Engine) -> None:
        """The planned change first, then the extra line."""
        subscription = self._begun(engine)
        engine.run()
        changing.change(engine.context, subscription, OPERATOR, amount=MAX_AMOUNT, at="period-end")
        with pytest.raises(InvalidValue, match="would exceed"):
            extra_lines.add(engine.context, subscription, "towel", 1, OPERATOR)

    def test_a_coupon_makes_no_room(self, engine: Engine) -> None:
        """It may end before the invoice opens."""
        subscription = self._begun(engine)
        coupons.create(engine.context, "HALF", OPERATOR, percent=50, cycles=1)
        coupons.apply(engine.context, "HALF", subscription, OPERATOR)
        with pytest.raises(InvalidValue, match="would exceed"):
            extra_lines.add(engine.context, subscription, "towel", 1_001, OPERATOR)

    def test_a_quantity_that_is_too_much_is_refused(self, engine: Engine) -> None:
        """When subscribing, when changing, and in an import."""
        self._begun(engine)
        customer = engine.customer()
        with pytest.raises(InvalidValue, match="between 1 and"):
            engine.subscribe(customer, quantity=2)
        row = {"id": "1", "customer": customer, "plan": "P", "anchor": "2026-01-31T09:00",
               "next_due_at": "2026-02-28T09:00", "quantity": "2"}  # fmt: skip
        *_, report = importing.subscriptions(engine.context, [(2, row)], OPERATOR)
        assert [number for number, _ in report.bad] == [2]
        assert subscribing.COUNT_MAX > 1
