"""The tables in the database are those in the code, also after an upgrade of an older database."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import make_url

from billing.store import migrate
from billing.store.queries import audit
from billing.store.session import Database
from tests.integration.earlier import GROUND


def tables(url: str) -> set[str]:
    """The tables that are there."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return {row[0] for row in connection.execute(query)}


def test_code_and_database_agree(database_url: str) -> None:
    """A column that was changed in one place only is found here."""
    migrate.check(database_url)
    has, wants = migrate.status(database_url)
    assert has == wants


def test_the_last_file_is_what_alembic_calls_the_head() -> None:
    """The code knows the newest revision without alembic: migrations are numbered."""
    scripts = ScriptDirectory.from_config(migrate._config("postgresql://nobody.asks/it"))
    assert scripts.get_heads() == [migrate.head()]


def test_upgrading_again_changes_nothing(database_url: str) -> None:
    """Every process may upgrade at its start."""
    before = tables(database_url)
    migrate.upgrade(database_url)
    assert tables(database_url) == before
    migrate.check(database_url)


def test_two_processes_may_upgrade_at_once(empty_url: str) -> None:
    """One waits for the other and finds its work done; neither fails."""
    code = "import sys; from billing.store.migrate import upgrade; upgrade(sys.argv[1])"
    command_line = [sys.executable, "-c", code, empty_url]
    processes = [subprocess.Popen(command_line) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]

    migrate.check(empty_url)
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        assert connection.execute("SELECT count(*) FROM engine").fetchone() == (1,)


def test_down_to_nothing_and_up_again(empty_url: str) -> None:
    """Every migration can be undone, and leaves nothing behind."""
    assert migrate.status(empty_url) == (None, migrate.head())
    migrate.upgrade(empty_url)
    command.downgrade(migrate._config(empty_url), "base")
    assert tables(empty_url) == {"alembic_version"}
    assert migrate.status(empty_url) == (None, migrate.head())
    migrate.upgrade(empty_url)
    migrate.check(empty_url)


def test_an_ended_subscription_plans_nothing_after_the_upgrade(empty_url: str) -> None:
    """An ended subscription loses its intent; an active one keeps it with its date."""
    command.upgrade(migrate._config(empty_url), "0005")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(GROUND)
        connection.execute(
            "INSERT INTO subscriptions (id, customer_id, plan_code, status, amount, cancel_at,"
            " pause_at, ended_at, created_at) SELECT gen_random_uuid(), customer_id, plan_code,"
            " 'canceled', amount, now(), now(), now(), now() FROM subscriptions"
        )
        connection.execute("UPDATE subscriptions SET cancel_at = now() WHERE ended_at IS NULL")

        migrate.upgrade(empty_url)

        found = connection.execute(
            "SELECT ended_at IS NULL, cancel_at IS NULL, pause_at IS NULL, cancel_period"
            " FROM subscriptions ORDER BY 1"
        ).fetchall()
    assert found == [(False, True, True, None), (True, False, True, None)]


