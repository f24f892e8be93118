"""plan of money: invoices, charges and refunds have the plan that the invoice was opened for

Existing rows: of a subscription that never changed, its plan. Of the others what the events say: an
invoice is opened after the event of a change at a period's end, and before that of an immediate
change, which has the same instant. An invoice of which no event says it has the plan that its
subscription has now.

No created_at is null: NULLS FIRST keeps the planner from reading the index of all rows for the list
of one plan (`billing.store.queries.paging`).

The most frequent plan is the default while the columns are added, so that only rows of other plans
are rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = '0031'
down_revision = '0030'
branch_labels = None
depends_on = None

TABLES = ('invoices', 'charges', 'refunds')
INDEXES = (
    ('invoices_plan', 'invoices', 'plan_code, created_at NULLS FIRST', None),
    ('invoices_plan_closed', 'invoices', 'plan_code, status, created_at NULLS FIRST',
     "status IN ('uncollectible', 'void')"),
    ('invoices_plan_open', 'invoices', 'plan_code, created_at NULLS FIRST',
     "(status || '') = 'open'"),
    ('charges_plan', 'charges', 'plan_code, created_at NULLS FIRST', None),
    ('charges_plan_status', 'charges', 'plan_code, status, created_at NULLS FIRST',
     "status NOT IN ('in_flight', 'succeeded')"),
    ('refunds_plan', 'refunds', 'plan_code, created_at NULLS FIRST', None),
    ('refunds_plan_status', 'refunds', 'plan_code, status, created_at NULLS FIRST',
     "status <> 'succeeded'"),
)
FREQUENT = "SELECT plan_code FROM subscriptions GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
OF_SUBSCRIPTIONS = """
    UPDATE invoices i SET plan_code = s.plan_code
    FROM subscriptions s WHERE s.id = i.subscription_id AND s.plan_code <> i.plan_code
"""
OF_EVENTS = """
    UPDATE invoices i SET plan_code = said.plan_code
    FROM (
        SELECT v.id, coalesce(
            (SELECT e.data->>'plan' FROM events e
             WHERE e.subscription_id = v.subscription_id AND e.id > o.id AND e.at = o.at
               AND e.kind = 'subscription.changed' AND v.change_index > 0
             ORDER BY e.id LIMIT 1),
            (SELECT e.data->>'plan' FROM events e
             WHERE e.subscription_id = v.subscription_id AND e.id < o.id AND e.data ? 'plan'
               AND e.kind IN (
                   'subscription.created', 'subscription.imported', 'subscription.changed')
             ORDER BY e.id DESC LIMIT 1)) AS plan_code
        FROM (SELECT DISTINCT subscription_id FROM events
              WHERE kind = 'subscription.changed') AS c
        JOIN invoices v ON v.subscription_id = c.subscription_id
        JOIN events o ON o.subscription_id = v.subscription_id AND o.invoice_id = v.id
            AND o.kind = 'invoice.opened'
    ) AS said
    WHERE i.id = said.id AND i.plan_code <> said.plan_code
      AND said.plan_code IN (SELECT code FROM plans)
"""
OF_INVOICES = """
    UPDATE {} AS m SET plan_code = i.plan_code
    FROM invoices i WHERE i.id = m.invoice_id AND i.plan_code <> m.plan_code
"""


def upgrade() -> None:
    frequent = op.get_bind().execute(sa.text(FREQUENT)).scalar() or ''
    for table in TABLES:
        op.add_column(
            table,
            sa.Column('plan_code', sa.Text(), server_default=frequent, nullable=False),
        )
        op.alter_column(table, 'plan_code', server_default=None)
    op.execute(OF_SUBSCRIPTIONS)
    op.execute(OF_EVENTS)
    for table in ('charges', 'refunds'):
        op.execute(OF_INVOICES.format(table))
    for name, table, columns, where in INDEXES:
        condition = f' WHERE {where}' if where else ''
        op.execute(f'CREATE INDEX {name} ON {table} ({columns}){condition}')


def downgrade() -> None:
    for name, *_ in reversed(INDEXES):
        op.drop_index(name)
    for table in reversed(TABLES):
        op.drop_column(table, 'plan_code')
