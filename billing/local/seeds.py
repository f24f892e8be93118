"""The customers of a new local stack, and what happens to them in the first minutes.

For the sandbox only: periods of half a minute show in two minutes what otherwise takes months. It
uses the same services as the commands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from billing.domain.errors import BillingError
from billing.domain.events import Actor
from billing.domain.subscription import RefundPolicy
from billing.local.pretend import Pretend
from billing.services.context import Context
from billing.services.money import refunding
from billing.services.reading import live_view
from billing.services.subscriptions import canceling, subscribing
from billing.services.wallets import linking

DEMO = Actor("demo")
STREAMING, GYM = "streaming", "gym"
PRICES = {STREAMING: 54_990, GYM: 150_000}
HALF_MINUTE = "* * * * * */30"
RICH = 2_000_000_000
"""A week of half-minute periods: who comes back to a stack later finds it still at work."""
CASH = 2_000_000
"""What the wallets of other customers hold."""
PEOPLE = {
    # Name, and what the wallet holds: enough, enough once, or nothing.
    "ayu": ("Ayu Lestari", STREAMING, RICH),
    "budi": ("Budi Santoso", GYM, RICH),
    "citra": ("Citra Dewi", STREAMING, RICH),
    "dimas": ("Dimas Pratama", GYM, RICH),
    "eko": ("Eko Wijaya", STREAMING, PRICES[STREAMING]),
    "fitri": ("Fitri Handayani", STREAMING, 0),
    "gilang": ("Gilang Ramadhan", GYM, RICH),
    "hana": ("Hana Putri", STREAMING, RICH),
}


@dataclass(frozen=True, slots=True)
class Happening:
    """An action of a customer or operator after an event was recorded N times."""

    customer: str
    kind: str
    times: int
    what: str
    act: Callable[[], object]


class Scenario:
    """Seeds an unused database, then runs a few actions; `step` is called regularly."""

    def __init__(self, context: Context, pretend: Pretend) -> None:
        self._context = context
        self._pretend = pretend
        self._ahead: list[Happening] = []

    def begin(self) -> bool:
        """Add plans, customers and subscriptions; False when the database is in use already."""
        if not live_view.is_unused(self._context):
            return False
        self._pretend.defaults(cash=CASH, confirm_after_seconds=3)
        for code, amount in PRICES.items():
            subscribing.create_plan(
                self._context, code, amount=amount, cron=HALF_MINUTE, by=DEMO,
                name=code.title(), retries="10s 15s 20s",
            )  # fmt: skip
        mine = {who: self._join(who, number) for number, who in enumerate(PEOPLE)}
        self._ahead = [
            Happening(
                "eko",
                "invoice.short",
                1,
                "eko tops up his wallet",
                lambda: self._pretend.top_up("eko", RICH),
            ),
            Happening(
                "gilang",
                "invoice.paid",
                2,
                "an operator refunds gilang",
                lambda: self._refund(mine["gilang"]),
            ),
            Happening("hana", "invoice.paid", 3, "hana leaves", lambda: self._leave(mine["hana"])),
        ]
        return True

    def step(self) -> str | None:
        """Run one action that is due, and return its description."""
        happening = next(filter(self._is_time, self._ahead), None)
        if happening is None:
            return None
        self._ahead.remove(happening)
        try:
            happening.act()
        except (BillingError, ValueError, OSError) as failed:
            return f"{happening.what}: {failed}"
        return happening.what

    def _is_time(self, happening: Happening) -> bool:
        seen = live_view.count_of(self._context, happening.customer, happening.kind)
        return seen >= happening.times

    def _join(self, who: str, number: int) -> UUID:
        name, plan, cash = PEOPLE[who]
        phone = f"62812000{number:04}"
        subscribing.create_customer(
            self._context, who, name=name, by=DEMO, phone=f"0{phone[2:]}",
            email=f"{who}@example.com",
        )  # fmt: skip
        linking.link(self._context, who, phone, DEMO)
        self._pretend.give(who, cash)
        return UUID(subscribing.subscribe(self._context, who, plan, DEMO)["id"])

    def _refund(self, subscription_id: UUID) -> None:
        invoice_id = live_view.last_paid_invoice(self._context, subscription_id)
        if invoice_id is not None:
            by = Actor(DEMO.name, "a goodwill refund")
            refunding.refund_invoice(self._context, invoice_id, PRICES[GYM] // 2, by)

    def _leave(self, subscription_id: UUID) -> None:
        by = Actor(DEMO.name, "moved abroad")
        canceling.cancel(self._context, subscription_id, by, refund=RefundPolicy.FULL, unlink=True)
