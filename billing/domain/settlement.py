"""What an outcome does to a charge, its invoice and its subscription: one pure decision.

The same decision settles a live answer, a status query and an operator's word. It knows no
rows and no gateway: facts in, a `Decision` out, and whoever calls it writes that down in one
transaction.
"""

from dataclasses import replace
from datetime import datetime

from billing.domain import charge, doubts, dunning, invoice
from billing.domain.charge import ChargeMove, ChargeStatus, Trigger
from billing.domain.decisions import Decision, Facts, Limits, Source
from billing.domain.dunning import Cap
from billing.domain.invoice import Blocked, InvoiceMove, InvoiceStatus
from billing.domain.outcomes import (
    Declined,
    Fault,
    NotFound,
    Outcome,
    Pending,
    Succeeded,
    Unknown,
    Unsent,
    Waiting,
)
from billing.domain.subscription import SubscriptionMove, SubscriptionStatus

__all__ = ["Decision", "Facts", "Limits", "Source", "decide"]


def decide(
    facts: Facts,
    outcome: Outcome | NotFound,
    source: Source,
    *,
    now: datetime,
    limits: Limits,
) -> Decision | None:
    """Say what `outcome` changes; None when it is no news (a repeat, or older than ours)."""
    if facts.charge_status not in charge.UNRESOLVED:
        if facts.resolved_at is not None:
            return _rechecked(facts, facts.resolved_at, outcome, source, now)
        return _succeeded(facts, source) if isinstance(outcome, Succeeded) else None
    if source is Source.OPERATOR and not _may_be_resolved(facts, now, limits):
        return None
    match outcome:
        case Succeeded():
            return _succeeded(facts, source)
        case Declined():
            return _declined(facts, outcome, source, now, limits)
        case Unsent():
            return _unsent(facts, outcome, now)
        case Pending():
            return _pending(facts, outcome, source, now)
        case Unknown():
            return _unknown(facts, outcome, source, now)
        case NotFound():
            return _not_found(facts, now, limits)


def _succeeded(facts: Facts, source: Source) -> Decision | None:
    if facts.charge_status is ChargeStatus.SUCCEEDED:
        return None
    decision = Decision(charge.advance(facts.charge_status, ChargeMove.SUCCEED))
    late = facts.charge_status in {ChargeStatus.DECLINED, ChargeStatus.UNSENT}
    decision.tell("charge.succeeded", source=source, **({"late": True} if late else {}))
    if facts.invoice_status in {InvoiceStatus.PAID, InvoiceStatus.VOID}:
        decision.surplus = True
        decision.give_back = (
            "paid twice" if facts.invoice_status is InvoiceStatus.PAID else "settled after the end"
        )
        decision.move = _end_of_term(facts)
        return decision
    invoice.advance(facts.invoice_status, InvoiceMove.PAY)
    decision.pays = True
    decision.tell("invoice.paid")
    status = facts.subscription_status
    behind = {SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID}
    decision.move = _end_of_term(facts)
    if decision.move is None and status in behind and not facts.other_open:
        decision.move = SubscriptionMove.RECOVER
    return decision


_RUNNING = {SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE}


def _end_of_term(facts: Facts) -> SubscriptionMove | None:
    """The end of a fixed term, when this invoice is settled and nothing else is owed."""
    over = facts.last_cycle and not facts.other_open and facts.subscription_status in _RUNNING
    return SubscriptionMove.COMPLETE if over else None


def _may_be_resolved(facts: Facts, now: datetime, limits: Limits) -> bool:
    """Whether a person's word may end a charge: it is not on the wire, and not young."""
    is_old = now >= facts.sent_at + limits.not_found_horizon
    return facts.charge_status is not ChargeStatus.IN_FLIGHT and (facts.parked or is_old)


