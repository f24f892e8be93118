"""Settling: the one place where news of a charge becomes rows, whatever its source.

A live answer, a status query and an operator's word go through the same decision and the same
transaction. Settling the same news twice changes nothing the second time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from billing.domain import charge, dunning, subscription
from billing.domain.charge import UNRESOLVED, ChargeStatus, Trigger
from billing.domain.events import SCHEDULER, Actor, event
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import NotFound, Outcome, SealedPayment, Succeeded, Waiting
from billing.domain.periods import next_start, zone
from billing.domain.refund import RefundStatus
from billing.domain.settlement import Decision, Facts, History, Source, decide
from billing.domain.subscription import OnExhausted, SubscriptionMove, SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.services import pacing
from billing.services.context import Context
from billing.store.queries import charges, events, invoices, refunds, subscriptions, wallets

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What somebody says of a charge."""

    charge_id: UUID
    outcome: Outcome | NotFound


def settle(
    context: Context, news: Sequence[News], source: Source, by: Actor = SCHEDULER
) -> list[SealedPayment]:
    """Record what is now known of charges, and return those that have to be sent again.

    A connection that breaks at the commit leaves open whether it happened; the decision is
    made again from the rows as they are then, which is safe because news that is on record
    already decides nothing.
    """
    again: list[SealedPayment] = []
    left = list(news)
    while left:
        resend, left = _settle_or_retry(context, left, source, by)
        again += resend
    return again


Settled = tuple[list[SealedPayment], list[News]]
Decided = Sequence[tuple[Mapping[Any, Any], Decision]]


def _settle_or_retry(context: Context, news: Sequence[News], source: Source, by: Actor) -> Settled:
    try:
        with context.database.transaction() as connection:
            return _settle(context, connection, news, source, by)
    except OperationalError:
        log.warning("settling.connection_lost", charges=len(news))
    with context.database.transaction() as connection:
        return _settle(context, connection, news, source, by)


def _settle(
    context: Context, connection: Connection, news: Sequence[News], source: Source, by: Actor
) -> Settled:
    """Settle one charge of each subscription; the others are left for another transaction.

    A decision is made from what was on record before the transaction, so that two of one
    subscription must not meet in it.
    """
    now = context.clock.now()
    outcomes = {item.charge_id: item.outcome for item in news}
    found = charges.lock_for_settling(connection, list(outcomes))
    rows = list({row["subscription_id"]: row for row in reversed(found)}.values())
    taken = {row["id"] for row in rows}
    left = [News(r["id"], outcomes[r["id"]]) for r in found if r["id"] not in taken]
    troubled = [r["invoice_id"] for r in rows if not isinstance(outcomes[r["id"]], Succeeded)]
    pasts = charges.history(connection, troubled) if troubled else {}
    decided = []
    for row in rows:
        facts = _facts(row, pasts.get(row["invoice_id"]))
        decision = decide(facts, outcomes[row["id"]], source, now=now, limits=context.limits)
        if decision is not None:
            decided.append((row, decision))
    _write(connection, decided, by, now)
    if source is Source.LIVE and rows:
        said = [outcomes[row["id"]] for row in rows]
        pacing.heed(connection, said, troubled=rows[0]["troubled"])
    _log(decided, source)
    return [_again(context, row) for row, decision in decided if decision.resend], left


def _log(decided: Decided, source: Source) -> None:
    """One line for all that simply succeeded, and one for each charge of which more is to say."""
    paid = [row for row, decision in decided if decision.status is ChargeStatus.SUCCEEDED]
    if paid:
        log.info("charges.succeeded", count=len(paid), source=source.value)
    for row, decision in decided:
        if decision.status is not ChargeStatus.SUCCEEDED:
            told = {"charge": str(row["id"]), "number": row["gateway_number"]}
            log.info("charge.settled", **told, status=decision.status.value, source=source.value)


def _again(context: Context, row: Mapping[Any, Any]) -> SealedPayment:
    body = context.vault.open(row["body_sealed"])
    return SealedPayment(str(row["id"]), row["gateway_number"], row["amount"], body)


def _facts(row: Mapping[Any, Any], past: Mapping[Any, Any] | None) -> Facts:
    cycles, waiting = row["cycles"], row["waiting"]
    facts = Facts(
        charge_status=ChargeStatus(row["status"]),
        trigger=Trigger(row["trigger"]),
        sends=row["sends"],
        asks=row["asks"],
        sent_at=row["sent_at"],
        failed_seen_at=row["failed_seen_at"],
        waiting=Waiting(waiting) if waiting else None,
        invoice_status=InvoiceStatus(row["invoice_status"]),
        first_failed_at=row["first_failed_at"],
        subscription_status=SubscriptionStatus(row["subscription_status"]),
        zone=zone(row["timezone"]),
        steps=dunning.parse_steps(row["retries"]) if past is not None else (),
        last_cycle=cycles is not None and row["next_period_index"] >= cycles,
        other_open=row["other_open"],
        wallet_active=row["wallet_status"] == WalletStatus.ACTIVE,
        relinked=row["relinked"],
        charging=row["charging"],
    )
    if past is None:
        return facts
    return replace(facts, history=history(past, row["steps_short"]))


