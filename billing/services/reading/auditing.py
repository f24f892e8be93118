"""Auditing: check the invariants against the rows, and charges against the gateway."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from billing.domain.charge import UNRESOLVED, ChargeStatus
from billing.domain.instants import spoken
from billing.domain.money import rupiah
from billing.domain.outcomes import Declined, NotFound, Pending, StatusOutcome, Succeeded
from billing.services.context import Context
from billing.services.operating import safety
from billing.services.reading import attention
from billing.store.queries import attention as statements_of_dead_ends
from billing.store.queries import audit as statements
from billing.store.queries import charges
from billing.store.queries.attention import Item
from billing.store.queries.charges import Compared

LEEWAY = timedelta(minutes=15)
"""How late due work may be before it is a finding."""
PAGE = 500
WAITS = "nothing needs an operator"
ELSEWHERE = ("late", "no date", "stopped", "unreturned", "refund contradicted", "breach")
"""Causes, or a kind and its cause, that are excluded: each has an invariant or is intended."""
AGREES = "charge and gateway agree"


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken invariant, and where it is broken."""

    name: str
    detail: str


def audit(context: Context) -> list[Finding]:
    """Check every invariant and find rows that need an operator; empty without findings."""
    ends = dead_ends(context)
    with context.database.transaction() as connection:
        horizon = context.limits.not_found_horizon
        commands = attention.commands_of(connection, ends, horizon)
    found = [
        Finding(WAITS, f"{item.kind} {item.id} is {item.cause} since {spoken(item.since_at)}"
                f" ({item.why or 'no reason is known'}); {command}")
        for item, command in zip(ends, commands, strict=True)
    ]  # fmt: skip
    return broken(context) + found


def broken(context: Context) -> list[Finding]:
    """Return the broken invariants, and where they are broken."""
    overdue = context.clock.now() - LEEWAY
    findings = []
    with context.database.transaction() as connection:
        for name in statements.INVARIANTS:
            details = statements.broken(connection, name, overdue)
            findings += [Finding(name, detail) for detail in details]
    return findings


def dead_ends(context: Context) -> list[Item]:
    """Return rows that need an operator, except those with an invariant of their own."""
    ages = attention.ages(context.clock.now(), context.settings.tick_seconds)
    with context.database.transaction() as connection:
        waiting = statements_of_dead_ends.items(connection, ages, limit=PAGE)
    return [
        item
        for item in waiting
        if item.alarm and not {item.cause, f"{item.kind} {item.cause}"}.intersection(ELSEWHERE)
    ]


def audit_gateway(context: Context, since: datetime, until: datetime) -> Iterator[Finding]:
    """Query the gateway for every charge made from `since` to before `until`, and compare.

    Nothing is changed: findings are for an operator.
    """
    after = UUID(int=0)
    while True:
        with context.database.transaction() as connection:
            safety.require_ours(context, connection)
            page = charges.page_of_window(connection, since, until, after, PAGE)
        if not page:
            return
        answers = context.pool.map(
            lambda row: context.gateway.check_status(
                row.gateway_number, row.gateway_number, row.amount
            ),
            page,
        )
        for row, answer in zip(page, answers, strict=True):
            problem = _disagreement(row, answer)
            if problem is not None:
                yield Finding(AGREES, f"{row.gateway_number} {_named(row)}: {problem}")
        after = page[-1].id


def _named(row: Compared) -> str:
    return f"(charge {row.id}) is {row.status}"


def _disagreement(row: Compared, answer: StatusOutcome) -> str | None:
    """Describe how our charge and the gateway's answer differ; None when they agree.

    A refund that a restore lost is found only when the gateway refunded the whole amount; the
    gateway's answer about a partial refund is not documented.
    """
    status = row.status
    match answer:
        case Succeeded(is_refunded=True) if (
            status is ChargeStatus.SUCCEEDED and row.refunded < row.amount
        ):
            ours = f"{rupiah(row.refunded)} of {rupiah(row.amount)}"
            return f"the gateway refunded all of it, but our refunds are {ours}"
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
