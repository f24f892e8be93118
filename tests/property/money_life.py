"""One customer's money: the engine acts, the model gets the same acts, and both are compared.

Each act is a pair of a name and its arguments, so that a failing life can be read as a list.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.domain.errors import BillingError
from billing.domain.events import OPERATOR, Actor
from billing.domain.money import MAX_AMOUNT
from billing.domain.refund import RefundVerdict
from billing.domain.subscription import RefundPolicy
from billing.services.context import Request
from billing.services.money import crediting, refund_resolution, refunding
from billing.services.operating import invoice_actions
from billing.services.subscriptions import canceling, changing, previewing, subscribing
from billing.services.wallets import linking
from tests.integration.engine import START, Engine, Row
from tests.integration.kept import Kept
from tests.property.foreseen import Foresight
from tests.property.money_engine import READ, Quick, broken_rules
from tests.property.money_model import Model
from tests.property.money_till import Till

DAY, SOON = timedelta(days=1), timedelta(minutes=10)
LOOKS_EVERY_DAYS = 12
WHY, PLACE = Actor("test", "a reason"), ZoneInfo("Asia/Jakarta")
Deed = tuple[Any, ...]


class Life:
    """A customer with a subscription, in an engine whose gateway is a till."""

    def __init__(self, shared: Engine, kept: Kept) -> None:
        self.till, self.model = Till(), Model()
        self.engine = Quick(shared, self.till, kept.reader())
        kept.begin_with(type(self), self._set_up)
        [row] = self.engine.rows("SELECT id FROM subscriptions WHERE customer_id = 'C1'")
        self.customer, self.subscription = "C1", row["id"]
        self.foresight = Foresight(self.engine, self.subscription)

    def _set_up(self) -> None:
        self.engine.set_clock(START)
        self.engine.plan("MONTH", amount=30_000, retries="1d 1d 1d")
        self.engine.plan("FORTNIGHT", amount=9_999, every="2 weeks", retries="1d")
        self._subscribed("C1", "Ani")
        # Another customer whose period cannot be opened, which must have no effect.
        self.engine.execute(
            "UPDATE subscriptions SET amount = :most, extras = :extras WHERE id = :id",
            most=MAX_AMOUNT, extras='[{"kind": "extra", "title": "x", "amount": 1}]',
            id=self._subscribed("C2", "Budi"),
        )  # fmt: skip

    def _subscribed(self, customer: str, name: str) -> UUID:
        subscribing.create_customer(self.engine.context, customer, name=name, by=OPERATOR)
        linking.link(self.engine.context, customer, "6281234567890", OPERATOR)
        linking.refresh(self.engine.context, customer)
        return self.engine.subscribe(customer, "MONTH")

    def play(self, deeds: Sequence[Deed]) -> None:
        """Do one thing after the other, and compare after each; a gift may come first."""
        begun = 1 if deeds[:1] and deeds[0][0] == "give" else 0
        if begun:
            self.give(*deeds[0][1:])
        self._work_off()
        for name, *arguments in deeds[begun:]:
            getattr(self, name)(*arguments)
            self._learn()
            self._work_off()
        assert broken_rules(self.engine) == []

    # --- deeds -------------------------------------------------------------------------------

    def wait(self, days: int) -> None:
        """Let time pass and do the due work; at most one period begins between two comparisons."""
        while days:
            step = min(days, LOOKS_EVERY_DAYS)
            self.engine.advance(step * DAY)
            self._learn()
            days -= step

    def renew(self, pay_fates: list[str], days: int) -> None:
        """Let a period begin; what happens to its payments, and how long it is waited."""
        self.till.pay_fates = list(pay_fates)
        self.wait(days)

    def void_unknown(self, refund_fates: list[str]) -> None:
        """Void an invoice whose payment succeeded without an answer, and then learn of it."""
        self.till.pay_fates, self.till.silent = ["lost"], True
        self.wait(32)
        self.till.refund_fates = list(refund_fates)
        self.void(-1)
        self._learn()
        self.speak()

    def fall_silent(self) -> None:
        """The gateway answers no question."""
        self.till.silent = True

    def speak(self, refund_fates: Sequence[str] = ()) -> None:
        """The gateway answers again, and payments that were said to have failed had not."""
        self.till.silent = False
        self.till.refund_fates += refund_fates
        self.till.arrive()
        for row in self._rows("SELECT id FROM charges WHERE status = 'declined' ORDER BY id"):
            self.engine.late_success(row["id"])
            self._learn()

    def refund(self, which: int, amount: int | None, fates: Sequence[str] = ()) -> None:
        """Give money of an invoice back."""
        self.till.refund_fates = list(fates)
        invoice = self._nth(list(self.model.invoices), which)
        charge, kept = self.model.refundable(invoice) or (None, 0)
        wanted = kept if amount is None else amount
        made = self._once(
            lambda r: refunding.refund_invoice(self.engine.context, invoice, amount, WHY, r),
            expected=0 < wanted <= kept,
        )
        if made is not None and charge is not None:
            covered = self.model.covered_by(charge, wanted)
            paid = self.model.charges[charge]
            purpose = "surplus" if self.model.invoices[invoice].status == "paid" else "void"
            purpose = purpose if paid.surplus else "operator"
            self.model.refund(UUID(made["refund"]), charge, wanted, purpose, covers=covered)

    def give(self, amount: int) -> None:
        """Grant a credit that came from no payment."""
        made = self._once(lambda r: crediting.grant(self.engine.context, "C1", amount, WHY, r))
        self.model.give(made, amount)

    def pay_out(self, which: int, fates: Sequence[str] = ()) -> None:
        """Pay a credit out."""
        self.till.refund_fates = list(fates)
        if not self.model.credits:
            return
        money = [n for n in self.model.credits if self.model.payable(n)]
        credit = self._nth(sorted(money if which and money else self.model.credits), which)
        amount = self.model.payable(credit)
        made = self._once(
            lambda r: crediting.refund(self.engine.context, credit, WHY, r), expected=amount > 0
        )
        if made is not None:
            charge = cast("UUID", self.model.credits[credit].charge)
            self.model.refund(made, charge, amount, "payout", credit)

    def change(self, plan: str | None, amount: int | None) -> None:
        """Another plan or price, now."""
        period = self._period()
        most = self._most(period)  # a change of interval shortens the period
        here = (self.engine.context, self.subscription, WHY)
        terms = {"plan_code": plan, "amount": amount}
        made = self._once(
            lambda r: changing.change(*here, **terms, request=r),
            lambda: previewing.change(*here, **terms),
        )
        left = -made.get("net", 0) if made is not None else 0
        if left <= 0:
            return
        known = set(self.model.credits)
        new = [row["id"] for row in self._rows("SELECT id FROM credits ORDER BY id")]
        fresh = [number for number in new if number not in known]
        for invoice in period:
            part = min(left, most[invoice])
            left -= part
            if part and self.model.credit_back(invoice, part, fresh[0] if fresh else None):
                fresh.pop(0)
        assert (left, fresh) == (0, [])

    def cancel(self, policy: str, fates: Sequence[str] = ()) -> None:
        """Cancel now, with its refund."""
        self.till.refund_fates = list(fates)
        [before] = self._rows("SELECT * FROM subscriptions", own="id")
        period = self._period()
        most = {invoice: self.model.kept_of(invoice) for invoice in period}
        left = 0
        if policy == "full":
            left = sum(most.values())
        elif policy == "prorated" and period:
            [first] = self._rows("SELECT * FROM invoices WHERE id = :id", id=period[-1])
            [newest] = self._rows("SELECT * FROM invoices WHERE id = :id", id=period[0])
            price = before["period_amount"]
            if newest["status"] in {"open", "uncollectible"}:
                price = newest["lines"][0]["price"] if newest["change_index"] else 0
            most = self._most(period)
            left = min(sum(most.values()), self._share(price, first))
        here, refund = (self.engine.context, self.subscription, WHY), RefundPolicy(policy)
        made = self._once(
            lambda r: canceling.cancel(*here, refund=refund, request=r),
            lambda: previewing.cancel(*here, refund=refund),
        )
        if made is None:
            return
        self._learn_invoices(self._read()["invoices"])
        for invoice in period:
            part = min(left, most[invoice])
            left -= part
            money = self.model.cancel_back(invoice, part)
            charge = self.model.invoices[invoice].charge
            if money and charge is not None:
                self.model.refund(self._new_refund(charge), charge, money, "cancel")

    def void(self, which: int) -> None:
        """Void an invoice."""
        invoice = self._nth(list(self.model.invoices), which)
        self._once(lambda r: invoice_actions.void_invoice(self.engine.context, invoice, WHY, r))

    def go_on(self, which: int, fates: Sequence[str] = ()) -> None:
        """Retry a refund that waits for a person, the newest of them before others."""
        self.till.refund_fates = list(fates)
        if not self.model.refunds:
            return
        number = self._nth(list(self.model.refunds), which)
        made = self._try(lambda: refund_resolution.retry_refund(self.engine.context, number, WHY))
        if made is not None and UUID(made["refund"]) != number:
            old = self.model.refunds[number]
            amount = min(old.amount, self.model.charges[old.charge].kept)
            self._in_its_place(number, UUID(made["refund"]), amount)

    def decide(self, which: int, verdict: str) -> None:
        """Say what becomes of a refund that waits for a person."""
        if not self.model.refunds:
            return
        number = self._waiting(which)
        old = self.model.refunds[number]
        made = self._try(
            lambda: refund_resolution.resolve_refund(
                self.engine.context, number, RefundVerdict(verdict), WHY
            ),
            expected=old.state == "unreturned",
        )
        if made is not None and verdict == "returned-elsewhere":
            if (done := UUID(made["refund"])) != number:  # others returned a part of it
                self._in_its_place(number, done, self.model.charges[old.charge].kept)
                self.model.ended(done, paid=False)
            self.model.returned_elsewhere(done)
        elif made is not None:
            old.state = "waived"

    def _in_its_place(self, number: UUID, made: UUID, amount: int) -> None:
        """A new refund takes the place of another."""
        old = self.model.refunds[number]
        self.model.refund(made, old.charge, amount, old.purpose, covers=[number])

    # --- learning and comparing --------------------------------------------------------------

    def _work_off(self) -> None:
        """Do what is due, and wait for refunds that are on their way."""
        self.engine.run()
        self._learn()
        unsettled = ("requested", "in_flight", "unknown")
        for moment in (SOON, DAY):  # what a refund gives back may be used by what follows it
            refunds = self._read()["refunds"]
            if any(r["status"] in unsettled and not r["parked_at"] for r in refunds):
                self.engine.advance(moment)
                self._learn()
        self._compare()

    def _learn(self) -> None:
        seen = self._read()
        self._learn_invoices(seen["invoices"])
        for row in seen["charges"]:
            if row["id"] not in self.model.charges:
                assert self.till.payments[str(row["id"])].moved
                back = self.model.took(row["id"], row["invoice_id"], row["amount"])
                if back is not None:
                    amount, purpose = back
                    self.model.refund(self._new_refund(row["id"]), row["id"], amount, purpose)
                elif share := self._unserved(row["invoice_id"], row["amount"]):
                    self.model.refund(self._new_refund(row["id"]), row["id"], share, "cancel")
        for row in seen["refunds"]:
            known = self.model.refunds[row["id"]]
            if known.state == "on its way" and row["settled_at"] is not None:
                paid = self.till.refunds[str(row["id"])].paid
                assert paid == (row["status"] == "succeeded"), row["status"]
                self.model.ended(row["id"], paid=paid)

    def _learn_invoices(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row["id"] not in self.model.invoices:
                self.model.opened(row)
            if row["status"] == "void" and self.model.invoices[row["id"]].status != "void":
                self.model.voided(row["id"])
            known = self.model.invoices[row["id"]]
            if row["status"] == "uncollectible" and known.status == "open":
                used = sum(part for _, part in known.uses)
                self.model.unserved(row["id"], self._unserved(row["id"], used))

    def _unserved(self, invoice: UUID, amount: int) -> int:
        """What of `amount` is for the days of an invoice after its subscription was canceled."""
        [owner] = self._rows("SELECT status, ended_at FROM subscriptions", own="id")
        if owner["status"] != "canceled":
            return 0
        [row] = self._rows("SELECT * FROM invoices WHERE id = :id", id=invoice)
        return self._share(amount, row, owner["ended_at"])

    def _read(self) -> dict[str, list[Row]]:
        """The rows about money."""
        return {name: self._rows(query) for name, query in READ.items()}

    def _new_refund(self, charge: UUID) -> UUID:
        known = set(self.model.refunds)
        rows = self._rows("SELECT id FROM refunds WHERE charge_id = :charge", charge=charge)
        [made] = [row["id"] for row in rows if row["id"] not in known]
        return cast("UUID", made)

    def _compare(self) -> None:
        model = self.model
        seen = self._read()
        rows = seen["charges"]
        ours = {row["id"]: (row["kept"], row["refunded"], row["credited"]) for row in rows}
        predicted = {c: (p.kept, p.refunded, p.credited) for c, p in model.charges.items()}
        assert ours == predicted
        assert {row["id"]: row["amount"] for row in rows} == {c: sum(p) for c, p in ours.items()}
        left = {row["id"]: row["remaining"] for row in seen["credits"]}
        assert left == {number: credit.left for number, credit in model.credits.items()}
        unreturned = {row["id"] for row in seen["refunds"] if row["status"] == "unreturned"}
        assert unreturned == {n for n, r in model.refunds.items() if r.state == "unreturned"}
        assert all(model.charges[model.refunds[n].charge].kept for n in unreturned)
        self._compare_with_the_till()

    def _compare_with_the_till(self) -> None:
        """By the gateway's ledger alone: no customer got back more than was taken."""
        model, till = self.model, self.till
        assert till.over == []
        elsewhere = [r for r in model.refunds.values() if r.state == "elsewhere"]
        for charge, paid in model.charges.items():
            theirs = till.payments[str(charge)]
            back = theirs.back + sum(r.amount for r in elsewhere if r.charge == charge)
            assert back <= paid.refunded <= theirs.amount
            left = sum(c.left for c in model.credits.values() if c.charge == charge)
            assert back + left <= theirs.amount
        taken = sum(theirs.amount for theirs in till.payments.values() if theirs.moved)
        back = sum(theirs.back for theirs in till.payments.values())
        balance = sum(credit.left for credit in model.credits.values())
        assert back + sum(r.amount for r in elsewhere) + balance <= taken + model.gifts

    # --- small things ------------------------------------------------------------------------

    def _rows(self, statement: str, *, own: str = "", **parameters: Any) -> list[Row]:
        if own:
            statement += f" WHERE {own} = :own"
            parameters["own"] = self.subscription
        return self.engine.rows(statement, **parameters)

    def _nth(self, found: Sequence[Any], which: int) -> Any:
        return found[which % len(found)]

    def _waiting(self, which: int) -> UUID:
        """A refund, if possible one that waits for a person."""
        states = ("unreturned", "on its way")
        waiting = [n for n, refund in self.model.refunds.items() if refund.state in states]
        return cast("UUID", self._nth(waiting or list(self.model.refunds), which))

    def _try(
        self, act: Callable[[], dict[str, Any]], *, expected: bool | None = None
    ) -> dict[str, Any] | None:
        made, refused = None, None
        try:
            made = act()
        except BillingError as why:
            refused = why
        assert expected is None or expected == (made is not None), refused
        return made

    def _once(self, act: Callable[[Request], Any], preview: Any = None, **expected: bool) -> Any:
        """Do something twice with one key, and compare it with its preview."""
        return self._try(lambda: self.foresight.done(act, preview), **expected)

    def _period(self) -> list[UUID]:
        """The invoices of the running period, the newest change first."""
        rows = self._rows("SELECT * FROM invoices")
        now = self.engine.now
        running = [r for r in rows if r["period_start"] <= now < r["period_end"]]
        index = [r["period_index"] for r in running if r["change_index"] == 0]
        mine = [r for r in rows if r["period_index"] in index]
        return [r["id"] for r in sorted(mine, key=lambda r: -r["change_index"])]

    def _most(self, period: list[UUID]) -> dict[UUID, int]:
        """What the days that are left are worth of each invoice, as far as it is kept."""
        rows = {row["id"]: row for row in self._rows("SELECT * FROM invoices")}
        return {
            invoice: min(
                self.model.kept_of(invoice), self._share(rows[invoice]["amount"], rows[invoice])
            )
            for invoice in period
        }

    def _share(self, amount: int, period: Row, ended: datetime | None = None) -> int:
        """The unused days' part of a period, rounded half up."""
        start, end, now = (
            at.astimezone(PLACE).date()
            for at in (period["period_start"], period["period_end"], ended or self.engine.now)
        )
        whole = (end - start).days
        unused = min(max((end - now).days, 0), whole)
        return int((amount * unused * 2 + whole) // (whole * 2)) if whole else 0
