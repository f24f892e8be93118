"""fewer indexes and keys"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

PLAIN = "('invoice.opened', 'charge.claimed', 'charge.succeeded', 'invoice.paid')"
COPIES = (('charges', 'subscription'), ('charges', 'customer'), ('invoices', 'customer'))


def upgrade() -> None:
    op.drop_index('charges_subscription', table_name='charges')
    op.drop_index('events_kind', table_name='events')
    op.create_index('events_kind', 'events', ['kind', 'id'], unique=False, postgresql_where=sa.text(f'kind NOT IN {PLAIN}'))
    for table, column in COPIES:
        op.drop_constraint(f'{table}_{column}_id_foreign', table, type_='foreignkey')


def downgrade() -> None:
    for table, column in COPIES:
        op.create_foreign_key(f'{table}_{column}_id_foreign', table, f'{column}s', [f'{column}_id'], ['id'])
    op.drop_index('events_kind', table_name='events')
    op.create_index('events_kind', 'events', ['kind', 'id'], unique=False)
    op.create_index('charges_subscription', 'charges', ['subscription_id'], unique=False)
