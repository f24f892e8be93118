"""plain names, the same in tables and documents, for links, attempts and status queries"""

from collections.abc import Sequence

from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None

COLUMNS = (
    ('subscriptions', 'cancel_unbind', 'cancel_unlink'),
    ('wallets', 'unbind_wanted_at', 'unlink_requested_at'),
    ('wallets', 'bound_at', 'linked_at'),
    ('wallets', 'tries', 'attempts'),
    ('charges', 'ordinal', 'attempt'),
    ('charges', 'turned_away', 'unsent_attempts'),
    ('charges', 'asks', 'status_queries'),
    ('refunds', 'ordinal', 'sequence'),
    ('refunds', 'tries', 'attempts'),
    ('refunds', 'turned_away', 'unsent_attempts'),
)
CONSTRAINTS = (
    ('charges', 'charges_one_an_ordinal', 'charges_one_per_attempt'),
    ('refunds', 'refunds_one_an_ordinal', 'refunds_one_per_sequence'),
)
EVENTS = (
    ('wallet.unbind_requested', 'wallet.unlink_requested'),
    ('wallet.unbind_stuck', 'wallet.unlink_stuck'),
    ('invoice.given_up', 'invoice.uncollectible'),
)
TASKS = (
    ('admin.bind_wallet', 'admin.link_wallet'),
    ('admin.unbind_wallet', 'admin.unlink_wallet'),
)
# An import that is repeated, and a command whose key is used again, are compared with these.
KEYS = (
    ('imports', 'content', 'bound_at', 'linked_at'),
    ('commands', 'arguments', 'unbind', 'unlink'),
)
STATUSES = "status IN ('pending', 'active', 'expired', '{}', 'unlinked', 'failed')"
LIVE = "status IN ('pending', 'active', '{}')"
HAS_TOKEN = "status NOT IN ('active', '{}') OR token_sealed IS NOT NULL"


Names = Sequence[tuple[str, ...]]


def _rename(columns: Names, constraints: Names, events: Names, tasks: Names, keys: Names) -> None:
    for table, old, new in columns:
        op.alter_column(table, old, new_column_name=new)
    for table, old, new in constraints:
        op.execute(f'ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}')
    for old, new in events:
        op.execute(f"UPDATE events SET kind = '{new}' WHERE kind = '{old}'")
    for old, new in tasks:
        op.execute(f"UPDATE commands SET task = '{new}' WHERE task = '{old}'")
    for table, column, old, new in keys:
        op.execute(
            f"UPDATE {table} SET {column} = ({column} - '{old}')"
            f" || jsonb_build_object('{new}', {column}->'{old}')"
            f" WHERE jsonb_exists({column}, '{old}')"
        )


def _call_status(old: str, new: str) -> None:
    """Give the status of a wallet whose token is being deleted another name."""
    op.drop_index('wallets_one_live_a_customer', table_name='wallets')
    op.drop_index('wallets_one_live_a_token', table_name='wallets')
    op.drop_constraint(op.f('wallets_status_check'), 'wallets')
    op.drop_constraint(op.f('wallets_token_check'), 'wallets')
    op.execute(f"UPDATE wallets SET status = '{new}' WHERE status = '{old}'")
    op.create_check_constraint(op.f('wallets_status_check'), 'wallets', STATUSES.format(new))
    op.create_check_constraint(op.f('wallets_token_check'), 'wallets', HAS_TOKEN.format(new))
    live = LIVE.format(new)
    for index, column, where in (
        ('wallets_one_live_a_customer', 'customer_id', live),
        ('wallets_one_live_a_token', 'token_hash', f'{live} AND token_hash IS NOT NULL'),
    ):
        op.execute(f'CREATE UNIQUE INDEX {index} ON wallets ({column}) WHERE {where}')


def upgrade() -> None:
    _rename(COLUMNS, CONSTRAINTS, EVENTS, TASKS, KEYS)
    _call_status('unbinding', 'unlinking')


def downgrade() -> None:
    _call_status('unlinking', 'unbinding')
    _rename(*(
        [(*where, new, old) for *where, old, new in pairs]
        for pairs in (COLUMNS, CONSTRAINTS, EVENTS, TASKS, KEYS)
    ))
