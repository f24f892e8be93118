"""`make demo`: one year of a hundred and twenty customers, in under two minutes.

The worker and beat are the real ones, the sandbox moves no real money, and the test clock moves the
time. At the end our rows are compared with the gateway's ledger; the exit code is 0 if they are
equal.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from billing import bootstrap, logs
from billing.config import Settings
from billing.domain.errors import BillingError
from billing.domain.events import Actor
from billing.domain.money import rupiah
from billing.domain.periods import zone
from billing.domain.subscription import RefundPolicy
from billing.local.compare import compare
from billing.local.pretend import Pretend
from billing.local.stack import Stack
from billing.services.context import Context
from billing.services.money import refunding
from billing.services.operating import test_clock
from billing.services.reading import auditing, live_view
from billing.services.subscriptions import canceling, subscribing
from billing.services.wallets import linking
from billing.store import migrate

BY = Actor("demo")
PLACE = zone(live_view.PLACE)
BEGIN = datetime(2026, 1, 31, 9, tzinfo=PLACE)
MONTHS = 12
PAYDAY = 25
SUBSCRIBERS = 120
RICH, SALARY = 50_000_000, 150_000
PLANS = {"basic": 49_000, "family": 89_000, "studio": 129_000}
SETTINGS = {
    "BILLING_TEST_CLOCK": "1",
    "BILLING_TICK_SECONDS": "5",
    "BILLING_LOG_LEVEL": "warning",
    "BILLING_BALANCE_RECHECK_SECONDS": "86400",
}
BAD_DAYS = [
    # Faults of the gateway; each one happens to a few charges of the year.
    ({"call": "pay"}, 40, 3, {"kind": "drop_after"}),
    ({"call": "pay"}, 150, 3, {"kind": "drop_before"}),
    ({"call": "pay"}, 260, 3, {"kind": "http_500", "work": "done"}),
    ({"call": "pay"}, 400, 3, {"kind": "html"}),
    ({"call": "pay"}, 520, 3, {"kind": "wrong_signature"}),
    ({"call": "pay"}, 640, 2, {"kind": "pending", "end": "SUCCESS", "after_queries": 1}),
    ({"call": "pay"}, 760, 2, {"kind": "pending", "end": "FAILED", "after_queries": 1}),
    ({"call": "refund"}, 1, 1, {"kind": "drop_after"}),
    ({"call": "unbind"}, 1, 1, {"kind": "drop_after"}),
]


HEADINGS = (
    "opened", "paid", "collected", "declined", "short", "given up", "paid back", "left",
)  # fmt: skip


class Year:
    """The customers, and what they do during the year."""

    def __init__(self, context: Context, pretend: Pretend, send: Callable[[str], None]) -> None:
        self._context = context
        self._pretend = pretend
        self._send = send
        self._subscriptions: list[UUID] = []

    def begin(self) -> None:
        """Subscribe all within the first days; most can pay, some only after payday."""
        test_clock.set_clock(self._context, BEGIN - timedelta(hours=1), BY)
        self._pretend.set_clock((BEGIN - timedelta(hours=1)).isoformat())
        self._pretend.defaults(cash=RICH, confirm_after_seconds=0)
        for code, amount in PLANS.items():
            subscribing.create_plan(
                self._context, code, amount=amount, every="1 month", by=BY, name=code.title()
            )
        for number in range(SUBSCRIBERS):
            self._subscriptions.append(self._join(number))
        self._pretend.call(
            "POST",
            "scripts",
            [
                {"match": match, "skip": skip, "times": times, "action": action}
                for match, skip, times, action in BAD_DAYS
            ],
        )

    def _join(self, number: int) -> UUID:
        who, phone = f"customer-{number:03}", f"628120000{number:04}"
        subscribing.create_customer(self._context, who, name=f"Customer {number}", by=BY)
        linking.link(self._context, who, phone, BY)
        if _is_poor(number):
            self._pretend.give(who, SALARY)
        elif _is_broke(number):
            self._pretend.give(who, 0)
        plan = list(PLANS)[number % len(PLANS)]
        start = BEGIN + timedelta(days=(number % 8) * 3)
        made = subscribing.subscribe(self._context, who, plan, BY, start=start)
        return UUID(made["id"])

    def until(self, instant: datetime) -> None:
        """Move the clock forward in steps."""

        def tell(now: datetime) -> None:
            self._pretend.set_clock(now.isoformat())

        test_clock.advance(self._context, self._send, instant, BY, tell)

    def payday(self) -> None:
        """Top up the wallets that are filled on payday, in most months."""
        for number in range(SUBSCRIBERS):
            if _is_poor(number):
                self._pretend.top_up(f"customer-{number:03}", SALARY // 2)

    def leave(self, month: int) -> None:
        """Cancel one subscription a month, with a refund of unused days and an unlinked wallet."""
        canceling.cancel(
            self._context, self._subscriptions[month * 10 + 1], BY,
            refund=RefundPolicy.PRORATED, unlink=True,
        )  # fmt: skip

    def complain(self, month: int) -> None:
        """Refund a part of one customer's last invoice each month."""
        invoice_id = live_view.last_paid_invoice(self._context, self._subscriptions[month * 10 + 2])
        if invoice_id is not None:
            refunding.refund_invoice(self._context, invoice_id, 10_000, BY)


