"""used keys: an index to find the old ones of the HTTP interface"""

import sqlalchemy as sa
from alembic import op

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('commands_of_api', 'commands', ['created_at'], postgresql_where=sa.text("key LIKE 'api:%'"))


def downgrade() -> None:
    op.drop_index('commands_of_api', 'commands')
