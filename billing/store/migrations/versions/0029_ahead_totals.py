"""ahead totals: the next charges by due day and plan, counted by a tick"""

import sqlalchemy as sa
from alembic import op

revision = '0029'
down_revision = '0028'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'ahead_totals',
        sa.Column('day', sa.Date(), nullable=False),
        sa.Column('plan_code', sa.Text(), nullable=False),
        sa.Column('kind', sa.Text(), nullable=False),
        sa.Column('waits', sa.Boolean(), nullable=False),
        sa.Column('charges', sa.BigInteger(), nullable=False),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('day', 'plan_code', 'kind', 'waits', name=op.f('ahead_totals_primary')),
    )
    op.create_table(
        'ahead_unlinked',
        sa.Column('customer_id', sa.Text(), nullable=False),
        sa.Column('first_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('charges', sa.BigInteger(), nullable=False),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('customer_id', name=op.f('ahead_unlinked_primary')),
    )
    op.create_table(
        'ahead_state',
        sa.Column('id', sa.SmallInteger(), server_default=sa.text('1'), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('until', sa.DateTime(timezone=True), nullable=True),
        sa.Column('counted_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('took_seconds', sa.Double(), nullable=False),
        sa.Column('event_id', sa.BigInteger(), nullable=True),
        sa.CheckConstraint('id = 1', name=op.f('ahead_state_one_row_check')),
        sa.PrimaryKeyConstraint('id', name=op.f('ahead_state_primary')),
    )


def downgrade() -> None:
    op.drop_table('ahead_state')
    op.drop_table('ahead_unlinked')
    op.drop_table('ahead_totals')
