"""An oracle of paid time: one subscription's life, computed by instants without a database.

It shares only the names of the commands with the engine. It knows no ticks: each intent takes
effect as of its date, and a life with late ticks must have the same result.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple, Self

HERE = timedelta(hours=7)
"""Asia/Jakarta, which has no daylight saving."""


class Offer(NamedTuple):
    """A plan: rupiah, and N days or months; or each first of a month, at nine."""

    amount: int
    days: int = 0
    months: int = 0
    trial_days: int = 0
    first_of_month: bool = False
    cycles: int | None = None
    latest: bool = False
    gives_up: str = "unpaid"


OFFERS = {
    "MONTH": Offer(31_000, months=1),
    "MONTH2": Offer(62_500, months=1, gives_up="pause"),
    "QUARTER": Offer(91_000, months=3, gives_up="cancel"),
    "TEN": Offer(9_900, days=10),
    "TRIAL": Offer(31_000, months=1, trial_days=12, gives_up="pause"),
}
MORE = {
    "TERM": Offer(30_100, months=1, cycles=4),
    "SHORT": Offer(8_800, days=10, cycles=3, gives_up="cancel"),
    "LATEST": Offer(31_000, months=1, latest=True),
    "LATEST10": Offer(10_100, days=10, latest=True, gives_up="pause"),
    "FIRST": Offer(29_900, months=1, first_of_month=True),
}
"""Plans with an end, with gaps after an outage, and with dates of their own."""
FOUND = OFFERS | MORE


def day_of(instant: datetime) -> date:
    """The local day of an instant."""
    return (instant + HERE).date()


def due(anchor: datetime, offer: Offer, count: int) -> datetime:
    """The start of the period `count` after the anchor; short months end it on their last day."""
    if offer.first_of_month:
        anchor = _first_of_month(anchor)
    if offer.days:
        return anchor + count * timedelta(days=offer.days)
    wall = anchor + HERE
    months = wall.year * 12 + wall.month - 1 + count * offer.months
    year, month = months // 12, months % 12 + 1
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=wall.tzinfo)
    last = (following - timedelta(days=1)).day
    return wall.replace(year=year, month=month, day=min(wall.day, last)) - HERE


def _first_of_month(at: datetime) -> datetime:
    """The first of a month, nine o'clock, at an instant or after it."""
    wall = at + HERE
    first = wall.replace(day=1, hour=9, minute=0, second=0, microsecond=0)
    if first < wall:
        first = (first + timedelta(days=31)).replace(day=1)
    return first - HERE


@dataclass
class Period:
    """A period that was opened. `prices` is what it costs whole, from which day on."""

    start: datetime
    full_end: datetime
    percent: int
    index: int
    prices: list[tuple[date, int]]
    end: datetime = field(init=False)
    given_back: str = "none"
    used_until: datetime | None = None

    def __post_init__(self) -> None:
        self.end = self.full_end

    def worth(self) -> int:
        """What is to be kept of it in the end, by its days; but for half a rupiah a price."""
        if self.given_back == "full":
            return 0
        first, whole = day_of(self.start), (day_of(self.full_end) - day_of(self.start)).days
        stop = self.used_until or self.end
        days = [first + timedelta(days=n) for n in range(whole)]
        used = [day for day in days if day < day_of(stop)]
        return sum(self._price(day) for day in used) // whole

    def _price(self, day: date) -> int:
        price = [amount for since, amount in self.prices if since <= day][-1]
        return price * (100 - self.percent) // 100


@dataclass
class Change:
    """A change that is planned; what it does not name stays as it is then."""

    at: datetime
    plan: str | None
    quantity: int | None


