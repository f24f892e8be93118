"""trust: a marker of our own, an operator's decision, and the breaker's counts"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

# The charge's code alone marked it before. A gateway may use the same code in a live answer, which
# does not answer a status query.
MARKED = """
UPDATE charges c SET never_received = true
WHERE c.status = 'declined' AND c.code = 'not_found' AND EXISTS (
    SELECT 1 FROM events e WHERE e.subscription_id = c.subscription_id AND e.charge_id = c.id
    AND e.kind = 'charge.declined' AND e.data->>'source' = 'status'
    AND e.data->>'code' = 'not_found')
"""


def upgrade() -> None:
    op.add_column('charges', sa.Column('never_received', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('charges', sa.Column('resolved_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('charges', sa.Column('contradicted_at', sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f('charges_never_received_check'), 'charges', "NOT never_received OR status = 'declined'")
    op.create_index('charges_contradicted', 'charges', ['contradicted_at'], unique=False, postgresql_where=sa.text('contradicted_at IS NOT NULL'))
    op.add_column('engine', sa.Column('tripped_at', sa.DateTime(timezone=True), nullable=True))
    op.create_table('answers',
    sa.Column('slot', sa.SmallInteger(), nullable=False),
    sa.Column('shard', sa.SmallInteger(), nullable=False),
    sa.Column('minute', sa.DateTime(timezone=True), nullable=False),
    sa.Column('answered', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('suspicious', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.PrimaryKeyConstraint('slot', 'shard', name=op.f('answers_primary'))
    )
    op.execute(MARKED)


def downgrade() -> None:
    op.drop_table('answers')
    op.drop_column('engine', 'tripped_at')
    op.drop_index('charges_contradicted', table_name='charges')
    op.drop_constraint(op.f('charges_never_received_check'), 'charges', type_='check')
    op.drop_column('charges', 'contradicted_at')
    op.drop_column('charges', 'resolved_at')
    op.drop_column('charges', 'never_received')
