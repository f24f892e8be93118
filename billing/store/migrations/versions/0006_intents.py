"""intents: the period of each, the days left of a paused trial, and none after the end

Existing planned cancellations, pauses and changes keep their date and get no period: they are
treated like intents for a date.
"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

RULES = {
    'ended_plans_nothing': "ended_at IS NULL OR num_nonnulls(cancel_at, pause_at, resume_at, change_at,"
    " coupon_left, trial_left_seconds) = 0",
    'planned_for': "(cancel_at IS NOT NULL OR cancel_period IS NULL)"
    " AND (pause_at IS NOT NULL OR pause_period IS NULL)"
    " AND (change_at IS NOT NULL OR change_period IS NULL)",
    'trial_left': "trial_left_seconds IS NULL OR trial_left_seconds >= 0 AND status = 'paused'",
}


def upgrade() -> None:
    for column in ('cancel_period', 'pause_period', 'change_period'):
        op.add_column('subscriptions', sa.Column(column, sa.Integer(), nullable=True))
    op.add_column('subscriptions', sa.Column('trial_left_seconds', sa.BigInteger(), nullable=True))
    # Plans of an ended subscription will never take effect. Its events still show them.
    op.execute(
        "UPDATE subscriptions SET cancel_at = NULL, pause_at = NULL, resume_at = NULL,"
        " change_at = NULL, next_plan_code = NULL, next_quantity = NULL, next_amount = NULL,"
        " coupon_left = NULL WHERE ended_at IS NOT NULL"
        " AND num_nonnulls(cancel_at, pause_at, resume_at, change_at, coupon_left) > 0"
    )
    for name, rule in RULES.items():
        op.create_check_constraint(op.f(f'subscriptions_{name}_check'), 'subscriptions', rule)


def downgrade() -> None:
    for name in RULES:
        op.drop_constraint(op.f(f'subscriptions_{name}_check'), 'subscriptions', type_='check')
    for column in ('trial_left_seconds', 'change_period', 'pause_period', 'cancel_period'):
        op.drop_column('subscriptions', column)
