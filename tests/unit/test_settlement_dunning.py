"""Settling failed charges: when an invoice is retried, and when it is given up."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from billing.domain.charge import ChargeStatus, Trigger
from billing.domain.dunning import Cap, History, Policy
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import Fault, Unsent
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus
from tests.unit.settlement_world import (
    DAY,
    DEFAULT_STEPS,
    HOUR,
    JAKARTA,
    LIMITS,
    MINUTE,
    NOW,
    SENT,
    applied,
    declined,
    ended,
    facts,
    kinds,
)


@pytest.mark.parametrize(
    "fault", [Fault.INSUFFICIENT_FUNDS, Fault.LIMIT, Fault.OTHER, Fault.TECHNICAL, Fault.HARD]
)
def test_first_decline_starts_dunning(fault: Fault) -> None:
    """The subscription becomes past due, the first failure is dated, and the reason is stored."""
    decision = ended(facts(), declined(fault))

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
    first = NOW - ([0, 2, 7, 14, 21][spent + short] * DAY + HOUR)

    decision = ended(facts(first_failed_at=first, history=history), declined())

    assert decision.first_failed_at == first
    assert decision.retry_at == (None if day is None else first + day * DAY)
    assert decision.gives_up is (day is None)


@pytest.mark.parametrize("trigger", [Trigger.OPERATOR, Trigger.CUSTOMER])
@pytest.mark.parametrize("fault", [Fault.INSUFFICIENT_FUNDS, Fault.OTHER, Fault.TECHNICAL])
@pytest.mark.parametrize(("spent", "day"), [(1, 2), (2, 7), (4, 21)])
def test_declined_retry_by_hand_goes_back_to_the_date_there_was(
    trigger: Trigger, fault: Fault, spent: int, day: int
) -> None:
    """
    A manual retry uses no step and moves no date, for every fault.

    A quick technical retry after it would come as a scheduled one, and skip a wait.
    """
    history = History(scheduled_declines=spent)
    due = NOW - HOUR + day * DAY
    known = facts(trigger=trigger, first_failed_at=NOW - HOUR, history=history, planned_at=due)

    assert ended(known, declined(fault)).retry_at == due


@pytest.mark.parametrize("trigger", [Trigger.OPERATOR, Trigger.CUSTOMER])
def test_unsent_retry_by_hand_goes_back_to_the_date_there_was(trigger: Trigger) -> None:
    """The connection was refused: tried again by the ladder, not a minute later as scheduled."""
    history, due = History(scheduled_declines=2), NOW + 5 * DAY
    known = facts(trigger=trigger, first_failed_at=NOW - HOUR, history=history, planned_at=due)

    assert ended(known, Unsent("refused")).retry_at == due


@pytest.mark.parametrize("fault", [Fault.TECHNICAL, Fault.OTHER])
def test_retry_by_hand_between_technical_waits_keeps_them_short(fault: Fault) -> None:
    """The date there was is a quarter of an hour away, and stays."""
    history, due = History(technical_declines=1), NOW + 9 * MINUTE
    known = facts(
        trigger=Trigger.OPERATOR, first_failed_at=NOW - HOUR, history=history, planned_at=due
    )

    assert ended(known, declined(fault)).retry_at == due
    assert ended(known, Unsent("refused")).retry_at == due


def test_retry_by_hand_on_a_step_that_waits_for_money_goes_back_to_waiting() -> None:
    """When the next balance check has elapsed, the step's deadline counts."""
    known = facts(
        trigger=Trigger.OPERATOR, first_failed_at=NOW - 3 * DAY,
        history=History(scheduled_declines=1), planned_at=NOW - MINUTE,
        step_deadline_at=NOW + 4 * DAY,
    )  # fmt: skip

    assert ended(known, declined()).retry_at == NOW + 4 * DAY


def test_retry_by_hand_that_ended_after_the_date_there_was_waits_for_the_step_anew() -> None:
    """After days of an unknown outcome the steps of the decline before it continue from now."""
    policy = Policy(("2d", "5d"), {Fault.LIMIT: ("3d", "4d")})
    history = History(scheduled_declines=1, last_fault=Fault.LIMIT)
    known = facts(
        trigger=Trigger.OPERATOR, first_failed_at=NOW - 9 * DAY, history=history,
        planned_at=NOW - 6 * DAY, policy=policy,
    )  # fmt: skip

    assert ended(known, declined(Fault.OTHER)).retry_at == NOW + 3 * DAY
    assert ended(known, Unsent("refused")).retry_at == NOW + MINUTE


