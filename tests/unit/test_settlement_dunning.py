"""Settling what did not collect: when an invoice is tried again, and when it is given up."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import Fault, Unsent
from billing.domain.settlement import History
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from tests.unit.settlement_world import (
    DAY,
    DEFAULT_STEPS,
    HOUR,
    LIMITS,
    MINUTE,
    NOW,
    SENT,
    applied,
    declined,
    facts,
    kinds,
    settle,
)


@pytest.mark.parametrize(
    "fault", [Fault.INSUFFICIENT_FUNDS, Fault.LIMIT, Fault.OTHER, Fault.TECHNICAL, Fault.HARD]
)
def test_first_decline_starts_dunning(fault: Fault) -> None:
    """The subscription falls behind, the first failure is dated, and the reason is kept."""
    decision = settle(facts(), declined(fault))

    assert decision.status is ChargeStatus.DECLINED
    assert (decision.fault, decision.code, decision.message) == (fault, "E51", "not enough")
    assert decision.move is SubscriptionMove.FALL_BEHIND
    assert decision.first_failed_at == NOW
    assert not decision.wallet_lost
    assert kinds(decision) == ["charge.declined"]


@pytest.mark.parametrize(
    ("spent", "short", "day"),
    [(0, 0, 2), (1, 0, 7), (2, 0, 14), (3, 0, 21), (0, 3, 21), (2, 1, 21), (4, 0, None)],
)
def test_scheduled_declines_and_short_steps_go_up_the_ladder(
    spent: int, short: int, day: int | None
) -> None:
    """Day 2, 7, 14 and 21 after the first failure, then it is given up; short steps count too."""
    history = History(scheduled_declines=spent, steps_short=short)

    decision = settle(facts(first_failed_at=NOW - HOUR, history=history), declined())

    assert decision.first_failed_at == NOW - HOUR
    assert decision.retry_at == (None if day is None else NOW - HOUR + day * DAY)
    assert decision.gives_up is (day is None)


@pytest.mark.parametrize("trigger", [Trigger.OPERATOR, Trigger.CUSTOMER])
@pytest.mark.parametrize("fault", [Fault.INSUFFICIENT_FUNDS, Fault.OTHER, Fault.TECHNICAL])
@pytest.mark.parametrize(("spent", "day"), [(1, 2), (2, 7), (4, 21)])
def test_declined_retry_by_hand_goes_back_to_the_date_there_was(
    trigger: Trigger, fault: Fault, spent: int, day: int
) -> None:
    """
    A person's retry spends no step and shifts no date, whatever it is declined for.

    A quick technical retry after it would come as a scheduled one, and skip a wait.
    """
    history = History(scheduled_declines=spent)
    known = facts(trigger=trigger, first_failed_at=NOW - HOUR, history=history)

    assert settle(known, declined(fault)).retry_at == NOW - HOUR + day * DAY


@pytest.mark.parametrize("trigger", [Trigger.OPERATOR, Trigger.CUSTOMER])
def test_unsent_retry_by_hand_goes_back_to_the_date_there_was(trigger: Trigger) -> None:
    """The connection was refused: tried again by the ladder, not a minute later as scheduled."""
    history = History(scheduled_declines=2)
    known = facts(trigger=trigger, first_failed_at=NOW - HOUR, history=history)

    assert settle(known, Unsent("refused")).retry_at == NOW - HOUR + 7 * DAY


def test_retry_by_hand_between_technical_waits_keeps_them_short() -> None:
    """Before any step is spent there is no date of the ladder to go back to."""
    history = History(technical_declines=1)
    known = facts(trigger=Trigger.OPERATOR, first_failed_at=NOW - HOUR, history=history)

    assert settle(known, declined(Fault.TECHNICAL)).retry_at == NOW + HOUR
    assert settle(known, Unsent("refused")).retry_at == NOW + MINUTE


@pytest.mark.parametrize("trigger", list(Trigger))
def test_hard_decline_gives_up_at_once(trigger: Trigger) -> None:
    """`hard` means no retry, however many steps are left and whoever asked."""
    decision = settle(facts(trigger=trigger), declined(Fault.HARD))

    assert decision.gives_up
    assert decision.retry_at is None


@pytest.mark.parametrize(
    ("before", "wait"),
    [(0, 15 * MINUTE), (1, HOUR), (2, 4 * HOUR), (3, 12 * HOUR)],
)
def test_technical_decline_backs_off_without_spending_a_step(before: int, wait: timedelta) -> None:
    """An outage at the wallet is tried again soon; the ladder is where it was."""
    history = History(scheduled_declines=4, technical_declines=before)
    known = facts(first_failed_at=NOW - 21 * DAY, history=history)

    assert settle(known, declined(Fault.TECHNICAL)).retry_at == NOW + wait


def test_technical_declines_after_the_fourth_count_as_any_other() -> None:
    """The fifth spends the first step, the sixth the second: the ladder has an end for them too."""
    first = NOW - 10 * MINUTE
    retries = [
        settle(
            facts(first_failed_at=first, history=History(technical_declines=before)),
            declined(Fault.TECHNICAL),
        ).retry_at
        for before in range(4, 10)
    ]

    days: list[datetime | None] = [first + day * DAY for day in (2, 7, 14, 21)]
    assert retries == [*days, None, None]


def test_counted_technical_declines_move_the_other_faults_too() -> None:
    """A step that a technical decline has spent is not there again for the next decline."""
    first = NOW - DAY
    history = History(scheduled_declines=1, technical_declines=6)
    known = facts(first_failed_at=first, history=history)

    assert settle(known, declined()).retry_at == first + 21 * DAY


def test_wallet_fault_blocks_without_spending_a_step() -> None:
    """The token is a precondition: no failure is dated, a new link is asked for, with an end."""
    decision = settle(facts(), declined(Fault.WALLET))

    assert decision.status is ChargeStatus.DECLINED
    assert decision.wallet_lost
    assert decision.blocked_on is Blocked.WALLET
    assert decision.first_failed_at is None
    assert decision.retry_at == NOW + LIMITS.wallet_wait
    assert not decision.gives_up
    assert decision.move is SubscriptionMove.FALL_BEHIND


def test_wallet_fault_when_the_customer_has_linked_anew_is_charged_at_once() -> None:
    """The charge follows as soon as a wallet is active, and here one is already."""
    decision = settle(facts(relinked=True), declined(Fault.WALLET))

    assert decision.retry_at == NOW
    assert decision.blocked_on is None
    assert decision.wallet_lost
    assert decision.first_failed_at is None


def test_wallet_fault_on_the_last_step_does_not_give_up() -> None:
    """Even with all steps spent the customer may link anew."""
    known = facts(history=History(scheduled_declines=4), first_failed_at=SENT - 21 * DAY)

    decision = settle(known, declined(Fault.WALLET))

    assert not decision.gives_up
    assert decision.blocked_on is Blocked.WALLET


@pytest.mark.parametrize(
    "invoice", [InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.VOID]
)
@pytest.mark.parametrize("fault", list(Fault))
def test_decline_for_an_invoice_that_is_closed_only_ends_the_charge(
    invoice: InvoiceStatus, fault: Fault
) -> None:
    """Retries end with the invoice; only a lost wallet is still worth knowing."""
    decision = settle(facts(invoice_status=invoice), declined(fault))

    assert decision.status is ChargeStatus.DECLINED
    assert decision.retry_at is None
    assert not decision.gives_up
    assert decision.move is None
    assert decision.first_failed_at is None
    assert decision.wallet_lost is (fault is Fault.WALLET)


@pytest.mark.parametrize(
    "status", [status for status in SubscriptionStatus if status is not SubscriptionStatus.ACTIVE]
)
def test_only_an_active_subscription_falls_behind(status: SubscriptionStatus) -> None:
    """One that is behind, paused or ended is not moved by one more decline."""
    assert settle(facts(subscription_status=status), declined()).move is None


@pytest.mark.parametrize(
    ("before", "wait"),
    [(0, MINUTE), (1, 5 * MINUTE), (2, 15 * MINUTE), (3, HOUR), (50, HOUR)],
)
def test_unsent_charge_is_tried_again_soon_and_starts_no_dunning(
    before: int, wait: timedelta
) -> None:
    """The money cannot have moved and nobody declined: no step, no first failure, no move."""
    decision = settle(facts(history=History(unsent=before)), Unsent("connection refused"))

    assert decision.status is ChargeStatus.UNSENT
    assert decision.retry_at == NOW + wait
    assert decision.first_failed_at is None
    assert decision.move is None
    assert decision.fault is None
    assert decision.events == [("charge.unsent", {"why": "connection refused"})]


def test_default_ladder_walked_with_declines_only_ends_after_five() -> None:
    """The due date and four steps: five declines, each on its date, and then it is given up."""
    known, now, dates = facts(), SENT, []
    for spent in range(5):
        known = replace(known, charge_status=ChargeStatus.IN_FLIGHT)
        known = replace(known, history=History(scheduled_declines=spent))
        decision = settle(known, declined(), now=now)
        dates.append(decision.retry_at)
        known = applied(known, decision, now)
        now = decision.retry_at or now

    assert dates == [*(SENT + day * DAY for day in (2, 7, 14, 21)), None]
    assert known.invoice_status is InvoiceStatus.UNCOLLECTIBLE
    assert len(DEFAULT_STEPS) == 4
