"""When a failed invoice is tried again, and when it is given up.

A policy is a list of steps, each a wait ("2d") or a cron expression ("0 10 25 * *"). The dates
follow from the first failure and from how many steps are spent, both read from committed rows,
so that no crash and no second retry by hand can shift them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from billing.domain.errors import InvalidValue
from schedules.calendar import check_cron, next_fire
from schedules.durations import add, parse_duration
from schedules.walltime import ScheduleError

DEFAULT_RETRIES = "2d 5d 7d 7d"
STEPS_MAX = 24
TECHNICAL_WAITS = (
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=4),
    timedelta(hours=12),
)
"""A technical decline is tried again soon and spends no step; a fifth one counts as any other."""
UNSENT_WAITS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
)
"""After a charge that cannot have reached the gateway; the last one repeats."""
LAST_STEP_OPEN = timedelta(days=1)
"""How long the last step waits for a wallet that is short."""


def parse_steps(text: str) -> tuple[str, ...]:
    """Split a policy into steps, or raise InvalidValue.

    Waits are separated by blanks ("2d 5d 7d 7d"); as soon as a cron expression is among the
    steps they are separated by semicolons ("2d; 0 10 25 * *").
    """
    parts = [part.strip() for part in text.split(";")] if ";" in text else [text.strip()]
    steps = []
    for part in filter(None, parts):
        words = part.split()
        # A cron expression has five or six words, and its first is no duration.
        steps += [part] if len(words) in {5, 6} and not _is_wait(words[0]) else words
    if len(steps) > STEPS_MAX:
        raise InvalidValue(f"retries: at most {STEPS_MAX} steps, not {len(steps)}")
    for step in steps:
        try:
            check_cron(step) if _is_cron(step) else parse_duration(step)
        except ScheduleError as error:
            raise InvalidValue(
                f'retries: {error}; write waits like "2d 5d 7d 7d", or cron steps between'
                ' semicolons like "2d; 0 10 25 * *"'
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
    """The instants of all steps, counted from the first failure."""
    rungs, instant = [], first_failed_at
    for step in steps:
        instant = _after(step, instant, zone)
        rungs.append(instant)
    return rungs


def step_at(
    steps: Sequence[str], spent: int, first_failed_at: datetime, now: datetime, zone: ZoneInfo
) -> datetime | None:
    """When the next step is due after `spent` declines; None when the steps are spent.

    The first decline is the charge on the due date, so that one decline leads to the first
    step. A step whose date has gone by (an outage) is waited for from now: never two at once.
    """
    index = max(spent - 1, 0)
    if index >= len(steps):
        return None
    planned = ladder(steps[: index + 1], first_failed_at, zone)[-1]
    return planned if planned > now else _after(steps[index], now, zone)


def step_deadline(
    steps: Sequence[str], spent: int, first_failed_at: datetime, now: datetime, zone: ZoneInfo
) -> datetime:
    """Until when the step that is due now may wait for a wallet that is short.

    That is when the following step would begin; the last one waits a day, or as long again as
    it was waited for when that is shorter.
    """
    following = step_at(steps, max(spent, 1) + 1, first_failed_at, now, zone)
    if following is not None:
        return following
    # A plan without steps comes here too: it has technical retries, and those find wallets short.
    again = [_after(step, now, zone) for step in steps[-1:]]
    return min([now + LAST_STEP_OPEN, *again])


def wait_after_unsent(unsent: int) -> timedelta:
    """How long to wait after the `unsent`-th (from 1) charge in a row that was not sent."""
    return UNSENT_WAITS[min(unsent, len(UNSENT_WAITS)) - 1]
