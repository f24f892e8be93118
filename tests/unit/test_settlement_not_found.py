"""A 404 about a charge proves nothing before the horizon; then the charge is sent again."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from billing.domain.charge import ChargeStatus
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.outcomes import Fault, NotFound, Outcome, Pending, Unknown, Unsent, Waiting
from billing.domain.settlement import Decision, Facts, Source
from tests.unit.settlement_world import (
    HORIZON,
    LIMITS,
    MINUTE,
    NOW,
    SENT,
    applied,
    assert_not_stuck,
    facts,
    kinds,
    settle,
)

STATUS = Source.STATUS
UNKNOWN, PENDING = ChargeStatus.UNKNOWN, ChargeStatus.PENDING
AFTER_HORIZON = SENT + HORIZON


@pytest.mark.parametrize("status", [ChargeStatus.IN_FLIGHT, UNKNOWN, PENDING])
@pytest.mark.parametrize("age", [timedelta(0), MINUTE, HORIZON - timedelta(seconds=1)])
def test_not_found_is_not_believed_before_the_horizon(status: ChargeStatus, age: timedelta) -> None:
    """A 404 shortly after a timeout proves nothing: queried again, at the horizon at the latest."""
    known = facts(status, status_queries=2)

    decision = settle(known, NotFound(), STATUS, now=SENT + age)

    assert decision.status in {UNKNOWN, PENDING}
    assert decision.asked
    assert decision.next_check_at == SENT + HORIZON
    assert not decision.resend


def test_not_found_before_the_horizon_keeps_an_earlier_question() -> None:
    """The horizon moves a status query forward, and never back."""
    assert settle(facts(), NotFound(), STATUS, now=SENT + MINUTE).next_check_at == SENT + 6 * MINUTE


@pytest.mark.parametrize("status", [UNKNOWN, ChargeStatus.IN_FLIGHT])
def test_not_found_after_the_horizon_sends_the_same_charge_again(status: ChargeStatus) -> None:
    """Also for a charge that its worker left in flight: same Request-Id, number and body."""
    known = facts(status, status_queries=2, failed_seen_at=NOW)

    decision = settle(known, NotFound(), STATUS, now=AFTER_HORIZON)

    assert decision.resend
    assert decision.status is ChargeStatus.IN_FLIGHT
    assert decision.next_check_at == AFTER_HORIZON + timedelta(seconds=60)
    assert decision.failed_seen_at is None
    assert kinds(decision) == ["charge.resent"]
    assert_not_stuck(known, decision, AFTER_HORIZON)


def test_the_horizon_of_a_resent_charge_begins_anew() -> None:
    """Its second sending is as young as a first one was: a 404 a minute later is not believed."""
    known = facts(UNKNOWN, status_queries=2)
    resent = applied(known, settle(known, NotFound(), STATUS, now=AFTER_HORIZON), AFTER_HORIZON)

    assert (resent.sends, resent.sent_at) == (2, AFTER_HORIZON)
    soon = settle(resent, NotFound(), STATUS, now=AFTER_HORIZON + MINUTE)
    assert not soon.resend
    assert soon.status is UNKNOWN


def test_two_reconcilers_with_the_same_not_found_send_once() -> None:
    """The second decision is made from what the first one wrote."""
    known = facts(UNKNOWN, status_queries=2)
    first = settle(known, NotFound(), STATUS, now=AFTER_HORIZON)

    second = settle(applied(known, first, AFTER_HORIZON), NotFound(), STATUS, now=AFTER_HORIZON)

    assert first.resend
    assert not second.resend


@pytest.mark.parametrize("status", [UNKNOWN, ChargeStatus.IN_FLIGHT])
@pytest.mark.parametrize(
    "invoice", [InvoiceStatus.VOID, InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE]
)
def test_not_found_for_a_closed_invoice_ends_the_charge(
    status: ChargeStatus, invoice: InvoiceStatus
) -> None:
    """What is no longer owed is never sent again."""
    decision = settle(facts(status, invoice_status=invoice), NotFound(), STATUS, now=AFTER_HORIZON)

    assert decision.status is ChargeStatus.DECLINED
    assert decision.code == "not_found"
    assert not decision.resend
    assert decision.retry_at is None


@pytest.mark.parametrize("status", [UNKNOWN, ChargeStatus.IN_FLIGHT])
def test_not_found_with_a_lost_wallet_waits_for_a_new_link(status: ChargeStatus) -> None:
    """The body holds a token that is gone: not sent again, and no step is spent."""
    known = facts(status, wallet_active=False)

    decision = settle(known, NotFound(), STATUS, now=AFTER_HORIZON)

    assert decision.status is ChargeStatus.DECLINED
    assert decision.blocked_on is Blocked.WALLET
    assert decision.first_failed_at is None
    assert not decision.resend
    assert_not_stuck(known, decision, AFTER_HORIZON)


def test_not_found_with_a_new_wallet_is_charged_with_that_one_at_once() -> None:
    """Not the same charge again, whose body holds the old token, but the next one."""
    known = facts(UNKNOWN, wallet_active=False, relinked=True)

    decision = settle(known, NotFound(), STATUS, now=AFTER_HORIZON)

    assert decision.status is ChargeStatus.DECLINED
    assert not decision.resend
    assert decision.blocked_on is None
    assert decision.retry_at == AFTER_HORIZON


@pytest.mark.parametrize("status", [UNKNOWN, ChargeStatus.IN_FLIGHT])
def test_not_found_under_the_kill_switch_sends_nothing(status: ChargeStatus) -> None:
    """Status queries continue, and the charge is sent after charging has started again."""
    known = facts(status, charging=False, status_queries=2)

    stopped = settle(known, NotFound(), STATUS, now=AFTER_HORIZON)

    assert stopped.status is UNKNOWN
    assert not stopped.resend
    assert_not_stuck(known, stopped, AFTER_HORIZON)

    assert stopped.next_check_at is not None
    later = stopped.next_check_at
    again = facts(UNKNOWN, status_queries=3)
    assert settle(again, NotFound(), STATUS, now=later).resend


def test_pending_that_is_not_found_has_not_been_completed() -> None:
    """The customer did not confirm: no step is spent, and the wallet needs the customer.

    There is one more query before the wallet ends: one wrong page could say that of all.
    """
    known = facts(PENDING, waiting=Waiting.CUSTOMER)

    first = settle(known, NotFound(), STATUS, now=AFTER_HORIZON)

    assert first.status is PENDING
    assert first.odd
    assert not first.wallet_lost
    later = first.next_check_at
    assert later == AFTER_HORIZON + 5 * MINUTE
    decision = settle(applied(known, first, AFTER_HORIZON), NotFound(), STATUS, now=later)
    assert decision.status is ChargeStatus.DECLINED
    assert decision.code == "not_completed"
    assert not decision.resend
    assert decision.wallet_lost
    assert decision.blocked_on is Blocked.WALLET
    assert_not_stuck(known, decision, later)


def test_pending_that_is_not_found_once_and_then_pending_waits_on() -> None:
    """A "not found" before another answer does not count: the next one is the first again."""
    known = facts(PENDING, waiting=Waiting.CUSTOMER)
    first = settle(known, NotFound(), STATUS, now=AFTER_HORIZON)
    known = applied(known, first, AFTER_HORIZON)
    still = settle(known, Pending(Waiting.CUSTOMER), STATUS, now=AFTER_HORIZON + MINUTE)
    known = applied(known, still, AFTER_HORIZON + MINUTE)

    again = settle(known, NotFound(), STATUS, now=AFTER_HORIZON + 20 * MINUTE)

    assert (again.status, again.wallet_lost) == (PENDING, False)


def test_expired_token_that_is_not_found_needs_a_new_link() -> None:
    """TOKEN_EXPIRED is queried; when two queries find no payment, the wallet needs the customer."""
    known = facts(PENDING, waiting=Waiting.TOKEN_EXPIRED)
    first = settle(known, NotFound(), STATUS, now=AFTER_HORIZON)
    later = AFTER_HORIZON + 5 * MINUTE

    decision = settle(applied(known, first, AFTER_HORIZON), NotFound(), STATUS, now=later)

    assert not first.wallet_lost
    assert decision.fault is Fault.WALLET
    assert decision.wallet_lost
    assert decision.blocked_on is Blocked.WALLET
    assert decision.first_failed_at is None
    assert decision.retry_at == later + LIMITS.wallet_wait


def test_a_charge_that_is_always_lost_is_parked_in_the_end() -> None:
    """Sent many times to a gateway that never gets it, or by workers that die."""
    for answer in (None, Unknown("timeout"), Unsent("refused")):
        known, now, sent = facts(), SENT, [SENT]
        next_check_at: datetime | None = SENT + MINUTE
        while next_check_at is not None:
            assert len(sent) < 20
            # The reconciler was away, so that every 404 comes after the horizon.
            now = next_check_at + HORIZON
            decision = settle(known, NotFound(), STATUS, now=now)
            known = applied(known, decision, now)
            if decision.resend:
                sent.append(now)
                decision, known = _answered(known, answer, now) or (decision, known)
            next_check_at = decision.next_check_at

        assert decision.parked
        assert known.charge_status is UNKNOWN
        assert all(later - earlier >= HORIZON for earlier, later in pairwise(sent))


def _answered(known: Facts, answer: Outcome | None, now: datetime) -> tuple[Decision, Facts] | None:
    if answer is None:
        return None
    decision = settle(known, answer, now=now)
    return decision, applied(known, decision, now)
