"""Settlement: one pure decision what an outcome does to charge, invoice and subscription.

The same decision settles a live answer, a status query and an operator's decision. This module does
not know rows or the gateway: the caller passes facts, and writes the `Decision` in one transaction.
"""

from dataclasses import replace
from datetime import datetime

from billing.domain import charge, declines, doubts, invoice
from billing.domain.charge import ChargeMove, ChargeStatus
from billing.domain.decisions import PLAIN_SUCCESSES, Decision, Facts, Limits, Source
from billing.domain.events import NewEvent
from billing.domain.invoice import InvoiceMove, InvoiceStatus
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
    """Decide what `outcome` changes; None when nothing changes (a repeat, or an older outcome)."""
    if facts.charge_status not in charge.UNRESOLVED:
        if facts.resolved_at is not None or facts.notified:
            return _rechecked(facts, outcome, source, now)
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
    status = charge.advance(facts.charge_status, ChargeMove.SUCCEED)
    move = _end_of_term(facts)
    late = facts.charge_status in {ChargeStatus.DECLINED, ChargeStatus.UNSENT}
    succeeded = _event("charge.succeeded", source=source, **({"late": True} if late else {}))
    if facts.invoice_status in {InvoiceStatus.PAID, InvoiceStatus.VOID}:
        is_paid = facts.invoice_status is InvoiceStatus.PAID
        why = "paid twice" if is_paid else "settled after the end"
        return Decision(status, surplus=True, give_back=why, move=move, events=(succeeded,))
    invoice.advance(facts.invoice_status, InvoiceMove.PAY)
    if move is None and facts.subscription_status in _BEHIND and not facts.other_open:
        move = SubscriptionMove.RECOVER
    if move is None and not late:
        return PLAIN_SUCCESSES[source]
    return Decision(status, pays=True, move=move, events=(succeeded, _event("invoice.paid")))


def _event(kind: str, **data: object) -> NewEvent:
    return kind, data


_BEHIND = {SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID}
_RUNNING = {SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE}


def _end_of_term(facts: Facts) -> SubscriptionMove | None:
    """Return the move that completes a fixed term: this invoice is settled and no other is owed."""
    over = facts.last_cycle and not facts.other_open and facts.subscription_status in _RUNNING
    return SubscriptionMove.COMPLETE if over else None


def _may_be_resolved(facts: Facts, now: datetime, limits: Limits) -> bool:
    """Whether an operator may set the outcome: not in flight, and parked or past the horizon."""
    is_old = now >= facts.sent_at + limits.not_found_horizon
    return facts.charge_status is not ChargeStatus.IN_FLIGHT and (facts.parked or is_old)


def _rechecked(
    facts: Facts, outcome: Outcome | NotFound, source: Source, now: datetime
) -> Decision | None:
    """
    Compare a settled charge with what the gateway says now.

    An operator set its outcome, or a notification contradicted it. Money that moved after all is
    recorded. Money that was recorded and did not move needs an operator: the customer may have been
    told that the invoice is paid.
    """
    late = _succeeded(facts, source) if isinstance(outcome, Succeeded) else None
    if late is not None:
        if facts.resolved_at is None:
            return late
        contradicted = _event("charge.contradicted", **_contradiction("declined", "succeeded"))
        return replace(late, events=(contradicted, *late.events))
    if source is not Source.STATUS:
        return None
    decision = Decision(facts.charge_status, asked=True, rechecked=True)
    denied = isinstance(outcome, Declined | NotFound)
    if denied and facts.charge_status is ChargeStatus.SUCCEEDED:
        said = "not found" if isinstance(outcome, NotFound) else "failed"
        who = "the gateway" if facts.resolved_at is None else "an operator"
        contradicted = _event("charge.contradicted", **_contradiction("succeeded", said, who))
        return replace(decision, contradicted=True, events=(contradicted,))
    return replace(decision, next_check_at=_recheck_at(facts, outcome, now))


def _recheck_at(facts: Facts, outcome: Outcome | NotFound, now: datetime) -> datetime | None:
    """Return when a settled charge is queried again; None when the gateway agrees."""
    if isinstance(outcome, Succeeded):
        return None
    if facts.resolved_at is not None:
        return now + charge.QUERY_DAILY if now < facts.resolved_at + charge.RECHECK_FOR else None
    wait = charge.query_after(facts.status_queries + 1)
    return now + wait if wait is not None and isinstance(outcome, Pending | Unknown) else None


def _contradiction(word: str, gateway: str, who: str = "an operator") -> dict[str, str]:
    why = f"{who} said {word}, the gateway says {gateway}"
    return {"word": word, "gateway": gateway, "why": why}


