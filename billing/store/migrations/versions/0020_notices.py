"""notices of charges, stored bodies of webhooks, and names of events"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None

EVENTS = (
    ('dunning.fell_short', 'invoice.short'),
    ('refund.declined', 'refund.failed'),
    ('charging.stopped', 'engine.charging_stopped'),
    ('charging.started', 'engine.charging_started'),
)


def _rename(events: Sequence[tuple[str, str]]) -> None:
    for old, new in events:
        # The condition of an index is repeated, so that it finds these few among all events.
        op.execute(
            f"UPDATE events SET kind = '{new}' WHERE kind = '{old}' AND kind NOT IN"
            " ('invoice.opened', 'charge.claimed', 'charge.succeeded', 'invoice.paid')"
        )
        op.execute(
            f"UPDATE webhook_endpoints SET event_types = array_replace(event_types, '{old}', '{new}')"
            f" WHERE '{old}' = ANY(event_types)"
        )


def upgrade() -> None:
    op.add_column('plans', sa.Column('notice', sa.Text(), nullable=True))
    op.create_index('plans_with_notice', 'plans', ['code'], postgresql_where=sa.text('notice IS NOT NULL'))
    op.add_column('subscriptions', sa.Column('notice_for', sa.Integer(), nullable=True))
    op.create_index('subscriptions_to_announce', 'subscriptions', ['plan_code', 'next_due_at'], postgresql_where=sa.text('notice_for <= next_period_index AND next_due_at IS NOT NULL'))
    op.create_index('subscriptions_changing', 'subscriptions', ['next_plan_code', 'next_due_at'], postgresql_where=sa.text('next_plan_code IS NOT NULL AND next_due_at IS NOT NULL'))
    op.create_index('events_one_notice_a_period', 'events', ['subscription_id', sa.text("(data->'period_index')")], unique=True, postgresql_where=sa.text("kind = 'invoice.upcoming'"))
    op.add_column('webhook_deliveries', sa.Column('body', sa.Text(), nullable=True))
    op.create_check_constraint(op.f('webhook_deliveries_body_check'), 'webhook_deliveries', "body IS NULL OR status = 'pending'")
    op.create_index('webhook_deliveries_body', 'webhook_deliveries', ['event_id'], postgresql_where=sa.text('body IS NOT NULL'))
    _rename(EVENTS)


def downgrade() -> None:
    _rename([(new, old) for old, new in EVENTS])
    op.drop_index('webhook_deliveries_body', 'webhook_deliveries')
    op.drop_constraint(op.f('webhook_deliveries_body_check'), 'webhook_deliveries')
    op.drop_column('webhook_deliveries', 'body')
    op.drop_index('events_one_notice_a_period', 'events')
    op.drop_index('subscriptions_changing', 'subscriptions')
    op.drop_index('subscriptions_to_announce', 'subscriptions')
    op.drop_column('subscriptions', 'notice_for')
    op.drop_index('plans_with_notice', 'plans')
    op.drop_column('plans', 'notice')