def _rechecked(
    facts: Facts, resolved_at: datetime, outcome: Outcome | NotFound, source: Source, now: datetime
) -> Decision | None:
    """
    Compare a charge that a person's word settled with what the gateway says by now.

    Money that moved after all is booked. Money that was booked and did not move is for a person:
    the customer may have been told that it is paid.
    """
    late = _succeeded(facts, source) if isinstance(outcome, Succeeded) else None
    if late is not None:
        late.events.insert(0, ("charge.contradicted", _contradiction("declined", "succeeded")))
        return late
    if source is not Source.STATUS:
        return None
    decision = Decision(facts.charge_status, asked=True, rechecked=True)
    denied = isinstance(outcome, Declined | NotFound)
    if denied and facts.charge_status is ChargeStatus.SUCCEEDED:
        said = "not found" if isinstance(outcome, NotFound) else "failed"
        decision.contradicted = True
        decision.tell("charge.contradicted", **_contradiction("succeeded", said))
    elif not isinstance(outcome, Succeeded) and now < resolved_at + charge.RECHECK_FOR:
        decision.next_check_at = now + charge.ASK_DAILY
    return decision


def _contradiction(word: str, gateway: str) -> dict[str, str]:
    why = f"an operator said {word}, the gateway says {gateway}"
    return {"word": word, "gateway": gateway, "why": why}


def _declined(
    facts: Facts, outcome: Declined, source: Source, now: datetime, limits: Limits
) -> Decision:
    if source is Source.LIVE:
        return _ended(facts, outcome, source, now, limits)
    # DOKU's newer pages call FAILED "not final": believed when a second read still says so, or
    # when the gateway has declined the charge before.
    if facts.waiting is Waiting.TOKEN_EXPIRED and not doubts.is_disbelieved(facts):
        # The token needs the customer, whatever the payment failed for.
        outcome = Declined(Fault.WALLET, "token_expired", is_signed=outcome.is_signed)
    elif facts.suspected is not None and source is Source.STATUS:
        is_signed = outcome.is_signed or doubts.is_suspected(facts)
        outcome = replace(facts.suspected, is_signed=is_signed)
    is_certain = source is Source.OPERATOR or doubts.is_suspected(facts)
    if is_certain or doubts.seen_for(facts, charge.CONFIRM_FAILED_AFTER, now):
        return _ended(facts, outcome, source, now, limits)
    would = _collect_later(facts, outcome, source, now, limits)
    return _doubted(facts, would, now, limits, "a first FAILED is not final")


def _ended(
    facts: Facts, outcome: Declined, source: Source, now: datetime, limits: Limits
) -> Decision:
    """
    End a charge as declined, unless that would end more for good and is not certain yet.

    A live decline that cancels, expires a wallet or gives up is asked about first, and so is the
    answer to a second sending, which may be about the repeat. What only a question brought to
    light waits as long between its first and its last reading. While the breaker has stopped
    charging nobody's decline is believed that far.
    """
    decision = _collect_later(facts, outcome, source, now, limits)
    is_for_good = decision.gives_up or decision.wallet_lost
    is_repeated = facts.sends > 1 or facts.unsent_by_answer
    if source is Source.LIVE and (is_for_good or is_repeated):
        held = _suspected(facts, outcome, now, limits)
        held.odd = doubts.is_odd(decision)
        return held
    if source is not Source.STATUS or not is_for_good:
        return decision
    loses = decision.gives_up or facts.wallet_active
    if (
        loses
        and not doubts.is_suspected(facts)
        and not doubts.seen_for(facts, doubts.window(limits), now)
    ):
        return _doubted(facts, decision, now, limits, "it would end more than this charge")
    if facts.tripped:
        held = Decision(_open_status(facts), failed_seen_at=facts.failed_seen_at)
        held.next_check_at = now + charge.HOLD_FOR
        _tell_if_lost(held, facts, "the breaker has stopped charging")
        return held
    return decision if outcome.is_signed else _parked_unsigned(facts)


def _parked_unsigned(facts: Facts) -> Decision:
    """Leave to a person what would end for good, and what only unsigned answers say."""
    decision = Decision(_open_status(facts), asked=True, parked=True)
    decision.failed_seen_at = facts.failed_seen_at
    decision.message = "failed, by unsigned answers only"
    decision.tell("charge.parked", asks=facts.asks + 1, why=decision.message)
    return decision


def _suspected(facts: Facts, outcome: Declined, now: datetime, limits: Limits) -> Decision:
    """Keep a live decline with the charge, whose outcome stays open until it was asked about."""
    decision = Decision(
        _open_status(facts),
        fault=outcome.fault,
        code=outcome.code,
        message=outcome.message,
        failed_seen_at=facts.failed_seen_at,
        next_check_at=now + limits.confirm_after,
    )
    if facts.suspected is None:
        decision.tell(
            f"charge.{decision.status}", why="declined; a second query must confirm it",
            fault=outcome.fault, code=outcome.code,
        )  # fmt: skip
    return decision