def _declined(
    facts: Facts, outcome: Declined, source: Source, now: datetime, limits: Limits
) -> Decision:
    if source is Source.LIVE:
        return _ended(facts, outcome, source, now, limits)
    # DOKU's newer pages call FAILED "not final": it is believed when a second query confirms it,
    # or when the gateway declined the charge before.
    if facts.waiting is Waiting.TOKEN_EXPIRED and not doubts.is_disbelieved(facts):
        # The customer must renew the token, for every cause of the failure.
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
    End a charge as declined, unless that would end more permanently and is not certain yet.

    A live decline that cancels, expires a wallet or ends dunning must be confirmed by a status
    query. So must the answer to a second sending, which may be about the repeat. What only status
    queries found needs the same time between the first and the last of them. While the breaker has
    stopped charging, no decline ends anything permanently.
    """
    decision = _collect_later(facts, outcome, source, now, limits)
    is_for_good = decision.gives_up or decision.wallet_lost
    is_repeated = facts.sends > 1 or facts.unsent_by_answer
    if source is Source.LIVE and (is_for_good or is_repeated):
        return _suspected(facts, outcome, now, limits, odd=doubts.is_odd(decision))
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
        return Decision(
            _open_status(facts),
            failed_seen_at=facts.failed_seen_at,
            next_check_at=now + charge.HOLD_FOR,
            events=_lost(facts, "the breaker has stopped charging"),
        )
    return decision if outcome.is_signed else _parked_unsigned(facts)


def _parked_unsigned(facts: Facts) -> Decision:
    """Park a decline that would end something permanently and has only unsigned answers."""
    why = "failed, by unsigned answers only"
    return Decision(
        _open_status(facts),
        asked=True,
        parked=True,
        failed_seen_at=facts.failed_seen_at,
        message=why,
        events=(_event("charge.parked", status_queries=facts.status_queries + 1, why=why),),
    )


def _suspected(
    facts: Facts, outcome: Declined, now: datetime, limits: Limits, *, odd: bool
) -> Decision:
    """Record a live decline on the charge, whose outcome stays open until a query confirms it."""
    status = _open_status(facts)
    suspected = _event(
        f"charge.{status}", why="declined; a second query must confirm it",
        fault=outcome.fault, code=outcome.code,
    )  # fmt: skip
    return Decision(
        status,
        fault=outcome.fault,
        code=outcome.code,
        message=outcome.message,
        failed_seen_at=facts.failed_seen_at,
        next_check_at=now + limits.confirm_after,
        odd=odd,
        events=(suspected,) if facts.suspected is None else (),
    )


def _doubted(facts: Facts, would: Decision, now: datetime, limits: Limits, why: str) -> Decision:
    """Record the first answer that there is no payment, and query again before `would` is done.

    The breaker counts it once, now: many of these answers must be counted before one is believed.
    """
    seen_at = facts.failed_seen_at or now
    is_for_good = would.gives_up or would.wallet_lost
    wait = doubts.window(limits) if is_for_good else charge.CONFIRM_FAILED_AFTER
    return Decision(
        _open_status(facts),
        asked=True,
        odd=facts.failed_seen_at is None and doubts.is_odd(would),
        failed_seen_at=seen_at,
        next_check_at=seen_at + wait,
        events=_lost(facts, why),
    )


def _collect_later(
    facts: Facts, outcome: Declined, source: Source, now: datetime, limits: Limits
) -> Decision:
    """Decline the charge; its invoice waits, takes the next step, or becomes uncollectible."""
    then = declines.following(facts, outcome.fault, now, limits)
    is_open = facts.invoice_status is InvoiceStatus.OPEN
    move = None if is_open else _end_of_term(facts)
    is_active = facts.subscription_status is SubscriptionStatus.ACTIVE
    if is_open and is_active and not facts.reopened:
        move = SubscriptionMove.FALL_BEHIND
    return Decision(
        charge.advance(facts.charge_status, ChargeMove.DECLINE),
        fault=outcome.fault,
        code=outcome.code,
        message=outcome.message,
        asked=source is Source.STATUS,
        wallet_lost=outcome.fault is Fault.WALLET,
        gives_up=then.gives_up,
        cap=then.cap,
        retry_at=then.retry_at,
        blocked_on=then.blocked_on,
        first_failed_at=then.first_failed_at,
        move=move,
        events=(_event("charge.declined", fault=outcome.fault, code=outcome.code, source=source),),
    )


def _unsent(facts: Facts, outcome: Unsent, now: datetime) -> Decision | None:
    if facts.charge_status is not ChargeStatus.IN_FLIGHT:
        return None
    if facts.sends > 1:
        # This sending cannot have moved money, but an earlier one of the same charge may have.
        return _unknown(facts, Unknown(outcome.reason), Source.LIVE, now)
    by_answer = outcome.by_answer or facts.unsent_by_answer
    if by_answer and facts.invoice_status is not InvoiceStatus.OPEN:
        # The invoice is closed, so this is the last sending, and an earlier one may have arrived.
        return _unknown(facts, Unknown(outcome.reason), Source.LIVE, now)
    is_open = facts.invoice_status is InvoiceStatus.OPEN
    return Decision(
        charge.advance(facts.charge_status, ChargeMove.MARK_UNSENT),
        message=outcome.reason,
        by_answer=outcome.by_answer,
        retry_at=declines.after_unsent(facts, now) if is_open else None,
        move=None if is_open else _end_of_term(facts),
        events=(_event("charge.unsent", why=outcome.reason),),
    )


def _pending(facts: Facts, outcome: Pending, source: Source, now: datetime) -> Decision:
    decision = _still_open(facts, now, asked=source is Source.STATUS)
    status = facts.charge_status
    if status is not ChargeStatus.PENDING:
        status = charge.advance(status, ChargeMove.WAIT)
    elif outcome.waiting is not Waiting.TOKEN_EXPIRED or facts.waiting is outcome.waiting:
        return replace(decision, failed_seen_at=None)
    return replace(
        decision,
        status=status,
        failed_seen_at=None,  # a FAILED followed by PENDING does not count
        waiting=outcome.waiting,
        events=(*decision.events, _event("charge.pending", waiting=outcome.waiting)),
    )


def _unknown(facts: Facts, outcome: Unknown, source: Source, now: datetime) -> Decision:
    message = None if facts.suspected else outcome.reason
    asked = source is Source.STATUS
    return _still_open(facts, now, asked=asked, why=outcome.reason, message=message)


def _lost(facts: Facts, why: str) -> tuple[NewEvent, ...]:
    """Return the event of a charge in flight whose outcome is now unknown."""
    is_lost = facts.charge_status is ChargeStatus.IN_FLIGHT
    return (_event("charge.unknown", why=why),) if is_lost else ()


def _not_found(facts: Facts, now: datetime, limits: Limits) -> Decision:
    if facts.suspected is not None and doubts.is_suspected(facts):
        return _ended(facts, facts.suspected, Source.STATUS, now, limits)
    believed_at = facts.sent_at + limits.not_found_horizon
    if now < believed_at:
        decision = _still_open(facts, now, asked=True, why="not found yet")
        if decision.next_check_at is None:
            return decision
        return replace(decision, next_check_at=min(decision.next_check_at, believed_at))
    if facts.charge_status is ChargeStatus.PENDING:
        # The customer did not do what the gateway waited for: no decline, and no step is spent.
        missed = Declined(Fault.WALLET, "not_completed")
        if facts.suspected is not None and doubts.is_disbelieved(facts):
            missed = facts.suspected
        return _ended(facts, missed, Source.STATUS, now, limits)
    if facts.invoice_status is not InvoiceStatus.OPEN or not facts.wallet_active:
        is_open = facts.invoice_status is InvoiceStatus.OPEN
        fault = Fault.WALLET if is_open else Fault.OTHER
        decision = _ended(facts, Declined(fault, "not_found"), Source.STATUS, now, limits)
        return replace(decision, never_received=decision.status is ChargeStatus.DECLINED)
    if not facts.charging or charge.query_after(facts.status_queries + 1) is None:
        return _still_open(facts, now, asked=True, why="not found, and not sent again")
    return Decision(
        charge.advance(_open_status(facts), ChargeMove.RESEND),
        asked=True,
        resend=True,
        next_check_at=now + charge.QUERY_AFTER[0],
        events=(_event("charge.resent", why="not found"),),
    )


def _still_open(
    facts: Facts,
    now: datetime,
    *,
    asked: bool,
    why: str | None = None,
    message: str | None = None,
) -> Decision:
    """Keep the charge unresolved: set the next status query, or park it.

    `why` is recorded for a charge that was in flight until now.
    """
    wait = charge.query_after(facts.status_queries + asked)
    parked = (
        (_event("charge.parked", status_queries=facts.status_queries + asked),)
        if wait is None
        else ()
    )
    return Decision(
        _open_status(facts),
        asked=asked,
        failed_seen_at=facts.failed_seen_at,
        message=message,
        parked=wait is None,
        next_check_at=None if wait is None else now + wait,
        events=parked if why is None else (*parked, *_lost(facts, why)),
    )


def _open_status(facts: Facts) -> ChargeStatus:
    if facts.charge_status is ChargeStatus.IN_FLIGHT:
        return charge.advance(facts.charge_status, ChargeMove.LOSE_SIGHT)
    return facts.charge_status