def test_each_fault_takes_the_next_step_of_its_own_ladder() -> None:
    """
    Steps are counted together: the n-th decline uses the n-th step of its fault class.

    It waits as long as it says; on one and the same ladder that is from the first failure on.
    """
    ladders = {Fault.INSUFFICIENT_FUNDS: ("0 10 25 * *",) * 3, Fault.LIMIT: ("1d", "1d")}
    policy = Policy(("2d", "5d", "7d", "7d"), ladders)
    first = datetime(2026, 1, 31, 9, tzinfo=JAKARTA)
    payday = datetime(2026, 2, 25, 10, tzinfo=JAKARTA)
    story = [
        (Fault.LIMIT, first, first + DAY),
        (Fault.OTHER, first + DAY, first + 6 * DAY),
        (Fault.INSUFFICIENT_FUNDS, first + 6 * DAY, payday),
        (Fault.OTHER, payday, payday + 7 * DAY),
        (Fault.LIMIT, payday + 7 * DAY, None),
    ]
    for spent, (fault, now, due) in enumerate(story):
        known = facts(
            first_failed_at=first, history=History(scheduled_declines=spent), policy=policy
        )
        assert ended(known, declined(fault), now=now).retry_at == due, spent


@pytest.mark.parametrize(
    ("policy", "history", "cap"),
    [
        (Policy(("2d",) * 4), History(scheduled_declines=4), Cap.RETRIES),
        (Policy(()), History(), Cap.RETRIES),
        (Policy(("2d",) * 4, {Fault.INSUFFICIENT_FUNDS: ()}), History(), Cap.RETRIES),
        (Policy(("2d",) * 4, declines_max=1), History(), Cap.DECLINES),
        (Policy(("2d",) * 4, declines_max=3), History(scheduled_declines=1), None),
        (Policy(("2d",) * 4, declines_max=3), History(1, 1), Cap.DECLINES),
        (Policy(("2d",) * 4, declines_max=3), History(1, 0, 5), Cap.DECLINES),
        (Policy(("2d",) * 4, attempts_max=1), History(), Cap.ATTEMPTS),
        (Policy(("2d",) * 4, attempts_max=6), History(1, 0, 3, attempts=4), None),
        (Policy(("2d",) * 4, attempts_max=6), History(1, 0, 3, attempts=5), Cap.ATTEMPTS),
        (Policy(("2d",) * 4, days_max=1), History(), Cap.DAYS),
        (Policy(("2d",) * 4, days_max=2), History(), None),
        (Policy(("2d", "5d"), days_max=4), History(scheduled_declines=1), Cap.DAYS),
        (Policy(("2d", "5d"), days_max=5), History(scheduled_declines=1), None),
    ],
)
def test_the_first_cap_that_is_met_ends_dunning(
    policy: Policy, history: History, cap: Cap | None
) -> None:
    """Declines on a date, charges in all, days since the first failure, or the ladder's end."""
    decision = ended(facts(history=history, policy=policy), declined())

    assert (decision.gives_up, decision.cap) == (cap is not None, cap)
    assert (decision.retry_at is None) is (cap is not None)


def test_technical_waits_spend_attempts_and_days_but_no_declines() -> None:
    """A quick retry is a charge as well, and none is planned after the last day."""
    first = NOW - DAY
    known = facts(first_failed_at=first, history=History(technical_declines=3, attempts=3))

    def due(policy: Policy) -> tuple[datetime | None, Cap | None]:
        decision = ended(replace(known, policy=policy), declined(Fault.TECHNICAL))
        return decision.retry_at, decision.cap

    assert due(Policy(declines_max=1)) == (NOW + 12 * HOUR, None)
    assert due(Policy(attempts_max=4)) == (None, Cap.ATTEMPTS)
    assert due(Policy(days_max=1)) == (None, Cap.DAYS)


def test_a_persons_retry_may_be_the_last_attempt() -> None:
    """It counts as a charge: no automatic one is left then, and dunning ends."""
    known = facts(
        trigger=Trigger.OPERATOR, first_failed_at=NOW - DAY, planned_at=NOW + DAY,
        history=History(scheduled_declines=1, attempts=1), policy=Policy(("2d",), attempts_max=2),
    )  # fmt: skip

    assert ended(known, declined()).cap is Cap.ATTEMPTS


def test_waiting_for_a_wallet_ends_with_the_days() -> None:
    """Thirty days for a new link, but none beyond the cap; a lost wallet spends no attempt."""
    policy = Policy(("2d",) * 4, attempts_max=2, days_max=10)
    known = facts(first_failed_at=NOW - DAY, history=History(attempts=1), policy=policy)

    decision = ended(known, declined(Fault.WALLET))
    assert (decision.blocked_on, decision.retry_at) == (Blocked.WALLET, NOW + 9 * DAY)
    late = ended(replace(known, first_failed_at=NOW - 10 * DAY), declined(Fault.WALLET))
    assert (late.gives_up, late.cap, late.blocked_on) == (True, Cap.DAYS, None)
    assert ended(facts(policy=policy), declined(Fault.WALLET)).retry_at == NOW + 30 * DAY


@pytest.mark.parametrize("trigger", list(Trigger))
def test_hard_decline_gives_up_at_once(trigger: Trigger) -> None:
    """`hard` means no retry, with any number of steps left and every trigger."""
    decision = ended(facts(trigger=trigger), declined(Fault.HARD))

    assert decision.gives_up
    assert decision.retry_at is None


