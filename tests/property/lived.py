"""An engine for very many short lives: a clock in memory, and only the ticks that have work."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from billing.clock import TestClock
from billing.domain.events import OPERATOR
from billing.sandbox.process import SandboxProcess
from billing.services.money.coupons import create as create_coupon
from billing.services.subscriptions import subscribing
from billing.services.wallets import linking
from billing.store.queries.subscriptions import MAY_END
from schedules.beat import TICKS
from tests.integration.engine import _DUE, START, STEPS_MAX, Engine, Row
from tests.integration.kept import Kept
from tests.property.prompt_gateway import PromptGateway

_DUE_AT = _DUE
for _before, _after in (
    ("clock_at AS at FROM engine", "CAST(:now AS timestamptz) AS at"),
    ("cancel_at <= at", f"cancel_at <= at AND {MAY_END}"),
    ("next_due_at <= at", "next_due_at <= at AND (cancel_at IS NULL OR next_due_at < cancel_at)"),
):
    assert _before in _DUE
    _DUE_AT = _DUE_AT.replace(_before, _after)
"""What is due, and may happen: an end waits for a charge whose outcome is not known.

What would be billed after that end never is.
"""
_FAR = START + timedelta(days=9_999)


class Lived(Engine):
    """An engine with a gateway that accepts everything; every life empties its database."""

    def __init__(self, kept: Kept, gateway: SandboxProcess) -> None:
        super().__init__(kept, gateway, batch_threads=1)
        self.kept, self.at = kept, START
        self.prompt = PromptGateway()
        clock = TestClock(lambda: self.at)
        self.context = replace(self.context, gateway=self.prompt, clock=clock)

    def rows(self, statement: str, **parameters: Any) -> list[Row]:
        """Read rows, over a connection that does nothing else."""
        return self.kept.reader().rows(statement, parameters)

    def set_clock(self, at: datetime) -> None:
        """Put the clock somewhere, without doing what is due."""
        self.at = at

    def run(self) -> None:
        """Do all that is due now."""
        for _ in range(STEPS_MAX):
            [due] = self.rows(_DUE_AT, now=self.at)
            names = [name for name in TICKS if due[name]]
            if not names:
                return
            self.tick(names)
        raise AssertionError(f"due at {self.at}, and still due:\n{self.state()}")

    def emptied(
        self, offers: Mapping[str, dict[str, Any]], coupons: Mapping[str, tuple[int, int]]
    ) -> str:
        """Start again with these plans and coupons, and a customer with a wallet."""
        self.at, self.prompt.is_empty = START, False
        self.kept.begin_with((offers, coupons), lambda: self._set_up(offers, coupons))
        return "C1"

    def _set_up(
        self, offers: Mapping[str, dict[str, Any]], coupons: Mapping[str, tuple[int, int]]
    ) -> None:
        for code, options in offers.items():
            self.plan(code, **options)
        for code, (percent, cycles) in coupons.items():
            create_coupon(self.context, code, OPERATOR, percent=percent, cycles=cycles)
        subscribing.create_customer(self.context, "C1", name="Ani", by=OPERATOR)
        linking.link(self.context, "C1", "628123456789", OPERATOR)
        linking.refresh(self.context, "C1")
        self.execute("UPDATE wallets SET expires_at = :at, next_notice_at = NULL", at=_FAR)
