"""indexes of Attention: held invoices, and approved actions on many rows until they end"""

import sqlalchemy as sa
from alembic import op

revision = '0030'
down_revision = '0029'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        'approvals_of_many', 'approvals', ['ends_at'],
        postgresql_where=sa.text("kind = 'bulk' AND status = 'approved'"),
    )
    op.create_index(
        'invoices_held', 'invoices', ['held_at'],
        postgresql_where=sa.text('held_at IS NOT NULL'),
    )


def downgrade() -> None:
    op.drop_index('invoices_held', table_name='invoices')
    op.drop_index('approvals_of_many', table_name='approvals')
