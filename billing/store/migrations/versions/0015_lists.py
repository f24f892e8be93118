"""indexes for the lists: newest first, by status, by plan, by customer

customers_created, wallets_created, subscriptions_created, invoices_created, charges_created and
refunds_created hold the order of their lists, and the spans from one instant to another. Rows that
are made in one statement share an instant. Where an import makes many at once, the id is in the
index; invoices and charges, which every payment writes, do without it: equal instants are then
stored once and few rows are sorted.

wallets_status, subscriptions_status, invoices_closed, charges_status and refunds_status are for
statuses that few rows have. A plain payment never enters them: a status that most rows have is
found by walking the list, invoices_open has the open invoices, and charges_one_unresolved the
charges in flight.

subscriptions_plan is for the lists of a plan, also of its invoices, charges and refunds.
refunds_customer is for the refunds of a customer; the other tables have such an index.

events_at holds the order of the list of events. events_customer is for the events of a customer
that concern no subscription; all others are found by events_subscription.
"""

from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

INDEXES = (
    ('customers_created', 'customers', 'created_at, id', None),
    ('wallets_created', 'wallets', 'created_at, id', None),
    ('wallets_status', 'wallets', 'status, created_at, id', "status <> 'active'"),
    ('subscriptions_created', 'subscriptions', 'created_at, id', None),
    ('subscriptions_plan', 'subscriptions', 'plan_code, created_at, id', None),
    ('subscriptions_status', 'subscriptions', 'status, created_at, id', "status <> 'active'"),
    ('invoices_created', 'invoices', 'created_at', None),
    ('invoices_closed', 'invoices', 'status, created_at', "status IN ('uncollectible', 'void')"),
    ('charges_created', 'charges', 'created_at', None),
    ('charges_status', 'charges', 'status, created_at',
     "status NOT IN ('in_flight', 'succeeded')"),
    ('refunds_created', 'refunds', 'created_at', None),
    ('refunds_customer', 'refunds', 'customer_id, created_at', None),
    ('refunds_status', 'refunds', 'status, created_at', "status <> 'succeeded'"),
    ('events_at', 'events', 'at', None),
    ('events_customer', 'events', 'customer_id', 'subscription_id IS NULL'),
)


def upgrade() -> None:
    for name, table, columns, where in INDEXES:
        condition = f' WHERE {where}' if where else ''
        op.execute(f'CREATE INDEX {name} ON {table} ({columns}){condition}')


def downgrade() -> None:
    for name, *_ in reversed(INDEXES):
        op.drop_index(name)
