"""doubtful refunds: after an answer that only says "not received", a decline is no proof"""

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

# Earlier rows do not record whether a sending was answered or never sent: they are doubtful.
ANSWERED = """
UPDATE refunds SET unsent_by_answer = true
WHERE turned_away > 0 AND status IN ('requested', 'in_flight', 'unknown')
"""


def upgrade() -> None:
    op.add_column('refunds', sa.Column('unsent_by_answer', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.execute(ANSWERED)


def downgrade() -> None:
    op.drop_column('refunds', 'unsent_by_answer')
