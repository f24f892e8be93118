"""A restored older database, and a copied one with another gateway.

The first was restored from a snapshot and lacks the last day's charges; the second is a copy that
is pointed at another gateway.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from billing.sandbox import process as sandbox_process
from billing.sandbox.process import SandboxProcess
from tests import forked_programs
from tests.faults.ground import HOUR, Ground, grounds

ASKED = timedelta(seconds=61)
DAY = timedelta(days=1)
MONTH = timedelta(days=28)
QUARTER_OF_AN_HOUR = timedelta(minutes=15)


@pytest.fixture
def ground() -> Iterator[Ground]:
    """The test's own engine, because its database is replaced or copied."""
    with grounds() as there:
        yield there


@contextmanager
def nobody_connected(ground: Ground) -> Iterator[psycopg.Connection]:
    """The whole fleet at rest and an administrator alone with the databases."""
    ground.fleet.stop()
    ground.context.database.dispose()
    url = ground.postgres.url.replace("/billing?", "/postgres?")
    with psycopg.connect(url, autocommit=True) as admin:
        yield admin


def payments(ground: Ground) -> list[tuple[object, ...]]:
    """Every payment at the gateway, and how often its money moved."""
    return [
        (row["number"], row["request_id"], row["status"], row["moves"])
        for row in ground.pretend.ledger()
        if row["kind"] == "payment"
    ]


def test_a_restored_database_meets_its_own_charges_at_the_gateway(ground: Ground) -> None:
    """
    A day of charges with all outcomes; then last night's backup is restored.

    The same charges are composed again with the same Request-Ids. The gateway repeats its answers,
    no customer is debited twice, and the rows end equal to the ledger.
    """
    ground.fleet.man(["one"], beats=["one"])
    people = ground.members(6, "restored")
    ground.jump(HOUR)
    ground.poll(lambda: ground.charges(people) == ["succeeded"] * 6, "the first month")
    ground.jump(MONTH - DAY)
    with nobody_connected(ground) as admin:
        admin.execute("CREATE DATABASE snapshot TEMPLATE billing")

    ground.fleet.man(["one"], beats=["one"])
    ground.script("drop_after", people[0])
    ground.script("http_500", people[1], work="done")
    ground.script("decline", people[2])
    ground.script("rate_limited", people[3])
    ground.work_off(DAY)
    ground.work_off(ASKED)
    ground.work_off(QUARTER_OF_AN_HOUR)
    assert ground.charges(people) == ["declined"] + ["succeeded"] * 11
    before = payments(ground)
    assert len(before) == 12

    with nobody_connected(ground) as admin:
        admin.execute("ALTER DATABASE billing RENAME TO lost")
        admin.execute("ALTER DATABASE snapshot RENAME TO billing")
    assert ground.charges(people) == ["succeeded"] * 6
    ground.fleet.man(["one"], beats=["one"])
    ground.work_off(DAY)
    ground.work_off(ASKED)
    ground.work_off(QUARTER_OF_AN_HOUR)
    assert payments(ground) == before, "nothing was taken again"
    repeated = ground.pretend.call("GET", "totals")["answers"]["pay 409"]
    assert repeated == 6, "the gateway was asked about each"
    assert ground.charges(people) == ["declined"] + ["succeeded"] * 11
    ground.reckon()

    ground.work_off(2 * DAY + HOUR)
    assert ground.debits(people) == [2] * 6, "and dunning goes on where it was"
    ground.reckon()


@contextmanager
def elsewhere(ground: Ground) -> Iterator[SandboxProcess]:
    """
    Another gateway that knows the same customers and would take every charge.

    It has a copy of the first one's books: the worst that a staging copy can meet.
    """
    state = ground.stack.home / "sandbox.jsonl"
    copied = Path(shutil.copy(state, ground.stack.home / "elsewhere.jsonl"))
    settings = ground.stack.settings
    with sandbox_process.start(
        copied,
        client_id=settings.doku_client_id,
        secret_key=settings.doku_secret_key.get_secret_value(),
    ) as running:
        yield running


def moved(gateway: SandboxProcess) -> int:
    """How often money moved there, in both directions."""
    rows = gateway.control("GET", "ledger?limit=10000")["rows"]
    return sum(row["moves"] for row in rows)


def asked(gateway: SandboxProcess) -> dict[str, int]:
    """What the other gateway was asked, but for the check of keys when a worker starts."""
    answers: dict[str, int] = gateway.control("GET", "totals")["answers"]
    return {call: count for call, count in answers.items() if not call.startswith("status 404")}


def test_a_copy_that_is_pointed_elsewhere_charges_nobody(ground: Ground) -> None:
    """
    A staging copy of production, or the reverse, sends no charge, status query, refund or unlink.

    With `billing start-charging` an operator confirms that the copy belongs to the new gateway.
    """
    ground.fleet.man(["one"], beats=["one"])
    people = ground.members(5, "copied")
    lost = ground.script("drop_after", people[0])
    ground.jump(HOUR)
    ground.await_met(lost)
    known = ["succeeded"] * 4 + ["unknown"]
    ground.poll(lambda: ground.charges(people) == known, "four are paid")
    invoice = ground.value(
        "SELECT id FROM invoices WHERE customer_id = :who AND status = 'paid'", who=people[1]
    )
    ground.fleet.stop()
    assert ground.run("refund", str(invoice), "--amount", "1000").returncode == 0

    with elsewhere(ground) as other:
        before = moved(other)
        pointed = {"BILLING_DOKU_BASE_URL": f"http://localhost:{other.port}"}
        ground.fleet.start_worker("one", **pointed)
        ground.fleet.start_beat("one")
        ground.fleet.ready()
        ground.jump(MONTH)
        ground.poll(lambda: opened(ground) == 10, "periods still open")
        ground.ticked()
        assert ground.charges(people) == known
        assert asked(other) == {}
        assert "gateway.refused" in ground.fleet.workers["one"].program.log.read_text()

        started = forked_programs.billing(
            ["start-charging", "--reason", "this is the staging system"],
            {**ground.stack.environment, **pointed},
        )
        assert started.returncode == 0, started.stderr
        ground.work_off()
        assert ground.charges(people) == ["succeeded"] * 10
        assert moved(other) == before + 5 + 1, "five renewals and the refund"


def opened(ground: Ground) -> int:
    """How many invoices there are."""
    return int(ground.value("SELECT count(*) FROM invoices"))