def history(past: Mapping[Any, Any], steps_short: int) -> History:
    """What became of an invoice's earlier charges, from what `charges.history` counted."""
    return History(
        past["scheduled_declines"], steps_short, past["technical_declines"], past["unsent"]
    )


def _write(connection: Connection, decided: Decided, by: Actor, now: datetime) -> None:
    charges.write_outcomes(connection, [_charge_columns(r, d, now) for r, d in decided])
    paid = [(row, d) for row, d in decided if d.pays]
    if paid:
        ids = [row["invoice_id"] for row, _ in paid]
        invoices.close(connection, ids, InvoiceStatus.PAID, now, None)
        first = [row["subscription_id"] for row, _ in paid if row["first_paid_at"] is None]
        if first:
            subscriptions.mark_paid(connection, first, now)
    freed = [row["subscription_id"] for row, d in decided if _frees_the_next(row, d)]
    if freed:
        invoices.release_oldest(connection, freed, now)
    invoices.plan_attempts(
        connection,
        [
            {
                "key": row["invoice_id"],
                "next_attempt_at": d.retry_at,
                "blocked_on": d.blocked_on,
                "first_failed_at": d.first_failed_at or row["first_failed_at"],
            }
            for row, d in decided
            if d.retry_at is not None
        ],
    )
    events.record(connection, _facts_told(decided, by, now))
    for row, decision in decided:
        _follow_up(connection, row, decision, now)


def _frees_the_next(row: Mapping[Any, Any], decision: Decision) -> bool:
    """Whether the next open invoice may be charged: this one is paid, or owed no more."""
    closed = row["invoice_status"] != InvoiceStatus.OPEN
    if not row["other_open"]:
        return False
    return decision.pays or (closed and decision.status not in UNRESOLVED)


def _charge_columns(row: Mapping[Any, Any], decision: Decision, now: datetime) -> dict[str, Any]:
    final = decision.status not in UNRESOLVED
    return {
        "key": row["id"],
        "status": decision.status,
        "surplus": decision.surplus,
        "fault": decision.fault,
        "code": decision.code,
        "message": decision.message,
        "waiting": decision.waiting,
        "next_check_at": decision.next_check_at,
        "failed_seen_at": decision.failed_seen_at,
        "parked_at": now if decision.parked else None,
        "settled_at": now if final else None,
        "sent_at": now if decision.resend else row["sent_at"],
        "asked": int(decision.asked),
        "resent": int(decision.resend),
        "unsent": int(decision.status is ChargeStatus.UNSENT),
        "final": final,
        "succeeded": decision.status is ChargeStatus.SUCCEEDED,
    }


def _facts_told(decided: Decided, by: Actor, now: datetime) -> list[dict[str, Any]]:
    return [
        event(
            kind,
            at=now,
            by=by,
            customer_id=row["customer_id"],
            subscription_id=row["subscription_id"],
            invoice_id=row["invoice_id"],
            charge_id=row["id"],
            **({"amount": row["amount"]} if kind == "invoice.paid" else {}),
            **data,
        )
        for row, decision in decided
        for kind, data in decision.events
    ]


def _follow_up(
    connection: Connection, row: Mapping[Any, Any], decision: Decision, now: datetime
) -> None:
    """What follows for one subscription; a charge that simply succeeded has nothing here."""
    if decision.give_back is not None:
        give_back(connection, row, row["amount"], decision.give_back, SCHEDULER, now)
    if decision.wallet_lost:
        lose_wallet(connection, row["wallet_id"], now, "the gateway asks for a new link")
    if decision.gives_up:
        give_up(connection, row["subscription_id"], now)
    elif decision.move is not None:
        move(connection, row["subscription_id"], decision.move, now)


def give_back(
    connection: Connection,
    paid: Mapping[Any, Any],
    amount: int,
    reason: str,
    by: Actor,
    now: datetime,
) -> UUID | None:
    """Write down a refund of a succeeded charge; None when less than `amount` is left of it."""
    if not refunds.reserve(connection, paid["id"], amount):
        return None
    ordinal = refunds.next_ordinal(connection, paid["id"])
    refund_id = charge.refund_id(paid["id"], ordinal)
    refunds.add(
        connection,
        id=refund_id,
        charge_id=paid["id"],
        invoice_id=paid["invoice_id"],
        customer_id=paid["customer_id"],
        ordinal=ordinal,
        amount=amount,
        reason=reason,
        status=RefundStatus.REQUESTED,
        created_at=now,
        next_attempt_at=now,
    )
    about = {key: paid[key] for key in ("customer_id", "subscription_id", "invoice_id")}
    facts = {"charge_id": paid["id"], "refund": str(refund_id), "amount": amount, "why": reason}
    events.record(connection, [event("refund.requested", at=now, by=by, **about, **facts)])
    return refund_id


def lose_wallet(connection: Connection, wallet_id: UUID, now: datetime, reason: str) -> None:
    """A wallet that can no longer be charged: expired, and the customer has to link anew."""
    for wallet in wallets.expire(connection, [wallet_id], now, reason):
        fact = event(
            "wallet.link_needed", at=now, customer_id=wallet["customer_id"],
            wallet=str(wallet["id"]), why=reason,
        )  # fmt: skip
        events.record(connection, [fact])


