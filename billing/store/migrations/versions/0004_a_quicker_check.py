"""a quicker check of gateway numbers, which says the same"""

from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

NAME = 'charges_gateway_number_check'


def upgrade() -> None:
    _replace("length(gateway_number) BETWEEN 3 AND 32 AND gateway_number !~ '[^A-Za-z0-9_-]'")


def downgrade() -> None:
    _replace("gateway_number ~ '^[A-Za-z0-9_-]{3,32}$'")


def _replace(rule: str) -> None:
    op.drop_constraint(op.f(NAME), 'charges', type_='check')
    op.create_check_constraint(op.f(NAME), 'charges', rule)
