"""Settling: the one place that writes the outcome of a charge, from any source.

A live answer, a status query and an operator's decision use the same decision and the same
transaction. Settling the same outcome twice changes nothing the second time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from billing.domain import charge
from billing.domain.charge import UNRESOLVED, ChargeStatus, Trigger
from billing.domain.events import SCHEDULER, Actor, Event, event
from billing.domain.invoice import InvoiceStatus
from billing.domain.outcomes import NotFound, Outcome, SealedPayment, Succeeded
from billing.domain.refund import RefundPurpose
from billing.domain.settlement import Decision, Facts, Source, decide
from billing.domain.subscription import SubscriptionStatus
from billing.logs import Logger
from billing.services.collecting import backpressure, breaker, uncollectible, unsent_checks
from billing.services.collecting.charge_facts import facts, facts_of_trouble
from billing.services.context import SWITCHOVER_SECONDS, Context
from billing.services.money import charge_money, days_after_cancellation
from billing.services.operating import held_rows
from billing.services.subscriptions import transitions
from billing.store.queries import charges, events, invoices, settlements
from billing.store.queries.holding import Kind
from billing.store.queries.invoices import AttemptPlan
from billing.store.queries.settlements import ChargeState, Circumstances, OutcomeColumns
from billing.store.session import is_deadlock, is_locked, is_lost

log = Logger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """An outcome of a charge, and its source."""

    charge_id: UUID
    outcome: Outcome | NotFound


Check = Callable[[Connection], None]
"""Raises a refusal when the subscriptions, which are locked, are not as they were."""


def settle(
    context: Context,
    news: Sequence[News],
    source: Source,
    by: Actor = SCHEDULER,
    check: Check | None = None,
) -> list[SealedPayment]:
    """Record the outcomes of charges, and return the charges that have to be sent again.

    If the connection breaks at the commit, it is unknown whether the commit happened. The decision
    is then made again from the current rows, which is safe: a recorded outcome changes nothing.
    """
    again: list[SealedPayment] = []
    left = list(news)
    while left:
        left, parts = [], _settled(context, left, source, by, check)
        for resend, rest in parts:
            again += resend
            left += rest
    return again


Settled = tuple[list[SealedPayment], list[News]]


class Case(NamedTuple):
    """A charge and what was decided about it."""

    charge: ChargeState
    decision: Decision
    more: Circumstances | None  # None for a success

    @property
    def trouble(self) -> Circumstances:
        """The circumstances of a charge with any outcome other than a success."""
        assert self.more is not None  # noqa: S101 - loaded for every other outcome
        return self.more


def _settled(
    context: Context, news: Sequence[News], source: Source, by: Actor, check: Check | None = None
) -> list[Settled]:
    """Settle a group; hold a charge that cannot be settled, and settle the others.

    A held charge stays unresolved and blocks its subscription. A charge whose subscription another
    session has locked stays unresolved, too, and is queried later. An operator who sets an outcome
    gets the error instead.
    """

    def hold(item: News, error: Exception) -> None:
        if source is Source.OPERATOR:
            raise error
        said = type(item.outcome).__name__
        held_rows.set_aside(context, Kind.CHARGE, item.charge_id, error, said=said)

    def locked(item: News, error: Exception) -> None:
        if source is Source.OPERATOR:
            raise error
        held_rows.pass_over(item.charge_id, error)

    def work(part: Sequence[News]) -> Settled:
        return _settle_or_retry(context, part, source, by, check)

    return held_rows.isolate(news, work, hold, locked)


def _settle_or_retry(
    context: Context, news: Sequence[News], source: Source, by: Actor, check: Check | None = None
) -> Settled:
    try:
        with context.database.transaction() as connection:
            return _settle(context, connection, news, source, by, check)
    except DBAPIError as error:
        if not is_lost(error) or (is_locked(error) and not is_deadlock(error)):
            raise
        log.warning("settling.connection_lost", charges=len(news))
    # The gateway's answer exists only in this process: wait as long as a switchover takes.
    context.database.await_server(SWITCHOVER_SECONDS)
    with context.database.transaction() as connection:
        return _settle(context, connection, news, source, by, check)


def _settle(
    context: Context, connection: Connection, news: Sequence[News], source: Source, by: Actor,
    check: Check | None = None,
) -> Settled:  # fmt: skip
    """Settle one charge of each subscription; leave the others for another transaction.

    A decision uses the rows as read before the transaction wrote anything, so two charges of one
    subscription must not be settled together.
    """
    now = context.clock.now()
    outcomes = {item.charge_id: item.outcome for item in news}
    found = settlements.lock_for_settling(connection, list(outcomes))
    if check is not None:
        check(connection)
    rows = list({row.subscription_id: row for row in reversed(found)}.values())
    taken = {row.id for row in rows}
    left = [News(row.id, outcomes[row.id]) for row in found if row.id not in taken]
    cases, limits = [], context.limits
    for row, more, known in _known(connection, rows, outcomes, now):
        decision = decide(known, outcomes[row.id], source, now=now, limits=limits)
        if decision is not None:
            cases.append(Case(row, decision, more))
    said = {row.id: outcomes[row.id] for row in rows}
    answered, odd = breaker.counted(source, said, {c.charge.id: c.decision for c in cases})
    _write(connection, cases, source, by, now, answered=0 if odd else answered)
    if said and source is Source.LIVE:
        backpressure.heed(connection, list(said.values()), troubled=rows[0].troubled)
    if odd:
        breaker.watch(connection, context.settings, answered=answered, odd=odd, now=now)
    _log(cases, source)
    again = [_again(context, connection, case) for case in cases if case.decision.resend]
    return again, left


def _known(
    connection: Connection,
    rows: Iterable[ChargeState],
    outcomes: dict[UUID, Outcome | NotFound],
    now: datetime,
) -> Iterator[tuple[ChargeState, Circumstances | None, Facts]]:
    """Load the facts about each charge, with more columns for those that are no success."""
    troubled = []
    for row in rows:
        if isinstance(outcomes[row.id], Succeeded):
            yield row, None, facts(row)
        else:
            troubled.append(row)
    if troubled:
        circumstances = settlements.circumstances(connection, [row.id for row in troubled])
        pasts = charges.history(connection, [row.invoice_id for row in troubled])
        for row in troubled:
            more = circumstances[row.id]
            yield row, more, facts_of_trouble(row, more, pasts[row.invoice_id], now)


def _log(cases: Sequence[Case], source: Source) -> None:
    """Log one line for all successes, and one line for each other charge."""
    others = [case for case in cases if case.decision.status is not ChargeStatus.SUCCEEDED]
    paid = len(cases) - len(others)
    if paid:
        log.info("charges.succeeded", count=paid, source=source.value)
    for case in others:
        data = {"charge": str(case.charge.id), "number": case.trouble.gateway_number}
        status = case.decision.status.value
        log.info("charge.settled", **data, status=status, source=source.value)


def _again(context: Context, connection: Connection, case: Case) -> SealedPayment:
    row = case.charge
    body = context.vault.open(settlements.body_of(connection, row.id))
    return SealedPayment(str(row.id), case.trouble.gateway_number, row.amount, body)


def _write(
    connection: Connection,
    all_cases: Sequence[Case],
    source: Source,
    by: Actor,
    now: datetime,
    *,
    answered: int,
) -> None:
    cases = [case for case in all_cases if not case.decision.rechecked]
    paid = [case.charge for case in cases if case.decision.pays]
    settlements.write_outcomes(
        connection,
        {case.charge.id: _outcome_columns(case.charge, case.decision, now) for case in cases},
        now,
        paid=[row.invoice_id for row in paid],
        first=[row.subscription_id for row in paid if row.first_paid_at is None],
        plain=[case.charge.id for case in cases if case.decision.is_plain_success],
        source=source,
        by=by,
        shard=breaker.shard(),
        answered=answered,
    )
    freed = [case.charge.subscription_id for case in cases if _frees_the_next(case)]
    if freed:
        invoices.release_oldest(connection, freed, now)
    due = [_planned(case, at) for case in cases if (at := case.decision.retry_at) is not None]
    invoices.plan_attempts(connection, due)
    others = [case for case in all_cases if not case.decision.is_plain_success]
    events.record(connection, _new_events(others, by, now))
    for case in all_cases:
        _follow_up(connection, case, now)
    if source is Source.OPERATOR and cases:
        ids = [case.charge.id for case in cases]
        settlements.mark_resolved(connection, ids, now, now + charge.QUERY_DAILY)


def _planned(case: Case, due: datetime) -> AttemptPlan:
    """Return the columns of the next attempt; if the wallet is lost, the planned date is kept."""
    decision, more = case.decision, case.trouble
    aside = more.planned_at if decision.wallet_lost else None
    is_before = aside is not None and aside > due
    return {
        "key": case.charge.invoice_id,
        "next_attempt_at": due,
        "blocked_on": decision.blocked_on,
        "first_failed_at": decision.first_failed_at or more.first_failed_at,
        "planned_at": aside,
        "next_trigger": Trigger.CUSTOMER if is_before else Trigger.SCHEDULED,
    }


def _frees_the_next(case: Case) -> bool:
    """Whether the next open invoice may be charged: this one is paid or not owed any more."""
    row, decision = case.charge, case.decision
    if not row.other_open:
        return False
    closed = row.invoice_status is not InvoiceStatus.OPEN
    return decision.pays or (closed and decision.status not in UNRESOLVED)


def _outcome_columns(row: ChargeState, decision: Decision, now: datetime) -> OutcomeColumns:
    final = decision.status not in UNRESOLVED
    return {
        "key": row.id,
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
        "sent_at": now if decision.resend else row.sent_at,
        "asked": int(decision.asked),
        "resent": int(decision.resend),
        "unsent": int(decision.status is ChargeStatus.UNSENT),
        "by_answer": decision.by_answer,
        "final": final,
        "succeeded": decision.status is ChargeStatus.SUCCEEDED,
    }


def _new_events(cases: Sequence[Case], by: Actor, now: datetime) -> list[Event]:
    return [
        event(
            kind,
            at=now,
            by=by,
            customer_id=case.charge.customer_id,
            subscription_id=case.charge.subscription_id,
            invoice_id=case.charge.invoice_id,
            charge_id=case.charge.id,
            data={"amount": case.charge.amount, **data} if kind == "invoice.paid" else data,
        )
        for case in cases
        for kind, data in case.decision.events
    ]


def _follow_up(connection: Connection, case: Case, now: datetime) -> None:
    """Apply what follows for one subscription; a plain success only refunds unserved days."""
    row, decision = case.charge, case.decision
    if decision.rechecked:
        denied_at = now if decision.contradicted else None
        settlements.note_recheck(connection, row.id, decision.next_check_at, denied_at)
    if decision.never_received:
        settlements.mark_never_received(connection, [row.id])
    if decision.give_back is not None:
        paid_twice = row.invoice_status is InvoiceStatus.PAID
        purpose = RefundPurpose.SURPLUS if paid_twice else RefundPurpose.VOID
        order = charge_money.Order(purpose.value, row.amount, purpose, decision.give_back)
        charge_money.request_refund(connection, _taken(row), order, SCHEDULER, now)
    if decision.pays and row.status not in UNRESOLVED:
        unsent_checks.ask_about(connection, [row.invoice_id], now)
    if decision.pays and row.subscription_status is SubscriptionStatus.CANCELED:
        days_after_cancellation.refund_late(connection, _taken(row), row.amount, now)
    if decision.wallet_lost:
        why = "the gateway wants the wallet linked again"
        transitions.lose_wallet(connection, case.trouble.wallet_id, now, why)
    if decision.gives_up:
        uncollectible.give_up(connection, row.subscription_id, now, decision.cap)
    elif decision.move is not None:
        transitions.move(connection, row.subscription_id, decision.move, now)


def _taken(row: ChargeState) -> charge_money.Taken:
    return charge_money.Taken(row.id, row.invoice_id, row.subscription_id, row.customer_id)
