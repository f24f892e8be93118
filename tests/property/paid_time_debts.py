"""An oracle of paid time with unpaid invoices: their effects on a subscription.

It gets the outcome of each invoice (paid, declined, given up), and must know the rest: the
subscription's state, its dates, what is void, and that no intent is lost.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.property.paid_time import Life


@dataclass
class Bill:
    """An invoice: for which period, whether it failed, and whether it was opened again."""

    index: int
    change: int
    state: str = "open"
    failed: bool = False
    again: bool = False


@dataclass
class Debtor(Life):
    """A subscription as it should be, of a customer who does not always pay."""

    bills: dict[Any, Bill] = field(default_factory=dict)

    # --- outcomes that it gets -----------------------------------------------------------------

    def hear(self, kind: str, invoice: Any, at: datetime, data: dict[str, Any]) -> None:
        """Learn what became of an invoice, and draw the consequences."""
        if kind == "invoice.opened":
            self.bills[invoice] = Bill(data["period_index"], data.get("change_index", 0))
            return
        bill = self.bills[invoice]
        match kind:
            case "invoice.paid":
                bill.state = "paid"
                self._owes_less(at)
            case "invoice.uncollectible":
                self._given_up(bill, at)
            case "invoice.reopened":
                bill.state, bill.again = "open", True
            case "charge.declined" if bill.state == "open" and not bill.again:
                bill.failed = True
                if self.status == "active":
                    self.status = "past_due"
        if self.status == "canceled":
            self._void_open()

    def _owes_less(self, at: datetime) -> None:
        if self._open_bills():
            return
        if self.status == "unpaid":
            self._resume(at)
        elif self.status in {"active", "past_due"}:
            self.status = "active"
            self._complete_if_over(at)

    def _given_up(self, bill: Bill, at: datetime) -> None:
        if bill.state == "uncollectible":
            return
        bill.state = "uncollectible"
        if bill.again:  # it was given up before, and nothing follows from that a second time
            if self.status != "unpaid":
                self._owes_less(at)
            return
        for other in self._open_bills():
            other.state = "uncollectible"
        live = self.status in {"active", "past_due"}
        if self.is_over and live:
            self._complete_if_over(at)
        elif not self.is_over and self.offer.gives_up == "cancel":
            self.cancel_refund = "none"
            self._paid_days_go_back(at)
            self._end(at)
        elif not self.is_over and live:
            self._paid_days_go_back(at)
            self.pause_at = self.resume_at = None
            self._pause(at)
            self.status = {"pause": "paused"}.get(self.offer.gives_up, "unpaid")

    def _paid_days_go_back(self, at: datetime) -> None:
        """A given-up change of the running period is void, if the period itself is paid."""
        running = self.running(at)
        of_it = [b for b in self.bills.values() if running is not None and b.index == running.index]
        if any(bill.change == 0 and bill.state == "paid" for bill in of_it):
            for bill in of_it:
                if bill.state == "uncollectible":
                    bill.state = "void"

    # --- what a person does --------------------------------------------------------------------

    def void(self, invoice: Any, at: datetime) -> None:
        """Void an invoice."""
        self.bills[invoice].state = "void"
        if self.status in {"active", "past_due"}:
            self._owes_less(at)

    def resume(self, now: datetime, *, anew: bool) -> None:
        """Resume; what failed and is open still has to be paid."""
        was = self.status
        super().resume(now, anew=anew)
        if was in {"paused", "unpaid"}:
            self._behind(now)

    def _resume(self, at: datetime) -> None:
        super()._resume(at)
        self._behind(at)

    def _behind(self, at: datetime) -> None:
        if self.status != "active":
            return
        if any(bill.failed for bill in self._open_bills()):
            self.status = "past_due"
        else:
            self._complete_if_over(at)

    def _end(self, at: datetime) -> None:
        super()._end(at)
        self._void_open()

    def _cut(self, at: datetime) -> None:
        running = self.running(at)
        super()._cut(at)
        for bill in self.bills.values():
            is_of_it = running is not None and bill.index == running.index
            if is_of_it and bill.state == "uncollectible":
                bill.state = "void"

    def _complete_if_over(self, at: datetime) -> None:
        heard = self._heard()
        if self.next_at is None and self.is_over and not self._open_bills() and heard:
            self.cancel_refund = "none"
            self._end(at)
            self.status = "completed"

    def _heard(self) -> bool:
        """Whether every period that has begun is known to be billed."""
        known = {bill.index for bill in self.bills.values()}
        return all(period.index in known for period in self.periods)

    def _open_bills(self) -> list[Bill]:
        return [bill for bill in self.bills.values() if bill.state == "open"]

    def _void_open(self) -> None:
        for bill in self._open_bills():
            bill.state = "void"

    def paid_for(self, index: int) -> bool:
        """Whether all that was billed for a period is paid."""
        return all(b.state == "paid" for b in self.bills.values() if b.index == index)
