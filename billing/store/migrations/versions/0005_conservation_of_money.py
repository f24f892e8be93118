"""conservation of money: what was charged is kept, refunded or credited

The three columns are filled from existing refunds and credits. If more was returned of a charge
than its amount, the parts are limited so that the CHECK holds; the figures are printed and recorded
in an event `charge.breach_found`, which the audit lists until an operator acknowledges it. A
declined payout is added to its credit again. Where an invoice's return created new credits for
credits that it had used, these are merged into the credits that were used.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0001'
branch_labels = None
depends_on = None

CONSERVED = (
    "CASE WHEN status = 'succeeded' THEN kept >= 0 AND refunded >= 0 AND credited >= 0"
    ' AND amount = kept + refunded + credited'
    ' ELSE kept = 0 AND refunded = 0 AND credited = 0 END'
)
PURPOSES = "purpose IN ('operator', 'cancel', 'surplus', 'void', 'payout')"
BEFORE = "status IN ('requested', 'in_flight', 'succeeded', 'declined', 'unknown')"
STATUSES = (
    "status IN ('requested', 'in_flight', 'succeeded', 'declined', 'unknown', 'unreturned',"
    " 'returned_elsewhere', 'waived')"
)
SOURCES = "source IN ('kept', 'credited') AND (source = 'credited') = (credit_id IS NOT NULL)"
LINES_MAX = 20
Row = Mapping[Any, Any]
Credits = list[dict[str, Any]]


def upgrade() -> None:
    _add_columns()
    _name_purposes()
    _fill()
    _find_unreturned()
    op.drop_constraint(op.f('charges_amount_refunding_check'), 'charges', type_='check')
    op.drop_constraint(op.f('charges_refund_of_succeeded_check'), 'charges', type_='check')
    op.drop_column('charges', 'amount_refunding')
    op.create_check_constraint(op.f('charges_conserved_check'), 'charges', CONSERVED)
    op.create_check_constraint(op.f('refunds_purpose_check'), 'refunds', PURPOSES)
    op.create_check_constraint(op.f('refunds_source_check'), 'refunds', SOURCES)
    op.drop_constraint(op.f('credits_paid_out_check'), 'credits', type_='check')
    op.create_check_constraint(op.f('credits_paid_out_check'), 'credits', 'paid_out BETWEEN 0 AND from_charge')
    op.create_check_constraint(op.f('credits_from_charge_check'), 'credits', 'from_charge <= amount AND (from_charge = 0) = (charge_id IS NULL)')
    op.create_check_constraint(op.f('credit_uses_returned_check'), 'credit_uses', 'returned BETWEEN 0 AND amount')
    op.create_index('credits_charge', 'credits', ['charge_id'], unique=False, postgresql_where=sa.text('charge_id IS NOT NULL'))
    op.create_index('refunds_unreturned', 'refunds', ['created_at'], unique=False, postgresql_where=sa.text("status IN ('unreturned')"))


def _add_columns() -> None:
    nothing: dict[str, Any] = {'server_default': sa.text('0'), 'nullable': False}
    for name in ('kept', 'refunded', 'credited'):
        op.add_column('charges', sa.Column(name, sa.BigInteger(), **nothing))
    op.add_column('credits', sa.Column('charge_id', sa.Uuid(), nullable=True))
    op.add_column('credits', sa.Column('from_charge', sa.BigInteger(), **nothing))
    op.create_foreign_key(op.f('credits_charge_id_foreign'), 'credits', 'charges', ['charge_id'], ['id'])
    op.add_column('credit_uses', sa.Column('returned', sa.BigInteger(), **nothing))
    op.add_column('refunds', sa.Column('source', sa.Text(), server_default=sa.text("'kept'"), nullable=False))
    op.add_column('refunds', sa.Column('credit_id', sa.BigInteger(), nullable=True))
    op.add_column('refunds', sa.Column('purpose', sa.Text(), server_default=sa.text("'operator'"), nullable=False))
    op.add_column('refunds', sa.Column('replaces', sa.Uuid(), nullable=True))
    for name in ('turned_away', 'waits'):
        op.add_column('refunds', sa.Column(name, sa.Integer(), **nothing))
    for name in ('sent_at', 'declined_seen_at', 'failed_seen_at', 'resolved_at'):
        op.add_column('refunds', sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(op.f('refunds_credit_id_foreign'), 'refunds', 'credits', ['credit_id'], ['id'])
    op.create_foreign_key(op.f('refunds_replaces_foreign'), 'refunds', 'refunds', ['replaces'], ['id'])
    op.drop_constraint(op.f('refunds_status_check'), 'refunds', type_='check')
    op.create_check_constraint(op.f('refunds_status_check'), 'refunds', STATUSES)


def _run(statement: str, **parameters: Any) -> sa.CursorResult[Any]:
    return op.get_bind().execute(sa.text(statement), parameters)


def _say(line: str) -> None:
    config = op.get_context().config
    if config is not None:
        config.print_stdout('%s', line)


def _name_purposes() -> None:
    _run("UPDATE refunds SET waits = tries, turned_away = CASE WHEN status = 'requested' THEN tries ELSE 0 END,"
         ' sent_at = CASE WHEN tries > 0 THEN coalesce(settled_at, created_at) END')
    _run("UPDATE refunds r SET purpose = CASE WHEN i.status = 'paid' THEN 'surplus' ELSE 'void' END"
         ' FROM charges c JOIN invoices i ON i.id = c.invoice_id WHERE c.id = r.charge_id AND c.surplus')
    # A cancellation and its refunds were written in one transaction, with one instant.
    _run("UPDATE refunds r SET purpose = 'cancel' FROM charges c WHERE c.id = r.charge_id AND NOT c.surplus"
         " AND EXISTS (SELECT 1 FROM events e WHERE e.kind = 'subscription.canceled'"
         ' AND e.subscription_id = c.subscription_id AND e.at = r.created_at)')
    # So were a payout and its refund; the payout's event is the last one before the refund's.
    _run("""
        UPDATE refunds r SET purpose = 'payout', source = 'credited', credit_id = paid.credit
        FROM (SELECT (e.data->>'credit')::bigint AS credit, asked.refund FROM events e
              CROSS JOIN LATERAL (SELECT CAST(q.data->>'refund' AS uuid) AS refund FROM events q
                  WHERE q.kind = 'refund.requested' AND q.invoice_id = e.invoice_id AND q.id < e.id
                  ORDER BY q.id DESC LIMIT 1) AS asked
              WHERE e.kind = 'credit.paid_out') AS paid
        WHERE r.id = paid.refund""")


def _fill() -> None:
    """Fill the simple rows in one statement, and charges with refunds or credits one by one."""
    _run("UPDATE charges SET kept = amount WHERE status = 'succeeded'")
    _run("UPDATE credit_uses SET returned = 0")
    refunds: dict[UUID, list[Row]] = defaultdict(list)
    credits: dict[UUID, Credits] = defaultdict(list)
    for row in _run('SELECT * FROM refunds ORDER BY ordinal').mappings():
        refunds[row['charge_id']].append(row)
    for row in _run('SELECT * FROM credits WHERE invoice_id IS NOT NULL ORDER BY id').mappings():
        credits[row['invoice_id']].append(dict(row))
    charges = _run(
        "SELECT c.*, i.amount AS invoice_amount FROM charges c JOIN invoices i ON i.id = c.invoice_id"
        " WHERE c.status = 'succeeded' AND (c.amount_refunding > 0 OR c.id = ANY(:refunded) OR c.invoice_id = ANY(:credited))"
        ' ORDER BY c.created_at, c.id', refunded=list(refunds), credited=list(credits)).mappings().all()
    breaches = 0
    for charge in charges:
        given = [] if charge['surplus'] else credits.pop(charge['invoice_id'], [])
        found = _fill_charge(charge, refunds[charge['id']], given)
        breaches += found is not None
        if found is not None and breaches <= LINES_MAX:
            _say(found)
    for invoice_id, given in credits.items():  # covered by credits alone: nothing was charged
        _return_to_gifts(invoice_id, given, sum(credit['amount'] - credit['paid_out'] for credit in given))
    if breaches > LINES_MAX:
        _say(f'… and {breaches - LINES_MAX} more charges of which more was given back than taken')
    if breaches:
        _say(f'{breaches} charges break "kept + refunded + credited = amount"; billing audit lists them')


def _fill_charge(charge: Row, refunds: Sequence[Row], credits: Credits) -> str | None:
    """Fill one charge and its credits; return a line to print if more was returned than charged."""
    refunded = sum(row['amount'] for row in refunds if row['status'] != 'declined')
    counted = min(refunded, charge['amount'])
    pool = charge['amount'] - counted
    given = sum(credit['amount'] - credit['paid_out'] for credit in credits)
    for row in refunds:
        if row['purpose'] == 'payout' and row['status'] == 'declined':
            given += _restore(charge, row, credits, pool - given)
    credited = 0
    for credit in credits:
        part = min(credit['amount'] - credit['paid_out'], pool - credited)
        credited += part
        credit['from_charge'] = credit['paid_out'] + part
        _run('UPDATE credits SET from_charge = :from_charge, charge_id = :charge WHERE id = :id',
             from_charge=credit['from_charge'], id=credit['id'],
             charge=charge['id'] if credit['from_charge'] else None)
    _run('UPDATE charges SET kept = amount - :refunded - :credited, refunded = :refunded, credited = :credited WHERE id = :id',
         refunded=counted, credited=credited, id=charge['id'])
    if given > credited:
        _return_to_gifts(charge['invoice_id'], credits, given - credited)
    # What credit covered may be returned in addition to the charge.
    allowed = charge['amount'] if charge['surplus'] else charge['invoice_amount']
    if refunded > charge['amount'] or refunded + given > allowed:
        return _breach(charge, refunded, given)
    if refunded != charge['amount_refunding']:
        return _breach(charge, charge['amount_refunding'], given)
    return None


def _restore(charge: Row, refund: Row, credits: Credits, room: int) -> int:
    """Return a declined payout to its credit, except what was returned by other means."""
    [credit] = [each for each in credits if each['id'] == refund['credit_id']]
    back: int = max(min(refund['amount'], room, credit['paid_out']), 0)
    if back:
        credit['paid_out'] -= back
        credit['remaining'] += back
        _run('UPDATE credits SET paid_out = :paid_out, remaining = :remaining WHERE id = :id',
             paid_out=credit['paid_out'], remaining=credit['remaining'], id=credit['id'])
        _tell('credit.payout_restored', charge, credit=credit['id'], amount=back, refund=str(refund['id']))
        _say(f"credit {credit['id']}: {back} rupiah whose payout was declined are the customer's again")
    return back


def _breach(charge: Row, refunded: int, credited: int) -> str:
    _tell('charge.breach_found', charge, amount=charge['amount'], refunded=refunded, credited=credited)
    return (f"charge {charge['id']} (customer {charge['customer_id']}): took {charge['amount']},"
            f' refunded {refunded}, credited {credited}')


def _tell(kind: str, charge: Row, **data: Any) -> None:
    _run("INSERT INTO events (at, kind, actor, customer_id, subscription_id, invoice_id, charge_id, data)"
         " SELECT coalesce((SELECT clock_at FROM engine), now()), :kind, 'migration', :customer,"
         ' :subscription, :invoice, :charge, CAST(:data AS jsonb)',
         kind=kind, customer=charge['customer_id'], subscription=charge['subscription_id'],
         invoice=charge['invoice_id'], charge=charge['id'], data=json.dumps(data))


def _return_to_gifts(invoice_id: UUID, credits: Credits, amount: int) -> None:
    """Merge credits that a return of used credit created into the credits that were used.

    A remainder (more was returned than credit had covered) stays a credit without a charge.
    """
    uses = [dict(row) for row in _run('SELECT * FROM credit_uses WHERE invoice_id = :id ORDER BY credit_id DESC', id=invoice_id).mappings()]
    for credit in reversed(credits):
        for use in uses:
            part = min(amount, credit['amount'] - credit.get('from_charge', 0), use['amount'] - use['returned'])
            if part > 0 and use['credit_id'] != credit['id']:
                amount -= part
                use['returned'] += part
                _shift(credit, use['credit_id'], part)
                _run('UPDATE credit_uses SET returned = :returned WHERE credit_id = :credit AND invoice_id = :invoice',
                     returned=use['returned'], credit=use['credit_id'], invoice=invoice_id)


def _shift(credit: dict[str, Any], target: int, amount: int) -> None:
    """Move `amount` of a credit, unused or used, to another credit."""
    left = min(amount, credit['remaining'])
    credit['amount'] -= amount
    credit['remaining'] -= left
    _run('UPDATE credits SET remaining = remaining + :left WHERE id = :id', left=left, id=target)
    used = amount - left
    for use in _run('SELECT * FROM credit_uses WHERE credit_id = :id AND amount > returned ORDER BY invoice_id', id=credit['id']).mappings().all():
        part = min(used, use['amount'] - use['returned'])
        if part:
            used -= part
            _run('INSERT INTO credit_uses (credit_id, invoice_id, amount) VALUES (:target, :invoice, :part)'
                 ' ON CONFLICT (credit_id, invoice_id) DO UPDATE SET amount = credit_uses.amount + excluded.amount',
                 target=target, invoice=use['invoice_id'], part=part)
            if part == use['amount']:
                _run('DELETE FROM credit_uses WHERE credit_id = :id AND invoice_id = :invoice', id=credit['id'], invoice=use['invoice_id'])
            else:
                _run('UPDATE credit_uses SET amount = amount - :part WHERE credit_id = :id AND invoice_id = :invoice', part=part, id=credit['id'], invoice=use['invoice_id'])
    if credit['amount']:
        _run('UPDATE credits SET amount = :amount, remaining = :remaining WHERE id = :id',
             amount=credit['amount'], remaining=credit['remaining'], id=credit['id'])
    else:
        _run('DELETE FROM credits WHERE id = :id', id=credit['id'])


def _find_unreturned() -> None:
    """Mark a declined refund whose money must be returned, and is kept, as unreturned."""
    found = _run("""
        UPDATE refunds r SET status = 'unreturned' FROM (
            SELECT DISTINCT ON (r.charge_id) r.id, r.amount, r.customer_id FROM refunds r JOIN charges c ON c.id = r.charge_id
            WHERE r.status = 'declined' AND (r.purpose IN ('surplus', 'void') AND c.kept > 0
                OR r.purpose = 'cancel' AND c.kept >= r.amount)
            ORDER BY r.charge_id, r.ordinal DESC) AS last
        WHERE r.id = last.id RETURNING r.id, r.amount, r.customer_id, r.purpose""").mappings().all()
    for row in found[:LINES_MAX]:
        _say(f"refund {row['id']} (customer {row['customer_id']}): {row['amount']} must go back ({row['purpose']}), and was declined")
    if len(found) > LINES_MAX:
        _say(f'… and {len(found) - LINES_MAX} more refunds that must go back, and were declined')


def downgrade() -> None:
    op.drop_index('refunds_unreturned', table_name='refunds', postgresql_where=sa.text("status IN ('unreturned')"))
    op.drop_index('credits_charge', table_name='credits', postgresql_where=sa.text('charge_id IS NOT NULL'))
    op.drop_constraint(op.f('charges_conserved_check'), 'charges', type_='check')
    op.add_column('charges', sa.Column('amount_refunding', sa.BigInteger(), server_default=sa.text('0'), nullable=False))
    _run('UPDATE charges SET amount_refunding = refunded WHERE refunded > 0')
    op.create_check_constraint(op.f('charges_amount_refunding_check'), 'charges', 'amount_refunding BETWEEN 0 AND amount')
    op.create_check_constraint(op.f('charges_refund_of_succeeded_check'), 'charges', "amount_refunding = 0 OR status = 'succeeded'")
    _run("UPDATE refunds SET status = CASE status WHEN 'returned_elsewhere' THEN 'succeeded' ELSE 'declined' END"
         " WHERE status IN ('unreturned', 'returned_elsewhere', 'waived')")
    _run("UPDATE refunds SET next_attempt_at = NULL WHERE status IN ('succeeded', 'declined')")
    op.drop_constraint(op.f('refunds_status_check'), 'refunds', type_='check')
    op.create_check_constraint(op.f('refunds_status_check'), 'refunds', BEFORE)
    # What was returned to a credit was a separate credit before.
    _run("""
        WITH returned AS (SELECT u.credit_id, u.invoice_id, u.returned, c.customer_id, c.created_at
                FROM credit_uses u JOIN credits c ON c.id = u.credit_id JOIN invoices i ON i.id = u.invoice_id
                WHERE u.returned > 0 AND i.status = 'paid' AND c.remaining >= u.returned),
            taken AS (UPDATE credits c SET remaining = c.remaining - r.sum, amount = c.amount FROM
                (SELECT credit_id, sum(returned) AS sum FROM returned GROUP BY 1) AS r
                WHERE c.id = r.credit_id AND c.remaining >= r.sum RETURNING c.id),
            kept AS (UPDATE credit_uses u SET returned = 0 FROM taken t WHERE u.credit_id = t.id AND EXISTS
                (SELECT 1 FROM invoices i WHERE i.id = u.invoice_id AND i.status = 'paid'))
        INSERT INTO credits (customer_id, amount, remaining, invoice_id, reason, created_at)
        SELECT r.customer_id, r.returned, r.returned, r.invoice_id, 'returned', r.created_at
        FROM returned r JOIN taken t ON t.id = r.credit_id""")
    _run('DELETE FROM credit_uses WHERE returned = amount')
    op.drop_constraint(op.f('credit_uses_returned_check'), 'credit_uses', type_='check')
    _run('UPDATE credit_uses SET amount = amount - returned WHERE returned > 0')
    op.drop_column('credit_uses', 'returned')
    op.drop_constraint(op.f('credits_from_charge_check'), 'credits', type_='check')
    op.drop_constraint(op.f('credits_paid_out_check'), 'credits', type_='check')
    op.create_check_constraint(op.f('credits_paid_out_check'), 'credits', 'paid_out >= 0')
    op.drop_constraint(op.f('refunds_source_check'), 'refunds', type_='check')
    op.drop_constraint(op.f('refunds_purpose_check'), 'refunds', type_='check')
    for name in ('source', 'credit_id', 'purpose', 'replaces', 'turned_away', 'waits', 'sent_at', 'declined_seen_at', 'failed_seen_at', 'resolved_at'):
        op.drop_column('refunds', name)
    for name in ('from_charge', 'charge_id'):
        op.drop_column('credits', name)
    for name in ('credited', 'refunded', 'kept'):
        op.drop_column('charges', name)
