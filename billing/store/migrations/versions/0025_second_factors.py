"""second factors: a secret for codes of an app, and the last code that was used"""

import sqlalchemy as sa
from alembic import op

revision = '0025'
down_revision = '0024'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('people', sa.Column('factor_sealed', sa.LargeBinary(), nullable=True))
    op.add_column('people', sa.Column('factor_step', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column('people', 'factor_step')
    op.drop_column('people', 'factor_sealed')
