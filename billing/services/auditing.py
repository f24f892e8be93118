"""Auditing: the promises, checked against the rows as they are, and against the gateway's word."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.outcomes import Declined, NotFound, Pending, StatusOutcome, Succeeded
from billing.services import guarding
from billing.services.context import Context
from billing.store.queries import audit as statements
from billing.store.queries import charges

LEEWAY = timedelta(minutes=15)
"""How late due work may be before it is a finding."""
PAGE = 500
AGREES = "charge and gateway agree"


@dataclass(frozen=True, slots=True)
class Finding:
    """An invariant that does not hold, and where."""

    name: str
    detail: str


def audit(context: Context) -> list[Finding]:
    """Check every invariant; an empty list means that all of them hold."""
    overdue = context.clock.now() - LEEWAY
    findings = []
    with context.database.transaction() as connection:
        for name in statements.INVARIANTS:
            details = statements.broken(connection, name, overdue)
            findings += [Finding(name, detail) for detail in details]
    return findings


def audit_gateway(context: Context, since: datetime, until: datetime) -> Iterator[Finding]:
    """Ask the gateway about every charge made from `since` to before `until`, and compare.

    It changes nothing: what is found is for a person to look at.
    """
    after = UUID(int=0)
    while True:
        with context.database.transaction() as connection:
            guarding.require_ours(context, connection)
            page = charges.page_of_window(connection, since, until, after, PAGE)
        if not page:
            return
        answers = context.pool.map(
            lambda row: context.gateway.check_status(
                row["gateway_number"], row["gateway_number"], row["amount"]
            ),
            page,
        )
        for row, answer in zip(page, answers, strict=True):
            problem = _disagreement(ChargeStatus(row["status"]), answer)
            if problem is not None:
                yield Finding(AGREES, f"{row['gateway_number']} {_named(row)}: {problem}")
        after = page[-1]["id"]


def _named(row: Mapping[Any, Any]) -> str:
    return f"(charge {row['id']}) is {row['status']}"


def _disagreement(status: ChargeStatus, answer: StatusOutcome) -> str | None:
    """What is wrong between our status and the gateway's answer; None when they agree."""
    match answer:
        case Succeeded():
            fits = status is ChargeStatus.SUCCEEDED
            return None if fits else "the gateway says the money moved"
        case Declined() | NotFound():
            word = "failed" if isinstance(answer, Declined) else "not found"
            fits = status is not ChargeStatus.SUCCEEDED
            return None if fits else f"the gateway says {word}"
        case Pending():
            fits = status in UNRESOLVED
            return None if fits else "the gateway still waits for the customer"
        case _:
            return f"the gateway could not say: {answer.reason}"
