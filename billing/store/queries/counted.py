"""Counted rows: the conditions for the rows that a number of the console counts.

Each selects ids by a small index, or by the events of a day, or rows by the instant at which they
are due, so that the list of them is exactly what the number says. The counts themselves are in
`console`, `metrics` and `ahead`.
"""

from billing.domain.charge import UNRESOLVED
from billing.domain.filters import Counted
from billing.domain.refund import UNSETTLED
from billing.store.expressions import listed
from billing.store.queries.ahead import IS_INVOICE, IS_PERIOD
from billing.store.queries.subscriptions import MAY_OPEN


def _events(column: str, kind: str) -> str:
    return f"(SELECT {column} FROM events e WHERE e.at >= :at AND e.kind = '{kind}'{{before}})"  # noqa: S608 - constants of ours


_CHARGE = "e.charge_id"
_SPAN = "e.at >= :at AND e.at < :before"
_PERIODS = f"s.next_due_at >= :at AND s.next_due_at < :before AND {IS_PERIOD}"
_INVOICES = f"i.next_attempt_at >= :at AND i.next_attempt_at < :before AND {IS_INVOICE}"
_LINKED = """coalesce((SELECT w.expires_at > {due} FROM wallets w
    WHERE w.customer_id = {of}.customer_id AND w.status = 'active'), false)"""
_FOR_PERIOD = _LINKED.format(of="s", due="s.next_due_at")
_FOR_INVOICE = _LINKED.format(of="i", due="i.next_attempt_at")
_REFUND = "CAST(e.data->>'refund' AS uuid)"

CONDITIONS = {
    Counted.DUE: """i.id IN (SELECT d.id FROM invoices d
        WHERE d.next_attempt_at <= :at AND d.held_at IS NULL)""",
    Counted.TO_OPEN: f"""s.id IN (SELECT s.id FROM subscriptions s
        WHERE s.next_due_at <= :at AND {MAY_OPEN})""",  # noqa: S608 - a constant of ours
    Counted.RUNNING: "s.ended_at IS NULL",
    Counted.UNRESOLVED: listed("c.status", UNRESOLVED),
    Counted.UNSETTLED: listed("r.status", UNSETTLED),
    Counted.SUCCEEDED: "c.id IN " + _events(_CHARGE, "charge.succeeded"),
    Counted.DECLINED: "c.id IN " + _events(_CHARGE, "charge.declined"),
    Counted.UNSENT: "c.id IN " + _events(_CHARGE, "charge.unsent"),
    # Of many ids, an array is looked up twice as fast as the rows of a subquery.
    Counted.FAILED: f"""c.id = ANY(ARRAY(SELECT e.charge_id FROM events e
        WHERE e.kind = 'charge.declined' AND {_SPAN}{{fault}}{{code}}))""",  # noqa: S608 - a constant of ours
    Counted.GIVEN_UP: f"""i.id = ANY(ARRAY(SELECT e.invoice_id FROM events e
        WHERE e.kind = 'invoice.uncollectible' AND {_SPAN}))""",  # noqa: S608 - the same
    Counted.PERIODS_AHEAD: f"{_PERIODS} AND {_FOR_PERIOD}",
    Counted.PERIODS_WAITING: f"{_PERIODS} AND NOT {_FOR_PERIOD}",
    Counted.INVOICES_AHEAD: f"{_INVOICES} AND {_FOR_INVOICE}",
    Counted.INVOICES_WAITING: f"{_INVOICES} AND NOT {_FOR_INVOICE}",
    Counted.REFUNDED: "r.id IN " + _events(_REFUND, "refund.succeeded"),
}
"""By the alias that the list has for its table; `:at` is the instant of the count."""

BEFORE = " AND e.at < :before"
"""The end of a span, in the place of its name; without it, everything since the instant counts."""
OF_FAULT = " AND coalesce(e.data->>'fault', 'other') = :fault"
OF_CODE = " AND coalesce(e.data->>'code', '') = :code"
"""More conditions of `FAILED`, in the places of its names."""
