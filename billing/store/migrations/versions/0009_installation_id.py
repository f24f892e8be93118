"""installation id"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

LIVE = "status IN ('pending', 'active', 'unbinding')"

# A database in use derives its id from its first event, not at random: a backup from before this
# migration, restored and migrated again, then is the same installation.
OF_FIRST_EVENT = """
UPDATE engine SET installation_id = CAST(md5(concat_ws('/', 'installation', extract(epoch FROM e.at),
    e.kind, e.actor, e.reason, e.customer_id, e.subscription_id, e.data)) AS uuid)
FROM (SELECT * FROM events ORDER BY id LIMIT 1) AS e
"""

# What is recorded of earlier imports and does not change after them.
EARLIER = """
INSERT INTO imports (reference, subscription_id, content)
SELECT e.data->>'reference', s.id, jsonb_strip_nulls(jsonb_build_object(
    'customer', s.customer_id,
    'next_due_at', to_char(s.start_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
    'paid_before', CASE e.data->>'paid_before' WHEN 'true' THEN 'yes' WHEN 'false' THEN 'no' END))
FROM events e JOIN subscriptions s ON s.id = e.subscription_id
WHERE e.kind = 'subscription.imported' AND length(e.data->>'reference') BETWEEN 1 AND 255
ORDER BY e.id
ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    op.add_column('engine', sa.Column('installation_id', sa.Uuid(), server_default=sa.text('gen_random_uuid()'), nullable=False))
    op.execute(OF_FIRST_EVENT)
    op.create_table('imports',
    sa.Column('reference', sa.Text(), nullable=False),
    sa.Column('subscription_id', sa.Uuid(), nullable=False),
    sa.Column('content', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name=op.f('imports_subscription_id_foreign')),
    sa.PrimaryKeyConstraint('reference', name=op.f('imports_primary'))
    )
    op.execute(EARLIER)
    op.add_column('wallets', sa.Column('token_hash', sa.LargeBinary(), nullable=True))
    op.create_index('wallets_token_hash', 'wallets', ['token_hash'], unique=False, postgresql_where=sa.text('token_hash IS NOT NULL'))
    op.create_index('wallets_one_live_a_token', 'wallets', ['token_hash'], unique=True, postgresql_where=sa.text(f'{LIVE} AND token_hash IS NOT NULL'))


def downgrade() -> None:
    op.drop_index('wallets_one_live_a_token', table_name='wallets')
    op.drop_index('wallets_token_hash', table_name='wallets')
    op.drop_column('wallets', 'token_hash')
    op.drop_table('imports')
    op.drop_column('engine', 'installation_id')
