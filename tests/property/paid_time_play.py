"""Plays a life on the engine and on the oracle at once, and compares them day by day.

It decides nothing itself: what the engine refuses is not done to the oracle either.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.domain.errors import BillingError
from billing.domain.events import OPERATOR
from billing.domain.subscription import RefundPolicy
from billing.services import auditing, changing, discounting, ending, pausing
from billing.store.queries import invoices
from tests.integration.engine import START
from tests.property.lived import Lived
from tests.property.paid_time import OFFERS, Life, Period, day_of, due

Row = Mapping[str, Any]
HOUR = timedelta(hours=1)
COUPONS = {"HALF": (50, 2), "FREE": (100, 1)}
PLANS: dict[str, dict[str, Any]] = {
    code: {
        "amount": offer.amount,
        "every": f"{offer.days} days" if offer.days else f"{offer.months} months",
        "trial": f"{offer.trial_days} days" if offer.trial_days else None,
    }
    for code, offer in OFFERS.items()
}
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
        self.engine = engine
        self.customer = engine.emptied(PLANS, COUPONS)
        self.id = engine.subscribe(self.customer, plan)
        engine.run()
        self.life = Life.begin(plan, START)
        self.life.until(START)
        self.seen = 0

    def through(self, life: Sequence[Sequence[Any]]) -> None:
        """Do one thing after the other, and compare after each that left nothing due."""
        for what, *how in life:
            before = self._row()
            acted = getattr(self, f"_{what}")(*how)
            if acted:
                self.engine.run()
                self._compare(before)
            if self.life.ended_at is not None:
                break
        before = self._row()
        self.engine.run()
        self._compare(before)
        assert auditing.audit(self.engine.context) == []

    # --- deeds ---------------------------------------------------------------------------------

    def _wait(self, span: timedelta) -> bool:
        self.engine.advance(span)
        self.life.until(self.engine.now)
        return True

    def _leap(self, span: timedelta) -> bool:
        """The clock moves past everything, and then one tick works it all off."""
        self.engine.set_clock(self.engine.now + span)
        self.life.until(self.engine.now)
        return True

    def _late(self, span: timedelta) -> bool:
        """The same, but the next deed comes before the tick."""
        self.engine.set_clock(self.engine.now + span + HOUR)
        self.life.until(self.engine.now)
        return False

    def _to_due(self, count: int) -> bool:
        at = self._coming(count)
        if at is not None:
            self.engine.advance(at)
            self.life.until(at)
        return True

    def _coming(self, count: int) -> datetime | None:
        """A due date to come, as the anchor has it: the first, or the one after it."""
        life, now = self.life, self.engine.now
        offer, index = OFFERS[life.plan], 0
        while due(life.anchor, offer, index) <= now:
            index += 1
        return due(life.anchor, offer, index + count - 1)

    def _pause(self, at: str, until: str | timedelta | None) -> bool:
        now = self.engine.now
        back: datetime | None = None
        if isinstance(until, timedelta):
            back = now + until
        elif until is not None:
            back = self._coming(1 if until == "due" else 2)
        return self._do(
            lambda: pausing.pause(self.engine.context, self.id, OPERATOR, at=at, until=back),
            lambda _: self.life.pause(now, back, at_end=at == "period-end"),
        )

    def _resume(self, start: str) -> bool:
        now = self.engine.now
        return self._do(
            lambda: pausing.resume(self.engine.context, self.id, OPERATOR, start=start),
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

        return self._do(
            lambda: changing.change(
                self.engine.context, self.id, OPERATOR, plan_code=plan, quantity=quantity, at=at
            ),
            done,
        )

    def _cancel(self, at: str | timedelta, refund: RefundPolicy) -> bool:
        self._work_off_plans()
        now = self.engine.now
        when = at if isinstance(at, str) else now + at

        def done(_: Row) -> None:
            if at == "now":
                opened = [i for i in self.engine.invoices(self.id) if not i["change_index"]]
                assert len(self.life.periods) - len(opened) == self._skipped("canceled")
                del self.life.periods[len(opened) :]
                self.life.gaps.append((self._last_end(), now))
            self.life.cancel(now, when, refund)

        return self._do(
            lambda: ending.cancel(self.engine.context, self.id, OPERATOR, at=when, refund=refund),
            done,
        )

    def _withdraw(self) -> bool:
        self._work_off_plans()

        def done(_: Row) -> None:
            self.life.cancel_at, self.life.cancel_by_period = None, False

        return self._do(lambda: ending.withdraw(self.engine.context, self.id, OPERATOR), done)

    def _coupon(self, code: str) -> bool:
        self.engine.run()

        def done(_: Row) -> None:
            self.life.coupon = COUPONS[code]

        return self._do(
            lambda: discounting.apply(self.engine.context, code, self.id, OPERATOR) or {}, done
        )

    def _do(self, act: Callable[[], Row], then: Callable[[Row], None]) -> bool:
        try:
            said = act()
        except BillingError:
            return True  # refused: nothing was done, here or there
        then(said)
        self.life.until(self.engine.now)
        return True

    def _work_off_plans(self) -> None:
        """Let what was planned and is overdue happen first; a person's end would replace it."""
        row, now = self._row(), self.engine.now
        dates = (row["cancel_at"], row["pause_at"], row["resume_at"])
        if any(at is not None and at <= now for at in dates):
            self.engine.run()

    # --- comparing -----------------------------------------------------------------------------

    def _row(self) -> Row:
        return self.engine.subscription(self.id)

    def _skipped(self, why: str) -> int:
        told = self.engine.told("period.skipped")
        return sum(e["data"]["last"] - e["data"]["first"] + 1 for e in told
                   if e["data"]["why"] == why)  # fmt: skip

    def _last_end(self) -> datetime:
        ends = [period.end for period in self.life.periods]
        return max(ends, default=START)

    def _compare(self, before: Row) -> None:
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
        self._compare_events(before, row)
        self._compare_days()
        self._compare_money()

    def _compare_events(self, before: Row, row: Row) -> None:
        """No plan is other than it was without a word."""
        new = self.engine.rows(
            "SELECT id, kind FROM events WHERE id > :seen AND subscription_id = :id ORDER BY id",
            seen=self.seen, id=self.id,
        )  # fmt: skip
        self.seen = max([self.seen, *(event["id"] for event in new)])
        told = {event["kind"].removeprefix("subscription.") for event in new}
        for column, ends in ENDS_OF.items():
            if before[column] is not None and before[column] != row[column]:
                assert told & ends, f"{column} was {before[column]}, is {row[column]}: {told}"

    def _compare_days(self) -> None:
        """By day: at most one paid period; one on each day served, or a reason."""
        made = [i for i in self.engine.invoices(self.id) if not i["change_index"]]
        assert [(i["period_start"], i["period_end"]) for i in made] == [
            (period.start, period.end) for period in self.life.periods
        ]
        assert {invoice["status"] for invoice in made} <= {"paid"}
        stop = self.life.ended_at or self.engine.now
        day = day_of(START)
        while day < day_of(stop):
            covered = [
                i for i in made if day_of(i["period_start"]) <= day < day_of(i["period_end"])
            ]
            assert len(covered) <= 1, f"{day} is paid twice"
            assert covered or self._is_free(day), f"{day} was served and is not paid"
            day += timedelta(days=1)

    def _is_free(self, day: Any) -> bool:
        """Whether a day is in a trial or a pause, or left out after one, which is on record."""
        life = self.life
        spans = [*life.trials, *life.paused]
        if any(day_of(begin) <= day <= day_of(min(end, _FAR)) for begin, end in spans):
            return True
        if not any(day_of(begin) <= day < day_of(end) for begin, end in life.gaps):
            return False
        return self._skipped("paused") + self._skipped("canceled") > 0

    def _compare_money(self) -> None:
        """What is kept of each period is what its days are worth, but for roundings."""
        with self.engine.context.database.transaction() as connection:
            for index, period in self._by_index():
                of_it = invoices.of_period(connection, self.id, index)
                kept = sum(invoice["kept"] for invoice in of_it)
                roundings = 2 * len(period.prices) + 2
                assert abs(kept - period.worth()) <= roundings, (kept, period.worth(), period)

    def _by_index(self) -> list[tuple[int, Period]]:
        made = [i for i in self.engine.invoices(self.id) if not i["change_index"]]
        return list(zip([i["period_index"] for i in made], self.life.periods, strict=True))


_FAR = datetime(9000, 1, 1, tzinfo=UTC)
