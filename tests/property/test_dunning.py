"""Dunning ladders of any policy, zone and moment: forward only, and with an end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.domain.dunning import (
    CLIMBING,
    Cap,
    History,
    Policy,
    ladder,
    next_try,
    parse_steps,
    step_at,
    step_deadline,
    upcoming,
    wait_for_money,
)
from billing.domain.errors import InvalidValue
from billing.domain.outcomes import Fault

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
    """A decline always moves the date forward, after any outage; used-up steps are None."""
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
    """A step in the future keeps the date that the first failure gave it, after any events."""
    planned = ladder(steps, first, zone)
    now = first + gap
    index = max(spent - 1, 0)

    taken = index < len(planned) and [first, *planned][index] <= now
    if taken and planned[index] > now:
        assert step_at(steps, spent, first, now, zone) == planned[index]


@modest
@given(policies, st.integers(0, 10), instants, gaps, zones)
def test_a_deadline_is_always_ahead(
    steps: Sequence[str], spent: int, first: datetime, gap: timedelta, zone: ZoneInfo
) -> None:
    """A short wallet is waited for until an instant that is still to come."""
    now = first + gap

    assert step_deadline(steps, spent, first, now, zone) > now


caps = st.none() | st.integers(1, 6)
classed = st.builds(
    Policy, policies, st.dictionaries(st.sampled_from(CLIMBING), policies), caps, caps, caps
)


@modest
@given(classed, instants, zones, st.sampled_from(CLIMBING))
def test_the_dates_that_are_foretold_are_the_ones_that_happen(
    policy: Policy, first: datetime, zone: ZoneInfo, fault: Fault
) -> None:
    """Each decline removes the first date from the list, and changes nothing else."""
    past = History().after(fault, scheduled=True)
    due = next_try(policy, past, fault, first, first, zone)
    foretold = [] if isinstance(due, Cap) else upcoming(policy, past, first, due, zone)
    happened = []
    while not isinstance(due, Cap):
        happened.append(due)
        past = past.after(fault, scheduled=True)
        due = next_try(policy, past, fault, first, due, zone)

    assert happened == foretold
    assert all(earlier < later for earlier, later in pairwise([first, *happened]))


@modest
@given(classed, instants, zones, st.lists(st.sampled_from(["short", *CLIMBING]), max_size=12))
def test_a_wallet_that_is_short_spends_a_step_on_its_deadline_only(
    policy: Policy, first: datetime, zone: ZoneInfo, looks: list[str]
) -> None:
    """A check of a short balance uses no step; a wallet that stays short is given up in time."""
    past, deadline = History().after(Fault.OTHER, scheduled=True), None
    due = next_try(policy, past, Fault.OTHER, first, first, zone)
    end, recheck = policy.ends_at(first, zone), timedelta(days=300)
    for look in [*looks, *["short"] * 200]:
        if isinstance(due, Cap):
            break
        now = due
        assert end is None or now <= end
        if look != "short":
            past, deadline = past.after(Fault(look), scheduled=True), None
            due = next_try(policy, past, Fault(look), first, now, zone)
            continue
        wait = wait_for_money(policy, past, deadline, first, now, zone, recheck)
        if isinstance(wait, Cap):
            due = wait
        else:
            assert now < wait.asked_again_at <= wait.deadline_at
            assert wait.missed == (deadline is not None and now >= deadline)
            past = replace(past, steps_short=past.steps_short + wait.missed)
            due, deadline = wait.asked_again_at, wait.deadline_at

    assert isinstance(due, Cap)


@given(policies)
def test_policies_survive_being_written_down(steps: Sequence[str]) -> None:
    """The text that a plan keeps reads back as the same steps."""
    assert parse_steps("; ".join(steps)) == tuple(steps)


@given(st.text(max_size=40) | st.text("0123456789dhwm*/L,;- \n", max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    """No typed text makes a traceback or a second line."""
    said = "one line"
    try:
        assert len(parse_steps(text)) <= 24
    except InvalidValue as refused:
        said = str(refused)

    assert len(said.splitlines()) == 1
