"""hourly totals: charges, declines and refunds of each hour, counted from the event feed"""

import sqlalchemy as sa
from alembic import op

revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'hourly_totals',
        sa.Column('hour', sa.DateTime(timezone=True), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('events', sa.BigInteger(), nullable=False),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('hour', 'name', name=op.f('hourly_totals_primary')),
    )
    # Counted from the beginning of the feed, like the totals before: the past is there too.
    op.execute('DELETE FROM metric_totals')
    op.execute('UPDATE metric_state SET position = 0')


def downgrade() -> None:
    op.drop_table('hourly_totals')
