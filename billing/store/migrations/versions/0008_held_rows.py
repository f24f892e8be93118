"""held rows"""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

TABLES = ('subscriptions', 'invoices', 'charges', 'refunds', 'wallets')
INDEXES = (
    ('subscriptions_held', 'subscriptions', 'held_at', 'held_at IS NOT NULL'),
    ('wallets_held', 'wallets', 'held_at', 'held_at IS NOT NULL'),
    ('subscriptions_unpaid', 'subscriptions', 'id', "status = 'unpaid'"),
    ('invoices_uncollectible', 'invoices', 'closed_at', "status = 'uncollectible'"),
)


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column('held_at', sa.DateTime(timezone=True), nullable=True))
        op.add_column(table, sa.Column('held_why', sa.Text(), nullable=True))
        op.create_check_constraint(op.f(f'{table}_held_check'), table, '(held_at IS NULL) = (held_why IS NULL)')
    for name, table, column, rows in INDEXES:
        op.create_index(name, table, [column], unique=False, postgresql_where=sa.text(rows))
    op.add_column('heartbeats', sa.Column('succeeded_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('heartbeats', sa.Column('failed_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('heartbeats', sa.Column('error', sa.Text(), nullable=True))


def downgrade() -> None:
    for column in ('error', 'failed_at', 'succeeded_at'):
        op.drop_column('heartbeats', column)
    for name, table, _, rows in reversed(INDEXES):
        op.drop_index(name, table_name=table, postgresql_where=sa.text(rows))
    for table in reversed(TABLES):
        op.drop_constraint(op.f(f'{table}_held_check'), table, type_='check')
        op.drop_column(table, 'held_why')
        op.drop_column(table, 'held_at')
