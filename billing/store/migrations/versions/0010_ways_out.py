"""ways out: an uncollectible invoice that is attempted again, a start inside a spring gap"""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('subscriptions', sa.Column('start_local', sa.DateTime(), nullable=True))
    op.add_column('invoices', sa.Column('reopened_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('invoices', 'reopened_at')
    op.drop_column('subscriptions', 'start_local')
