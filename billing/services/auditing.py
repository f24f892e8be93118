"""Auditing: the promises, checked against the rows as they are."""

from dataclasses import dataclass
from datetime import timedelta

from billing.services.context import Context
from billing.store.queries import audit as statements

LEEWAY = timedelta(minutes=15)
"""How late due work may be before it is a finding."""


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
