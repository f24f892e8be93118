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
    # Hours are counted from the beginning of the feed, with a position of their own: the totals
    # stay as they are, and a process of before may move its position meanwhile.
    op.add_column('metric_state', sa.Column('hours_position', sa.BigInteger(), server_default=sa.text('0'), nullable=False))


def downgrade() -> None:
    op.drop_column('metric_state', 'hours_position')
    op.drop_table('hourly_totals')