def _doubted(facts: Facts, would: Decision, now: datetime, limits: Limits, why: str) -> Decision:
    """Note the first answer that there is no payment, and ask again before what it `would` do.

    The breaker counts it once: of many such answers the last must not be believed as the first.
    """
    decision = Decision(_open_status(facts), asked=True)
    _tell_if_lost(decision, facts, why)
    decision.odd = facts.failed_seen_at is None and doubts.is_odd(would)
    decision.failed_seen_at = facts.failed_seen_at or now
    is_for_good = would.gives_up or would.wallet_lost
    wait = doubts.window(limits) if is_for_good else charge.CONFIRM_FAILED_AFTER
    decision.next_check_at = decision.failed_seen_at + wait
    return decision


def _collect_later(
    facts: Facts, outcome: Declined, source: Source, now: datetime, limits: Limits
) -> Decision:
    """The charge is declined; the invoice waits, goes on the ladder, or is given up."""
    decision = Decision(
        charge.advance(facts.charge_status, ChargeMove.DECLINE),
        fault=outcome.fault,
        code=outcome.code,
        message=outcome.message,
        asked=source is Source.STATUS,
    )
    decision.tell("charge.declined", fault=outcome.fault, code=outcome.code, source=source)
    if outcome.fault is Fault.WALLET:
        decision.wallet_lost = True
    if facts.invoice_status is not InvoiceStatus.OPEN:
        decision.move = _end_of_term(facts)
        return decision
    if facts.reopened:
        # A debt that was given up gets one try for each word of a person, and no ladder: it must
        # not keep newer invoices waiting for weeks.
        decision.gives_up = True
        return decision
    if facts.subscription_status is SubscriptionStatus.ACTIVE:
        decision.move = SubscriptionMove.FALL_BEHIND
    if outcome.fault is Fault.WALLET:
        following = dunning.wallet_awaited_until(
            facts.policy, limits.wallet_wait, facts.first_failed_at, now, facts.zone
        )
        decision.blocked_on = Blocked.WALLET
        if facts.relinked and not isinstance(following, Cap):
            following, decision.blocked_on = now, None
    elif outcome.fault is Fault.HARD:
        decision.first_failed_at = facts.first_failed_at or now
        decision.gives_up = True
        return decision
    else:
        decision.first_failed_at = facts.first_failed_at or now
        following = _next_try(facts, outcome.fault, decision.first_failed_at, now)
    if isinstance(following, Cap):
        decision.gives_up, decision.cap, decision.blocked_on = True, following, None
    else:
        decision.retry_at = following
    return decision


def _next_try(
    facts: Facts, fault: Fault, first_failed_at: datetime, now: datetime
) -> datetime | Cap:
    scheduled = facts.trigger is Trigger.SCHEDULED
    past = facts.history.after(fault, scheduled=scheduled)
    if not scheduled:
        fault = past.last_fault or fault
    following = dunning.next_try(facts.policy, past, fault, first_failed_at, now, facts.zone)
    aside = None if scheduled else _date_there_was(facts, now)
    return following if following is Cap.ATTEMPTS else aside or following


def _date_there_was(facts: Facts, now: datetime) -> datetime | None:
    """Where a retry by hand goes back to: it spends no step, and so it shifts no date."""
    dates = (facts.planned_at, facts.step_deadline_at)
    return min((at for at in dates if at is not None and at > now), default=None)


