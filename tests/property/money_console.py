"""A life in money with a console: two people ask, approve, decline, withdraw, and act on many rows.

A request that is approved is compared with the model as the direct action is. The claims are about
rows and events: nothing is done twice, and what was shown is what is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest

from billing.domain.approvals import Approvable
from billing.domain.errors import BillingError, IllegalMove
from billing.domain.events import OPERATOR, Actor
from billing.domain.money import MAX_AMOUNT
from billing.domain.people import Person, Role
from billing.domain.subscription import RefundPolicy
from billing.services.operating import approval_ends, approvals, bulk, people
from billing.services.operating.confirming import Changed
from billing.services.wallets import erasing
from billing.store.queries.holding import Kind
from tests.integration import second_person as console
from tests.integration.engine import Engine, Row
from tests.integration.kept import Kept
from tests.integration.second_person import Errand
from tests.property.money_life import Life

A = TypeVar("A")
LIMIT, HOURS = 5_000, 24 * 12
"""Above so many rupiah a second person is needed; a request waits for twelve days."""
LIMITS = {"approval_refund_above": LIMIT, "approval_bulk_above": 1, "approval_hours": HOURS}
PASSWORD = "correct horse battery"
TOGETHER = timedelta(hours=24)
SILENT = ("refund.sent", "refund.succeeded")
"""Events of an invoice that do not end a request."""
ALONE = """
    SELECT CAST(e.id AS text) AS id, e.at, CAST(e.data->>'amount' AS bigint) AS amount
    FROM events e WHERE e.kind = 'refund.requested' AND e.actor = 'Ani'
    AND NOT e.data ? 'approved_by' ORDER BY e.id"""
DONE = """
    SELECT count(*) FROM events WHERE reason = :reason AND data ? 'approved_by'
    AND kind = ANY(:kinds)"""
KINDS = {
    Approvable.REFUND: ["refund.requested"], Approvable.CANCEL: ["subscription.canceled"],
    Approvable.BULK: ["invoice.retry_requested", "subscription.released"],
}  # fmt: skip


def tried(act: Callable[[], A]) -> A | BillingError:
    """Return what an act returns, or its refusal."""
    try:
        return act()
    except BillingError as refused:
        return refused


@dataclass
class Asked:
    """A request, and what was shown; `act` is the deed of the model that it is compared with."""

    id: UUID
    kind: Approvable
    amount: int
    reason: str
    seen: int
    kept: int = 0
    errand: Errand | None = None
    order: bulk.Order | None = None
    status: str = "open"


class ConsoleLife(Life):
    """A life in which some of the money moves by the console."""

    def __init__(self, shared: Engine, kept: Kept) -> None:
        super().__init__(shared, kept)
        settings = self.engine.context.settings.model_copy(update=LIMITS)
        self.context = replace(self.engine.context, settings=settings)
        self.ani, self.budi, self.cici = self._people()
        self.asked: list[Asked] = []
        self.erased = False
        self._made = 0
        self._instead: Callable[[], Any] | None = None

    def _set_up(self) -> None:
        super()._set_up()
        self.engine.execute(  # a second row that cannot be opened: two can be released together
            "UPDATE subscriptions SET amount = :most, extras = :extras WHERE id = :id",
            most=MAX_AMOUNT, extras='[{"kind": "extra", "title": "x", "amount": 1}]',
            id=self._subscribed("C3", "Cici"),
        )  # fmt: skip
        for name in ("Ani", "Budi", "Cici"):
            people.create(self.engine.context, name, Role.ADMIN, PASSWORD, OPERATOR)

    def _people(self) -> Sequence[Person]:
        return sorted(people.listed(self.engine.context), key=lambda each: each.name)

    def play(self, deeds: Sequence[tuple[Any, ...]]) -> None:
        """Play it, and compare all requests with what was done."""
        super().play(deeds)
        self._check_requests()
        self._check_the_limit()

    # --- asking ------------------------------------------------------------------------------

    def ask(self, which: int, amount: int | None) -> None:
        """Refund an invoice in the console: above the limit it becomes a request."""
        if self.erased:
            return
        invoice = self._nth(list(self.model.invoices), which)
        charge, kept = self.model.refundable(invoice) or (None, 0)
        wanted = kept if amount is None else amount
        errand = console.refund_of(invoice, self.subscription, amount)
        made = self._confirmed(errand, wanted if 0 < wanted <= kept else None)
        if made == "done" and charge is not None:
            assert wanted <= LIMIT
            covered = self.model.covered_by(charge, wanted)
            purpose = "surplus" if self.model.invoices[invoice].status == "paid" else "void"
            purpose = purpose if self.model.charges[charge].surplus else "operator"
            number = self._new_refund(charge)
            self.model.refund(number, charge, wanted, purpose, covers=covered)

    def ask_to_cancel(self, policy: str) -> None:
        """Cancel in the console with a refund; what is not above the limit is not confirmed."""
        errand = console.cancellation_of(self.subscription, RefundPolicy(policy))
        try:
            read = console.preview(self.context, errand, Actor("Ani", "look"))
        except BillingError:
            return
        if read.amount > LIMIT and not self.erased:
            assert self._confirmed(errand, read.amount) != "done"

    def _confirmed(self, errand: Errand, expected: int | None) -> str:
        """Preview and confirm twice with one key; refused, done, or asked."""
        self._made += 1
        reason, key = f"ask-{self._made}", f"{self._made:036d}"
        read = tried(lambda: console.preview(self.context, errand, Actor("Ani", reason)))
        if isinstance(read, BillingError):
            assert expected is None, read
            return "refused"
        assert read.amount == expected
        before = self._counts()
        try:
            made = [console.confirm(self.context, errand, read, self.ani, reason, key)
                    for _ in range(2)]  # fmt: skip
        except IllegalMove:  # the same waits already
            assert self._counts() == before
            assert any(a.status == "open" and a.errand is not None
                       and a.errand.subject == errand.subject for a in self.asked)  # fmt: skip
            return "refused"
        self._refresh()
        assert made[0] == made[1]
        if made[0] is None:
            assert self._counts() == before + 1
            return "done"
        assert self._counts() == before
        self.asked.append(
            Asked(
                made[0],
                errand.kind,
                read.amount,
                reason,
                self._newest(),
                self._kept_of(errand),
                errand,
            )
        )
        return "asked"

    def ask_about_many(self, kind: str, cause: str) -> None:
        """Retry or release all rows of a cause: of two rows and more a second person decides."""
        order = console.choose(self.context, Kind(kind), cause, bulk.ROWS_MAX)
        if order is None:
            return
        self._made += 1
        reason, key = f"ask-{self._made}", f"{self._made:032d}"
        made = [console.confirm_many(self.context, order, self.ani, reason, key) for _ in range(2)]
        assert made[0] == made[1]
        assert (made[0] is None) == (len(order.rows) == 1)
        if made[0] is None:
            self._check_report(order, key, reason, by="Ani")
        else:
            self.asked.append(
                Asked(made[0], Approvable.BULK, 0, reason, self._newest(), order=order)
            )

    # --- deciding ----------------------------------------------------------------------------

    def approve(self, which: int, fates: Sequence[str] = ()) -> None:
        """A second person approves a request: it is done as it was shown, or it is not done."""
        if not self.asked:
            return
        asked = self._nth(self.asked, which)
        if asked.status == "open":
            with pytest.raises(IllegalMove):
                approvals.approve(self.context, asked.id, self.ani, "my own")
        if asked.kind is Approvable.BULK:
            self._approve_many(asked)
            return
        done: list[bool] = []
        self._instead = lambda: self._approved(asked, done)
        assert asked.errand is not None
        if asked.kind is Approvable.CANCEL:
            self.cancel(str(asked.errand.arguments["refund"]), fates)
        else:
            place = list(self.model.invoices).index(asked.errand.subject)
            self.refund(place, asked.amount, fates)
        self._instead = None
        if done:
            self._check_done_once(asked)

    def _approved(self, asked: Asked, done: list[bool]) -> dict[str, str] | None:
        """Approve, and again; the refund that it made, or None when nothing was done."""
        before, changed = self._counts(), self._has_changed(asked)
        was, over = asked.status, self._is_over(asked)
        assert asked.errand is not None
        kept = self._kept_of(asked.errand)
        row = tried(lambda: approvals.approve(self.context, asked.id, self.budi, "seen"))
        self._refresh()
        if isinstance(row, BillingError):
            assert self._counts() == before
            assert was != "open" or over or changed or self.erased, row
            assert (asked.status == "outdated") == (was == "outdated" or type(row) is Changed)
            return None
        assert asked.status == row.status == "approved"
        if was == "approved":  # a second click
            assert self._counts() == before
            return None
        assert (was, over) == ("open", False)
        assert asked.kept == kept
        done.append(True)
        after = self._counts()
        assert approvals.approve(self.context, asked.id, self.budi, "seen") == row
        with pytest.raises(IllegalMove):
            approvals.approve(self.context, asked.id, self.cici, "me too")
        assert self._counts() == after
        found = self.engine.rows(
            "SELECT id, amount FROM refunds WHERE reason = :reason", reason=asked.reason
        )
        assert sum(each["amount"] for each in found) == asked.amount
        return {"refund": str(found[0]["id"])} if found else {}

    def _once(self, act: Callable[..., Any], preview: Any = None, **expected: bool) -> Any:
        """Do a deed, or what takes its place: the approval of a request for it."""
        if self._instead is None:
            return super()._once(act, preview, **expected)
        made = self._instead()
        assert made is None or expected.get("expected", True), "more was given back than is kept"
        return made

    def _approve_many(self, asked: Asked) -> None:
        was, over = asked.status, self._is_over(asked)
        assert asked.order is not None
        row = tried(lambda: approvals.approve(self.context, asked.id, self.budi, "seen"))
        self._refresh()
        if isinstance(row, BillingError):
            assert was != "open" or over, row
            return
        assert was in {"open", "approved"}
        assert asked.status == "approved"
        self._check_report(asked.order, row.key, asked.reason, by="Ani")
        with pytest.raises(IllegalMove):
            approvals.approve(self.context, asked.id, self.cici, "me too")

    def end(self, which: int, how: str) -> None:
        """Decline or withdraw a request; nothing is done, also not by a later approval."""
        if not self.asked:
            return
        asked, before = self._nth(self.asked, which), self._counts()
        was, over = asked.status, self._is_over(asked)
        decide, person = (
            (approvals.decline, self.budi) if how == "declined" else (approvals.withdraw, self.ani)
        )
        try:
            decide(self.context, asked.id, person, "no")
        except BillingError:
            assert was not in {"open", how} or over
        self._refresh()
        assert asked.status == (how if was == "open" and not over else was)
        assert self._counts() == before

    def expire(self) -> None:
        """The hourly tick ends requests whose time is over, and no other."""
        over = {each.id for each in self.asked if each.status == "open" and self._is_over(each)}
        assert approval_ends.expire(self.context) == len(over)
        self._refresh()
        assert over == {e.id for e in self.asked if e.id in over and e.status == "expired"}

    def erase(self) -> None:
        """Erase the customer, if nothing stands in the way: no money moves by it."""
        self._check_requests()
        before = self._read()
        try:
            erasing.erase(self.context, self.customer, Actor("Ani", "asked to"))
        except BillingError:
            assert self._read() == before
            return
        self.erased = True
        said = self.engine.rows("SELECT reason FROM approvals WHERE customer_id = :id",
                                id=self.customer)  # fmt: skip
        [row] = self.engine.rows("SELECT erased_at FROM customers WHERE id = :id", id=self.customer)
        assert row["erased_at"] is None or all(each["reason"] == "erased" for each in said)

    # --- claims ------------------------------------------------------------------------------

    def _counts(self) -> int:
        """How many things people had done about money: refunds, ends, retries, releases."""
        return int(self.engine.one(
            "SELECT count(*) FROM events WHERE kind = ANY(:kinds)",
            kinds=["refund.requested", "subscription.canceled", "invoice.retry_requested"],
        ))  # fmt: skip

    def _check_done_once(self, asked: Asked) -> None:
        times = self.engine.one(DONE, reason=asked.reason, kinds=KINDS[asked.kind])
        assert times == 1, (asked.kind, times)

    def _check_report(self, order: bulk.Order, key: str, reason: str, by: str) -> None:
        """Each row of the order is in the report, once; what was done has one event."""
        report = bulk.report(self.context, key)
        assert [row.id for row in report.rows] == list(console.ids_of(order))
        bulk.run(self.context, order, Actor(by, reason), key)
        assert bulk.report(self.context, key) == report
        told = self.engine.one(
            "SELECT count(*) FROM events WHERE reason = :reason AND actor = :by"
            " AND kind = ANY(:kinds)", reason=reason, by=by, kinds=KINDS[Approvable.BULK],
        )  # fmt: skip
        assert told == sum(row.is_done for row in report.rows)

    def _check_requests(self) -> None:
        """Every request ended as it was told, and nothing of it was done unless it was approved."""
        self._refresh()
        for each in self.asked:
            told = self.engine.rows(
                "SELECT kind FROM events WHERE kind LIKE 'approval.%' AND kind <>"
                " 'approval.requested' AND data->>'approval' = :id", id=str(each.id),
            )  # fmt: skip
            wanted = [] if each.status == "open" else [f"approval.{each.status}"]
            assert [row["kind"] for row in told] == wanted
            if not self.erased and each.kind is not Approvable.BULK:
                times = self.engine.one(DONE, reason=each.reason, kinds=KINDS[each.kind])
                assert times == (each.status == "approved")

    def _check_the_limit(self) -> None:
        """No day has more than the limit that one person refunded alone."""
        alone = self.engine.rows(ALONE)
        for last in alone:
            since = last["at"] - TOGETHER
            day = [each["amount"] for each in alone if since < each["at"] <= last["at"]]
            assert sum(day) <= LIMIT

    # --- small things ------------------------------------------------------------------------

    def _refresh(self) -> None:
        states = {row["id"]: row["status"]
                  for row in self.engine.rows("SELECT id, status FROM approvals")}  # fmt: skip
        for each in self.asked:
            each.status = states[each.id]

    def _is_over(self, asked: Asked) -> bool:
        row: Row = self.engine.rows("SELECT ends_at FROM approvals WHERE id = :id", id=asked.id)[0]
        return bool(row["ends_at"] <= self.engine.now)

    def _newest(self) -> int:
        return int(self.engine.one("SELECT coalesce(max(id), 0) FROM events"))

    def _has_changed(self, asked: Asked) -> bool:
        """Whether anything happened by which a request may be outdated, or more than that."""
        of = ("invoice_id = :subject" if asked.kind is Approvable.REFUND
              else "subscription_id = :subject")  # fmt: skip
        assert asked.errand is not None
        if asked.kept != self._kept_of(asked.errand):
            return True
        return bool(self.engine.one(
            f"SELECT count(*) FROM events WHERE {of} AND id > :seen AND NOT kind = ANY(:silent)"
            " AND NOT starts_with(kind, 'approval.')",
            subject=asked.errand.subject, seen=asked.seen, silent=list(SILENT),
        ))  # fmt: skip

    def _kept_of(self, errand: Errand) -> int:
        """What the model says is kept of the payment of a refund's invoice."""
        if errand.kind is not Approvable.REFUND:
            return 0
        return (self.model.refundable(errand.subject) or (None, 0))[1]