class TestConservation:
    """Revision 0005 fills what became of each charge, and reports what does not add up."""

    @pytest.fixture
    def before(self, empty_url: str) -> Iterator[psycopg.Connection]:
        """A database of the revision before, with a customer on a plan and a wallet."""
        command.upgrade(migrate._config(empty_url), "0001")
        plain = make_url(empty_url).set(drivername="postgresql")
        address = plain.render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(GROUND)
            yield connection

    def _invoice(
        self, at: psycopg.Connection, period: int, *, amount: int = 100_000, credited: int = 0,
        refunding: int = 0, status: str = "paid", surplus: bool = False,
    ) -> tuple[UUID, UUID]:  # fmt: skip
        invoice, charge = uuid4(), uuid4()
        at.execute(
            "INSERT INTO invoices (id, subscription_id, customer_id, period_index, period_start,"
            " period_end, amount, credited, status, created_at, paid_at, closed_at)"
            " SELECT %s, id, 'C', %s, now(), now() + interval '1 day', %s, %s, %s, now(),"
            " CASE WHEN %s = 'paid' THEN now() END, now() FROM subscriptions",
            (invoice, period, amount, credited, status, status),
        )
        if amount > credited:
            at.execute(
                "INSERT INTO charges (id, invoice_id, subscription_id, customer_id, wallet_id,"
                " ordinal, gateway_number, trigger, amount, amount_refunding, surplus, status,"
                " created_at, sent_at, settled_at) SELECT %s, %s, s.id, 'C', w.id, 1, %s,"
                " 'scheduled', %s, %s, %s, 'succeeded', now(), now(), now()"
                " FROM subscriptions s, wallets w",
                (charge, invoice, f"number-{period}", amount - credited, refunding, surplus),
            )
        return invoice, charge

    def _refund(
        self, at: psycopg.Connection, invoice: UUID, charge: UUID, amount: int, status: str,
        credit: int | None = None,
    ) -> UUID:  # fmt: skip
        refund = uuid4()
        at.execute(
            "INSERT INTO refunds (id, charge_id, invoice_id, customer_id, ordinal, amount, reason,"
            " status, created_at, tries) SELECT %s, %s, %s, 'C', count(*) + 1, %s, 'x', %s, now(),"
            " 1 FROM refunds WHERE charge_id = %s",
            (refund, charge, invoice, amount, status, charge),
        )
        at.execute(
            "INSERT INTO events (at, kind, actor, invoice_id, data) VALUES (now(),"
            " 'refund.requested', 'x', %s, jsonb_build_object('refund', %s::text))",
            (invoice, refund),
        )
        if credit is not None:
            at.execute(
                "INSERT INTO events (at, kind, actor, invoice_id, data) VALUES (now(),"
                " 'credit.paid_out', 'x', %s, jsonb_build_object('credit', %s::bigint,"
                " 'amount', %s::bigint))",
                (invoice, credit, amount),
            )
        return refund

    def _credit(
        self, at: psycopg.Connection, invoice: UUID | None, amount: int, *, left: int = -1,
        paid_out: int = 0,
    ) -> int:  # fmt: skip
        remaining = amount - paid_out if left < 0 else left
        row = at.execute(
            "INSERT INTO credits (customer_id, amount, remaining, paid_out, invoice_id, reason,"
            " created_at) VALUES ('C', %s, %s, %s, %s, 'x', now()) RETURNING id",
            (amount, remaining, paid_out, invoice),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _use(self, at: psycopg.Connection, credit: int, invoice: UUID, amount: int) -> None:
        at.execute(
            "INSERT INTO credit_uses (credit_id, invoice_id, amount) VALUES (%s, %s, %s)",
            (credit, invoice, amount),
        )

    def test_parts_are_filled_from_refunds_and_credits(
        self, empty_url: str, before: psycopg.Connection, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Kept, refunded and on its way, credited and paid out; nothing is reported."""
        untouched = self._invoice(before, 0)[1]
        invoice, charge = self._invoice(before, 1, refunding=70_000)
        self._refund(before, invoice, charge, 30_000, "succeeded")
        self._refund(before, invoice, charge, 20_000, "unknown")
        self._refund(before, invoice, charge, 9_000, "declined")
        credit = self._credit(before, invoice, 25_000, paid_out=20_000)
        payout = self._refund(before, invoice, charge, 20_000, "succeeded", credit)

        migrate.upgrade(empty_url)

        assert capsys.readouterr().out == ""
        assert parts(before, untouched) == (100_000, 0, 0)
        assert parts(before, charge) == (25_000, 70_000, 5_000)
        row = before.execute("SELECT charge_id, from_charge FROM credits").fetchone()
        assert row == (charge, 25_000)
        found = before.execute(
            "SELECT purpose, source, credit_id FROM refunds WHERE id = %s", (payout,)
        ).fetchone()
        assert found == ("payout", "credited", credit)
        assert audited(empty_url) == []

    def test_a_charge_that_gave_back_more_than_it_took_is_reported(
        self, empty_url: str, before: psycopg.Connection, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its figures are printed and on record, and the audit names it until it is seen to."""
        invoice, charge = self._invoice(before, 0, refunding=100_000)
        self._credit(before, invoice, 57_857)
        self._refund(before, invoice, charge, 100_000, "succeeded")

        migrate.upgrade(empty_url)

        out = capsys.readouterr().out
        assert f"charge {charge} (customer C): took 100000, refunded 100000, credited 57857" in out
        assert "1 charges break" in out
        assert parts(before, charge) == (0, 100_000, 0)
        [finding] = audited(empty_url)
        assert finding.startswith("no charge gave back more than it took")
        before.execute(
            "INSERT INTO events (at, kind, actor, charge_id) VALUES (now(),"
            " 'charge.breach_acknowledged', 'x', %s)", (charge,),
        )  # fmt: skip
        assert audited(empty_url) == []

    def test_a_declined_payout_is_the_customers_again(
        self, empty_url: str, before: psycopg.Connection, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its money was in no balance and in no wallet; now it is in the balance."""
        invoice, charge = self._invoice(before, 0)
        credit = self._credit(before, invoice, 57_857, paid_out=57_857)
        self._refund(before, invoice, charge, 57_857, "declined", credit)

        migrate.upgrade(empty_url)

        assert f"credit {credit}: 57857 rupiah" in capsys.readouterr().out
        assert parts(before, charge) == (42_143, 0, 57_857)
        row = before.execute("SELECT remaining, paid_out FROM credits").fetchone()
        assert row == (57_857, 0)
        assert audited(empty_url) == []

    @pytest.mark.parametrize("used_again", [0, 3_000])
    def test_credit_that_paid_a_canceled_invoice_is_the_same_credit_again(
        self, empty_url: str, before: psycopg.Connection, used_again: int
    ) -> None:
        """Canceled in full: 6,000 of the charge were refunded, 4,000 of granted credit returned.

        A part of that may have paid another invoice meanwhile.
        """
        gift = self._credit(before, None, 4_000, left=0)
        invoice, charge = self._invoice(before, 0, amount=10_000, credited=4_000, refunding=6_000)
        self._use(before, gift, invoice, 4_000)
        self._refund(before, invoice, charge, 6_000, "succeeded")
        credit = self._credit(before, invoice, 4_000, left=4_000 - used_again)
        if used_again:
            later, _ = self._invoice(before, 1, amount=10_000, credited=used_again)
            self._use(before, credit, later, used_again)

        migrate.upgrade(empty_url)

        assert parts(before, charge) == (0, 6_000, 0)
        rows = before.execute("SELECT id, remaining, from_charge FROM credits").fetchall()
        assert rows == [(gift, 4_000 - used_again, 0)]
        assert audited(empty_url) == []

    def test_a_surplus_whose_refund_was_declined_is_listed_from_now_on(
        self, empty_url: str, before: psycopg.Connection, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It was not visible before; now the refund is unreturned, and printed."""
        invoice, charge = self._invoice(before, 0, status="void", surplus=True)
        refund = self._refund(before, invoice, charge, 100_000, "declined")

        migrate.upgrade(empty_url)

        assert f"refund {refund} (customer C): 100000 must go back" in capsys.readouterr().out
        [finding] = audited(empty_url)
        assert finding.startswith("money that must go back went back")

    def test_the_way_down_and_up_again_keeps_every_figure(
        self, empty_url: str, before: psycopg.Connection
    ) -> None:
        """Downgraded, the rows are what they were before."""
        invoice, charge = self._invoice(before, 0, refunding=30_000)
        self._refund(before, invoice, charge, 30_000, "succeeded")
        self._credit(before, invoice, 25_000)
        rows = "SELECT amount, remaining, paid_out, invoice_id FROM credits"
        credits_before = before.execute(rows).fetchall()
        migrate.upgrade(empty_url)
        command.downgrade(migrate._config(empty_url), "0001")

        assert before.execute("SELECT amount_refunding FROM charges").fetchall() == [(30_000,)]
        assert before.execute(rows).fetchall() == credits_before
        migrate.upgrade(empty_url)
        assert parts(before, charge) == (45_000, 30_000, 25_000)


def parts(connection: psycopg.Connection, charge: UUID) -> tuple[int, ...]:
    """What is kept, refunded and credited of a charge."""
    row = connection.execute(
        "SELECT kept, refunded, credited FROM charges WHERE id = %s", (charge,)
    ).fetchone()
    assert row is not None
    return tuple(row)


BEFORE_ALL = datetime(2000, 1, 1, tzinfo=UTC)
MONEY = ("credit", "was taken", "gave back", "must go back", "surplus")


def audited(url: str) -> list[str]:
    """What the audit finds about money, as a list of names and details."""
    database = Database(url)
    try:
        with database.transaction() as connection:
            return [
                f"{name}: {detail}"
                for name in audit.INVARIANTS
                if any(word in name for word in MONEY)
                for detail in audit.broken(connection, name, BEFORE_ALL)
            ]
    finally:
        database.dispose()


OLD_CHARGE = """
    INSERT INTO charges (id, invoice_id, subscription_id, customer_id, wallet_id, ordinal,
        gateway_number, trigger, amount, status, fault, code, created_at, sent_at)
    VALUES ('{id}', gen_random_uuid(), '{id}', 'c', gen_random_uuid(), 1, 'N-{id}', 'scheduled', 5,
        'declined', 'other', 'not_found', now(), now())"""
OLD_EVENT = """
    INSERT INTO events (at, kind, actor, subscription_id, charge_id, data)
    VALUES (now(), 'charge.declined', 'scheduler', '{id}', '{id}',
        '{{"source": "{source}", "code": "not_found"}}')"""


def test_our_own_marker_is_told_from_a_gateways_code(empty_url: str) -> None:
    """Only a charge that a status query ended as "not found" is marked; a live decline is not."""
    migrate.upgrade(empty_url)
    command.downgrade(migrate._config(empty_url), "0006")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    sources = {"status": "0" * 31 + "1", "live": "0" * 31 + "2"}
    with psycopg.connect(plain) as connection:
        connection.execute("SET session_replication_role = 'replica'")  # no keys to other tables
        for source, charge in sources.items():
            connection.execute(OLD_CHARGE.format(id=charge).replace(f"N-{charge}", f"N-{source}"))
            connection.execute(OLD_EVENT.format(id=charge, source=source))

    migrate.upgrade(empty_url)

    with psycopg.connect(plain) as connection:
        rows = connection.execute("SELECT gateway_number, never_received FROM charges").fetchall()
    assert dict(rows) == {"N-status": True, "N-live": False}


def test_a_charge_unsent_by_an_answer_is_marked_apart_from_one_never_sent(
    empty_url: str,
) -> None:
    """A 429 is marked, and queried when its invoice is closed; a refused connection is not."""
    migrate.upgrade(empty_url)
    command.downgrade(migrate._config(empty_url), "0010")
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    reasons = {"1": "rate_limited", "2": "invalid_signature", "3": "not_connected"}
    with psycopg.connect(plain) as connection:
        connection.execute("SET session_replication_role = 'replica'")  # no keys to other tables
        for last, reason in reasons.items():
            charge = "0" * 31 + last
            connection.execute(
                OLD_CHARGE.format(id=charge).replace(f"N-{charge}", f"N-{reason}")
                .replace("'declined', 'other', 'not_found'", "'unsent', NULL, NULL")
            )  # fmt: skip
        connection.execute("UPDATE charges SET message = substr(gateway_number, 3)")

    migrate.upgrade(empty_url)

    with psycopg.connect(plain) as connection:
        rows = connection.execute("SELECT message, unsent_by_answer FROM charges").fetchall()
    assert dict(rows) == {
        "rate_limited": True, "invalid_signature": True, "not_connected": False
    }  # fmt: skip