@pytest.mark.parametrize(
    ("before", "wait"),
    [(0, 15 * MINUTE), (1, HOUR), (2, 4 * HOUR), (3, 12 * HOUR)],
)
def test_technical_decline_backs_off_without_spending_a_step(before: int, wait: timedelta) -> None:
    """A technical decline is retried soon; the steps stay on their dates."""
    history = History(scheduled_declines=4, technical_declines=before)
    known = facts(first_failed_at=NOW - 21 * DAY, history=history)

    assert ended(known, declined(Fault.TECHNICAL)).retry_at == NOW + wait


def test_technical_declines_after_the_fourth_count_as_any_other() -> None:
    """The fifth uses the first step, the sixth the second: technical declines have an end too."""
    first = NOW - 10 * MINUTE
    retries = [
        ended(
            facts(first_failed_at=first, history=History(technical_declines=before)),
            declined(Fault.TECHNICAL),
            now=first + day * DAY + MINUTE,
        ).retry_at
        for before, day in enumerate([0, 2, 7, 14, 21, 22], 4)
    ]

    days: list[datetime | None] = [first + day * DAY for day in (2, 7, 14, 21)]
    assert retries == [*days, None, None]


def test_counted_technical_declines_move_the_other_faults_too() -> None:
    """A step that a technical decline used is not available for the next decline."""
    first = NOW - 15 * DAY
    history = History(scheduled_declines=1, technical_declines=6)
    known = facts(first_failed_at=first, history=history)

    assert ended(known, declined()).retry_at == first + 21 * DAY


def test_wallet_fault_blocks_without_spending_a_step() -> None:
    """The token is a precondition: no failure is dated; a new link is requested, with a limit."""
    decision = ended(facts(), declined(Fault.WALLET))

    assert decision.status is ChargeStatus.DECLINED
    assert decision.wallet_lost
    assert decision.blocked_on is Blocked.WALLET
    assert decision.first_failed_at is None
    assert decision.retry_at == NOW + LIMITS.wallet_wait
    assert not decision.gives_up
    assert decision.move is SubscriptionMove.FALL_BEHIND


def test_wallet_fault_when_the_customer_has_linked_anew_is_charged_at_once() -> None:
    """The charge follows as soon as a wallet is active, and here one is already."""
    decision = ended(facts(relinked=True), declined(Fault.WALLET))

    assert decision.retry_at == NOW
    assert decision.blocked_on is None
    assert decision.wallet_lost
    assert decision.first_failed_at is None


def test_wallet_fault_on_the_last_step_does_not_give_up() -> None:
    """Also with all steps used the customer may link again."""
    known = facts(history=History(scheduled_declines=4), first_failed_at=SENT - 21 * DAY)

    decision = ended(known, declined(Fault.WALLET))

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
    decision = ended(facts(invoice_status=invoice), declined(fault))

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
    assert ended(facts(subscription_status=status), declined()).move is None


@pytest.mark.parametrize(
    ("before", "wait"),
    [(0, MINUTE), (1, 5 * MINUTE), (2, 15 * MINUTE), (3, HOUR), (50, HOUR)],
)
def test_unsent_charge_is_tried_again_soon_and_starts_no_dunning(
    before: int, wait: timedelta
) -> None:
    """The money cannot have moved and there is no decline: no step, no first failure, no move."""
    decision = ended(facts(history=History(unsent=before)), Unsent("connection refused"))

    assert decision.status is ChargeStatus.UNSENT
    assert decision.retry_at == NOW + wait
    assert decision.first_failed_at is None
    assert decision.move is None
    assert decision.fault is None
    assert decision.events == (("charge.unsent", {"why": "connection refused"}),)


def test_default_ladder_walked_with_declines_only_ends_after_five() -> None:
    """The due date and four steps: five declines, each on its date, and then it is given up."""
    known, now, dates = facts(), SENT, []
    for spent in range(5):
        known = replace(known, charge_status=ChargeStatus.IN_FLIGHT)
        known = replace(known, history=History(scheduled_declines=spent))
        decision = ended(known, declined(), now=now)
        dates.append(decision.retry_at)
        known = applied(known, decision, now)
        now = decision.retry_at or now

    assert dates == [*(SENT + day * DAY for day in (2, 7, 14, 21)), None]
    assert known.invoice_status is InvoiceStatus.UNCOLLECTIBLE
    assert len(DEFAULT_STEPS) == 4


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_a_debt_that_was_given_up_gets_one_try_and_no_ladder(
    fault: Fault, trigger: Trigger
) -> None:
    """After any decline it is given up again: no date, no step, and no `past_due`."""
    known = facts(reopened=True, trigger=trigger, first_failed_at=NOW - 90 * DAY)

    decision = ended(known, declined(fault))

    assert decision.gives_up
    assert decision.retry_at is None
    assert decision.move is None
    assert decision.cap is None
    assert decision.wallet_lost is (fault is Fault.WALLET)


def test_a_try_of_a_debt_that_was_not_sent_is_sent_soon() -> None:
    """An unsent charge is no result of the manual retry."""
    decision = ended(facts(reopened=True, trigger=Trigger.OPERATOR), Unsent("refused"))

    assert not decision.gives_up
    assert decision.retry_at == NOW + MINUTE
