"""people: roles and password hashes, sessions of the console, failed log-ins; indexes of its search"""

import sqlalchemy as sa
from alembic import op

revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'people',
        sa.Column('id', sa.Uuid(), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('role', sa.Text(), nullable=False),
        sa.Column('password_hash', sa.Text(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('password_changed_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('logged_in_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'support', 'operator', 'finance', 'admin')", name=op.f('people_role_check')),
        sa.PrimaryKeyConstraint('id', name=op.f('people_primary')),
    )
    op.create_index('people_name', 'people', [sa.text('lower(name)')], unique=True)
    op.create_table(
        'console_sessions',
        sa.Column('id_hash', sa.LargeBinary(), nullable=False),
        sa.Column('person_id', sa.Uuid(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('used_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['person_id'], ['people.id'], name=op.f('console_sessions_person_id_foreign')),
        sa.PrimaryKeyConstraint('id_hash', name=op.f('console_sessions_primary')),
    )
    op.create_index('console_sessions_person', 'console_sessions', ['person_id'])
    op.create_index('console_sessions_created', 'console_sessions', ['created_at'])
    op.create_table(
        'failed_logins',
        sa.Column('subject', sa.LargeBinary(), nullable=False),
        sa.Column('failed', sa.Integer(), nullable=False),
        sa.Column('until', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('subject', name=op.f('failed_logins_primary')),
    )
    op.create_index('failed_logins_until', 'failed_logins', ['until'])
    op.create_index('customers_name', 'customers', [sa.literal_column('lower(name)').label('lower_name')], postgresql_ops={'lower_name': 'text_pattern_ops'}, postgresql_where=sa.text("name <> ''"))
    op.create_index('customers_words', 'customers', [sa.text("to_tsvector('simple', name)")], postgresql_using='gin')
    op.create_index('customers_email', 'customers', [sa.text('lower(email)')], postgresql_where=sa.text("email <> ''"))
    op.create_index('customers_phone_end', 'customers', [sa.text('right(phone, 4)')], postgresql_where=sa.text("phone <> ''"))
    op.create_index('wallets_phone_end', 'wallets', [sa.text('right(masked_phone, 4)')], postgresql_where=sa.text("masked_phone <> ''"))


def downgrade() -> None:
    op.drop_index('wallets_phone_end', 'wallets')
    op.drop_index('customers_phone_end', 'customers')
    op.drop_index('customers_email', 'customers')
    op.drop_index('customers_words', 'customers')
    op.drop_index('customers_name', 'customers')
    op.drop_table('failed_logins')
    op.drop_table('console_sessions')
    op.drop_table('people')
