"""A plan's notice is stored as everybody can read it, and an unreadable one stops no other."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from alembic import command
from sqlalchemy import make_url

from billing.services.reading import auditing
from billing.services.webhooks import upcoming
from billing.store import migrate
from billing.store.queries import engine as engine_rows
from schedules.durations import LIMITS, SPELLINGS, plain_notice
from schedules.walltime import ScheduleError
from tests.integration.earlier import GROUND
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
ODD = ["3 DAYS", " 3\tdays\n", "3\u00a0days", "3\u2003 d", "1 wee\u212a", "000000000003 days"]
"""What people may write: the number 3, a no-break space, the sign for Kelvin as a letter."""
UNREADABLE = [
    "", " ", "soon", "3", "days", "-3 days", "+3 days", "0 days", "00 d", "3 days ago", "3.5 days",
    "1 month", "1 year", "1 day 2 hours", "@ 3 days", "P3D", "3:00", "3 days\n", " 3 days",
    "3  days", "3 Days", "3\u00a0days", "0000000000003 d", "3 dayss", "3 ss", "\u0663 days",
]  # fmt: skip


def written() -> Iterator[str]:
    """Every unit with numbers at the ends of its range, and beyond."""
    for word, unit in SPELLINGS.items():
        for number in (0, 1, 2, LIMITS[unit], LIMITS[unit] + 1):
            yield f"{number}{word}"
            yield f"{number:05} {word}"


def is_stored(text: str) -> bool:
    """Whether the code stores this text as it is."""
    with suppress(ScheduleError):
        return plain_notice(text) == text
    return False


def test_the_database_admits_what_a_plan_can_be_created_with(engine: Engine) -> None:
    """Nothing more and nothing less, and PostgreSQL reads all of it."""
    engine.plan("P")
    wrong = []
    with psycopg.connect(engine.url.replace("+psycopg", ""), autocommit=True) as connection:
        for text in [*written(), *UNREADABLE, *ODD]:
            try:
                connection.execute("UPDATE plans SET notice = %s", (text,))
                connection.execute("SELECT CAST(notice AS interval) FROM plans")
                admitted = True
            except psycopg.errors.CheckViolation:
                admitted = False
            if admitted is not is_stored(text):
                wrong.append(text)
        connection.execute("UPDATE plans SET notice = NULL")
    assert wrong == []
    assert not any(is_stored(text) for text in UNREADABLE)


@pytest.mark.parametrize("text", ODD)
def test_a_notice_is_stored_in_its_plain_form(text: str, engine: Engine) -> None:
    """However it is written, so that PostgreSQL reads it, too."""
    engine.plan("P", notice=text)

    stored = engine.one("SELECT notice FROM plans")
    assert stored == plain_notice(text)
    assert stored.isascii()
    assert engine.one("SELECT CAST(notice AS interval) FROM plans") > timedelta(0)


def test_a_plan_whose_notice_cannot_be_read_stops_no_other(engine: Engine) -> None:
    """Without the CHECK, somebody writes one by hand: the audit shows it, the others announce."""
    _, subscription = engine.begun(notice="3 days")
    engine.plan("BAD", notice="3 days")
    bad = engine.subscribe(engine.customer(), "BAD")
    engine.run()
    with without_check(engine):
        _check_the_others(engine, subscription, bad)


@contextmanager
def without_check(engine: Engine) -> Iterator[None]:
    """The database without the CHECK, which the next tests need again: it is kept for them."""
    check = engine.one(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'plans_notice_check'"
    )
    engine.execute("ALTER TABLE plans DROP CONSTRAINT plans_notice_check")
    try:
        yield
    finally:
        engine.execute("UPDATE plans SET notice = NULL")
        engine.execute(f"ALTER TABLE plans ADD CONSTRAINT plans_notice_check {check}")


def _check_the_others(engine: Engine, subscription: UUID, bad: UUID) -> None:
    engine.execute("UPDATE plans SET notice = 'soon' WHERE code = 'BAD'")
    engine.set_clock(START + 25 * DAY)

    assert upcoming.announce_due(engine.context, 1000) == 1

    [notice] = engine.told("invoice.upcoming")
    assert notice["subscription_id"] == subscription
    [finding] = auditing.broken(engine.context)
    assert (finding.name, finding.detail) == (
        "every notice can be read", "plan BAD has the notice soon, and announces nothing",
    )  # fmt: skip
    with engine.context.database.transaction() as connection:
        assert engine_rows.next_due(connection) is not None

    engine.execute("UPDATE plans SET notice = '3 days' WHERE code = 'BAD'")
    assert upcoming.announce_due(engine.context, 1000) == 1
    assert engine.told("invoice.upcoming")[-1]["subscription_id"] == bad


def test_an_upgrade_keeps_the_notices_that_can_be_read(
    empty_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In their plain form; any other is removed, and the upgrade says of which plan."""
    command.upgrade(migrate._config(empty_url), "0022")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(GROUND)
        for code, notice in {"A": "3 DAYS", "B": "soon", "C": "2\u00a0w", "D": "1 month"}.items():
            connection.execute(
                "INSERT INTO plans SELECT (jsonb_populate_record(p, jsonb_build_object("
                "'code', %s::text, 'notice', %s::text))).* FROM plans p WHERE code = 'P'",
                (code, notice),
            )

        migrate.upgrade(empty_url)

        found = connection.execute("SELECT code, notice FROM plans ORDER BY code").fetchall()
    assert found == [("A", "3 days"), ("B", None), ("C", "2 w"), ("D", None), ("P", None)]
    said = capsys.readouterr().out
    assert "plan B has no notice any more: 'soon' cannot be read" in said
    assert "plan D has no notice any more" in said
