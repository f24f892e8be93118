"""metrics: totals counted from the event feed, times of gateway calls, what checks found"""

import sqlalchemy as sa
from alembic import op

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'metric_state',
        sa.Column('id', sa.SmallInteger(), server_default=sa.text('1'), nullable=False),
        sa.Column('position', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
        sa.CheckConstraint('id = 1', name=op.f('metric_state_one_row_check')),
        sa.PrimaryKeyConstraint('id', name=op.f('metric_state_primary')),
    )
    op.execute('INSERT INTO metric_state DEFAULT VALUES')
    op.create_table(
        'metric_totals',
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('label', sa.Text(), nullable=False),
        sa.Column('total', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('name', 'label', name=op.f('metric_totals_primary')),
    )
    op.create_table(
        'gateway_calls',
        sa.Column('call', sa.Text(), nullable=False),
        sa.Column('shard', sa.SmallInteger(), nullable=False),
        sa.Column('buckets', sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column('seconds', sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint('call', 'shard', name=op.f('gateway_calls_primary')),
    )
    op.create_table(
        'metric_gauges',
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('value', sa.Double(), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('metric_gauges_primary')),
    )


def downgrade() -> None:
    op.drop_table('metric_gauges')
    op.drop_table('gateway_calls')
    op.drop_table('metric_totals')
    op.drop_table('metric_state')
