"""activity: indexes of events by actor and by kind in the order of time, and totals of each day"""

import sqlalchemy as sa
from alembic import op

revision = '0027'
down_revision = '0026'
branch_labels = None
depends_on = None

PLAIN = "kind NOT IN ('invoice.opened', 'charge.claimed', 'charge.succeeded', 'invoice.paid')"
BY_PEOPLE = "actor NOT IN ('scheduler', 'gateway')"


def upgrade() -> None:
    op.drop_index('events_kind', 'events')
    op.create_index('events_kind', 'events', ['kind', 'at', 'id'], postgresql_where=sa.text(PLAIN))
    op.create_index('events_of_people', 'events', ['kind', 'at', 'id'], postgresql_where=sa.text(BY_PEOPLE))
    op.create_index('events_of_actor', 'events', ['actor', 'kind', 'at', 'id'], postgresql_where=sa.text(BY_PEOPLE))
    op.create_index('subscriptions_running', 'subscriptions', ['plan_code'], postgresql_where=sa.text('ended_at IS NULL'))
    op.create_table(
        'daily_totals',
        sa.Column('day', sa.Date(), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('label', sa.Text(), nullable=False),
        sa.Column('events', sa.BigInteger(), nullable=False),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('day', 'name', 'label', name=op.f('daily_totals_primary')),
    )
    # Days are counted from the beginning of the feed, with a position of their own.
    op.add_column('metric_state', sa.Column('days_position', sa.BigInteger(), server_default=sa.text('0'), nullable=False))


def downgrade() -> None:
    op.drop_column('metric_state', 'days_position')
    op.drop_table('daily_totals')
    op.drop_index('subscriptions_running', 'subscriptions')
    op.drop_index('events_of_actor', 'events')
    op.drop_index('events_of_people', 'events')
    op.drop_index('events_kind', 'events')
    op.create_index('events_kind', 'events', ['kind', 'id'], postgresql_where=sa.text(PLAIN))
