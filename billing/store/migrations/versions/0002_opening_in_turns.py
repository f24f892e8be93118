"""opening in turns"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('engine', sa.Column('opening_until', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('engine', 'opening_until')
