"""the event feed, webhook endpoints and their deliveries"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None

IDS_A_STATEMENT = 100_000
ADD = 'INSERT INTO event_feed (event_id) SELECT id FROM events WHERE id > {} AND id <= {} ORDER BY id'
ADD_THE_REST = (
    'INSERT INTO event_feed (event_id) SELECT e.id FROM events e'
    ' LEFT JOIN event_feed f ON f.event_id = e.id WHERE f.event_id IS NULL ORDER BY e.id'
)


def _highest() -> int:
    found = op.get_bind().execute(sa.text('SELECT coalesce(max(id), 0) FROM events'))
    return int(found.scalar_one())


def _seed() -> None:
    """Put the events of before into the feed; writers wait during the last statements only."""
    highest = _highest()
    for first in range(0, highest, IDS_A_STATEMENT):
        op.execute(ADD.format(first, min(first + IDS_A_STATEMENT, highest)))
    op.execute('LOCK TABLE events IN SHARE MODE')
    op.execute(ADD_THE_REST)
    op.execute(f'INSERT INTO event_feed_state (settled_id) VALUES ({_highest()})')


def upgrade() -> None:
    op.create_table('event_feed',
    sa.Column('position', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('event_id', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('position', name=op.f('event_feed_primary')),
    sa.UniqueConstraint('event_id', name='event_feed_once')
    )
    op.create_table('event_feed_state',
    sa.Column('id', sa.SmallInteger(), server_default=sa.text('1'), nullable=False),
    sa.Column('settled_id', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('candidate_id', sa.BigInteger(), nullable=True),
    sa.Column('candidate_writers', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('fanned_out', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('event_feed_state_one_row_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('event_feed_state_primary'))
    )
    op.create_table('webhook_endpoints',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('event_types', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('secret_sealed', sa.LargeBinary(), nullable=False),
    sa.Column('previous_secret_sealed', sa.LargeBinary(), nullable=True),
    sa.Column('previous_secret_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('starts_after', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('disabled_cause', sa.Text(), nullable=True),
    sa.Column('failing_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('(disabled_at IS NULL) = (disabled_cause IS NULL)', name=op.f('webhook_endpoints_disabled_check')),
    sa.CheckConstraint('(previous_secret_sealed IS NULL) = (previous_secret_until IS NULL)', name=op.f('webhook_endpoints_previous_secret_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('webhook_endpoints_primary'))
    )
    op.create_table('webhook_deliveries',
    sa.Column('id', sa.Uuid(), server_default=sa.text('gen_random_uuid()'), nullable=False),
    sa.Column('endpoint_id', sa.Uuid(), nullable=False),
    sa.Column('event_id', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.Text(), server_default=sa.text("'pending'"), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_status_code', sa.SmallInteger(), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("status IN ('pending', 'succeeded', 'failed', 'canceled')", name=op.f('webhook_deliveries_status_check')),
    sa.CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL) AND (status = 'pending') = (settled_at IS NULL)", name=op.f('webhook_deliveries_pending_check')),
    sa.ForeignKeyConstraint(['endpoint_id'], ['webhook_endpoints.id'], name=op.f('webhook_deliveries_endpoint_id_foreign')),
    sa.PrimaryKeyConstraint('id', name=op.f('webhook_deliveries_primary')),
    sa.UniqueConstraint('endpoint_id', 'event_id', name='webhook_deliveries_once')
    )
    op.create_index('webhook_deliveries_due', 'webhook_deliveries', ['endpoint_id', 'next_attempt_at'], unique=False, postgresql_where=sa.text("status = 'pending'"))
    op.create_index('webhook_deliveries_created', 'webhook_deliveries', ['created_at'], unique=False)
    _seed()


def downgrade() -> None:
    op.drop_index('webhook_deliveries_created', table_name='webhook_deliveries')
    op.drop_index('webhook_deliveries_due', table_name='webhook_deliveries', postgresql_where=sa.text("status = 'pending'"))
    op.drop_table('webhook_deliveries')
    op.drop_table('webhook_endpoints')
    op.drop_table('event_feed_state')
    op.drop_table('event_feed')
