"""Runs a life on the engine and on the oracle, and compares them day by day.

It decides nothing itself: what the engine refuses is not given to the oracle either.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from billing.domain.errors import BillingError
from billing.domain.events import OPERATOR
from billing.domain.subscription import CatchUp, OnExhausted, RefundPolicy
from billing.services.context import Context, Request
from billing.services.money import coupons
from billing.services.operating import invoice_actions
from billing.services.subscriptions import canceling, changing, pausing, previewing
from billing.services.subscriptions.previewing import Preview
from tests.integration import checks
from tests.integration.engine import START
from tests.property.foreseen import Foresight
from tests.property.lived import Lived
from tests.property.paid_time import FOUND, Offer, day_of, due
from tests.property.paid_time_debts import Debtor

Row = Mapping[str, Any]
HOUR = timedelta(hours=1)
COUPONS = {"HALF": (50, 2), "FREE": (100, 1)}


def _every(offer: Offer) -> dict[str, str]:
    if offer.first_of_month:
        return {"cron": "0 9 1 * *"}
    return {"every": f"{offer.days} days" if offer.days else f"{offer.months} months"}


PLANS: dict[str, dict[str, Any]] = {
    code: {
        "amount": offer.amount,
        "trial": f"{offer.trial_days} days" if offer.trial_days else None,
        "cycles": offer.cycles,
        "catch_up": CatchUp.LATEST if offer.latest else CatchUp.ALL,
        "retries": "1d",
        "on_exhausted": OnExhausted(offer.gives_up),
        **_every(offer),
    }
    for code, offer in FOUND.items()
}
TOLD = (
    "invoice.opened", "invoice.paid", "invoice.uncollectible", "invoice.reopened",
    "charge.declined",
)  # fmt: skip
"""What became of invoices, which the oracle is told."""
KEPT = """
SELECT i.period_index, CAST(sum(CASE WHEN i.status = 'paid' THEN coalesce(c.kept, 0)
    + (SELECT coalesce(sum(amount - returned), 0) FROM credit_uses WHERE invoice_id = i.id)
    ELSE 0 END) AS bigint) AS kept
