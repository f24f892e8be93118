"""Dunning ladders of any policy, zone and moment: forward only, and with an end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.domain.dunning import ladder, parse_steps, step_at, step_deadline
from billing.domain.errors import InvalidValue

ZONES = ["Asia/Jakarta", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
STEPS = [
    "1s", "30m", "12h", "1d", "2d", "7d", "2w", "2month",
    "0 10 25 * *", "0 10 L * *", "30 2 * * *", "30 1 * * 0", "0 0 29 2 *", "*/5 * * * * 30",
]  # fmt: skip

zones = st.sampled_from(ZONES).map(ZoneInfo)
policies = st.lists(st.sampled_from(STEPS), max_size=8).map(tuple)
wall = datetime.fromisoformat
instants = st.datetimes(wall("2020-01-01"), wall("2030-01-01"), timezones=st.just(UTC))
gaps = st.timedeltas(timedelta(0), timedelta(days=400))
modest = settings(max_examples=60, deadline=None)


@modest
@given(policies, instants, zones)
@example(("1d",), datetime(2011, 12, 30, 5, tzinfo=UTC), ZoneInfo("Pacific/Apia"))
def test_rungs_are_strictly_later_one_after_another(
    steps: Sequence[str], first: datetime, zone: ZoneInfo
) -> None:
    """Two charges are never due at once, over gaps, folds and skipped days too."""
    rungs = [first, *ladder(steps, first, zone)]

    assert len(rungs) == len(steps) + 1
    assert all(earlier < later for earlier, later in pairwise(rungs))


@modest
@given(policies, st.integers(0, 10), instants, gaps, zones)
def test_a_next_step_is_always_ahead_or_there_is_none(
    steps: Sequence[str], spent: int, first: datetime, gap: timedelta, zone: ZoneInfo
) -> None:
    """A decline always moves the date forward, however long the outage; spent steps are None."""
    now = first + gap

    due = step_at(steps, spent, first, now, zone)

    if spent > len(steps) or not steps:
        assert due is None
    else:
        assert due is not None
        assert due > now


@modest
@given(policies, st.integers(0, 10), instants, gaps, zones)
def test_a_step_in_time_is_the_ladders_own_date(
    steps: Sequence[str], spent: int, first: datetime, gap: timedelta, zone: ZoneInfo
) -> None:
    """While its date is ahead a step is where the first failure put it, whatever happened since."""
    planned = ladder(steps, first, zone)
    now = first + gap
    index = max(spent - 1, 0)

    if index < len(planned) and planned[index] > now:
        assert step_at(steps, spent, first, now, zone) == planned[index]


@modest
@given(policies, st.integers(0, 10), instants, gaps, zones)
def test_a_deadline_is_always_ahead(
    steps: Sequence[str], spent: int, first: datetime, gap: timedelta, zone: ZoneInfo
) -> None:
    """A short wallet is waited for until an instant that is still to come."""
    now = first + gap

    assert step_deadline(steps, spent, first, now, zone) > now


@given(policies)
def test_policies_survive_being_written_down(steps: Sequence[str]) -> None:
    """The text that a plan keeps reads back as the same steps."""
    assert parse_steps("; ".join(steps)) == tuple(steps)


@given(st.text(max_size=40) | st.text("0123456789dhwm*/L,;- \n", max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    """Nothing that a person types makes a traceback or a second line."""
    said = "one line"
    try:
        assert len(parse_steps(text)) <= 24
    except InvalidValue as refused:
        said = str(refused)

    assert len(said.splitlines()) == 1