def _is_poor(number: int) -> bool:
    return number % 10 == 3


def _is_broke(number: int) -> bool:
    return number % 40 == 7


def run(months: int = MONTHS) -> int:
    """Run the year, print it, and return 0 only when our rows equal the gateway's ledger."""
    console = Console(highlight=False)
    logs.configure(level="error")
    folder = Path(tempfile.mkdtemp(prefix="ovo-demo-"))
    began = monotonic()
    try:
        with Stack(
            folder / "home", parts={"worker", "beat"}, environment=SETTINGS, migrate=_migrate,
            any_ports=True, say=lambda text: console.print(f"[dim]{text}[/dim]"),
        ) as stack:  # fmt: skip
            context = bootstrap.build(stack.settings)
            messenger = bootstrap.messenger(stack.settings)
            year = Year(context, Pretend(stack.sandbox_url), messenger.send_task)
            _play(year, months, console)
            equal = _reckon(context, Pretend(stack.sandbox_url), console)
            context.pool.shutdown()
            context.database.dispose()
    except KeyboardInterrupt:
        return 130
    except BillingError as refused:
        console.print(f"demo: {refused}", soft_wrap=True)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(f"{monotonic() - began:.0f} s in all")
    return 0 if equal else 1


def _migrate(settings: Settings) -> None:
    migrate.upgrade(settings.database, pooler=settings.database_pooler)


def _play(year: Year, months: int, console: Console) -> None:
    starts = [
        BEGIN.replace(day=1, year=2026 + (1 + month) // 12, month=(1 + month) % 12 + 1)
        for month in range(months)
    ]
    end = starts[-1] + timedelta(days=30, hours=-1)
    console.print(f"{SUBSCRIBERS} subscribers, from {BEGIN:%d %b %Y} to {end:%d %b %Y}")
    year.begin()
    for month, first in enumerate(starts):
        year.until(first.replace(day=PAYDAY))
        year.payday()
        year.leave(month)
        year.complain(month)
        console.print(f"[dim]… {first:%b %Y}[/dim]")
    year.until(end)


def _reckon(context: Context, pretend: Pretend, console: Console) -> bool:
    table = Table(title="month by month", title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("month")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in live_view.by_month(context):
        figures = (
            row.opened, row.paid, row.paid_amount, row.declined, row.short, row.given_up,
            row.refunded_amount, row.canceled,
        )  # fmt: skip
        table.add_row(row.month, *(f"{each:,}" for each in figures))
    console.print(table)
    result = compare(context, pretend.ledger())
    findings = auditing.audit(context)
    console.print(
        f"the gateway's ledger: {result.payments:,} payments, {rupiah(result.collected)};"
        f" {result.refunds} refunds, {rupiah(result.refunded)}; {result.declined} declined",
        soft_wrap=True,
    )
    for line in [*result.differences, *(f"audit: {f.name}: {f.detail}" for f in findings)]:
        console.print(f"[red]{line}[/red]", soft_wrap=True)
    equal = not result.differences and not findings
    verdict = "equal, charge by charge; audit clean" if equal else "NOT equal"
    console.print(f"[bold]our rows and the ledger are {verdict}[/bold]")
    return equal


if __name__ == "__main__":
    sys.exit(run(*map(int, sys.argv[1:2])))