FROM invoices i
LEFT JOIN charges c ON c.invoice_id = i.id AND c.status = 'succeeded' AND NOT c.surplus
WHERE i.subscription_id = :id GROUP BY 1
"""
"""What of each period was paid, by charge or credit, and neither given back nor credited."""
ENDS_OF = {
    "cancel_at": {"canceled", "cancel_withdrawn", "cancel_dropped", "cancel_moved"},
    "pause_at": {"paused", "pause_withdrawn", "pause_dropped"},
    "resume_at": {"resumed", "pause_withdrawn", "resume_dropped"},
    "change_at": {"changed", "change_withdrawn", "change_dropped", "change_moved"},
    "next_plan_code": {"changed", "change_withdrawn", "change_dropped", "change_moved"},
    "next_quantity": {"changed", "change_withdrawn", "change_dropped", "change_moved"},
    "coupon_code": {"coupon_ended", "coupon_dropped"},
}
"""The events of which one must be there when an intent is not what it was."""


class Play:
    """One life, played twice."""

    def __init__(self, engine: Lived, plan: str) -> None:
        self.engine, self.plan = engine, plan
        self.customer = engine.emptied(PLANS, COUPONS)
        self.told: set[str] = set()
        self.seen = engine.one("SELECT coalesce(max(id), 0) FROM events")
        self.life = Debtor.begin(plan, START)

    def through(self, life: Sequence[Sequence[Any]]) -> None:
        """Run the acts in order, and compare after each act that left nothing due."""
        self.id = self.engine.subscribe(self.customer, self.plan)
        self.foresight = Foresight(self.engine, self.id)
        before = self._row()
        for what, *how in [("wait", timedelta()), *life]:
            acted = getattr(self, f"_{what}")(*how)
            if not acted:
                continue
            self.engine.run()
            self.foresight.passed()
            before = self._compare(before)
            if self.life.ended_at is not None:
                break
        self.engine.advance(HOUR)  # a decline that ends more than itself is asked about once more
        self._compare(before)
        assert checks.findings(self.engine) == []

    # --- deeds ---------------------------------------------------------------------------------

    def _wait(self, span: timedelta) -> bool:
        self.engine.advance(span)
        return True

    def _leap(self, span: timedelta) -> bool:
        """The clock moves past all due dates, and then one tick does all the work."""
        if self._may_end_two_ways():
            return self._wait(span)
        self._tick_once_if_latest()
        self.engine.set_clock(self.engine.now + span)
        self.life.until(self.engine.now, late=True)
        return True

    def _late(self, span: timedelta) -> bool:
        """The same, but the next act comes before the tick."""
        if self._may_end_two_ways():
            return self._wait(span)
        self._tick_once_if_latest()
        self.engine.set_clock(self.engine.now + span + HOUR)
        self.life.until(self.engine.now, late=True)
        return False

    def _may_end_two_ways(self) -> bool:
        """A term whose last payment and another end fall into one outage may end by either."""
        life = self.life
        planned = (life.cancel_at, life.pause_at, life.change)
        terms = [life.offer.cycles, life.change and FOUND[life.change.plan or life.plan].cycles]
        return any(terms) and any(planned)

    def _tick_once_if_latest(self) -> None:
        """The periods that such a plan skips depend on the ticks; the oracle knows one outage."""
        if self.life.offer.latest:
            self.engine.run()
            self.told |= self._hear()

    def _to_due(self, count: int) -> bool:
        at = self._coming(count)
        if at is not None:
            self.engine.advance(at)
        return True

    def _wallet(self, full: bool) -> bool:
        """From now on the wallet is full, or empty."""
        self.engine.prompt.is_empty = not full
        return False

    def _retry(self, which: int) -> bool:
        """An operator retries an unpaid invoice."""
        owed = self._owed()
        if owed:
            nth = owed[which % len(owed)]
            self._do(
                lambda r: invoice_actions.retry_invoice(self.engine.context, nth, OPERATOR, r),
                _nothing,
            )
        return True

    def _void(self, which: int) -> bool:
        """An operator voids an unpaid invoice."""
        owed, now = self._owed(), self.engine.now
        if owed:
            nth = owed[which % len(owed)]
            self._do(
                lambda r: invoice_actions.void_invoice(self.engine.context, nth, OPERATOR, r),
                lambda _: self.life.void(nth, now),
            )
        return True

    def _owed(self) -> list[UUID]:
        made = self.engine.invoices(self.id)
        return [i["id"] for i in made if i["status"] in {"open", "uncollectible"}]

    def _coming(self, count: int) -> datetime | None:
        """A due date to come, as the anchor has it: the first, or the one after it."""
        life, now, index = self.life, self.engine.now, 0
        while due(life.anchor, life.offer, index) <= now:
            index += 1
        return due(life.anchor, life.offer, index + count - 1)

    def _pause(self, at: str, until: str | timedelta | None) -> bool:
        now = self.engine.now
        back: datetime | None = None
        if isinstance(until, timedelta):
            back = now + until
        elif until is not None:
            back = self._coming(1 if until == "due" else 2)
        return self._do(
            lambda r: pausing.pause(
                self.engine.context, self.id, OPERATOR, at=at, until=back, request=r
            ),
            lambda _: self.life.pause(now, back, at_end=at == "period-end"),
        )

    def _resume(self, start: str) -> bool:
        now = self.engine.now
        return self._do(
            lambda r: pausing.resume(
                self.engine.context, self.id, OPERATOR, start=start, request=r
            ),
            lambda _: self.life.resume(now, anew=start == "now"),
        )

    def _change(self, what: tuple[str | None, int | None], at: str) -> bool:
        now, (plan, quantity) = self.engine.now, what

        def done(said: Row) -> None:
            if not said["changed"]:
                self.life.change = None
            elif at == "now":
                self.life.change_now(now, plan, quantity)
            else:
                self.life.plan_change(plan, quantity)

        terms = {"plan_code": plan, "quantity": quantity, "at": at}
        here = (self.engine.context, self.id, OPERATOR)
        return self._do(
            lambda r: changing.change(*here, **terms, request=r),
            done,
            lambda: previewing.change(*here, **terms),
        )

    def _cancel(self, at: str | timedelta, refund: RefundPolicy) -> bool:
        if not self._work_off_plans():
            return True
        now = self.engine.now
        when = at if isinstance(at, str) else now + at

        def done(_: Row) -> None:
            if at == "now":
                opened = [i for i in self.engine.invoices(self.id) if not i["change_index"]]
                assert len(self.life.periods) - len(opened) == self._skipped("canceled")
                del self.life.periods[len(opened) :]
                self.life.gaps.append((self._last_end(), now))
            self.life.cancel(now, when, refund)

        here = (self.engine.context, self.id, OPERATOR)
        return self._do(
            lambda r: canceling.cancel(*here, at=when, refund=refund, request=r),
            done,
            lambda: previewing.cancel(*here, at=when, refund=refund),
        )

    def _withdraw(self) -> bool:
        if not self._work_off_plans():
            return True

        def done(_: Row) -> None:
            self.life.cancel_at, self.life.cancel_by_period = None, False

        return self._on_key(lambda c: canceling.withdraw(c, self.id, OPERATOR), done)

    def _coupon(self, code: str) -> bool:
        self.engine.run()

        def done(_: Row) -> None:
            self.life.coupon = COUPONS[code]

        return self._on_key(lambda c: coupons.apply(c, code, self.id, OPERATOR), done)

    def _on_key(self, act: Callable[[Context], object], then: Callable[[Row], None]) -> bool:
        return self._do(lambda r: self.foresight.joined(r, act), then)

    def _do(
        self,
        act: Callable[[Request], Row],
        then: Callable[[Row], None],
        preview: Callable[[], Preview] | None = None,
    ) -> bool:
        """Do something once, also when it is asked for twice; compare with its preview."""
        try:
            said = self.foresight.done(act, preview)
        except BillingError:
            return True  # refused: nothing was done, here or there
        then(said)
        self.life.until(self.engine.now)
        return True

    def _work_off_plans(self) -> bool:
        """
        Let what was planned and is overdue happen first; a person's end would replace it.

        Whether it did: an end waits for a charge whose outcome is not known.
        """
        if self._is_late():
            self.engine.run()
            self.told |= self._hear()
        self._tick_once_if_latest()
        return not self._is_late()

    def _is_late(self) -> bool:
        row, now = self._row(), self.engine.now
        dates = (row["cancel_at"], row["pause_at"], row["resume_at"])
        return any(at is not None and at <= now for at in dates)

    # --- comparing -----------------------------------------------------------------------------

    def _row(self) -> Row:
        return self.engine.subscription(self.id)

    def _skipped(self, *whys: str) -> int:
        told = [event["data"] for event in self.engine.told("period.skipped")]
        return sum(e["last"] - e["first"] + 1 for e in told if e["why"] in whys)

    def _last_end(self) -> datetime:
        ends = [period.end for period in self.life.periods]
        return max(ends, default=START)

    def _hear(self) -> set[str]:
        """Give the oracle the outcomes of invoices, and return the kinds of all events."""
        new = self.engine.rows(
            "SELECT id, at, kind, invoice_id, data FROM events"
            " WHERE id > :seen AND subscription_id = :id ORDER BY id",
            seen=self.seen, id=self.id,
        )  # fmt: skip
        for event in new:
            self.seen = event["id"]
            if event["kind"] in TOLD:
                self.life.until(event["at"])
                self.life.hear(event["kind"], event["invoice_id"], event["at"], event["data"])
        self.life.until(self.engine.now)
        return {event["kind"].removeprefix("subscription.") for event in new}

    def _compare(self, before: Row) -> Row:
        """Compare, and return what to compare with the next time."""
        self.told |= self._hear()
        if self._is_late():
            return before
        row, life = self._row(), self.life
        assert row["status"] == life.status
        assert row["ended_at"] == life.ended_at
        planned = (row["cancel_at"], row["pause_at"], row["resume_at"])
        assert planned == (life.cancel_at, life.pause_at, life.resume_at)
        if life.change is None:
            assert row["change_at"] is None
        else:
            assert row["change_at"] == life.change.at
            assert row["next_plan_code"] == (life.change.plan or life.plan)
            assert row["next_quantity"] == (life.change.quantity or life.quantity)
        for column, ends in ENDS_OF.items():
            if before[column] is not None and before[column] != row[column]:
                assert self.told & ends, f"{column} was {before[column]}, is {row[column]}"
        self.told = set()
        self._compare_days()
        self._compare_money()
        return row

    def _compare_days(self) -> None:
        """By day: at most one paid period; one on each day served, or a reason."""
        life, every = self.life, self.engine.invoices(self.id)
        assert {i["id"]: i["status"] for i in every} == {n: b.state for n, b in life.bills.items()}
        made = [i for i in every if not i["change_index"]]
        assert [(i["period_index"], i["period_start"], i["period_end"]) for i in made] == [
            (period.index, period.start, period.end) for period in life.periods
        ]
        spans = [(day_of(i["period_start"]), day_of(i["period_end"])) for i in made]
        is_free = self._free_days()
        day, stop = day_of(START), day_of(life.ended_at or self.engine.now)
        while day < stop:
            # One that is not paid has its reason on record: declined, given up or void.
            covered = sum(begin <= day < end for begin, end in spans)
            assert covered <= 1, f"{day} is paid twice"
            assert covered or is_free(day), f"{day} was served and is not paid"
            day += timedelta(days=1)

    def _free_days(self) -> Callable[[date], bool]:
        """Which days are in a trial or a pause, or left out after one, which is on record."""
        over = day_of(self._last_end()) if self.life.is_over else date.max
        breaks = [*self.life.trials, *self.life.paused]
        spans = [(day_of(begin), day_of(min(end, _FAR))) for begin, end in breaks]
        gaps = [(day_of(begin), day_of(end)) for begin, end in self.life.gaps]
        left_out = cache(lambda: self._skipped("paused", "unpaid", "latest", "canceled") > 0)
        return lambda day: (
            day >= over
            or any(begin <= day <= end for begin, end in spans)
            or (any(begin <= day < end for begin, end in gaps) and left_out())
        )

    def _compare_money(self) -> None:
        """What is kept of each period is what its days are worth, but for roundings."""
        kept_of = {row["period_index"]: row["kept"] for row in self.engine.rows(KEPT, id=self.id)}
        assert sorted(kept_of) == [period.index for period in self.life.periods]
        for period in self.life.periods:
            kept = kept_of[period.index]
            roundings = 2 * len(period.prices) + 2
            worth = period.worth()
            assert kept <= worth + roundings, (kept, worth, period)
            if self.life.paid_for(period.index):
                assert kept >= worth - roundings, (kept, worth, period)


_FAR = datetime(9000, 1, 1, tzinfo=UTC)


def _nothing(_: Row) -> None:
    """The oracle gets the outcome."""
