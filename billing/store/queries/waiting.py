"""What an open invoice waits for right now, in words: one statement for a page of them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from billing.store.rows import as_array
from billing.store.statements import text

_WAITS = text("""
    SELECT i.id, CASE
        WHEN i.held_at IS NOT NULL THEN 'a person, because it is held: ' || i.held_why
        WHEN u.held_at IS NOT NULL THEN 'a person, because its charge is held: ' || u.held_why
        WHEN u.parked_at IS NOT NULL THEN 'a person, because its charge is parked'
        WHEN u.status = 'in_flight' THEN 'the answer to its charge'
        WHEN u.id IS NOT NULL THEN 'the gateway: its charge is ' || u.status
        WHEN EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
            AND o.status = 'open' AND (o.period_index, o.change_index)
                < (i.period_index, i.change_index)) THEN 'an older invoice to be paid'
        WHEN i.reason IS NOT NULL THEN i.reason
        WHEN i.blocked_on = 'wallet' THEN 'a linked wallet'
        WHEN i.blocked_on = 'balance' THEN 'money in the wallet'
        WHEN e.stopped_at IS NOT NULL THEN 'billing start-charging: charging is stopped'
        WHEN i.next_attempt_at IS NULL THEN 'a person: it has no date'
        WHEN i.next_attempt_at > coalesce(e.clock_at, clock_timestamp()) THEN NULL
        WHEN e.resting_until > clock_timestamp() THEN 'the gateway, which refuses at the moment'
        WHEN i.leased_until > clock_timestamp()
            THEN 'a worker that has its message, at most '
                || ceil(extract(epoch FROM i.leased_until - clock_timestamp())) || ' s'
        ELSE 'a worker: it is due'
    END
    FROM invoices i CROSS JOIN engine e
    LEFT JOIN charges u ON u.subscription_id = i.subscription_id
        AND u.status IN ('in_flight', 'pending', 'unknown')
    WHERE i.id = ANY(CAST(:ids AS uuid[])) AND i.status = 'open'
""")


def waits_for(connection: Connection, invoice_ids: Sequence[UUID]) -> dict[UUID, str | None]:
    """What each open invoice of these waits for; None when for its date alone."""
    found = connection.execute(_WAITS, {"ids": as_array(invoice_ids)})
    return {row[0]: row[1] for row in found}
