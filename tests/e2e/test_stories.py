"""Stories of months and years, run one after another with the same worker, beat and gateway.

Each starts with an empty database and the clock at its start. The gateway keeps its customers:
those of two stories have different names.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing.services.wallets import linking
from tests.e2e.world import BY, World, world
from tests.servers import Servers, short_folder


@pytest.fixture(scope="module")
def shared(shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[World]:
    """Worker, beat and gateway as processes, under the test clock, for all the stories."""
    with (
        short_folder() as folder,
        shared_servers.fresh_database(_admin) as database_url,
        world(
            folder,
            database_url,
            shared_servers.own_redis(),
            {"worker", "beat"},
            BILLING_BALANCE_RECHECK_SECONDS="86400",  # each query of an empty wallet is a stop
        ) as there,
    ):
        yield there


@pytest.fixture
def engine(shared: World) -> World:
    """The processes, without rows of the previous story."""
    shared.begin_anew()
    return shared


def test_a_year_from_the_31st_bills_every_month_once(engine: World) -> None:
    """
    Twelve periods on the last day of each month, each paid once, the first marked as first.

    Through the worker and beat as they are in production, with the clock moved.
    """
    engine.plan("gold")
    subscription = engine.join("kartika", "gold")
    engine.until("2027-01-30T12:00:00+07:00")

    shown = engine.billing("subscription", "show", str(subscription))
    assert shown["status"] == "active"
    assert shown["next_due_at"][:10] == "2027-01-31"
    invoices = sorted(shown["invoices"], key=lambda invoice: invoice["period_index"])
    assert [invoice["period_start_at"][:10] for invoice in invoices] == [
        "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30",
        "2026-07-31", "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30", "2026-12-31",
    ]  # fmt: skip
    assert {invoice["status"] for invoice in invoices} == {"paid"}
    charges = [charge for invoice in invoices for charge in invoice["charges"]]
    assert [charge["first_payment"] for charge in charges] == [True] + [False] * 11
    engine.reckon()
    engine.until("2027-01-30T13:00:00+07:00")
    assert engine.value("SELECT count(*) FROM charges") == 12, "nothing further was due"


def test_an_upgrade_and_a_downgrade_inside_a_period(engine: World) -> None:
    """
    April on 10,000; to 30,000 after 15 of 30 days; back after 15 of May's 31.

    Charged 10,000 more in April, nothing in May; June and July are paid from the balance first.
    The same change that comes twice with one key is made once.
    """
    engine.until("2026-04-01T09:00:00+07:00")
    engine.plan("small", amount=10_000)
    engine.plan("big", amount=30_000)
    subscription = str(engine.join("indah", "small"))
    engine.until("2026-04-16T12:00:00+07:00")
    change = {"subscription": subscription, "plan": "big", "idempotency_key": "ticket-9"}
    for _ in range(2):
        engine.messenger.send_task("admin.change_subscription", kwargs=change)
    engine.eventually("SELECT plan_code FROM subscriptions", "big")
    engine.until("2026-05-16T12:00:00+07:00")

    done = engine.billing("subscription", "change", subscription, "--plan", "small")

    # From 16 May on 16 of 31 days are left: 15,484 of the 30,000, 5,161 of the 10,000.
    assert (done["id"], done["plan"], done["amount"]) == (subscription, "small", 10_000)
    assert done["done"] == {
        "changed": True, "amount_credited": 15_484, "amount_charged": 5_161,
        "amount_net": -10_323,
    }  # fmt: skip
    assert engine.billing("customer", "show", "indah")["credit_balance"] == 10_323
    engine.until("2026-07-02T09:00:00+07:00")
    paid = [row["amount"] for row in engine.ledger() if row["kind"] == "payment"]
    assert paid == [10_000, 10_000, 30_000, 9_677]
    assert engine.billing("customer", "show", "indah")["credit_balance"] == 0
    shown = engine.billing("subscription", "show", subscription)["invoices"]
    keys = ("period_index", "change_index", "amount", "amount_from_credit")
    assert [tuple(each[key] for key in keys) for each in shown] == [
        (0, 0, 10_000, 0), (0, 1, 10_000, 0), (1, 0, 30_000, 0), (2, 0, 10_000, 10_000),
        (3, 0, 10_000, 323),
    ]  # fmt: skip
    engine.reckon()


def told(engine: World, customer: str) -> tuple[str, list[str], list[bool]]:
    """Status, local dates of the periods, and which charges the gateway saw as a first payment."""
    [status] = engine.rows("SELECT status FROM subscriptions WHERE customer_id = :c", c=customer)
    starts = engine.rows(
        "SELECT to_char(period_start AT TIME ZONE 'Asia/Jakarta', 'MM-DD') FROM invoices"
        " WHERE customer_id = :c AND status = 'paid' ORDER BY period_index",
        c=customer,
    )
    payments: list[dict[str, Any]] = [
        row for row in engine.ledger()
        if (row["customer_id"], row["kind"]) == (customer, "payment")
    ]  # fmt: skip
    return status[0], [row[0] for row in starts], [row["first_payment"] for row in payments]


def test_a_trial_a_term_and_two_pauses_go_as_they_were_sold(engine: World) -> None:
    """
    A trial converts at its end, which is its anchor, and one that is canceled costs nothing.

    A term of three periods ends after the third. A pause over the end of February skips it: one
    subscription resumes on the anchor's 31st, the other on a chosen day.
    """
    engine.plan("trial", trial="14 days")
    engine.plan("term", cycles=3)
    engine.plan("gold")
    engine.join("ayu", "trial")
    budi = engine.join("budi", "trial")
    engine.join("citra", "term")
    dewi, eka = engine.join("dewi", "gold"), engine.join("eka", "gold")
    engine.until("2026-02-10T09:00:00+07:00")
    engine.billing("subscription", "cancel", str(budi), "--reason", "not for me")
    for paused in (dewi, eka):
        engine.billing("subscription", "pause", str(paused))
    engine.until("2026-03-15T10:00:00+07:00")
    engine.billing("subscription", "resume", str(dewi))
    engine.billing("subscription", "resume", str(eka), "--from", "now")
    engine.until("2026-05-01T09:00:00+07:00")

    assert told(engine, "ayu") == ("active", ["02-14", "03-14", "04-14"], [True, False, False])
    assert told(engine, "budi") == ("canceled", [], [])
    assert told(engine, "citra") == (
        "completed", ["01-31", "02-28", "03-31"], [True, False, False],
    )  # fmt: skip
    assert told(engine, "dewi") == ("active", ["01-31", "03-31", "04-30"], [True, False, False])
    assert told(engine, "eka") == ("active", ["01-31", "03-15", "04-15"], [True, False, False])
    drawn = engine.run("subscription", "show", str(eka)).stdout
    assert "‖ paused, by operator" in drawn
    assert "○ the next period begins, Rp 50,000" in drawn
    engine.reckon()


def test_a_year_after_an_import_and_the_end_of_a_token(engine: World, tmp_path: Path) -> None:
    """
    Renewals follow the imported anchor month after month, and none is a first payment.

    An expired token loses no charge: the open invoice waits and is charged after the new link.
    """
    engine.plan("monthly")
    engine.plan("quarter", every="3 months")
    hana = engine.join("hana", "quarter")
    gita = engine.join("gita", "quarter")
    engine.until("2026-02-01T09:00:00+07:00")
    engine.billing("subscription", "cancel", str(gita))
    file = tmp_path / "running.csv"
    file.write_text(
        "id,customer,plan,anchor,next_due_at,paid_before,token,linked_at\n"
        f"OLD-1,gita,monthly,2024-08-31T09:00,2026-02-28T09:00,yes,{taken(engine, 'gita')},"
        "2026-01-31T09:00\n"
    )
    for added in (1, 0):
        assert engine.billing("import", "subscriptions", str(file))["added_count"] == added

    engine.until("2027-01-15T09:00:00+07:00")
    assert paid(engine, "gita")[1:] == [
        "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31",
        "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30", "2026-12-31",
    ]  # fmt: skip
    assert [row["first_payment"] for row in payments(engine, "gita")] == [True] + [False] * 11
    ending = engine.billing("wallet", "list", "--expiring", "20 days")
    assert str(hana) in [each for row in ending for each in row["subscriptions"]]

    engine.until("2027-02-10T09:00:00+07:00")
    before = payments(engine, "hana")
    assert len(before) == 4, "nothing was sent on or after the 31st of January 2027"
    assert paid(engine, "hana")[-1] == "2026-10-31"
    linking.link(engine.context, "hana", "6281299990001", BY)
    engine.until("2027-02-10T10:00:00+07:00")
    assert paid(engine, "hana")[-1] == "2027-01-31"
    assert len(payments(engine, "hana")) == 5
    assert engine.value("SELECT status FROM subscriptions WHERE id = :id", id=hana) == "active"
    engine.reckon()


def taken(engine: World, customer: str) -> str:
    """The token of a customer's wallet, which is no longer ours to know."""
    sealed = engine.value("SELECT token_sealed FROM wallets WHERE customer_id = :c", c=customer)
    with engine.context.database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE wallets SET status = 'unlinked', token_sealed = NULL, token_hash = NULL,"
            " closed_at = linked_at"
            " WHERE customer_id = %s",
            (customer,),
        )
    return engine.context.vault.open(bytes(sealed)).decode()


