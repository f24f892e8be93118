"""How a plan's words become due dates: the calendar of a subscription, and where it begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from billing.domain.subscription import SubscriptionStatus
from schedules.calendar import Calendar
from schedules.durations import add_to_wall, parse_duration
from schedules.walltime import asked_wall, local_anchor, place


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The time zone of a plan that was checked when it was made."""
    return ZoneInfo(name)


def calendar(plan: Mapping[Any, Any], anchor_local: datetime) -> Calendar:
    """The due dates of a subscription. `plan` has `every`, `cron` and `timezone`."""
    return _calendar(plan["every"], plan["cron"], plan["timezone"], anchor_local)


@lru_cache(maxsize=4_096)
def _calendar(every: str | None, cron: str | None, timezone: str, anchor: datetime) -> Calendar:
    """Many subscriptions share a plan and an anchor: the day that a price became theirs."""
    place = zone(timezone)
    if every is not None:
        return Calendar.every(every, anchor=anchor, timezone=place)
    return Calendar.cron(str(cron), anchor=anchor, timezone=place)


@lru_cache(maxsize=16_384)
def following(dates: Calendar, index: int, start: datetime) -> datetime:
    """The start of the period after `index`, which begins at `start`; computed once for many."""
    return dates.following(index, start)


def same_schedule(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    """Whether two plans have the same due dates from the same anchor."""
    if one["timezone"] != other["timezone"] or one["cron"] != other["cron"]:
        return False
    return one["every"] is None or parse_duration(one["every"]) == parse_duration(other["every"])


def changed(row: Mapping[Any, Any], plan: Mapping[Any, Any], start: datetime) -> dict[str, Any]:
    """The columns of a subscription whose planned change takes effect with a period's `start`.

    With other due dates, that start is the anchor of the periods from then on.
    """
    columns = {
        "plan_code": row["next_plan_code"],
        "quantity": row["next_quantity"],
        "amount": row["next_amount"],
        **NO_CHANGE,
    }
    if not same_schedule(row, plan):
        columns["anchor_local"] = anchor_from(row, plan, start)
        columns["anchor_index"] = row["next_period_index"]
    return columns


def anchor_from(row: Mapping[Any, Any], plan: Mapping[Any, Any], start: datetime) -> datetime:
    """The anchor of new due dates that begin where a period of the old ones would have begun."""
    if row["timezone"] != plan["timezone"]:
        return local_anchor(start, zone(plan["timezone"]))
    return calendar(row, row["anchor_local"]).wall(start)


NO_CHANGE = dict.fromkeys(("change_at", "next_plan_code", "next_quantity", "next_amount"))
"""The columns of a planned change when there is none."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a subscription begins once there is a wallet."""

    status: SubscriptionStatus
    anchor_local: datetime
    next_due_at: datetime


def begin(plan: Mapping[Any, Any], start: datetime) -> Beginning:
    """Where a subscription that starts at `start` has its anchor and period 0.

    `start` is an instant, or a naive wall time in the plan's timezone. A trial moves both to its
    end. The anchor is the wall time that was asked for, even inside a spring gap.
    """
    timezone = zone(plan["timezone"])
    status, anchor = SubscriptionStatus.ACTIVE, asked_wall(start, timezone)
    if plan["trial"] is not None:
        anchor = add_to_wall(parse_duration(plan["trial"]), anchor, timezone)
        status = SubscriptionStatus.TRIALING
    return Beginning(status, anchor, calendar(plan, anchor).due(0))


def wished_start(row: Mapping[Any, Any]) -> datetime | None:
    """The start that was asked for, as `begin` takes it; None when it begins with the wallet.

    `row` has `start_at`, and `start_local` when a wall time was given: inside a spring gap the
    instant does not tell it.
    """
    at: datetime | None = row["start_at"]
    wall: datetime | None = row["start_local"]
    # With another timezone by now (a change of plan) the instant is what was promised.
    kept = wall is not None and place(wall, zone(row["timezone"])) == at
    return wall if kept else at


def next_start(
    plan: Mapping[Any, Any], anchor_local: datetime, now: datetime
) -> tuple[int, datetime]:
    """The first period that begins after `now`: its index and its start."""
    dates = calendar(plan, anchor_local)
    index = dates.index_at(now) + 1
    return index, dates.due(index)


def unused_days(start: datetime, end: datetime, now: datetime, place: ZoneInfo) -> tuple[int, int]:
    """How many of a period's local days are left at `now`, and how many it has.

    The local days before that of `now` are used; that day itself is not, however late it is.
    """
    first, last = start.astimezone(place).date(), end.astimezone(place).date()
    whole = (last - first).days
    used = min(max((now.astimezone(place).date() - first).days, 0), whole)
    return whole - used, whole
