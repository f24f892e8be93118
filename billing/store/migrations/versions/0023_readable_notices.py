"""notices of plans that can be read"""

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


def downgrade() -> None:
    op.drop_constraint(op.f('plans_notice_check'), 'plans')
