"""The course of a siege: months pass, processes are killed during the work, and then faults end."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from time import monotonic

from billing.local.processes import until
from billing.services.operating import test_clock
from billing.store.queries import engine
from tests.faults.ground import HOUR, Ground
from tests.faults.siege import misfortunes, strikes
from tests.faults.siege.front import Front
from tests.faults.siege.people import AMOUNT, PLAN, People
from tests.faults.siege.strikes import BEATS, WORKERS, Strikes
from tests.faults.siege.verdict import Verdict, judge

FIRST = datetime.fromisoformat("2026-02-15T09:00:00+07:00")
"""The first month; the others follow on the same day, for no month is without a 15th."""
MONTH_ENDS = timedelta(days=27)
LINKING_AT = (timedelta(days=11), timedelta(days=18), timedelta(days=26))
"""When wallets are linked again in the last month, counted from its first day."""
RUNGS = (
    timedelta(seconds=61),
    timedelta(minutes=5),
    timedelta(minutes=16),
    timedelta(hours=2),
    timedelta(days=1),
    timedelta(days=2, hours=1),
    timedelta(days=5),
)
"""How the clock leaps after each month begins: the steps of asking, the "not found" that may be
believed, and a step of dunning."""
SETTINGS = {
    "BILLING_TICK_SECONDS": "1",
    "BILLING_LOG_LEVEL": "warning",
    "BILLING_DOKU_TIMEOUT_SECONDS": str(misfortunes.TIMEOUT_SECONDS),
    "BILLING_WORKER_PROCESSES": "2",
    "BILLING_BATCH_SIZE": "32",
    "BILLING_BATCH_THREADS": "8",
}
"""Small batches, so that many are on their way at once; horizon and ladder as in production."""
WALLET_MILLISECONDS = 60
STRIKE_EVERY_SECONDS = 1.0
HELD_SECONDS_MAX = 20.0


@dataclass(frozen=True)
class Size:
    """How long a siege is, and how hard."""

    charges: int
    months: int
    strikes: dict[str, int]
    month_seconds: float
    rung_seconds: float
    patient: bool
    web: bool = False
    """Whether there are a web process, clients, a webhook worker and a receiver."""
    """Whether the 45 s of the last leases are sat through, or taken as over."""

    @property
    def subscribers(self) -> int:
        """How many pay in each month; some leave on the way."""
        return -(-self.charges * 103 // (100 * self.months))


def long(charges: int) -> Size:
    """The whole thing."""
    fall = {**strikes.LONG, **strikes.FRONT}
    return Size(charges, 9, fall, month_seconds=40, rung_seconds=3, patient=True, web=True)


def short(charges: int, *, web: bool = False) -> Size:
    """A minute of it, for every run of the tests."""
    fall = {**strikes.SHORT, **(strikes.SHORT_FRONT if web else {})}
    return Size(charges, 3, fall, month_seconds=7, rung_seconds=0.5, patient=False, web=web)


class Siege:
    """One siege, from the first subscriber to the verdict."""

    def __init__(
        self, ground: Ground, size: Size, random: Random, say: Callable[[str], None]
    ) -> None:
        self.ground = ground
        self.size = size
        self.random = random
        self.say = say
        self.begun_at = monotonic()
        self.strikes: Strikes = strikes.drawn(ground, random, size.strikes)
        self.met: Counter[str] = Counter()
        self.front: Front | None = None
        self._strikes_in_all = len(self.strikes.ahead)
        self._rows_before = 0

    def run(self) -> Verdict:
        """Play it, and judge."""
        self._begin()
        for month in range(self.size.months):
            self._month(month)
        while self.strikes.ahead:  # what work there is waits for leases to end
            self.strikes.next()
            until(lambda: False, STRIKE_EVERY_SECONDS)
        if self.front is not None:
            self.front.shut()
        self._quiet()
        return judge(self.ground, self.people, self.size.months, self.front)

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return monotonic() - self.begun_at

    def _begin(self) -> None:
        ground = self.ground
        ground.set_clock(FIRST - HOUR)
        names = ground.members(self.size.subscribers, PLAN, amount=AMOUNT)
        self.people = People(ground, self.random, names)
        if self.size.web:
            seed = self.random.randrange(1 << 32)
            self.front = self.people.front = Front(ground, seed, self.strikes.revive)
        ground.pretend.call("PUT", "defaults", {"delay_ms": WALLET_MILLISECONDS})
        self.people.meet_declines(self.size.months)
        misfortunes.bring_about(ground.pretend, self.random, self.size.charges)
        self._rows_before = self._rows()
        ground.fleet.man(WORKERS, BEATS)
        self.say(f"{len(names):,} subscribers; {self.seconds:.0f} s")

    def _month(self, month: int) -> None:
        """A month begins; then the clock leaps on, whether or not the work is done."""
        self._held_calls_end()
        self.ground.set_clock(FIRST.replace(month=FIRST.month + month))
        gone = len(self.people.left_in) + len(self.people.refused)
        wanted = (self.size.subscribers - gone) * 0.97
        before = self._progress()
        self._until(lambda: self._progress() - before >= wanted, self.size.month_seconds)
        self.people.complain(month)
        if month:
            self.people.leave(month)
        for rung in RUNGS:
            if rung >= HOUR:
                self._held_calls_end()
            self.ground.jump(rung)
            self._until(self._nothing_is_due, self.size.rung_seconds)
        self.people.link_again()
        done = f"{self._progress():,} lines in the ledger, {self.strikes.kills} kills"
        self.say(f"month {month + 1}: {done}; {self.seconds:.0f} s")

    def _held_calls_end(self) -> None:
        """Wait for the calls on which the gateway still works: no real one takes days of asking."""
        self._until(lambda: not self.ground.pretend.call("GET", "health")["busy"], HELD_SECONDS_MAX)

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Continue the work, with the strikes that are due, until a condition holds."""

        def so() -> bool:
            self.strikes.revive()
            self._strike()
            return condition()

        until(so, seconds)

    def _strike(self) -> None:
        """Strikes are spread over the work, not over time: they fall while money moves."""
        fallen = self._strikes_in_all - len(self.strikes.ahead)
        due = (fallen + 0.5) / self._strikes_in_all * self.size.charges * 0.9
        if self.strikes.ahead and self._progress() >= due:
            self.strikes.next()

    def _quiet(self) -> None:
        """No more faults, and the clock goes from one stretch of work to the next."""
        ground = self.ground
        self.met = misfortunes.stop(ground.pretend)
        ground.pretend.call("PUT", "defaults", {"delay_ms": 0})
        ground.fleet.ready(self.strikes.revive)
        self._held_calls_end()
        self.say(f"quiet; {self.seconds:.0f} s")
        if not self.size.patient:
            ground.forget_leases()
        last = FIRST.replace(month=FIRST.month + self.size.months - 1)
        try:
            for step in LINKING_AT:
                ground.until(last + step)
                self.people.link_again()
            ground.until(last + MONTH_ENDS)
        except test_clock.NothingMoves as stuck:
            self.say(f"stuck: {stuck}")  # the verdict tells what

    def _rows(self) -> int:
        return int(self.ground.pretend.call("GET", "health")["seq"])

    def _progress(self) -> int:
        return self._rows() - self._rows_before

    def _nothing_is_due(self) -> bool:
        with self.ground.context.database.transaction() as connection:
            due = engine.next_due(connection)
        return due is None or due > self.ground.now
