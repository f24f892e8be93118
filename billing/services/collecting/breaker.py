"""Breaker: stop charging when the gateway's answers are unusual.

A broken gateway, or a proxy that answers in its place, must not cancel all customers. The breaker
counts live answers and final status queries of all workers, in real time. It decides nothing about
a single charge.
"""

from datetime import datetime
from os import getpid
from uuid import UUID

from sqlalchemy import Connection

from billing.config import Settings
from billing.domain.charge import UNRESOLVED
from billing.domain.events import Actor, event
from billing.domain.outcomes import (
    Declined,
    Fault,
    NotFound,
    Outcome,
    Pending,
    Succeeded,
    Unknown,
    Waiting,
)
from billing.domain.settlement import Decision, Source
from billing.logs import Logger
from billing.store.queries import breaker, engine, events

log = Logger(__name__)

SHARDS = 16
"""Number of counter rows per minute, so that processes do not wait for each other."""


def shard() -> int:
    """Return the counter row of this process."""
    return getpid() % SHARDS


def counted(
    source: Source, outcomes: dict[UUID, Outcome | NotFound], decisions: dict[UUID, Decision]
) -> tuple[int, int]:
    """Count the answers about charges, by charge, and how many of them are suspicious.

    Suspicious are hard and wallet declines, answers not from the gateway, and answers that would
    end a subscription or wallet. Status queries are repeated, so only their final answers count.
    """
    if source is Source.OPERATOR:
        return 0, 0
    answered = odd = 0
    for charge_id, outcome in outcomes.items():
        decision = decisions.get(charge_id)
        is_odd = (decision is not None and decision.odd) or _is_suspicious(outcome)
        if source is Source.LIVE:
            is_answer = isinstance(outcome, Succeeded | Declined | Pending)
        else:
            is_answer = decision is not None and decision.status not in UNRESOLVED
        odd += is_odd
        answered += is_odd or is_answer
    return answered, odd


def _is_suspicious(outcome: Outcome | NotFound) -> bool:
    match outcome:
        case Declined(fault=fault):
            return fault in {Fault.HARD, Fault.WALLET}
        case Pending(waiting=waiting):
            return waiting is Waiting.TOKEN_EXPIRED
        case Unknown(unrecognised=unrecognised):
            return unrecognised
    return False


def watch(
    connection: Connection, settings: Settings, *, answered: int, odd: int, now: datetime
) -> None:
    """Count answers, and stop charging when the share of suspicious ones is too high."""
    breaker.count(connection, shard=shard(), answered=answered, suspicious=odd)
    share = settings.breaker_share_percent
    if not share:
        return
    seconds = settings.breaker_window_seconds
    came, strange = breaker.lately(connection, seconds)
    if came < settings.breaker_answers_min or strange * 100 < share * came:
        return
    if not breaker.trip(connection, now):
        return
    why = (
        f"{strange} of the gateway's last {came} answers within {seconds} s are hard or"
        f" wallet declines, or not from the gateway; the limit is {share} %"
        " (BILLING_BREAKER_SHARE_PERCENT)"
    )
    log.error("charging.stopped", why=why)
    engine.set_stopped(connection, now, why, again=True)
    events.record(connection, [event("engine.charging_stopped", at=now, by=Actor("guard", why))])


def reset(connection: Connection, now: datetime, by: Actor) -> None:
    """Reset the counters when an operator starts charging.

    Declines from the window that tripped the breaker count as the gateway's fault, not as the
    customers': they are attempted again without using a dunning step.
    """
    if breaker.reset(connection):
        why = "declined while the gateway's answers were unusual"
        breaker.disbelieve(connection, now, by, why)
