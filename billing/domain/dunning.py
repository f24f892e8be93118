"""Dunning dates: when a declined invoice is attempted again, and when dunning ends.

A ladder is a list of steps, each a wait ("2d") or a cron expression ("0 10 25 * *"). A policy has
one ladder, may have others for some fault classes, and caps. The dates follow from the first
failure and from the number of spent steps. Both are read from committed rows, so that neither a
crash nor a manual retry can move them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from billing.domain.errors import InvalidValue
from billing.domain.outcomes import Fault
from schedules.calendar import check_cron, next_fire
from schedules.durations import add, parse_duration
from schedules.walltime import ScheduleError, quoted

DEFAULT_RETRIES = "2d 5d 7d 7d"
STEPS_MAX = 24
TECHNICAL_WAITS = (
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=4),
    timedelta(hours=12),
)
"""A technical decline is retried soon and spends no step; the fifth one counts as any other."""
UNSENT_WAITS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
)
"""Waits after a charge that cannot have reached the gateway; the last one repeats."""
LAST_STEP_OPEN = timedelta(days=1)
"""How long the last step waits while the wallet has a shortfall."""
CLIMBING = (Fault.INSUFFICIENT_FUNDS, Fault.LIMIT, Fault.OTHER)
"""The fault classes that may have their own ladder; the other classes do not start one at once."""
CAP_MAX = 1_000
"""A larger cap is rejected as a typing error."""


class Cap(StrEnum):
    """Which limit ended dunning."""

    RETRIES = "retries"
    DECLINES = "declines"
    ATTEMPTS = "attempts"
    DAYS = "days"


@dataclass(frozen=True, slots=True)
class Policy:
    """The ladders of a plan, one for each fault class that has its own, and the caps."""

    steps: tuple[str, ...] = ()
    ladders: Mapping[Fault, tuple[str, ...]] = field(default_factory=dict)
    declines_max: int | None = None
    attempts_max: int | None = None
    days_max: int | None = None

    def steps_after(self, fault: Fault) -> tuple[str, ...]:
        """Return the ladder of a fault class: its own, or the policy's."""
        return self.ladders.get(fault, self.steps)

    def ends_at(self, first_failed_at: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the last instant at which an attempt may be planned; None without such a cap."""
        if self.days_max is None:
            return None
        return add(parse_duration(f"{self.days_max}d"), first_failed_at, zone)


@dataclass(frozen=True, slots=True)
class History:
    """Counts of an invoice's declined and unsent charges so far."""

    scheduled_declines: int = 0
    steps_short: int = 0
    technical_declines: int = 0
    unsent: int = 0
    attempts: int = 0  # declined charges, scheduled or manual; a lost wallet counts none
    last_fault: Fault | None = None  # of the last scheduled one

    @property
    def steps_spent(self) -> int:
        """The number of spent steps; technical declines count once their own waits are used up."""
        technical = max(self.technical_declines - len(TECHNICAL_WAITS), 0)
        return self.scheduled_declines + self.steps_short + technical

    def after(self, fault: Fault, *, scheduled: bool) -> Self:
        """Return the history after one more decline; only a scheduled one spends a step."""
        if not scheduled:
            return replace(self, attempts=self.attempts + 1)
        technical = fault is Fault.TECHNICAL
        return replace(
            self,
            attempts=self.attempts + 1,
            scheduled_declines=self.scheduled_declines + (not technical),
            technical_declines=self.technical_declines + technical,
            last_fault=fault,
        )


Ladders = Mapping[str, str]
"""The steps, as a plan writes them, by the name of the fault class that has them."""


class RetryTerms(NamedTuple):
    """The dunning columns of a plan, as texts and numbers."""

    retries: str
    retries_for: Ladders | None
    declines_max: int | None
    attempts_max: int | None
    days_max: int | None


def policy_of(terms: RetryTerms) -> Policy:
    """Build the policy that a plan's terms describe; raises InvalidValue for an invalid one."""
    caps = {
        "declines": terms.declines_max, "attempts": terms.attempts_max, "days": terms.days_max,
    }  # fmt: skip
    for what, most in caps.items():
        if most is not None and not 1 <= most <= CAP_MAX:
            raise InvalidValue(
                f"max {what} must be 1 to {CAP_MAX:,}, not {most:,}", field=f"{what}_max"
            )
    return Policy(
        parse_steps(terms.retries),
        {_climbing(name): parse_steps(text, f"retries for {name}")
         for name, text in (terms.retries_for or {}).items()},
        terms.declines_max,
        terms.attempts_max,
        terms.days_max,
    )  # fmt: skip


def _climbing(name: str) -> Fault:
    if name not in CLIMBING:
        classes = ", ".join(CLIMBING)
        said = f"retries for {quoted(name)}: only {classes} have a ladder of their own"
        raise InvalidValue(said, field="retries_for")
    return Fault(name)


def parse_steps(text: str, what: str = "retries") -> tuple[str, ...]:
    """Split a ladder into steps, or raise InvalidValue about `what`.

    Waits are separated by blanks ("2d 5d 7d 7d"). When a step is a cron expression, steps are
    separated by semicolons ("2d; 0 10 25 * *").
    """
    field = what.replace(" for ", "_for ").partition(" ")[0]
    parts = [part.strip() for part in text.split(";")] if ";" in text else [text.strip()]
    steps = []
    for part in filter(None, parts):
        words = part.split()
        # A cron expression has five or six words, and the first is not a duration.
        steps += [part] if len(words) in {5, 6} and not _is_wait(words[0]) else words
    if len(steps) > STEPS_MAX:
        raise InvalidValue(f"{what}: at most {STEPS_MAX} steps, not {len(steps)}", field=field)
    for step in steps:
        try:
            check_cron(step) if _is_cron(step) else parse_duration(step)
        except ScheduleError as error:
            raise InvalidValue(
                f'{what}: {error}; write waits like "2d 5d 7d 7d", or cron steps between'
                ' semicolons like "2d; 0 10 25 * *"',
                field=field,
            ) from None
    return tuple(steps)


def _is_cron(step: str) -> bool:
    return " " in step


def _is_wait(word: str) -> bool:
    try:
        parse_duration(word)
    except ScheduleError:
        return False
    return True


def _after(step: str, instant: datetime, zone: ZoneInfo) -> datetime:
    if _is_cron(step):
        return next_fire(step, after=instant, timezone=zone)
    return add(parse_duration(step), instant, zone)


def ladder(steps: Sequence[str], first_failed_at: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the instants of all steps, counted from the first failure."""
    rungs, instant = [], first_failed_at
    for step in steps:
        instant = _after(step, instant, zone)
        rungs.append(instant)
    return rungs


def step_at(
    steps: Sequence[str], spent: int, first_failed_at: datetime, now: datetime, zone: ZoneInfo
) -> datetime | None:
    """Return when the next step is due after `spent` declines; None when all steps are spent.

    The first decline is the charge on the due date, so one decline leads to the first step. A step
    whose date has passed in an outage is counted from now, so that two steps never come at once. A
    step never waits longer than its own length: with another ladder, the steps before it may be
    longer than those that were taken.
    """
    index = max(spent - 1, 0)
    if index >= len(steps):
        return None
    planned = ladder(steps[: index + 1], first_failed_at, zone)[-1]
    anew = _after(steps[index], now, zone)
    return min(planned, anew) if planned > now else anew


def step_deadline(
    steps: Sequence[str], spent: int, first_failed_at: datetime, now: datetime, zone: ZoneInfo
) -> datetime:
    """Return until when the current step may wait for a wallet with a shortfall.

    That is the start of the following step. The last step waits a day, or its own length again when
    that is shorter.
    """
    following = step_at(steps, max(spent, 1) + 1, first_failed_at, now, zone)
    if following is not None:
        return following
    # A plan without steps can reach this: a technical retry may find a shortfall, too.
    again = [_after(step, now, zone) for step in steps[-1:]]
    return min([now + LAST_STEP_OPEN, *again])


def next_try(
    policy: Policy,
    past: History,
    fault: Fault,
    first_failed_at: datetime,
    now: datetime,
    zone: ZoneInfo,
) -> datetime | Cap:
    """Return when an invoice is attempted again after a decline, or the cap that ends dunning.

    `past` includes that decline. Declines of all fault classes are counted together: the n-th
    decline takes the n-th step of the ladder of the last fault class.
    """
    if _attempts_met(policy, past):
        return Cap.ATTEMPTS
    if fault is Fault.TECHNICAL and past.technical_declines <= len(TECHNICAL_WAITS):
        return _within(policy, now + TECHNICAL_WAITS[max(past.technical_declines - 1, 0)],
                       first_failed_at, zone)  # fmt: skip
    if policy.declines_max is not None and past.steps_spent >= policy.declines_max:
        return Cap.DECLINES
    steps = policy.steps_after(fault)
    due = step_at(steps, past.steps_spent, first_failed_at, now, zone)
    return Cap.RETRIES if due is None else _within(policy, due, first_failed_at, zone)


def _attempts_met(policy: Policy, past: History) -> bool:
    return policy.attempts_max is not None and past.attempts >= policy.attempts_max


def _within(
    policy: Policy, due: datetime, first_failed_at: datetime, zone: ZoneInfo
) -> datetime | Cap:
    end = policy.ends_at(first_failed_at, zone)
    return Cap.DAYS if end is not None and due > end else due


def upcoming(
    policy: Policy,
    past: History,
    first_failed_at: datetime,
    due: datetime,
    zone: ZoneInfo,
    by_hand_at: datetime | None = None,
    deadline_at: datetime | None = None,
) -> list[datetime]:
    """List `due` and the attempts after it, if each is declined as the last scheduled one was.

    A manual retry before `due` spends an attempt and no step. A step with a deadline waits for the
    wallet: the balance is read on `due`, and the step counts as declined on its deadline.
    """
    dates: list[datetime] = []
    following: datetime | Cap = due
    if by_hand_at is not None:
        dates.append(by_hand_at)
        past = past.after(Fault.OTHER, scheduled=False)
        following = Cap.ATTEMPTS if _attempts_met(policy, past) else due
    if deadline_at is not None and deadline_at > due and following is due:
        dates.append(due)
        recheck = deadline_at - due
        wait = wait_for_money(
            policy, past, deadline_at, first_failed_at, deadline_at, zone, recheck
        )
        following = wait if isinstance(wait, Cap) else deadline_at
        past = replace(past, steps_short=past.steps_short + 1, last_fault=Fault.INSUFFICIENT_FUNDS)
    while not isinstance(following, Cap):
        dates.append(following)
        fault = past.last_fault or Fault.OTHER
        past = past.after(fault, scheduled=True)
        following = next_try(policy, past, fault, first_failed_at, following, zone)
    return dates


@dataclass(frozen=True, slots=True)
class MoneyWait:
    """A step that waits because the wallet has a shortfall."""

    asked_again_at: datetime
    deadline_at: datetime
    missed: bool  # the step before it has now counted as declined


def wait_for_money(
    policy: Policy,
    past: History,
    deadline_at: datetime | None,
    first_failed_at: datetime,
    now: datetime,
    zone: ZoneInfo,
    recheck: timedelta,
) -> MoneyWait | Cap:
    """Return what follows a shortfall on a step that is due, or the cap that ends dunning.

    `deadline_at` is the step's deadline; None when the step has just become due. A step that still
    has a shortfall on its deadline counts as declined for insufficient funds, and the next one
    begins.
    """
    steps, spent = policy.steps_after(Fault.INSUFFICIENT_FUNDS), past.steps_spent
    missed = deadline_at is not None and deadline_at <= now
    if missed:
        spent += 1
        if policy.declines_max is not None and spent >= policy.declines_max:
            return Cap.DECLINES
        if spent > len(steps):
            return Cap.RETRIES
    if missed or deadline_at is None:
        deadline_at = step_deadline(steps, spent, first_failed_at, now, zone)
        end = policy.ends_at(first_failed_at, zone)
        deadline_at = deadline_at if end is None else min(deadline_at, end)
        if deadline_at <= now:
            return Cap.DAYS
    return MoneyWait(min(now + recheck, deadline_at), deadline_at, missed)


def wallet_awaited_until(
    policy: Policy,
    wait: timedelta,
    first_failed_at: datetime | None,
    now: datetime,
    zone: ZoneInfo,
) -> datetime | Cap:
    """Return until when an invoice waits for a wallet: `wait`, limited by the cap in days."""
    end = None if first_failed_at is None else policy.ends_at(first_failed_at, zone)
    if end is None:
        return now + wait
    return min(now + wait, end) if end > now else Cap.DAYS


def wait_after_unsent(unsent: int) -> timedelta:
    """Return the wait after the `unsent`-th (from 1) unsent charge in a row."""
    return UNSENT_WAITS[min(unsent, len(UNSENT_WAITS)) - 1]
