"""webhook pages: when an endpoint last accepted an event, and its deliveries by status"""

import sqlalchemy as sa
from alembic import op

revision = '0026'
down_revision = '0025'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('webhook_endpoints', sa.Column('last_succeeded_at', sa.DateTime(timezone=True), nullable=True))
    op.execute("""
        UPDATE webhook_endpoints e SET last_succeeded_at = d.at
        FROM (SELECT endpoint_id, max(settled_at) AS at FROM webhook_deliveries
              WHERE status = 'succeeded' GROUP BY endpoint_id) AS d
        WHERE d.endpoint_id = e.id
    """)
    op.create_index('webhook_deliveries_status', 'webhook_deliveries', ['endpoint_id', 'status', 'created_at', 'event_id'])


def downgrade() -> None:
    op.drop_index('webhook_deliveries_status', 'webhook_deliveries')
    op.drop_column('webhook_endpoints', 'last_succeeded_at')
