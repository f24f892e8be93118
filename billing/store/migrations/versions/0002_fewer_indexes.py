"""fewer indexes"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

PLAIN = "('invoice.opened', 'charge.claimed', 'charge.succeeded', 'invoice.paid')"


def upgrade() -> None:
    op.drop_index('charges_subscription', table_name='charges')
    op.drop_index('events_kind', table_name='events')
    op.create_index('events_kind', 'events', ['kind', 'id'], unique=False, postgresql_where=sa.text(f'kind NOT IN {PLAIN}'))


def downgrade() -> None:
    op.drop_index('events_kind', table_name='events')
    op.create_index('events_kind', 'events', ['kind', 'id'], unique=False)
    op.create_index('charges_subscription', 'charges', ['subscription_id'], unique=False)
