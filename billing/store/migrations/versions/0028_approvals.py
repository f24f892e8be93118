"""approvals: what a second person decides"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0028'
down_revision = '0027'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'approvals',
        sa.Column('id', sa.Uuid(), nullable=False),
        sa.Column('key', sa.Text(), nullable=False),
        sa.Column('kind', sa.Text(), nullable=False),
        sa.Column('status', sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column('subject', sa.Text(), nullable=False),
        sa.Column('subscription_id', sa.Uuid(), nullable=True),
        sa.Column('customer_id', sa.Text(), nullable=True),
        sa.Column('arguments', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.Column('rows_count', sa.Integer(), nullable=False),
        sa.Column('seen', sa.BigInteger(), nullable=False),
        sa.Column('basis', sa.Text(), nullable=False),
        sa.Column('reason', sa.Text(), nullable=False),
        sa.Column('asked_by', sa.Uuid(), nullable=False),
        sa.Column('asked_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('decided_by', sa.Uuid(), nullable=True),
        sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('decision_reason', sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('refund', 'cancel', 'bulk')", name=op.f('approvals_kind_check')),
        sa.CheckConstraint("status IN ('open', 'approved', 'declined', 'withdrawn', 'expired', 'outdated')", name=op.f('approvals_status_check')),
        sa.CheckConstraint("(status = 'open') = (decided_at IS NULL)", name=op.f('approvals_decided_check')),
        sa.CheckConstraint("(status IN ('approved', 'declined', 'withdrawn')) = (decided_by IS NOT NULL)", name=op.f('approvals_decided_by_check')),
        sa.CheckConstraint("status NOT IN ('approved', 'declined') OR decided_by <> asked_by", name=op.f('approvals_second_person_check')),
        sa.CheckConstraint("status <> 'withdrawn' OR decided_by = asked_by", name=op.f('approvals_withdrawn_check')),
        sa.CheckConstraint("(decided_by IS NULL) = (decision_reason IS NULL)", name=op.f('approvals_reasoned_check')),
        sa.CheckConstraint("asked_at < ends_at", name=op.f('approvals_ends_check')),
        sa.CheckConstraint("amount >= 0 AND rows_count >= 1", name=op.f('approvals_shown_check')),
        sa.CheckConstraint("(kind = 'bulk') = (subscription_id IS NULL) AND (subscription_id IS NULL) = (customer_id IS NULL)", name=op.f('approvals_subject_check')),
        sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name=op.f('approvals_subscription_id_foreign')),
        sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('approvals_customer_id_foreign')),
        sa.ForeignKeyConstraint(['asked_by'], ['people.id'], name=op.f('approvals_asked_by_foreign')),
        sa.ForeignKeyConstraint(['decided_by'], ['people.id'], name=op.f('approvals_decided_by_foreign')),
        sa.PrimaryKeyConstraint('id', name=op.f('approvals_primary')),
        sa.UniqueConstraint('key', name=op.f('approvals_key_unique')),
    )
    op.create_index('approvals_one_open', 'approvals', ['subject', 'kind'], unique=True, postgresql_where=sa.text("status = 'open'"))
    op.create_index('approvals_open', 'approvals', ['asked_at'], postgresql_where=sa.text("status = 'open'"))
    op.create_index('approvals_asked', 'approvals', ['asked_at', 'id'])
    op.create_index('approvals_customer', 'approvals', ['customer_id'])


def downgrade() -> None:
    op.drop_table('approvals')
