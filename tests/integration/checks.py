"""The invariants that must hold after every test.

The gateway's own ledger and our rows must agree to the last rupiah.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from billing.domain.event_kinds import KINDS
from billing.services.reading import auditing
from billing.store.queries.audit import INVARIANTS

if TYPE_CHECKING:
    from tests.integration.engine import Engine

Row = Mapping[str, Any]
BROKEN = " UNION ALL ".join(
    f"(SELECT CAST('{name}' AS text) AS invariant, found FROM ({statement}) AS broken (found))"
    for name, statement in INVARIANTS.items()
)
"""What the audit reads in one statement for each invariant, in one round trip."""


def check(engine: "Engine") -> None:
    """The audit finds nothing, the ledger equals the rows, and every state has its event.

    A story that ends in a dead end has named its cause in `engine.dead_ends`: the audit finds
    that, and nothing else.
    """
    assert engine.rows(BROKEN, overdue=engine.now - auditing.LEEWAY) == []
    waiting = auditing.dead_ends(engine.context)
    assert {item.cause for item in waiting} == engine.dead_ends, waiting
    assert differences(engine) == []
    assert moves_without_event(engine) == []
    assert unlisted_kinds(engine) == []


def findings(engine: "Engine") -> list[Any]:
    """Return all that `auditing.audit` finds, with two round trips in the place of thirty."""
    broken = engine.rows(BROKEN, overdue=engine.now - auditing.LEEWAY)
    return [*broken, *auditing.dead_ends(engine.context)]


def differences(engine: "Engine") -> list[str]:
    """Where the gateway's ledger and our rows disagree about money that moved.

    Only customers who ever had a wallet are compared: an import can add thousands of others.
    """
    found = []
    told_of = (
        "SELECT customer_id AS id FROM wallets UNION SELECT customer_id FROM charges"
        " UNION SELECT customer_id FROM refunds"
    )
    for customer in engine.rows(told_of):
        ledger = engine.ledger(customer["id"])
        ours = engine.rows(
            "SELECT gateway_number AS name, amount FROM charges"
            " WHERE customer_id = :id AND status = 'succeeded'",
            id=customer["id"],
        )
        found += _differ("payment", ledger, "number", ours)
        ours = engine.rows(
            "SELECT CAST(id AS text) AS name, amount FROM refunds"
            " WHERE customer_id = :id AND status = 'succeeded'",
            id=customer["id"],
        )
        found += _differ("refund", ledger, "request_id", ours)
    return found


def moves_without_event(engine: "Engine") -> list[Row]:
    """Return the charges and refunds whose last event does not match their state."""
    return engine.rows("""
        SELECT id, status, kind FROM (
            SELECT DISTINCT ON (c.id) c.id, c.status, e.kind FROM charges c
            LEFT JOIN events e ON e.charge_id = c.id AND e.kind LIKE 'charge.%'
                AND e.kind NOT IN ('charge.parked', 'charge.contradicted', 'charge.confirmed',
                    'charge.held', 'charge.released', 'charge.notified')
            ORDER BY c.id, e.id DESC) AS charges
        WHERE kind IS DISTINCT FROM 'charge.' || status
          AND NOT (status = 'in_flight' AND kind IN ('charge.claimed', 'charge.resent'))
        UNION ALL
        SELECT id, status, kind FROM (
            SELECT DISTINCT ON (r.id) r.id, r.status, e.kind FROM refunds r
            LEFT JOIN events e ON e.data->>'refund' = CAST(r.id AS text)
                AND e.kind NOT IN ('refund.held', 'refund.released')
            ORDER BY r.id, e.id DESC) AS refunds
        WHERE kind IS DISTINCT FROM 'refund.' || status
          AND kind NOT IN ('refund.sent', 'refund.parked', 'refund.unsent',
                           'refund.retry_requested', 'credit.paid_out')
          AND NOT (status = 'declined' AND kind IN ('refund.replaced', 'refund.failed'))
          AND kind NOT LIKE 'refund.contradict%'""")


def unlisted_kinds(engine: "Engine") -> list[Row]:
    """Return the kinds of events that the table of kinds does not list."""
    statement = "SELECT DISTINCT kind FROM events WHERE NOT kind = ANY(:kinds)"
    return engine.rows(statement, kinds=list(KINDS))


def _differ(kind: str, ledger: Sequence[Row], name: str, ours: Sequence[Row]) -> list[str]:
    theirs = {row[name]: row["amount"] for row in ledger if row["kind"] == kind and row["moves"]}
    twice = [row[name] for row in ledger if row["kind"] == kind and row["moves"] > 1]
    known = {row["name"]: row["amount"] for row in ours}
    if theirs == known and not twice:
        return []
    return [f"{kind}: the gateway has {theirs}, twice {twice}, our rows have {known}"]