def _unsent(facts: Facts, outcome: Unsent, now: datetime) -> Decision | None:
    if facts.charge_status is not ChargeStatus.IN_FLIGHT:
        return None
    if facts.sends > 1:
        # This sending cannot have moved money, but an earlier one of the same charge may have.
        return _unknown(facts, Unknown(outcome.reason), Source.LIVE, now)
    by_answer = outcome.by_answer or facts.unsent_by_answer
    if by_answer and facts.invoice_status is not InvoiceStatus.OPEN:
        # No other sending will follow, and none before it is certain.
        return _unknown(facts, Unknown(outcome.reason), Source.LIVE, now)
    decision = Decision(
        charge.advance(facts.charge_status, ChargeMove.TURN_AWAY),
        message=outcome.reason,
        by_answer=outcome.by_answer,
    )
    decision.tell("charge.unsent", why=outcome.reason)
    if facts.invoice_status is InvoiceStatus.OPEN:
        soon = now + dunning.wait_after_unsent(facts.history.unsent + 1)
        by_hand = facts.trigger is not Trigger.SCHEDULED
        decision.retry_at = (_date_there_was(facts, now) if by_hand else None) or soon
    else:
        decision.move = _end_of_term(facts)
    return decision


def _pending(facts: Facts, outcome: Pending, source: Source, now: datetime) -> Decision:
    decision = _still_open(facts, now, asked=source is Source.STATUS)
    decision.failed_seen_at = None  # a FAILED that does not last is none
    if facts.charge_status is not ChargeStatus.PENDING:
        decision.status = charge.advance(facts.charge_status, ChargeMove.WAIT)
    elif outcome.waiting is not Waiting.TOKEN_EXPIRED or facts.waiting is outcome.waiting:
        return decision
    decision.waiting = outcome.waiting
    decision.tell("charge.pending", waiting=outcome.waiting)
    return decision


def _unknown(facts: Facts, outcome: Unknown, source: Source, now: datetime) -> Decision:
    decision = _still_open(facts, now, asked=source is Source.STATUS)
    decision.message = None if facts.suspected else outcome.reason
    _tell_if_lost(decision, facts, outcome.reason)
    return decision


def _tell_if_lost(decision: Decision, facts: Facts, why: str) -> None:
    if facts.charge_status is ChargeStatus.IN_FLIGHT:
        decision.tell("charge.unknown", why=why)


def _not_found(facts: Facts, now: datetime, limits: Limits) -> Decision:
    if facts.suspected is not None and doubts.is_suspected(facts):
        return _ended(facts, facts.suspected, Source.STATUS, now, limits)
    believed_at = facts.sent_at + limits.not_found_horizon
    if now < believed_at:
        decision = _still_open(facts, now, asked=True)
        _tell_if_lost(decision, facts, "not found yet")
        if decision.next_check_at is not None:
            decision.next_check_at = min(decision.next_check_at, believed_at)
        return decision
    if facts.charge_status is ChargeStatus.PENDING:
        # The customer did not do what was waited for: no decline, and no step is spent.
        missed = Declined(Fault.WALLET, "not_completed")
        if facts.suspected is not None and doubts.is_disbelieved(facts):
            missed = facts.suspected
        return _ended(facts, missed, Source.STATUS, now, limits)
    if facts.invoice_status is not InvoiceStatus.OPEN or not facts.wallet_active:
        is_open = facts.invoice_status is InvoiceStatus.OPEN
        fault = Fault.WALLET if is_open else Fault.OTHER
        decision = _ended(facts, Declined(fault, "not_found"), Source.STATUS, now, limits)
        decision.never_received = decision.status is ChargeStatus.DECLINED
        return decision
    if not facts.charging or charge.ask_after(facts.asks + 1) is None:
        decision = _still_open(facts, now, asked=True)
        _tell_if_lost(decision, facts, "not found, and not sent again")
        return decision
    again = charge.advance(_open_status(facts), ChargeMove.RESEND)
    decision = Decision(again, asked=True, resend=True)
    decision.next_check_at = now + charge.ASK_AFTER[0]
    decision.tell("charge.resent", why="not found")
    return decision


def _still_open(facts: Facts, now: datetime, *, asked: bool) -> Decision:
    """The charge stays unresolved: when to ask again, or a visible end of asking."""
    decision = Decision(_open_status(facts), asked=asked, failed_seen_at=facts.failed_seen_at)
    wait = charge.ask_after(facts.asks + asked)
    if wait is None:
        decision.parked = True
        decision.tell("charge.parked", asks=facts.asks + asked)
    else:
        decision.next_check_at = now + wait
    return decision


def _open_status(facts: Facts) -> ChargeStatus:
    if facts.charge_status is ChargeStatus.IN_FLIGHT:
        return charge.advance(facts.charge_status, ChargeMove.LOSE_SIGHT)
    return facts.charge_status