def paid(engine: World, customer: str) -> list[str]:
    """The local dates on which a customer's paid periods begin."""
    rows = engine.rows(
        "SELECT to_char(period_start AT TIME ZONE 'Asia/Jakarta', 'YYYY-MM-DD') FROM invoices"
        " WHERE customer_id = :c AND status = 'paid' ORDER BY period_start",
        c=customer,
    )
    return [row[0] for row in rows]


def payments(engine: World, customer: str) -> list[dict[str, Any]]:
    """What the gateway was asked to take from a customer."""
    return [
        row for row in engine.ledger()
        if (row["customer_id"], row["kind"]) == (customer, "payment")
    ]  # fmt: skip


def test_unused_days_are_paid_back_and_then_the_token_goes(engine: World) -> None:
    """`--refund prorated --unlink` gives the right rupiah back, and then deletes the token."""
    engine.plan("gold", amount=31_000)
    subscription = engine.join("joko", "gold")
    engine.until("2026-03-31T10:00:00+07:00")
    # The period of 31 March has 30 days; after ten of them, twenty are unused.
    engine.until("2026-04-10T12:00:00+07:00")
    done = engine.billing(
        "subscription", "cancel", str(subscription), "--at", "now", "--refund", "prorated",
        "--unlink", "--reason", "moved abroad",
    )  # fmt: skip
    assert done["status"] == "canceled"
    engine.until("2026-04-11T12:00:00+07:00")

    ledger = engine.ledger()
    last = [row["kind"] for row in ledger][-2:]
    assert last == ["refund", "unbind"]
    assert ledger[-2]["amount"] == 20_667, "31,000 over 30 days, 20 unused, rounded half-up"
    engine.eventually("SELECT status FROM wallets", "unlinked")
    assert engine.value("SELECT token_sealed FROM wallets") is None
    engine.until("2026-06-30T12:00:00+07:00")
    assert engine.value("SELECT count(*) FROM charges") == 3, "nothing is charged after the end"
    engine.reckon()


