"""The rules of a subscription's life as tables: trials, terms, pauses, ends, changes, catch-up.

Each row says what is ahead of a subscription; the forecast is the same arithmetic as opening.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.domain.backdating import beginning
from billing.domain.forecast import Reason, periods
from billing.domain.periods import Beginning, changed, same_schedule
from billing.domain.subscription import CatchUp, SubscriptionStatus
from billing.domain.terms import PlanTerms

NOW = datetime(2026, 1, 31, 2, tzinfo=UTC)
"""09:00 in Jakarta."""
DAY = timedelta(days=1)
wall = datetime.fromisoformat
UNTIL = NOW + 100 * DAY
MONTHLY = PlanTerms("1 month", None, "Asia/Jakarta", None, CatchUp.ALL)
PAUSED, TRIALING = SubscriptionStatus.PAUSED, SubscriptionStatus.TRIALING
TEN_DAYS = MONTHLY._replace(every="10 days")
PLAIN = beginning(
    MONTHLY, Beginning(SubscriptionStatus.ACTIVE, wall("2026-01-31T09:00"), NOW), 10_000
)
MARCH_31 = datetime(2026, 3, 31, 2, tzinfo=UTC)
TO_TEN_DAYS = {
    "change_at": MARCH_31, "next_plan_code": "TEN", "next_quantity": 2, "next_amount": 6_000,
}  # fmt: skip


def ahead(next_cycles: int | None = None, **row: Any) -> list[tuple[str, int, str]]:
    """What will be charged: date in Jakarta, rupiah and reason."""
    next_plan = TEN_DAYS._replace(cycles=next_cycles) if "change_at" in row else None
    return [
        (f"{(e.due_at + timedelta(hours=7)):%m-%d}", e.amount, e.reason.value)
        for e in periods(PLAIN._replace(**row), NOW, UNTIL, next_plan)
    ]


@pytest.mark.parametrize(
    ("row", "dates"),
    [
        ({}, ["01-31", "02-28", "03-31", "04-30"]),
        ({"cycles": 2}, ["01-31", "02-28"]),
        ({"cycles": 2, "next_period_index": 2}, []),
        ({"cancel_at": datetime(2026, 3, 31, 2, tzinfo=UTC)}, ["01-31", "02-28"]),
        ({"pause_at": datetime(2026, 2, 28, 2, tzinfo=UTC)}, ["01-31"]),
        (
            {"status": PAUSED, "next_due_at": None, "next_period_index": 1,
             "resume_at": datetime(2026, 3, 10, tzinfo=UTC)},
            ["03-31", "04-30"],
        ),
        (
            # A pause that ends exactly on a due date leaves nothing out.
            {"status": PAUSED, "next_due_at": None, "next_period_index": 1,
             "resume_at": datetime(2026, 3, 31, 2, tzinfo=UTC)},
            ["03-31", "04-30"],
        ),
        (
            {"pause_at": datetime(2026, 2, 28, 2, tzinfo=UTC),
             "resume_at": datetime(2026, 4, 2, 2, tzinfo=UTC)},
            ["01-31", "04-30"],
        ),
        (
            # Five days of the trial were left.
            {"status": PAUSED, "next_due_at": None, "trial_left_seconds": 5 * 86_400,
             "resume_at": datetime(2026, 3, 10, 2, tzinfo=UTC)},
            ["03-15", "04-15"],
        ),
        (
            {"status": PAUSED, "next_due_at": None, "next_period_index": 1,
             "resume_at": datetime(2026, 3, 10, tzinfo=UTC), "cancel_at": NOW + 30 * DAY},
            [],
        ),
        ({"status": PAUSED, "next_due_at": None}, []),
        (
            {"status": TRIALING, "anchor_local": wall("2026-02-07T09:00"),
             "next_due_at": datetime(2026, 2, 7, 2, tzinfo=UTC)},
            ["02-07", "03-07", "04-07", "05-07"],
        ),
        (
            {"anchor_local": wall("2025-11-30T09:00"), "next_due_at": NOW - 62 * DAY,
             "next_period_index": 0},
            ["01-31", "01-31", "01-31", "02-28", "03-30", "04-30"],
        ),
        (
            {"anchor_local": wall("2025-11-30T09:00"), "next_due_at": NOW - 62 * DAY,
             "next_period_index": 0, "catch_up": CatchUp.LATEST},
            ["01-31", "02-28", "03-30", "04-30"],
        ),
        (TO_TEN_DAYS, ["01-31", "02-28", "03-31", "04-10", "04-20", "04-30", "05-10"]),
    ],
    ids=["plain", "term", "term over", "end", "pause", "pause with a return",
         "return on a due date", "planned pause with a return", "paused trial",
         "end before the return", "paused", "trial", "catch-up all", "catch-up latest",
         "change of interval"],
)  # fmt: skip
def test_when_it_will_be_charged(row: dict[str, Any], dates: list[str]) -> None:
    """Dates of a hundred days ahead; what is overdue is due now."""
    assert [date for date, _, _ in ahead(**row)] == dates


@pytest.mark.parametrize(
    ("row", "amounts"),
    [
        ({}, [10_000] * 4),
        (
            {"coupon_code": "C", "coupon_percent": 50, "coupon_left": 2},
            [5_000, 5_000, 10_000, 10_000],
        ),
        ({"coupon_code": "C", "coupon_rupiah": 3_000}, [7_000] * 4),
        ({"extras": [{"kind": "extra", "amount": 700}]}, [10_700, 10_000, 10_000, 10_000]),
        (TO_TEN_DAYS, [10_000, 10_000, 6_000, 6_000, 6_000, 6_000, 6_000]),
        (TO_TEN_DAYS | {"next_cycles": 4}, [10_000, 10_000, 6_000, 6_000]),
    ],
    ids=["plain", "coupon for two", "coupon for ever", "one line", "change", "change to a term"],
)  # fmt: skip
def test_coming_amounts_follow_coupons_lines_and_changes(
    row: dict[str, Any], amounts: list[int]
) -> None:
    """A coupon counts down, a line is billed once, a change has its own price from its date."""
    assert [amount for _, amount, _ in ahead(**row)] == amounts


@pytest.mark.parametrize(
    ("row", "reasons"),
    [
        ({}, [Reason.FIRST, Reason.RENEWAL]),
        ({"status": TRIALING}, [Reason.TRIAL_END, Reason.RENEWAL]),
        ({"first_paid_at": NOW}, [Reason.RENEWAL, Reason.RENEWAL]),
        (TO_TEN_DAYS | {"change_at": NOW + 28 * DAY}, [Reason.FIRST, Reason.CHANGE]),
    ],
)
def test_why_it_will_be_charged(row: dict[str, Any], reasons: list[str]) -> None:
    """The first payment, a trial's end, a renewal, a change."""
    assert [reason for _, _, reason in ahead(**row)][:2] == [reason.value for reason in reasons]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"every": "1 months"}, True),
        ({"every": "2 months"}, False),
        ({"every": "30 days"}, False),
        ({"timezone": "Asia/Makassar"}, False),
        ({"every": None, "cron": "0 9 1 * *"}, False),
    ],
)
def test_which_plans_have_the_same_dates(other: dict[str, Any], *, same: bool) -> None:
    """Interval, cron and timezone are compared, in every spelling of the interval."""
    assert same_schedule(MONTHLY, MONTHLY._replace(**other)) is same
    assert same_schedule(MONTHLY._replace(**other), MONTHLY) is same


def test_a_change_keeps_the_anchor_unless_the_dates_are_others() -> None:
    """The columns of an intent that takes effect, with the intent cleared."""
    row = PLAIN._replace(**TO_TEN_DAYS, next_period_index=2)

    kept = changed(row, MONTHLY, MARCH_31)
    moved = changed(row, TEN_DAYS, MARCH_31)

    assert kept == {
        "plan_code": "TEN", "quantity": 2, "amount": 6_000, "change_at": None,
        "change_period": None, "next_plan_code": None, "next_quantity": None, "next_amount": None,
    }  # fmt: skip
    assert moved == kept | {"anchor_local": wall("2026-03-31T09:00"), "anchor_index": 2}
