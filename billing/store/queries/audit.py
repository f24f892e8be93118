"""Invariants, each as a statement that must return nothing; a returned row is a finding."""

from datetime import datetime

from sqlalchemy import Connection

from billing.domain.refund import COUNTED
from billing.domain.wallet import LIVE
from billing.store.expressions import is_notice, listed, spoken
from billing.store.queries.ahead import TOTALS
from billing.store.queries.daily import FACTS
from billing.store.queries.refunds import BREACHES as _BREACHES
from billing.store.queries.refunds import CONTRADICTED as _CONTRADICTED
from billing.store.queries.subscriptions import MAY_END, MAY_OPEN, MAY_PAUSE, MAY_RESUME
from billing.store.statements import text

_COUNTED = listed("r.status", COUNTED)
_LIVE_WALLET = listed("w.status", LIVE)
_OF_AHEAD = TOTALS.format(
    at="(SELECT at FROM ahead_state)", until="(SELECT until FROM ahead_state)"
)
_OF_DAYS = FACTS.format("""(SELECT e.* FROM event_feed f JOIN events e ON e.id = f.event_id
            WHERE f.position <= (SELECT days_position FROM metric_state))""")
INVARIANTS = {
    "one paying charge for each paid invoice": """
        SELECT i.id || ' has ' || count(c.id) || ' paying charges' FROM invoices i
        LEFT JOIN charges c ON c.invoice_id = i.id AND c.status = 'succeeded' AND NOT c.surplus
        WHERE i.status = 'paid' GROUP BY i.id
        HAVING count(c.id) <> CASE WHEN i.amount > i.credited THEN 1 ELSE 0 END""",
    "no paying charge for an invoice that is not paid": """
        SELECT c.id || ' succeeded, but its invoice is ' || i.status FROM charges c
        JOIN invoices i ON i.id = c.invoice_id
        WHERE c.status = 'succeeded' AND NOT c.surplus AND i.status <> 'paid'""",
    "a surplus payment is given back": """
        SELECT c.id || ' is surplus, and ' || c.kept || ' of it is kept' FROM charges c
        WHERE c.surplus AND c.kept > 0
          AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.charge_id = c.id
                          AND r.status IN ('unreturned', 'waived'))""",
    "a charge, its invoice and its wallet are of the same customer": """
        SELECT c.id || ' is of ' || c.customer_id || ' and ' || c.subscription_id
               || ', its invoice of ' || i.customer_id || ' and ' || i.subscription_id
               || ', its wallet of ' || w.customer_id
        FROM charges c JOIN invoices i ON i.id = c.invoice_id JOIN wallets w ON w.id = c.wallet_id
        WHERE (c.customer_id, c.subscription_id) <> (i.customer_id, i.subscription_id)
           OR w.customer_id <> c.customer_id""",
    "a charge and a refund are of the plan of their invoice": """
        SELECT c.id || ' is of the plan ' || c.plan_code || ', its invoice of ' || i.plan_code
        FROM charges c JOIN invoices i ON i.id = c.invoice_id WHERE c.plan_code <> i.plan_code
        UNION ALL
        SELECT r.id || ' is of the plan ' || r.plan_code || ', its invoice of ' || i.plan_code
        FROM refunds r JOIN invoices i ON i.id = r.invoice_id WHERE r.plan_code <> i.plan_code""",
    "the plan of an invoice exists": """
        SELECT i.id || ' is of the plan ' || i.plan_code || ', which does not exist'
        FROM invoices i WHERE NOT EXISTS (SELECT 1 FROM plans p WHERE p.code = i.plan_code)""",
    "an invoice and its subscription are of the same customer": """
        SELECT i.id || ' is of ' || i.customer_id || ', its subscription of ' || s.customer_id
        FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
        WHERE i.customer_id <> s.customer_id""",
    "charge and invoice agree on the amount": """
        SELECT c.id || ' is over ' || c.amount || ', its invoice over ' || i.amount - i.credited
        FROM charges c
        JOIN invoices i ON i.id = c.invoice_id WHERE c.amount <> i.amount - i.credited""",
    "the lines of an invoice add up": """
        SELECT i.id || ' is over ' || i.amount || ', its lines over ' || l.sum FROM invoices i
        CROSS JOIN LATERAL (SELECT sum((line->>'amount')::bigint) AS sum
                            FROM jsonb_array_elements(i.lines) AS line) AS l
        WHERE i.lines <> '[]' AND l.sum <> i.amount""",
    "what invoices took of credits adds up": """
        SELECT i.id || ' was credited ' || i.credited || ', its credits gave '
               || coalesce(sum(u.amount), 0) || ' and got back ' || coalesce(sum(u.returned), 0)
        FROM invoices i LEFT JOIN credit_uses u ON u.invoice_id = i.id
        WHERE i.credited > 0 OR u.amount > 0 GROUP BY i.id
        HAVING i.credited <> coalesce(sum(u.amount), 0)
            OR i.status = 'void' AND coalesce(sum(u.returned), 0) <> i.credited""",
    "what is left of a credit adds up": """
        SELECT c.id || ' has ' || c.remaining || ' left of ' || c.amount || ', ' || c.paid_out
               || ' paid out, ' || coalesce(sum(u.amount - u.returned), 0) || ' used'
        FROM credits c LEFT JOIN credit_uses u ON u.credit_id = c.id
        GROUP BY c.id
        HAVING c.remaining + c.paid_out + coalesce(sum(u.amount - u.returned), 0) <> c.amount""",
    "what is paid out of a credit adds up": f"""
        SELECT c.id || ' says ' || c.paid_out || ' paid out, its refunds say '
               || coalesce(sum(r.amount), 0)
        FROM credits c LEFT JOIN refunds r ON r.credit_id = c.id AND {_COUNTED}
        WHERE c.paid_out > 0 OR r.id IS NOT NULL
        GROUP BY c.id HAVING c.paid_out <> coalesce(sum(r.amount), 0)""",  # noqa: S608
    "what was taken is kept, refunded or credited": f"""
        SELECT c.id || ' took ' || c.amount || ': says ' || c.kept || ' kept, ' || c.refunded
               || ' refunded, ' || c.credited || ' credited; its refunds say '
               || coalesce(back.sum, 0) || ', its credits ' || coalesce(given.sum, 0)
        FROM charges c
        LEFT JOIN (SELECT r.charge_id, sum(r.amount) FROM refunds r WHERE {_COUNTED}
                   GROUP BY 1) AS back ON back.charge_id = c.id
        LEFT JOIN (SELECT charge_id, sum(from_charge - paid_out) FROM credits
                   WHERE charge_id IS NOT NULL GROUP BY 1) AS given ON given.charge_id = c.id
        WHERE c.refunded <> coalesce(back.sum, 0) OR c.credited <> coalesce(given.sum, 0)
           OR c.kept + c.refunded + c.credited
              <> CASE WHEN c.status = 'succeeded' THEN c.amount ELSE 0 END""",  # noqa: S608
    "a credit is of the charge that paid its invoice": """
        SELECT g.id || ' is of charge ' || g.charge_id || ' and of invoice ' || g.invoice_id
        FROM credits g JOIN charges c ON c.id = g.charge_id
        WHERE g.invoice_id IS DISTINCT FROM c.invoice_id OR g.customer_id <> c.customer_id""",
    "money that must go back went back": """
        SELECT id || ' over ' || amount || ' (' || purpose || ') was declined; '
               || 'billing refunds retry ' || id
        FROM refunds WHERE status = 'unreturned'""",
    "no charge gave back more than it took": f"""
        SELECT c.id || ' took ' || c.amount || ', refunded ' || (e.data->>'refunded')
               || ' and credited ' || (e.data->>'credited') || '; billing charge acknowledge '
               || c.id {_BREACHES}""",
    "no refund is contradicted by the gateway": f"""
        SELECT r.id || ' is ' || r.status || ', the gateway says ' || (e.data->>'gateway')
               || '; billing refunds acknowledge ' || r.id {_CONTRADICTED}""",
    "refunded money adds up": """
        SELECT i.id || ' says ' || i.amount_refunded || ', its refunds say '
               || coalesce(sum(r.amount), 0)
        FROM invoices i
        LEFT JOIN (refunds r JOIN charges c ON c.id = r.charge_id AND NOT c.surplus)
            ON r.invoice_id = i.id AND r.status IN ('succeeded', 'returned_elsewhere')
        GROUP BY i.id HAVING i.amount_refunded <> coalesce(sum(r.amount), 0)""",
    "periods follow each other without gap or overlap": """
        SELECT subscription_id || ': period ' || period_index || ' begins at ' || period_start
               || ', the one before ended at ' || before_end
        FROM (SELECT subscription_id, period_index, period_start,
                     lag(period_index) OVER w AS before, lag(period_end) OVER w AS before_end
              FROM invoices WHERE change_index = 0
              WINDOW w AS (PARTITION BY subscription_id ORDER BY period_index)) AS walked
        WHERE before = period_index - 1 AND before_end <> period_start
           OR before_end > period_start""",
    "every period has an invoice or was skipped on record": """
        SELECT s.id || ': ' || s.next_period_index || ' periods began, '
               || coalesce(made.count, 0) || ' were invoiced, '
               || coalesce(left_out.count, 0) || ' skipped'
        FROM subscriptions s
        LEFT JOIN (SELECT subscription_id, count(*) FROM invoices
                   WHERE change_index = 0 GROUP BY 1) AS made ON made.subscription_id = s.id
        LEFT JOIN (SELECT subscription_id,
                          sum((data->>'last')::int - (data->>'first')::int + 1) AS count
                   FROM events WHERE kind = 'period.skipped' GROUP BY 1) AS left_out
            ON left_out.subscription_id = s.id
        WHERE s.next_period_index <> coalesce(made.count, 0) + coalesce(left_out.count, 0)""",
    "the first payment is marked as such": """
        SELECT c.id || ' has first_payment ' || c.first_payment FROM charges c
        JOIN events made ON made.subscription_id = c.subscription_id
            AND made.charge_id = c.id AND made.kind = 'charge.claimed'
        WHERE c.first_payment = EXISTS (
            SELECT 1 FROM events paid WHERE paid.subscription_id = c.subscription_id
            AND (paid.kind = 'invoice.paid' AND paid.charge_id IS NOT NULL
                 OR paid.kind = 'subscription.imported'
                 AND (paid.data->>'paid_before')::boolean) AND paid.id < made.id)""",
    "an open invoice has a date, a charge on its way, or an older one before it": """
        SELECT i.id || ' is open and nothing will happen to it' FROM invoices i
        WHERE i.status = 'open' AND i.next_attempt_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = i.subscription_id
                          AND c.status IN ('in_flight', 'pending', 'unknown'))
          AND NOT EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
                          AND o.status = 'open' AND (o.period_index, o.change_index)
                              < (i.period_index, i.change_index))""",
    "an unresolved charge is asked about, or parked": """
        SELECT id || ' is ' || status || ' without a date for its status query' FROM charges
        WHERE status IN ('in_flight', 'pending', 'unknown')
          AND next_check_at IS NULL AND parked_at IS NULL""",
    "what only an answer called unsent is asked about once its invoice is closed": """
        SELECT c.id || ' is unsent by an answer, its invoice is ' || i.status
        FROM charges c JOIN invoices i ON i.id = c.invoice_id
        WHERE c.status = 'unsent' AND c.unsent_by_answer AND c.next_check_at IS NULL
          AND i.status <> 'open'""",
    "the gateway does not deny a recorded payment": """
        SELECT id || ' of ' || customer_id || ' was booked by a person, and the gateway denies it;'
               || ' see: billing charge show ' || id
        FROM charges WHERE contradicted_at IS NOT NULL""",
    "an unsettled refund is tried again, or parked": """
        SELECT id || ' is ' || status || ' without a date for its next attempt' FROM refunds
        WHERE status IN ('requested', 'in_flight', 'unknown')
          AND next_attempt_at IS NULL AND parked_at IS NULL""",
    "a subscription that bills has a next due date": """
        SELECT s.id || ' is ' || s.status || ' without a next due date' FROM subscriptions s
        JOIN plans p ON p.code = s.plan_code
        WHERE s.status IN ('trialing', 'active', 'past_due') AND s.next_due_at IS NULL
          AND (p.cycles IS NULL OR s.next_period_index < p.cycles)""",
    "a term whose last invoice is settled is over": """
        SELECT s.id || ' is ' || s.status || ', and its term of ' || p.cycles || ' is settled'
        FROM subscriptions s JOIN plans p ON p.code = s.plan_code
        WHERE s.status IN ('trialing', 'active', 'past_due') AND s.next_due_at IS NULL
          AND s.next_period_index >= p.cycles
          AND NOT EXISTS (SELECT 1 FROM invoices i
                          WHERE i.subscription_id = s.id AND i.status = 'open')
          AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.subscription_id = s.id
                          AND c.status IN ('in_flight', 'pending', 'unknown'))""",
    "nothing is owed by a subscription that has ended": """
        SELECT i.id || ' is open, its subscription ' || s.status FROM invoices i
        JOIN subscriptions s ON s.id = i.subscription_id
        WHERE i.status = 'open' AND s.status IN ('canceled', 'completed')
          AND i.reopened_at IS NULL""",
    "every settled charge has its event": """
        SELECT c.id || ' is ' || c.status || ' without an event' FROM charges c
        WHERE c.status IN ('succeeded', 'declined', 'unsent')
          AND NOT EXISTS (SELECT 1 FROM events e WHERE e.subscription_id = c.subscription_id
                          AND e.charge_id = c.id AND e.kind = 'charge.' || c.status)""",
    "what is final stays so": """
        SELECT e.kind || ' was recorded of ' || c.id || ', which is ' || c.status
        FROM events e JOIN charges c ON c.id = e.charge_id
        WHERE e.kind = 'charge.succeeded' AND c.status <> 'succeeded'
        UNION ALL SELECT e.kind || ' was recorded of ' || i.id || ', which is ' || i.status
        FROM events e JOIN invoices i ON i.id = e.invoice_id
        WHERE e.kind = 'invoice.paid' AND i.status <> 'paid'
           OR e.kind = 'invoice.voided' AND i.status <> 'void'
        UNION ALL SELECT e.kind || ' was recorded of ' || s.id || ', which is ' || s.status
        FROM events e JOIN subscriptions s ON s.id = e.subscription_id
        WHERE e.kind IN ('subscription.canceled', 'subscription.completed')
          AND e.kind <> 'subscription.' || s.status
        UNION ALL SELECT e.kind || ' was recorded of ' || r.id || ', which is ' || r.status
        FROM events e JOIN refunds r ON r.id = CAST(e.data->>'refund' AS uuid)
        WHERE e.kind IN ('refund.succeeded', 'refund.returned_elsewhere')
          AND e.kind <> 'refund.' || r.status
           OR e.kind IN ('refund.failed', 'refund.unreturned', 'refund.waived')
          AND r.status IN ('requested', 'in_flight', 'unknown')""",
    "an erased customer has no personal value left": f"""
        SELECT DISTINCT c.id || ' was erased, and has ' || f.what FROM customers c
        CROSS JOIN LATERAL (
            SELECT 'a live subscription' AS what FROM subscriptions s
                WHERE s.customer_id = c.id AND s.ended_at IS NULL
            UNION ALL SELECT 'a personal value in a wallet' FROM wallets w
                WHERE w.customer_id = c.id AND ({_LIVE_WALLET} OR w.token_sealed IS NOT NULL
                    OR w.registration_url IS NOT NULL OR w.masked_phone <> ''
                    OR octet_length(w.phone_sealed) > 0)
            UNION ALL SELECT 'the body of a charge' FROM charges h
                WHERE h.customer_id = c.id AND h.body_sealed IS NOT NULL
            UNION ALL SELECT 'the content of an import' FROM imports m
                JOIN subscriptions s ON s.id = m.subscription_id
                WHERE s.customer_id = c.id AND m.content <> '{{}}'
            UNION ALL SELECT 'a reason in an event' FROM (
                SELECT e.id, e.reason FROM subscriptions s JOIN events e
                    ON e.subscription_id = s.id WHERE s.customer_id = c.id
                UNION ALL SELECT e.id, e.reason FROM events e
                    WHERE e.customer_id = c.id AND e.subscription_id IS NULL) AS e
                WHERE e.reason IS NOT NULL
                  AND e.id < (SELECT max(d.id) FROM events d WHERE d.customer_id = c.id
                              AND d.subscription_id IS NULL AND d.kind = 'customer.erased')
            ) AS f
        WHERE c.erased_at IS NOT NULL""",  # noqa: S608 - a constant of ours
    "the totals of each hour are those of its events": f"""
        SELECT name || ' from ' || {spoken("hour")} || ': counted '
               || coalesce(h.events, 0) || ' over ' || coalesce(h.amount, 0) || ', there are '
               || coalesce(e.events, 0) || ' over ' || coalesce(e.amount, 0)
        FROM hourly_totals h FULL JOIN (
            SELECT date_trunc('hour', e.at, 'UTC') AS hour, e.kind AS name, count(*) AS events,
                   coalesce(sum(CASE WHEN e.kind = 'charge.succeeded' THEN c.amount
                       WHEN e.kind = 'refund.succeeded' THEN CAST(e.data->>'amount' AS bigint)
                       END), 0) AS amount
            FROM event_feed f JOIN events e ON e.id = f.event_id
            LEFT JOIN charges c ON c.id = e.charge_id
            WHERE f.position <= (SELECT hours_position FROM metric_state)
              AND e.kind IN ('charge.succeeded', 'charge.declined', 'refund.succeeded')
            GROUP BY 1, 2) AS e USING (hour, name)
        WHERE (coalesce(h.events, 0), coalesce(h.amount, 0))
            <> (coalesce(e.events, 0), coalesce(e.amount, 0))""",  # noqa: S608 - a constant of ours
    "the totals of each day are those of its events": f"""
        SELECT day || ' ' || name || ' ' || label || ': counted ' || coalesce(d.events, 0)
               || ' over ' || coalesce(d.amount, 0) || ', there are ' || coalesce(e.events, 0)
               || ' over ' || coalesce(e.amount, 0)
        FROM daily_totals d FULL JOIN {_OF_DAYS} AS e
        USING (day, name, label)
        WHERE (coalesce(d.events, 0), coalesce(d.amount, 0))
            <> (coalesce(e.events, 0), coalesce(e.amount, 0))""",  # noqa: S608 - constants of ours
    "the totals of each day ahead are those of the rows": f"""
        SELECT day || ' ' || plan_code || ' ' || kind || CASE WHEN waits THEN ' that waits' ELSE ''
               END || ': counted ' || coalesce(t.charges, 0) || ' over ' || coalesce(t.amount, 0)
               || ', there are ' || coalesce(r.charges, 0) || ' over ' || coalesce(r.amount, 0)
        FROM ahead_totals t FULL JOIN {_OF_AHEAD} AS r USING (day, plan_code, kind, waits)
        WHERE (SELECT event_id FROM ahead_state) = (SELECT last_value FROM events_id_seq)
          AND (coalesce(t.charges, 0), coalesce(t.amount, 0))
            <> (coalesce(r.charges, 0), coalesce(r.amount, 0))""",  # noqa: S608 - constants of ours
    "every notice can be read": f"""
        SELECT 'plan ' || code || ' has the notice ' || left(notice, 40)
               || ', and announces nothing'
        FROM plans WHERE notice IS NOT NULL AND NOT {is_notice("notice")}""",  # noqa: S608 - constants of ours
    "nothing stays unknown beyond the alarm": f"""
        SELECT id || ' is ' || status || ' since ' || {spoken("created_at")} || ' and not parked'
        FROM charges
        WHERE status IN ('in_flight', 'pending', 'unknown') AND parked_at IS NULL
          AND created_at < CAST(:overdue AS timestamptz) - interval '9 days'""",  # noqa: S608 - constants of ours
    "nothing that is due waits": f"""
        SELECT what || ' is due since ' || {spoken("at")} FROM (
            SELECT 'invoice ' || id AS what, next_attempt_at AS at FROM invoices
                WHERE held_at IS NULL
            UNION ALL SELECT 'charge ' || id, next_check_at FROM charges WHERE held_at IS NULL
            UNION ALL SELECT 'refund ' || id, next_attempt_at FROM refunds WHERE held_at IS NULL
            UNION ALL SELECT 'period of ' || s.id, s.next_due_at FROM subscriptions s
                WHERE {MAY_OPEN}
            UNION ALL SELECT 'end of ' || s.id, s.cancel_at FROM subscriptions s WHERE {MAY_END}
            UNION ALL SELECT 'pause of ' || s.id, s.pause_at FROM subscriptions s WHERE {MAY_PAUSE}
            UNION ALL SELECT 'return of ' || s.id, s.resume_at FROM subscriptions s
                WHERE {MAY_RESUME}) AS waiting
        WHERE at < :overdue AND NOT (what LIKE 'invoice%'
            AND (SELECT stopped_at IS NOT NULL FROM engine))""",  # noqa: S608 - constants of ours
}
FINDINGS_MAX = 20


def broken(connection: Connection, name: str, overdue: datetime) -> list[str]:
    """Return the rows that break one invariant, at most twenty. `overdue` is when work is late."""
    # The statement scans whole tables, which may take longer than the usual limit.
    connection.execute(text("SET LOCAL statement_timeout = '1h'"))
    statement = text(f"{INVARIANTS[name]} LIMIT {FINDINGS_MAX}")
    parameters = {"overdue": overdue} if ":overdue" in INVARIANTS[name] else {}
    return list(connection.execute(statement, parameters).scalars())
