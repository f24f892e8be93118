"""Open requests for approval: whether what each is about has changed since it was asked.

The condition is a part of the statements of the pages that list them, and of every page's menu.
"""

from billing.store.expressions import listed

_PROGRESS = ("refund.sent", "refund.succeeded")
"""Events of an invoice that change neither its money nor what is known of it."""
_TURNS = (
    "invoice.opened", "invoice.paid", "invoice.voided", "refund.requested", "refund.failed",
    "subscription.canceled", "subscription.changed", "subscription.completed",
)  # fmt: skip
"""Events after which a cancellation has another effect."""
NEWEST = f"""coalesce((SELECT e.id FROM events e WHERE e.subscription_id = {{0}}
    AND e.invoice_id = {{1}} AND NOT {listed("e.kind", _PROGRESS)}
    ORDER BY e.subscription_id DESC, e.id DESC LIMIT 1), 0)"""  # noqa: S608 - constants of ours
IS_CURRENT = f"""(CASE a.kind WHEN 'bulk' THEN true
    WHEN 'refund' THEN coalesce(CAST(a.arguments->'terms'->>'newest' AS bigint)
        = {NEWEST.format("a.subscription_id", "CAST(a.subject AS uuid)")}
        AND CAST(a.arguments->'terms'->>'kept' AS bigint) = (SELECT c.kept FROM charges c
            WHERE c.invoice_id = CAST(a.subject AS uuid) AND c.status = 'succeeded'
            ORDER BY (c.surplus AND c.kept > 0) DESC, c.surplus LIMIT 1), false)
    ELSE NOT EXISTS (SELECT 1 FROM events e WHERE e.subscription_id = a.subscription_id
        AND e.id > a.seen AND {listed("e.kind", _TURNS)}) END)"""  # noqa: S608 - constants of ours
"""Whether what a request is about has not changed. Time is not seen here: a prorated request ends
with its day, and the end of a period is an event once a tick has opened the next one."""
