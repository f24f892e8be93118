"""first tables"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None

PLAIN = "('invoice.opened', 'charge.claimed', 'charge.succeeded', 'invoice.paid')"


def upgrade() -> None:
    op.create_table('commands',
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('arguments', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('result', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('commands_primary'))
    )
    op.create_table('coupons',
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('percent', sa.SmallInteger(), nullable=True),
    sa.Column('rupiah', sa.BigInteger(), nullable=True),
    sa.Column('cycles', sa.Integer(), nullable=True),
    sa.Column('redeemed', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('redeemed_max', sa.Integer(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('(percent IS NULL) <> (rupiah IS NULL)', name=op.f('coupons_kind_check')),
    sa.CheckConstraint('cycles > 0', name=op.f('coupons_cycles_check')),
    sa.CheckConstraint('percent BETWEEN 1 AND 100', name=op.f('coupons_percent_check')),
    sa.CheckConstraint('redeemed >= 0 AND (redeemed_max IS NULL OR redeemed <= redeemed_max)', name=op.f('coupons_redeemed_check')),
    sa.CheckConstraint('rupiah BETWEEN 1 AND 9999999999', name=op.f('coupons_rupiah_check')),
    sa.PrimaryKeyConstraint('code', name=op.f('coupons_primary'))
    )
    op.create_table('customers',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('phone', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('email', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('customers_primary'))
    )
    op.create_table('engine',
    sa.Column('id', sa.SmallInteger(), server_default=sa.text('1'), nullable=False),
    sa.Column('clock_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('stopped_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('stopped_reason', sa.Text(), nullable=True),
    sa.Column('gateway_host', sa.Text(), nullable=True),
    sa.Column('gateway_client_id', sa.Text(), nullable=True),
    sa.Column('troubles', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('resting_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('paced_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('opening_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('id = 1', name=op.f('engine_one_row_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('engine_primary'))
    )
    op.create_table('events',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('customer_id', sa.Text(), nullable=True),
    sa.Column('subscription_id', sa.Uuid(), nullable=True),
    sa.Column('invoice_id', sa.Uuid(), nullable=True),
    sa.Column('charge_id', sa.Uuid(), nullable=True),
    sa.Column('data', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('events_primary'))
    )
    op.create_index('events_kind', 'events', ['kind', 'id'], unique=False, postgresql_where=sa.text(f'kind NOT IN {PLAIN}'))
    op.create_index('events_subscription', 'events', ['subscription_id', 'id'], unique=False)
    op.create_table('heartbeats',
    sa.Column('tick', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('tick', name=op.f('heartbeats_primary'))
    )
    op.create_table('hours',
    sa.Column('hour', sa.DateTime(timezone=True), nullable=False),
    sa.Column('shard', sa.SmallInteger(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('hour', 'shard', name=op.f('hours_primary'))
    )
    op.create_table('plans',
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('every', sa.Text(), nullable=True),
    sa.Column('cron', sa.Text(), nullable=True),
    sa.Column('timezone', sa.Text(), nullable=False),
    sa.Column('trial', sa.Text(), nullable=True),
    sa.Column('cycles', sa.Integer(), nullable=True),
    sa.Column('retries', sa.Text(), nullable=False),
    sa.Column('retries_for', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('declines_max', sa.Integer(), nullable=True),
    sa.Column('attempts_max', sa.Integer(), nullable=True),
    sa.Column('days_max', sa.Integer(), nullable=True),
    sa.Column('on_exhausted', sa.Text(), nullable=False),
    sa.Column('catch_up', sa.Text(), nullable=False),
    sa.Column('use_points', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("catch_up IN ('all', 'latest')", name=op.f('plans_catch_up_check')),
    sa.CheckConstraint("on_exhausted IN ('cancel', 'unpaid', 'pause')", name=op.f('plans_on_exhausted_check')),
    sa.CheckConstraint('(every IS NULL) <> (cron IS NULL)', name=op.f('plans_schedule_check')),
    sa.CheckConstraint('amount BETWEEN 1 AND 9999999999', name=op.f('plans_amount_check')),
    sa.CheckConstraint('cycles IS NULL OR cycles > 0', name=op.f('plans_cycles_check')),
    sa.CheckConstraint('least(declines_max, attempts_max, days_max) > 0', name=op.f('plans_caps_check')),
    sa.PrimaryKeyConstraint('code', name=op.f('plans_primary'))
    )
    op.create_table('subscriptions',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Text(), nullable=False),
    sa.Column('plan_code', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('quantity', sa.Integer(), server_default=sa.text('1'), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('period_amount', sa.BigInteger(), nullable=True),
    sa.Column('coupon_code', sa.Text(), nullable=True),
    sa.Column('coupon_left', sa.Integer(), nullable=True),
    sa.Column('extras', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('start_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('anchor_local', sa.DateTime(), nullable=True),
    sa.Column('anchor_index', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('next_period_index', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('next_due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('first_paid_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancel_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancel_refund', sa.Text(), nullable=True),
    sa.Column('cancel_unbind', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('pause_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('resume_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('change_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('next_plan_code', sa.Text(), nullable=True),
    sa.Column('next_quantity', sa.Integer(), nullable=True),
    sa.Column('next_amount', sa.BigInteger(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("cancel_refund IS NULL OR cancel_refund IN ('none', 'full', 'prorated')", name=op.f('subscriptions_cancel_refund_check')),
    sa.CheckConstraint("jsonb_typeof(extras) = 'array'", name=op.f('subscriptions_extras_check')),
    sa.CheckConstraint("status IN ('pending', 'trialing', 'active', 'past_due', 'paused', 'unpaid', 'canceled', 'completed')", name=op.f('subscriptions_status_check')),
    sa.CheckConstraint("status NOT IN ('canceled', 'completed') OR (next_due_at IS NULL AND ended_at IS NOT NULL)", name=op.f('subscriptions_ended_check')),
    sa.CheckConstraint('amount BETWEEN 1 AND 9999999999', name=op.f('subscriptions_amount_check')),
    sa.CheckConstraint('coupon_left IS NULL OR coupon_left > 0 AND coupon_code IS NOT NULL', name=op.f('subscriptions_coupon_check')),
    sa.CheckConstraint('next_amount BETWEEN 1 AND 9999999999', name=op.f('subscriptions_next_amount_check')),
    sa.CheckConstraint('next_quantity > 0', name=op.f('subscriptions_next_quantity_check')),
    sa.CheckConstraint('num_nulls(change_at, next_plan_code, next_quantity, next_amount) IN (0, 4)', name=op.f('subscriptions_change_check')),
    sa.CheckConstraint('quantity > 0', name=op.f('subscriptions_quantity_check')),
    sa.ForeignKeyConstraint(['coupon_code'], ['coupons.code'], name=op.f('subscriptions_coupon_code_foreign')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('subscriptions_customer_id_foreign')),
    sa.ForeignKeyConstraint(['next_plan_code'], ['plans.code'], name=op.f('subscriptions_next_plan_code_foreign')),
    sa.ForeignKeyConstraint(['plan_code'], ['plans.code'], name=op.f('subscriptions_plan_code_foreign')),
    sa.PrimaryKeyConstraint('id', name=op.f('subscriptions_primary'))
    )
    op.create_index('subscriptions_cancel_due', 'subscriptions', ['cancel_at'], unique=False, postgresql_where=sa.text('cancel_at IS NOT NULL AND ended_at IS NULL'))
    op.create_index('subscriptions_customer', 'subscriptions', ['customer_id'], unique=False)
    op.create_index('subscriptions_due', 'subscriptions', ['next_due_at'], unique=False, postgresql_where=sa.text('next_due_at IS NOT NULL'))
    op.create_index('subscriptions_pause_due', 'subscriptions', ['pause_at'], unique=False, postgresql_where=sa.text('pause_at IS NOT NULL'))
    op.create_index('subscriptions_resume_due', 'subscriptions', ['resume_at'], unique=False, postgresql_where=sa.text('resume_at IS NOT NULL'))
    op.create_table('wallets',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('phone_sealed', sa.LargeBinary(), nullable=False),
    sa.Column('masked_phone', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('token_sealed', sa.LargeBinary(), nullable=True),
    sa.Column('registration_url', sa.Text(), nullable=True),
    sa.Column('tries', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('unbind_wanted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('bound_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('next_notice_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("status IN ('pending', 'active', 'expired', 'unbinding', 'unlinked', 'failed')", name=op.f('wallets_status_check')),
    sa.CheckConstraint("status NOT IN ('active', 'unbinding') OR token_sealed IS NOT NULL", name=op.f('wallets_token_check')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('wallets_customer_id_foreign')),
    sa.PrimaryKeyConstraint('id', name=op.f('wallets_primary'))
    )
    op.create_index('wallets_customer', 'wallets', ['customer_id'], unique=False)
    op.create_index('wallets_due', 'wallets', ['next_attempt_at'], unique=False, postgresql_where=sa.text('next_attempt_at IS NOT NULL'))
    op.create_index('wallets_expiring', 'wallets', ['expires_at'], unique=False, postgresql_where=sa.text("status = 'active'"))
    op.create_index('wallets_one_live_a_customer', 'wallets', ['customer_id'], unique=True, postgresql_where=sa.text("status IN ('pending', 'active', 'unbinding')"))
    op.create_index('wallets_to_notify', 'wallets', ['next_notice_at'], unique=False, postgresql_where=sa.text('next_notice_at IS NOT NULL'))
    op.create_table('invoices',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('subscription_id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Text(), nullable=False),
    sa.Column('period_index', sa.Integer(), nullable=False),
    sa.Column('change_index', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('period_start', sa.DateTime(timezone=True), nullable=False),
    sa.Column('period_end', sa.DateTime(timezone=True), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('credited', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('lines', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('amount_refunded', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('blocked_on', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('next_trigger', sa.Text(), server_default=sa.text("'scheduled'"), nullable=False),
    sa.Column('first_failed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('steps_short', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('step_deadline_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('planned_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('shortfall', sa.BigInteger(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('paid_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(status = 'paid') = (paid_at IS NOT NULL)", name=op.f('invoices_paid_check')),
    sa.CheckConstraint("blocked_on IS NULL OR blocked_on IN ('wallet', 'balance')", name=op.f('invoices_blocked_on_check')),
    sa.CheckConstraint("credited < amount OR status IN ('paid', 'void')", name=op.f('invoices_nothing_owed_check')),
    sa.CheckConstraint("status = 'open' OR next_attempt_at IS NULL", name=op.f('invoices_closed_check')),
    sa.CheckConstraint("status IN ('open', 'paid', 'uncollectible', 'void')", name=op.f('invoices_status_check')),
    sa.CheckConstraint('amount BETWEEN 0 AND 9999999999', name=op.f('invoices_amount_check')),
    sa.CheckConstraint('amount_refunded BETWEEN 0 AND amount - credited', name=op.f('invoices_amount_refunded_check')),
    sa.CheckConstraint('change_index >= 0', name=op.f('invoices_change_index_check')),
    sa.CheckConstraint('credited >= 0', name=op.f('invoices_credited_check')),
    sa.CheckConstraint('period_index >= 0 AND period_start < period_end', name=op.f('invoices_period_check')),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name=op.f('invoices_subscription_id_foreign')),
    sa.PrimaryKeyConstraint('id', name=op.f('invoices_primary')),
    sa.UniqueConstraint('subscription_id', 'period_index', 'change_index', name='invoices_one_a_period')
    )
    op.create_index('invoices_blocked', 'invoices', ['customer_id'], unique=False, postgresql_where=sa.text("status = 'open' AND blocked_on IS NOT NULL"))
    op.create_index('invoices_due', 'invoices', ['next_attempt_at'], unique=False, postgresql_where=sa.text('next_attempt_at IS NOT NULL'))
    op.create_index('invoices_open', 'invoices', ['subscription_id', 'period_index', 'change_index'], unique=False, postgresql_where=sa.text("status = 'open'"))
    op.create_table('charges',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('invoice_id', sa.Uuid(), nullable=False),
    sa.Column('subscription_id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Text(), nullable=False),
    sa.Column('wallet_id', sa.Uuid(), nullable=False),
    sa.Column('ordinal', sa.SmallInteger(), nullable=False),
    sa.Column('gateway_number', sa.Text(), nullable=False),
    sa.Column('trigger', sa.Text(), nullable=False),
    sa.Column('first_payment', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('amount_refunding', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('surplus', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('fault', sa.Text(), nullable=True),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('waiting', sa.Text(), nullable=True),
    sa.Column('body_sealed', sa.LargeBinary(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('sends', sa.Integer(), server_default=sa.text('1'), nullable=False),
    sa.Column('turned_away', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('asks', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('next_check_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('failed_seen_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('parked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("NOT surplus OR status = 'succeeded'", name=op.f('charges_surplus_check')),
    sa.CheckConstraint("amount_refunding = 0 OR status = 'succeeded'", name=op.f('charges_refund_of_succeeded_check')),
    sa.CheckConstraint("fault IS NULL OR fault IN ('insufficient_funds', 'limit', 'wallet', 'hard', 'technical', 'other')", name=op.f('charges_fault_check')),
    sa.CheckConstraint("length(gateway_number) BETWEEN 3 AND 32 AND gateway_number !~ '[^A-Za-z0-9_-]'", name=op.f('charges_gateway_number_check')),
    sa.CheckConstraint("status IN ('in_flight', 'succeeded', 'declined', 'unsent', 'pending', 'unknown')", name=op.f('charges_status_check')),
    sa.CheckConstraint("trigger IN ('scheduled', 'operator', 'customer')", name=op.f('charges_trigger_check')),
    sa.CheckConstraint("waiting IS NULL OR waiting IN ('customer', 'token_expired')", name=op.f('charges_waiting_check')),
    sa.CheckConstraint('amount BETWEEN 1 AND 9999999999', name=op.f('charges_amount_check')),
    sa.CheckConstraint('amount_refunding BETWEEN 0 AND amount', name=op.f('charges_amount_refunding_check')),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name=op.f('charges_invoice_id_foreign')),
    sa.ForeignKeyConstraint(['wallet_id'], ['wallets.id'], name=op.f('charges_wallet_id_foreign')),
    sa.PrimaryKeyConstraint('id', name=op.f('charges_primary')),
    sa.UniqueConstraint('gateway_number', name='charges_gateway_number_unique'),
    sa.UniqueConstraint('invoice_id', 'ordinal', name='charges_one_an_ordinal')
    )
    op.create_index('charges_of_customer', 'charges', ['customer_id', 'created_at'], unique=False)
    op.create_index('charges_one_succeeded', 'charges', ['invoice_id'], unique=True, postgresql_where=sa.text("status = 'succeeded' AND NOT surplus"))
    op.create_index('charges_one_unresolved', 'charges', ['subscription_id'], unique=True, postgresql_where=sa.text("status IN ('in_flight', 'pending', 'unknown')"))
    op.create_index('charges_to_ask', 'charges', ['next_check_at'], unique=False, postgresql_where=sa.text('next_check_at IS NOT NULL'))
    op.create_table('credits',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('customer_id', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('remaining', sa.BigInteger(), nullable=False),
    sa.Column('paid_out', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('invoice_id', sa.Uuid(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('amount BETWEEN 1 AND 9999999999', name=op.f('credits_amount_check')),
    sa.CheckConstraint('paid_out >= 0', name=op.f('credits_paid_out_check')),
    sa.CheckConstraint('remaining BETWEEN 0 AND amount - paid_out', name=op.f('credits_remaining_check')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('credits_customer_id_foreign')),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name=op.f('credits_invoice_id_foreign')),
    sa.PrimaryKeyConstraint('id', name=op.f('credits_primary'))
    )
    op.create_index('credits_customer', 'credits', ['customer_id', 'id'], unique=False)
    op.create_index('credits_invoice', 'credits', ['invoice_id'], unique=False, postgresql_where=sa.text('invoice_id IS NOT NULL'))
    op.create_index('credits_left', 'credits', ['customer_id', 'id'], unique=False, postgresql_where=sa.text('remaining > 0'))
    op.create_table('credit_uses',
    sa.Column('credit_id', sa.BigInteger(), nullable=False),
    sa.Column('invoice_id', sa.Uuid(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('amount BETWEEN 1 AND 9999999999', name=op.f('credit_uses_amount_check')),
    sa.ForeignKeyConstraint(['credit_id'], ['credits.id'], name=op.f('credit_uses_credit_id_foreign')),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name=op.f('credit_uses_invoice_id_foreign')),
    sa.PrimaryKeyConstraint('credit_id', 'invoice_id', name=op.f('credit_uses_primary'))
    )
    op.create_index('credit_uses_invoice', 'credit_uses', ['invoice_id'], unique=False)
    op.create_table('refunds',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('charge_id', sa.Uuid(), nullable=False),
    sa.Column('invoice_id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Text(), nullable=False),
    sa.Column('ordinal', sa.SmallInteger(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('tries', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('parked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("status IN ('requested', 'in_flight', 'succeeded', 'declined', 'unknown')", name=op.f('refunds_status_check')),
    sa.CheckConstraint('amount BETWEEN 1 AND 9999999999', name=op.f('refunds_amount_check')),
    sa.ForeignKeyConstraint(['charge_id'], ['charges.id'], name=op.f('refunds_charge_id_foreign')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('refunds_customer_id_foreign')),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name=op.f('refunds_invoice_id_foreign')),
    sa.PrimaryKeyConstraint('id', name=op.f('refunds_primary')),
    sa.UniqueConstraint('charge_id', 'ordinal', name='refunds_one_an_ordinal')
    )
    op.create_index('refunds_due', 'refunds', ['next_attempt_at'], unique=False, postgresql_where=sa.text('next_attempt_at IS NOT NULL'))
    op.create_index('refunds_invoice', 'refunds', ['invoice_id'], unique=False)
    op.create_index('refunds_unsettled', 'refunds', ['customer_id'], unique=False, postgresql_where=sa.text("status IN ('requested', 'in_flight', 'unknown')"))
    op.execute('INSERT INTO engine (id) VALUES (1)')


def downgrade() -> None:
    op.drop_index('refunds_unsettled', table_name='refunds', postgresql_where=sa.text("status IN ('requested', 'in_flight', 'unknown')"))
    op.drop_index('refunds_invoice', table_name='refunds')
    op.drop_index('refunds_due', table_name='refunds', postgresql_where=sa.text('next_attempt_at IS NOT NULL'))
    op.drop_table('refunds')
    op.drop_index('credit_uses_invoice', table_name='credit_uses')
    op.drop_table('credit_uses')
    op.drop_index('credits_left', table_name='credits', postgresql_where=sa.text('remaining > 0'))
    op.drop_index('credits_invoice', table_name='credits', postgresql_where=sa.text('invoice_id IS NOT NULL'))
    op.drop_index('credits_customer', table_name='credits')
    op.drop_table('credits')
    op.drop_index('charges_to_ask', table_name='charges', postgresql_where=sa.text('next_check_at IS NOT NULL'))
    op.drop_index('charges_one_unresolved', table_name='charges', postgresql_where=sa.text("status IN ('in_flight', 'pending', 'unknown')"))
    op.drop_index('charges_one_succeeded', table_name='charges', postgresql_where=sa.text("status = 'succeeded' AND NOT surplus"))
    op.drop_index('charges_of_customer', table_name='charges')
    op.drop_table('charges')
    op.drop_index('invoices_open', table_name='invoices', postgresql_where=sa.text("status = 'open'"))
    op.drop_index('invoices_due', table_name='invoices', postgresql_where=sa.text('next_attempt_at IS NOT NULL'))
    op.drop_index('invoices_blocked', table_name='invoices', postgresql_where=sa.text("status = 'open' AND blocked_on IS NOT NULL"))
    op.drop_table('invoices')
    op.drop_index('wallets_to_notify', table_name='wallets', postgresql_where=sa.text('next_notice_at IS NOT NULL'))
    op.drop_index('wallets_one_live_a_customer', table_name='wallets', postgresql_where=sa.text("status IN ('pending', 'active', 'unbinding')"))
    op.drop_index('wallets_expiring', table_name='wallets', postgresql_where=sa.text("status = 'active'"))
    op.drop_index('wallets_due', table_name='wallets', postgresql_where=sa.text('next_attempt_at IS NOT NULL'))
    op.drop_index('wallets_customer', table_name='wallets')
    op.drop_table('wallets')
    op.drop_index('subscriptions_resume_due', table_name='subscriptions', postgresql_where=sa.text('resume_at IS NOT NULL'))
    op.drop_index('subscriptions_pause_due', table_name='subscriptions', postgresql_where=sa.text('pause_at IS NOT NULL'))
    op.drop_index('subscriptions_due', table_name='subscriptions', postgresql_where=sa.text('next_due_at IS NOT NULL'))
    op.drop_index('subscriptions_customer', table_name='subscriptions')
    op.drop_index('subscriptions_cancel_due', table_name='subscriptions', postgresql_where=sa.text('cancel_at IS NOT NULL AND ended_at IS NULL'))
    op.drop_table('subscriptions')
    op.drop_table('plans')
    op.drop_table('hours')
    op.drop_table('heartbeats')
    op.drop_index('events_subscription', table_name='events')
    op.drop_index('events_kind', table_name='events')
    op.drop_table('events')
    op.drop_table('engine')
    op.drop_table('customers')
    op.drop_table('coupons')
    op.drop_table('commands')
