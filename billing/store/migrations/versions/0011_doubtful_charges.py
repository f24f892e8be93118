"""doubtful charges: if only an answer called it unsent, query it once its invoice is closed"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

# Our client's own reasons, for requests of which nothing was sent.
ANSWERED = """
UPDATE charges SET unsent_by_answer = true
WHERE status = 'unsent' AND message NOT IN
    ('name_not_resolved', 'proxy_refused', 'tls_failed', 'connect_timeout', 'not_connected')
"""
ASKED = """
UPDATE charges c SET next_check_at = coalesce((SELECT clock_at FROM engine), clock_timestamp())
FROM invoices i
WHERE i.id = c.invoice_id AND i.status <> 'open' AND c.status = 'unsent' AND c.unsent_by_answer
"""


def upgrade() -> None:
    op.add_column('charges', sa.Column('unsent_by_answer', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.execute(ANSWERED)
    op.execute(ASKED)


def downgrade() -> None:
    op.execute("UPDATE charges SET next_check_at = NULL WHERE status = 'unsent'")
    op.drop_column('charges', 'unsent_by_answer')
