"""notices of plans that can be read; a period that gets another date is announced again"""

import sqlalchemy as sa
from alembic import op

revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None

LIMITS = {'second': 315360000, 'minute': 5256000, 'hour': 87600, 'day': 3650, 'week': 520}
NUMBER, WORD = "CAST(substring(notice FROM '^[0-9]+') AS bigint)", "substring(notice FROM '[a-z]+$')"
UNITS = ' '.join(
    f"WHEN {WORD} IN ('{unit[0]}', '{unit}', '{unit}s') THEN {NUMBER} BETWEEN 1 AND {most}"
    for unit, most in LIMITS.items()
)
READABLE = (
    "CASE WHEN notice IS NULL OR notice !~ '^[0-9]{1,12} ?[a-z]+$' THEN false"
    f" {UNITS} ELSE false END"
)
TO_ANNOUNCE = 'notice_for <= next_period_index'
MOVED = f'({TO_ANNOUNCE} OR notice_due_at <> next_due_at)'
ANNOUNCED = """
    UPDATE subscriptions s SET notice_due_at = CAST(e.data->>'charge_at' AS timestamptz)
    FROM events e WHERE e.kind = 'invoice.upcoming' AND e.subscription_id = s.id
    AND e.data->'period_index' = to_jsonb(s.notice_for - 1)"""
EARLIER = """
    UPDATE events e SET kind = 'invoice.upcoming_before' WHERE kind = 'invoice.upcoming'
    AND EXISTS (SELECT 1 FROM events l WHERE l.kind = e.kind AND l.id > e.id
        AND l.subscription_id = e.subscription_id
        AND l.data->'period_index' = e.data->'period_index')"""
"""The earlier notices of a period, of which a downgrade allows one."""


def _notices(where: str) -> list[tuple[str, str]]:
    found = op.get_bind().execute(sa.text(f'SELECT code, notice FROM plans WHERE {where} ORDER BY code'))
    return [(row.code, row.notice) for row in found.all()]


def _set(code: str, notice: str | None) -> None:
    statement = sa.text('UPDATE plans SET notice = :notice WHERE code = :code')
    op.get_bind().execute(statement, {'code': code, 'notice': notice})


def _say(line: str) -> None:
    config = op.get_context().config
    if config is not None:
        config.print_stdout('%s', line)


def _index_to_announce(which: str) -> None:
    op.create_index('subscriptions_to_announce', 'subscriptions', ['plan_code', 'next_due_at'], postgresql_where=sa.text(f'{which} AND next_due_at IS NOT NULL'))


def _index_of_events(name: str, *keys: str) -> None:
    columns: list[str | sa.TextClause] = ['subscription_id', *(sa.text(f"(data->'{key}')") for key in keys)]
    op.create_index(name, 'events', columns, unique=True, postgresql_where=sa.text("kind = 'invoice.upcoming'"))


def upgrade() -> None:
    for code, notice in _notices('notice IS NOT NULL'):
        plain = ' '.join(notice.lower().split())
        if plain != notice:
            _set(code, plain)
    for code, notice in _notices(f'notice IS NOT NULL AND NOT {READABLE}'):
        # It announced nothing: such a notice stopped the notices of all plans.
        _set(code, None)
        _say(f'plan {code} has no notice any more: {notice!r} cannot be read')
    op.create_check_constraint(op.f('plans_notice_check'), 'plans', f'notice IS NULL OR {READABLE}')

    op.add_column('subscriptions', sa.Column('notice_due_at', sa.DateTime(timezone=True), nullable=True))
    op.execute(ANNOUNCED)
    op.drop_index('subscriptions_to_announce', 'subscriptions')
    _index_to_announce(MOVED)
    op.drop_index('events_one_notice_a_period', 'events')
    # The condition of an index is repeated, so that it finds these few among all events.
    op.execute(
        "UPDATE events SET kind = 'invoice.upcoming' WHERE kind = 'invoice.upcoming_before' AND kind NOT IN"
        " ('invoice.opened', 'charge.claimed', 'charge.succeeded', 'invoice.paid')"
    )
    _index_of_events('events_one_notice_a_date', 'period_index', 'charge_at')


def downgrade() -> None:
    op.drop_index('events_one_notice_a_date', 'events')
    op.execute(EARLIER)
    _index_of_events('events_one_notice_a_period', 'period_index')
    op.drop_index('subscriptions_to_announce', 'subscriptions')
    _index_to_announce(TO_ANNOUNCE)
    op.drop_column('subscriptions', 'notice_due_at')
    op.drop_constraint(op.f('plans_notice_check'), 'plans')