@dataclass
class Life:
    """A subscription as it should be."""

    plan: str
    anchor: datetime
    quantity: int = 1
    status: str = "active"
    next_at: datetime | None = None
    count: int = 0  # periods since the anchor, up to next_at
    before: int = 0  # periods before the anchor
    trial_left: timedelta | None = None
    periods: list[Period] = field(default_factory=list)
    paused: list[list[datetime]] = field(default_factory=list)
    gaps: list[tuple[datetime, datetime]] = field(default_factory=list)
    trials: list[list[datetime]] = field(default_factory=list)
    cancel_at: datetime | None = None
    cancel_by_period: bool = False
    cancel_refund: str = "none"
    pause_at: datetime | None = None
    resume_at: datetime | None = None
    change: Change | None = None
    coupon: tuple[int, int] | None = None  # percent, invoices left
    ended_at: datetime | None = None
    late_until: datetime | None = None

    @classmethod
    def begin(cls, plan: str, at: datetime) -> Self:
        """Subscribe."""
        offer = FOUND[plan]
        life = cls(plan, at + timedelta(days=offer.trial_days))
        life.next_at = due(life.anchor, offer, 0)
        life.trials.append([at, life.next_at])
        if offer.trial_days:
            life.status = "trialing"
        return life

    # --- what comes by itself ------------------------------------------------------------------

    def until(self, now: datetime, *, late: bool = False) -> None:
        """Apply everything that is due by an instant, in order; `late` applies all of it only then.

        That matters only to plans which bill the latest period.
        """
        self.late_until = now if late else None
        while coming := min(self._coming(now), default=None):
            at, _, what = coming
            getattr(self, f"_{what}")(at)

    def _coming(self, now: datetime) -> Iterator[tuple[datetime, int, str]]:
        runs = self.status in {"active", "trialing", "past_due"}
        planned = (
            (self.cancel_at, self.ended_at is None, "end"),
            (self.pause_at, runs, "pause"),
            (self.resume_at, self.status == "paused", "resume"),
            (self.next_at, runs, "open"),
        )
        for rank, (at, holds, what) in enumerate(planned):
            if holds and at is not None and at <= now:
                yield at, rank, what

    def _open(self, at: datetime) -> None:
        if self.change is not None and at >= self.change.at:
            self._turn(at)
        self.count += 1
        start, self.next_at = at, due(self.anchor, self.offer, self.count)
        if self.status == "trialing":
            self.status = "active"
        if self._goes_by(self.next_at):
            self.gaps.append((start, self.next_at))
            return
        percent = 0
        if self.coupon is not None:
            percent, left = self.coupon
            self.coupon = (percent, left - 1) if left > 1 else None
        prices = [(day_of(start), self.price)]
        self.periods.append(Period(start, self.next_at, percent, self.index - 1, prices))
        self.next_at = None if self.is_over else self.next_at

    def _turn(self, at: datetime) -> None:
        """Fulfil the change that was planned; one to a term that is over by now is dropped."""
        change, self.change = self.change, None
        assert change is not None
        offer = FOUND[change.plan or self.plan]
        if offer.cycles is not None and self.index >= offer.cycles:
            return
        if not same_dates(self.offer, offer):
            self._move_anchor(at)
        self.plan = change.plan or self.plan
        self.quantity = change.quantity or self.quantity

    def _goes_by(self, end: datetime) -> bool:
        """Whether a plan that bills the latest period leaves one out that ends at an instant."""
        if not self.offer.latest or self.late_until is None or end > self.late_until:
            return False
        planned = (self.cancel_at, self.pause_at)
        return not any(at is not None and end >= at for at in planned)

    def _move_anchor(self, at: datetime) -> None:
        self.anchor, self.before, self.count = at, self.index, 0

    def _pause(self, at: datetime) -> None:
        self.pause_at = None
        self.paused.append([at, datetime.max.replace(tzinfo=at.tzinfo)])
        if self.status == "trialing" and self.next_at is not None:
            self.trial_left = self.next_at - at
            self.trials[-1][1] = at
        self.status, self.next_at = "paused", None

    def _resume(self, at: datetime) -> None:
        self.resume_at = None
        self.paused[-1][1] = at
        if self.trial_left is not None:
            self._move_anchor(at + self.trial_left)
            self.status = "trialing"
            self.next_at, self.trial_left = self.anchor, None
            self.trials.append([at, self.anchor])
            if self.cancel_by_period:
                self.cancel_at = self.next_at
            return
        self.status = "active"
        self.count = max(self.count, self._first_due(at, or_later=True))
        self.next_at = due(self.anchor, self.offer, self.count)
        running = self.running(at)
        self.gaps.append((at if running is None else running.end, self.next_at))
        self._stop_if_over()

    def _stop_if_over(self) -> bool:
        """No period begins any more when the term is over, and so none is waited for."""
        if not self.is_over or self.offer.cycles is None:
            return False
        self.next_at, self.count = None, self.offer.cycles - self.before
        if self.cancel_by_period:
            self.cancel_at, self.cancel_by_period = None, False
        return True

    def _end(self, at: datetime) -> None:
        running = self.running(at)
        if running is not None and self.cancel_refund != "none":
            running.given_back, running.used_until = self.cancel_refund, at
        self.status, self.ended_at, self.next_at = "canceled", at, None
        self.cancel_at = self.pause_at = self.resume_at = self.change = self.coupon = None
        self.cancel_by_period = False
        self.trial_left = None

    # --- what is asked for ---------------------------------------------------------------------

    def pause(self, now: datetime, until: datetime | None, *, at_end: bool) -> None:
        """Pause now, or with the next period."""
        self.pause_at, self.resume_at = self.next_at, until
        if not at_end:
            self.pause_at = now
            self._pause(now)

    def resume(self, now: datetime, *, anew: bool) -> None:
        """Resume, or withdraw the pause that is planned."""
        if self.status not in {"paused", "unpaid"}:
            self.pause_at = self.resume_at = None
            return
        running = self.running(now)
        just_begun = running is not None and running.start == now
        if not anew or just_begun or self.trial_left is not None:
            self._resume(now)
            return
        self.resume_at = None
        self.paused[-1][1] = now
        self._cut(now)
        self.count = max(self.count, self._first_due(now, or_later=True))
        if self._stop_if_over():
            self.status, self.change = "active", None
            return
        if self.change is not None:
            self.change.at = now
        self._open_anew(now)
        if self.cancel_by_period:
            self.cancel_at = self.next_at

    def change_now(self, now: datetime, plan: str | None, quantity: int | None) -> None:
        """Change at once: the days that are left cost another price, or a new period begins."""
        before = self.offer
        self.plan, self.quantity = plan or self.plan, quantity or self.quantity
        same = same_dates(before, self.offer)
        running = None if self.status == "trialing" else self.running(now)
        if same and running is not None:
            running.prices.append((day_of(now), self.price))
        if same:
            left = self.change
            if left and (left.plan or self.plan, left.quantity or self.quantity) == (
                self.plan, self.quantity,
            ):  # fmt: skip
                self.change = None
            return
        self.change = None
        if running is None:
            self._move_anchor(self.next_at or self.anchor)
            return
        self._cut(now)
        self._open_anew(now)
        if self.cancel_by_period:  # the end moves with the period
            self.cancel_at = self.next_at

    def plan_change(self, plan: str | None, quantity: int | None) -> None:
        """Change with the next period."""
        assert self.next_at is not None
        self.change = Change(self.next_at, plan, quantity)

    def cancel(self, now: datetime, at: datetime | str, refund: str) -> None:
        """Cancel now, with the next period, or on a date."""
        self.cancel_refund, self.cancel_by_period = refund, at == "period-end"
        if at == "now":
            self._end(now)
        elif at == "period-end":
            ahead = due(self.anchor, self.offer, self._first_due(now, or_later=False))
            self.cancel_at = self.next_at or ahead
        else:
            assert isinstance(at, datetime)
            self.cancel_at = at

    @property
    def offer(self) -> Offer:
        """Its plan."""
        return FOUND[self.plan]

    @property
    def price(self) -> int:
        """What a period costs now."""
        return self.offer.amount * self.quantity

    @property
    def index(self) -> int:
        """The index of the next period: how many were billed or left out."""
        return self.before + self.count

    @property
    def is_over(self) -> bool:
        """Whether its term has no further period."""
        return self.offer.cycles is not None and self.index >= self.offer.cycles

    def running(self, at: datetime) -> Period | None:
        """The period that runs at an instant."""
        return next((p for p in self.periods if p.start <= at < p.end), None)

    def _cut(self, at: datetime) -> None:
        running = self.running(at)
        if running is not None:
            running.end = at

    def _open_anew(self, at: datetime) -> None:
        self._move_anchor(at)
        self.next_at, self.status = at, "active"
        self._open(at)

    def _first_due(self, at: datetime, *, or_later: bool) -> int:
        count, offer = 0, self.offer
        while due(self.anchor, offer, count) < at or (
            not or_later and due(self.anchor, offer, count) == at
        ):
            count += 1
        return count


def same_dates(one: Offer, other: Offer) -> bool:
    """Whether two plans have the same length of period."""
    return (one.days, one.months, one.first_of_month) == (
        other.days, other.months, other.first_of_month,
    )  # fmt: skip