def move(
    connection: Connection,
    subscription_id: UUID,
    step: SubscriptionMove,
    now: datetime,
    by: Actor = SCHEDULER,
) -> None:
    """Move a subscription, whose lock the caller holds, and its schedule with it."""
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        return
    before = SubscriptionStatus(row["status"])
    after = subscription.advance(before, step)
    values: dict[str, Any] = {"status": after}
    facts: dict[str, Any] = {"before": before, "after": after}
    if after in subscription.ENDED:
        values |= {"ended_at": now, "next_due_at": None, "pause_at": None, "resume_at": None}
    elif after not in subscription.OPENING:
        values |= {"next_due_at": None, "pause_at": None}
    elif before not in subscription.OPENING:
        values |= _schedule_again(connection, row, now, by)
    subscriptions.change(connection, subscription_id, **values)
    if after in subscription.ENDED and row["cancel_unbind"]:
        _unbind_if_last(connection, row["customer_id"], now)
    told = event(
        f"subscription.{_TOLD[step]}", at=now, by=by, customer_id=row["customer_id"],
        subscription_id=subscription_id, **facts,
    )  # fmt: skip
    events.record(connection, [told])
    over = step is SubscriptionMove.RECOVER and values.get("next_due_at", now) is None
    if over and not invoices.open_of(connection, subscription_id):
        move(connection, subscription_id, SubscriptionMove.COMPLETE, now, by)


def _schedule_again(
    connection: Connection, row: Mapping[Any, Any], now: datetime, by: Actor
) -> dict[str, Any]:
    """Go on with the next anchored period; those that went by are skipped, on record."""
    index, start = next_start(row, row["anchor_local"], now)
    index += row["anchor_index"]
    cycles, skipped = row["cycles"], row["next_period_index"]
    if cycles is not None and index >= cycles:
        index, due = max(cycles, skipped), None
    else:
        index, due = max(index, skipped), start
    if index > skipped:
        about = {"customer_id": row["customer_id"], "subscription_id": row["id"]}
        told = event("period.skipped", at=now, by=by, **about, first=skipped, last=index - 1)
        events.record(connection, [told])
    return {"next_period_index": index, "next_due_at": due, "resume_at": None}


def _unbind_if_last(connection: Connection, customer_id: str, now: datetime) -> None:
    """What was to be unbound at a later end is unbound at an earlier one, too."""
    others = subscriptions.live_of(connection, customer_id)
    if not others and wallets.want_unbind(connection, customer_id, now):
        asked = event("wallet.unbind_requested", at=now, customer_id=customer_id)
        events.record(connection, [asked])


_TOLD = {
    SubscriptionMove.ACTIVATE: "activated",
    SubscriptionMove.START_TRIAL: "trial_started",
    SubscriptionMove.FALL_BEHIND: "fell_behind",
    SubscriptionMove.RECOVER: "recovered",
    SubscriptionMove.PAUSE: "paused",
    SubscriptionMove.RESUME: "resumed",
    SubscriptionMove.MARK_UNPAID: "marked_unpaid",
    SubscriptionMove.CANCEL: "canceled",
    SubscriptionMove.COMPLETE: "completed",
}
_FINAL_MOVES = {
    OnExhausted.CANCEL: SubscriptionMove.CANCEL,
    OnExhausted.UNPAID: SubscriptionMove.MARK_UNPAID,
    OnExhausted.PAUSE: SubscriptionMove.PAUSE,
}


def give_up(connection: Connection, subscription_id: UUID, now: datetime) -> None:
    """End dunning: every open invoice is uncollectible, and the plan's final action follows."""
    row = subscriptions.lock_one(connection, subscription_id)
    if row is None:
        return
    given_up = invoices.open_of(connection, subscription_id)
    close_all(connection, given_up, InvoiceStatus.UNCOLLECTIBLE, "dunning gave up", SCHEDULER, now)
    step = _FINAL_MOVES[OnExhausted(row["on_exhausted"])]
    if row["cycles"] is not None and row["next_period_index"] >= row["cycles"]:
        step = SubscriptionMove.COMPLETE
    if step in subscription.TRANSITIONS[SubscriptionStatus(row["status"])]:
        move(connection, subscription_id, step, now)


def close_all(
    connection: Connection,
    rows: Sequence[Mapping[Any, Any]],
    status: InvoiceStatus,
    reason: str,
    by: Actor,
    now: datetime,
) -> None:
    """Close invoices that are not going to be paid."""
    invoices.close(connection, [row["id"] for row in rows], status, now, reason)
    kind = "invoice.voided" if status is InvoiceStatus.VOID else "invoice.given_up"
    events.record(
        connection,
        [
            event(
                kind, at=now, by=by, customer_id=row["customer_id"],
                subscription_id=row["subscription_id"], invoice_id=row["id"],
                amount=row["amount"], why=reason,
            )
            for row in rows
        ],
    )  # fmt: skip