def test_a_decline_is_recovered_by_a_top_up_and_another_is_given_up(engine: World) -> None:
    """
    Short wallets get no charge: one is topped up and pays, one is never topped up and ends.

    The steps of two, five, seven and seven days end on their date.
    """
    engine.plan("gold")
    engine.join("eko", "gold", cash=50_000)
    engine.join("fitri", "gold", cash=0)
    engine.until("2026-02-28T10:00:00+07:00")
    assert dict(engine.rows("SELECT customer_id, status FROM subscriptions")) == {
        "eko": "past_due", "fitri": "canceled",
    }  # fmt: skip
    given_up_at = engine.value(
        "SELECT to_char(closed_at AT TIME ZONE 'Asia/Jakarta', 'YYYY-MM-DD') FROM invoices"
        " WHERE status = 'uncollectible'"
    )
    assert given_up_at == "2026-02-22", "day 21, and the last step was open for a day"

    engine.until("2026-03-02T12:00:00+07:00")
    assert engine.value("SELECT shortfall FROM invoices WHERE status = 'open'") == 50_000
    engine.pretend.top_up("eko", 60_000)
    engine.until("2026-03-03T12:00:00+07:00")
    assert engine.value("SELECT status FROM subscriptions WHERE customer_id = 'eko'") == "active"
    tries = engine.rows("SELECT customer_id, count(*) FROM charges GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in tries] == [("eko", 3), ("fitri", 1)]
    missed = "SELECT count(*) FROM events WHERE kind = 'dunning.step_missed' AND customer_id = :c"
    assert engine.value(missed, c="eko") == 0, "no step is spent while a wallet is waited for"
    assert engine.value(missed, c="fitri") == 3, "and the fourth ended it"
    engine.reckon()


def test_a_task_says_what_a_start_of_long_ago_would_charge(engine: World) -> None:
    """
    It is refused in one log line with the amount; with `backdate` the line of success has it.

    One key sent twice is one subscription; another key is a second one of the same plan.
    """
    engine.plan("gold", catch_up="latest")
    engine.join("lestari", "gold")
    engine.until("2026-01-31T09:05:00+07:00")  # her wallet is linked
    start = "2020-01-31T09:00:00+07:00"
    order = {"customer": "lestari", "plan": "gold", "start": start}
    send = engine.messenger.send_task
    send("admin.subscribe", kwargs=order | {"idempotency_key": "typo"})
    for _ in range(2):
        send("admin.subscribe", kwargs=order | {"idempotency_key": "meant", "backdate": True})
    engine.eventually("SELECT count(*) FROM subscriptions", 2)
    engine.eventually("SELECT count(*) FROM commands", 1)
    engine.until("2026-02-01T09:00:00+07:00")

    log = (engine.stack.logs / "worker.log").read_text()
    spoken = "2020-01-31 09:00:00+07:00"
    [refused] = [line for line in log.splitlines() if "admin.refused" in line and spoken in line]
    assert "1 period, Rp 50,000 would be charged at once" in refused
    done = [line for line in log.splitlines() if "admin.done" in line and "admin.subscribe" in line]
    assert len(done) == 2
    assert all("charged_now" in line and "50000" in line for line in done)
    assert engine.value("SELECT count(*) FROM charges") == 2
    engine.reckon()
