"""erasure: when the erasure of a customer was requested, and when it was done

The CHECK is validated in a second statement, which reads the table once. Both indexes are empty
until a customer is erased.
"""

import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None

ERASED = (
    "erased_at IS NULL OR erase_requested_at IS NOT NULL"
    " AND name = '' AND phone = '' AND email = ''"
)


def upgrade() -> None:
    op.add_column('customers', sa.Column('erase_requested_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('customers', sa.Column('erased_at', sa.DateTime(timezone=True), nullable=True))
    op.execute(f'ALTER TABLE customers ADD CONSTRAINT customers_erased_check CHECK ({ERASED}) NOT VALID')
    op.execute('ALTER TABLE customers VALIDATE CONSTRAINT customers_erased_check')
    op.create_index(
        'customers_to_erase', 'customers', ['erase_requested_at'], unique=False,
        postgresql_where=sa.text('erase_requested_at IS NOT NULL AND erased_at IS NULL'),
    )
    op.create_index(
        'customers_erased', 'customers', ['id'], unique=False,
        postgresql_where=sa.text('erase_requested_at IS NOT NULL'),
    )


def downgrade() -> None:
    op.drop_index('customers_erased', table_name='customers')
    op.drop_index('customers_to_erase', table_name='customers')
    op.drop_constraint('customers_erased_check', 'customers')
    op.drop_column('customers', 'erased_at')
    op.drop_column('customers', 'erase_requested_at')
