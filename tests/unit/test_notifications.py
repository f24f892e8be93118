"""What a notification makes due: a status query at most once a minute, and never an outcome."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.notifications import Notification, Reaction, Recorded, Said, react
from billing.domain.settlement import Limits

SENT = datetime(2026, 1, 31, 2, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours",
                                                                 "days"))  # fmt: skip
LIMITS = Limits(not_found_horizon=15 * MINUTE, wallet_wait=30 * DAY, confirm_after=6 * MINUTE)
UNKNOWN = Recorded(ChargeStatus.UNKNOWN, 50_000, SENT, SENT + HOUR, None, False, False)


def says(said: Said, amount: int | None = 50_000) -> Notification:
    """A notification about the charge."""
    return Notification(said, number="N-1", amount=amount)


def reaction(known: Recorded, said: Said, now: datetime, **more: int) -> Reaction | None:
    """What a notification changes."""
    return react(known, says(said, **more), now, LIMITS)


@pytest.mark.parametrize("said", list(Said))
@pytest.mark.parametrize("status", UNRESOLVED)
def test_an_unresolved_charge_is_queried_at_once(status: ChargeStatus, said: Said) -> None:
    """Whatever the notification says, only the gateway's answer to a query counts."""
    now = SENT + 10 * MINUTE

    assert reaction(replace(UNKNOWN, status=status), said, now) == Reaction(now)


def test_no_query_is_earlier_than_a_minute_after_the_request() -> None:
    """DOKU asks to wait 60 s (Check Status), and notifies within a second."""
    assert reaction(UNKNOWN, Said.SUCCEEDED, SENT + SECOND) == Reaction(SENT + MINUTE)


def test_a_query_that_is_due_earlier_stays() -> None:
    """A notification never moves a query to a later time."""
    known = replace(UNKNOWN, next_check_at=SENT + MINUTE)

    assert reaction(known, Said.SUCCEEDED, SENT + SECOND) is None


def test_a_notification_during_a_query_is_noted_once() -> None:
    """The answer to a query that is due already may be older than the notification."""
    known, now = replace(UNKNOWN, next_check_at=SENT + HOUR), SENT + HOUR + SECOND

    assert reaction(known, Said.SUCCEEDED, now) == Reaction(now, queries=False)
    noted = replace(known, notified_at=now)
    assert reaction(noted, Said.SUCCEEDED, now + SECOND) is None


def test_a_parked_charge_is_queried_again() -> None:
    """A charge without a next query gets one."""
    now = SENT + 9 * DAY

    assert reaction(replace(UNKNOWN, next_check_at=None), Said.SUCCEEDED, now) == Reaction(now)


def test_repeated_notifications_make_one_query_a_minute() -> None:
    """Three hundred notifications in five minutes make five queries, each a minute apart."""
    known, queries = replace(UNKNOWN, next_check_at=SENT + DAY), []
    for second in range(300):
        now = SENT + HOUR + second * SECOND
        made = reaction(known, Said.SUCCEEDED, now)
        if made is not None:
            known = replace(known, next_check_at=made.at, notified_at=made.at)
        if known.next_check_at is not None and known.next_check_at <= now:
            queries.append(now)
            known = replace(known, next_check_at=now + DAY)  # asked: the schedule continues

    assert len(queries) == 5
    assert all(later - earlier >= MINUTE for earlier, later in itertools.pairwise(queries))


def test_a_suspected_decline_keeps_the_breakers_window() -> None:
    """An early query would confirm a decline before the breaker has seen the other answers."""
    known = replace(UNKNOWN, suspected=True, next_check_at=SENT + 7 * MINUTE)
    assert reaction(known, Said.FAILED, SENT + 2 * MINUTE) is None
    assert reaction(known, Said.SUCCEEDED, SENT + 2 * MINUTE) is None

    later = replace(known, next_check_at=SENT + DAY)
    assert reaction(later, Said.FAILED, SENT + HOUR) == Reaction(SENT + HOUR)


SETTLED = replace(UNKNOWN, next_check_at=None)
PAID = replace(SETTLED, status=ChargeStatus.SUCCEEDED)
DECLINED = replace(SETTLED, status=ChargeStatus.DECLINED)
UNSENT = replace(SETTLED, status=ChargeStatus.UNSENT)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (PAID, Said.SUCCEEDED),
        (PAID, Said.OTHER),
        (DECLINED, Said.FAILED),
        (DECLINED, Said.OTHER),
        (UNSENT, Said.FAILED),
    ],
)
def test_a_notification_that_agrees_changes_nothing(known: Recorded, said: Said) -> None:
    """Nearly every notification is about a charge that is settled already."""
    assert reaction(known, said, SENT + MINUTE) is None


@pytest.mark.parametrize(("known", "said"), [(PAID, Said.FAILED), (DECLINED, Said.SUCCEEDED)])
def test_a_contradiction_is_asked_about(known: Recorded, said: Said) -> None:
    """The recorded outcome stays; the gateway is asked."""
    now = SENT + HOUR
    assert reaction(known, said, now) == Reaction(now, contradicts=True)

    asked = replace(known, next_check_at=now, notified_at=now)
    assert reaction(asked, said, now) is None
    done = replace(known, notified_at=now)
    assert reaction(done, said, now + SECOND) == Reaction(now + MINUTE, contradicts=True)


def test_a_success_over_another_amount_contradicts() -> None:
    """The amount is part of what was recorded; an absent one says nothing."""
    assert reaction(PAID, Said.SUCCEEDED, SENT + HOUR, amount=50_001) is not None
    assert react(PAID, says(Said.SUCCEEDED, None), SENT + HOUR, LIMITS) is None


def test_a_contradiction_that_waits_for_an_operator_is_not_repeated() -> None:
    """The charge is in the list of what needs an operator already."""
    known = replace(PAID, contradicted=True)

    assert reaction(known, Said.FAILED, SENT + HOUR) is None


def test_success_of_an_unsent_charge_is_only_recorded() -> None:
    """Before it is sent again the gateway is asked anyway; the event is written once a minute."""
    now = SENT + HOUR
    assert reaction(UNSENT, Said.SUCCEEDED, now) == Reaction(now, queries=False, contradicts=True)
    assert reaction(replace(UNSENT, notified_at=now), Said.SUCCEEDED, now + SECOND) is None
