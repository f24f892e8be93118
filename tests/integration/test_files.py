"""CSV in and out: running subscriptions of another system come in, figures for finance go out."""

import csv
import json
from datetime import datetime, timedelta
from itertools import count as counter
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from billing import cli
from billing.domain.events import OPERATOR, Actor
from billing.domain.formulas import original, safe
from billing.services.money import refunding
from billing.services.operating import importing
from billing.services.subscriptions import subscribing
from tests.integration.engine import KEY, Engine

DAY = timedelta(days=1)
CUSTOMERS = "id,name,phone,email\nC1,Ayu Lestari,0812345678,ayu@example.com\nC2,Budi,,\n"


@pytest.fixture
def shell(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine that the command line finds by the environment."""
    found = {
        "DATABASE_URL": engine.url,
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "DOKU_BASE_URL": engine.gateway.url,
        "DOKU_CLIENT_ID": engine.gateway.client_id,
        "DOKU_SECRET_KEY": engine.gateway.secret_key,
        "TOKEN_KEY": KEY,
        "TEST_CLOCK": "1",
    }
    for name, value in found.items():
        monkeypatch.setenv(f"BILLING_{name}", value)
    return engine


def written(folder: Path, name: str, text: str, encoding: str = "utf-8") -> str:
    """A file with this text."""
    path = folder / name
    path.write_text(text, encoding=encoding)
    return str(path)


def test_customers_come_in_once(
    shell: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same file twice adds no customer twice; a dry run writes nothing."""
    file = written(tmp_path, "customers.csv", CUSTOMERS)
    assert cli.run(["import", "customers", file, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added_count"] == 2
    assert shell.counts()["customers"] == 0
    for added, there in ((2, 0), (0, 2)):
        assert cli.run(["import", "customers", file, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["added_count"], told["known_count"], told["rejected_count"]) == (
            added,
            there,
            0,
        )
    assert shell.counts()["customers"] == 2


def test_a_bad_row_is_reported_and_not_fatal(
    shell: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line number and reason go into a file beside it; the good rows come in; exit code 1."""
    file = written(
        tmp_path, "c.csv", CUSTOMERS + f"C3,{'x' * 51},,\n,Nobody,,\nC4,Dewi,12a,\nC5,Eko,,no-at\n"
    )
    assert cli.run(["import", "customers", file]) == 1
    with Path(f"{file}.rejected.csv").open(encoding="utf-8") as text:
        rejected = list(csv.DictReader(text))
    assert [int(row["line"]) for row in rejected] == [4, 5, 6, 7]
    assert "at most 50" in rejected[0]["reason"]
    assert shell.counts()["customers"] == 2
    assert "4 rejected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("id,nombre\nC1,Ayu\n", "utf-8", "the first line lacks 'name'"),
        ("id,name,shoe\nC1,Ayu,42\n", "utf-8", "the first line has 'shoe'"),
        ("id,name\nC1,Áyu\n", "latin-1", "is not UTF-8"),
    ],
)
def test_a_file_that_is_wrong_altogether_writes_nothing(
    shell: Engine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    encoding: str,
    said: str,
) -> None:
    """A wrong header and another encoding are one line each."""
    file = written(tmp_path, "c.csv", text, encoding)
    assert cli.run(["import", "customers", file]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert shell.counts()["customers"] == 0


def test_running_subscriptions_go_on_where_they_were(
    shell: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Anchor, next due date and token come along; a year of renewals follows on the anchor's dates.

    The first charge here is not the first payment of a subscription that has paid before.
    """
    engine = shell
    engine.plan()
    token = engine.customer()
    sealed = engine.wallets(token)[0]["token_sealed"]
    plain = engine.context.vault.open(sealed).decode()
    engine.execute("DELETE FROM wallets WHERE customer_id = :c", c=token)
    header = "id,customer,plan,anchor,next_due_at,quantity,amount,paid_before,token,masked_phone"
    rows = [
        f"OLD-1,{token},P,2024-08-31T09:00,2026-02-28T09:00,1,45000,yes,{plain},****0001",
        f"OLD-2,{token},P,2024-08-31T09:00,2026-02-27T09:00,1,,yes,,",
        "OLD-3,nobody,P,2024-08-31T09:00,2026-02-28T09:00,1,,yes,,",
        f"OLD-4,{token},gold,2024-08-31T09:00,2026-02-28T09:00,1,,yes,,",
    ]
    file = written(tmp_path, "s.csv", "\n".join([header, *rows, ""]))
    for added in (1, 0):
        assert cli.run(["import", "subscriptions", file, "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert (told["added_count"], told["rejected_count"]) == (added, 3)

    engine.advance(datetime.fromisoformat("2026-12-15T09:00:00+07:00") - engine.now)

    debits = engine.debits(token)
    assert [row["amount"] for row in debits] == [45_000] * 10
    assert {row["first_payment"] for row in debits} == {False}
    [subscription] = engine.rows("SELECT id FROM subscriptions")
    days = [
        (row["period_start"] + timedelta(hours=7)).day
        for row in engine.invoices(subscription["id"])
    ]
    assert days == [28, 31, 30, 31, 30, 31, 31, 30, 31, 30]


def test_an_export_is_what_happened(shell: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """Invoices, charges and refunds of a span, as CSV with a header and whole rupiah."""
    shell.begun(every="10 days")
    shell.advance(25 * DAY)
    for kind, count in (("invoices", 3), ("charges", 3), ("refunds", 0)):
        assert cli.run(["export", kind, "--from", "2026-01-01", "--to", "2026-12-31"]) == 0
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        assert len(rows) == count
        assert all(row["amount"] == "50000" for row in rows)
    assert cli.run(["export", "secrets", "--from", "2026-01-01", "--to", "2026-12-31"]) == 1
    assert cli.run(["export", "charges", "--from", "2026-12-31", "--to", "2026-01-01"]) == 1


@pytest.mark.parametrize("cell", ["=1+1", "+62", "-5", "@x", "\t1", "\r=1"])
def test_a_cell_is_no_formula(cell: str) -> None:
    """What a spreadsheet would execute is shown instead."""
    assert safe(cell) == f"'{cell}"
    assert [original(safe(each)) for each in (cell, f"'{cell}")] == [cell, f"'{cell}"]
    assert original("'quoted") == "'quoted"
    assert safe("plain = text") == "plain = text"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("x;=HYPERLINK(1);y", "x;'=HYPERLINK(1);y"), ("a, @b", "a, '@b"), ("a\t+1", "a\t'+1"),
        ("\t=1", "'\t'=1"), ("=1;=2", "'=1;'=2"), ("a;'=1", "a;''=1"), ("a-b; c=d", "a-b; c=d"),
    ],
)  # fmt: skip
def test_no_part_of_a_cell_is_a_formula(cell: str, shown: str) -> None:
    """A spreadsheet that divides at semicolons or tabs finds none inside; it can be undone."""
    assert safe(cell) == shown
    assert original(shown) == cell


SUBSCRIPTIONS = "id,customer,plan,anchor,next_due_at,quantity,amount,paid_before,token"
GOOD = "C1,P,2025-08-31T09:00,2026-02-28T09:00"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f",{GOOD},1,,yes,", "id must not be empty"),
        ("S,nobody,P,2025-08-31,2026-02-28,1,,yes,", "no customer has the id 'nobody'"),
        ("S,C1,PP,2025-08-31,2026-02-28,1,,yes,", "did you mean 'P'?"),
        ("S,C1,P,31/08/2025,2026-02-28,1,,yes,", "anchor must be an ISO 8601 instant"),
        ("S,C1,P,2025-08-31T09:00,2026-02-27T09:00,1,,yes,", "is no due date of that anchor"),
        ("S,C1,P,2025-08-31T09:00,2025-07-31T09:00,1,,yes,", "is no due date of that anchor"),
        ("S,C1,P,0001-01-01,2026-02-28,1,,yes,", "anchor must be an ISO 8601 instant"),
        ("S,C1,P,0001-01-01T00:00+09:00,2026-02-28,1,,yes,", "out of range"),
        (f"S,{GOOD},0,,yes,", "quantity must be a whole number above 0"),
        (f"S,{GOOD},99999999999,,yes,", "quantity must be 1 to 1,000,000"),
        (f"S,{GOOD},1,12.50,yes,", "amount must be a whole number"),
        (f"S,{GOOD},1,10000000000,yes,", "amount must be between"),
        (f"S,{GOOD},1,,perhaps,", "paid_before must be yes or no"),
        (f"S,{GOOD},1,,yes,a\0b", "cannot be printed"),
        (f"S,{GOOD},1,,yes,,one more", "more cells than there are columns"),
    ],
)
def test_a_bad_subscription_is_reported_and_the_good_one_beside_it_comes_in(
    shell: Engine, tmp_path: Path, row: str, reason: str
) -> None:
    """One line of the reject file each, and nothing of the row is written."""
    shell.plan()
    subscribing.create_customer(shell.context, "C1", name="Ayu", by=OPERATOR)
    rows = f"{SUBSCRIPTIONS}\n{row}\nOK,{GOOD},1,,yes,\n"
    file = written(tmp_path, "s.csv", rows)

    assert cli.run(["import", "subscriptions", file]) == 1

    with Path(f"{file}.rejected.csv").open(encoding="utf-8") as text:
        [rejected] = csv.DictReader(text)
    assert rejected["line"] == "2"
    assert reason in rejected["reason"]
    counts = shell.counts()
    assert (counts["subscriptions"], counts["wallets"]) == (1, 0)
    assert len(shell.told("subscription.imported")) == 1


def test_a_dry_run_of_subscriptions_writes_nothing(shell: Engine, tmp_path: Path) -> None:
    """Every row is checked, and no row is there afterwards."""
    shell.plan()
    subscribing.create_customer(shell.context, "C1", name="Ayu", by=OPERATOR)
    before = shell.counts()
    file = written(tmp_path, "s.csv", f"{SUBSCRIPTIONS}\nS,{GOOD},1,,yes,token\n")
    assert cli.run(["import", "subscriptions", file, "--dry-run"]) == 0
    assert shell.counts() == before


def test_a_row_that_comes_twice_in_a_file_is_once(
    shell: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first row counts, an equal one is there already, one with another amount is rejected.

    One subscription, one wallet, one event; a phone stays masked.
    """
    shell.audited = False  # the gateway has no such token
    shell.plan()
    subscribing.create_customer(shell.context, "C1", name="Ayu", by=OPERATOR)
    header = f"{SUBSCRIPTIONS},masked_phone"
    rows = [f"S,{GOOD},1,{amount},yes,t0ken,081234567890" for amount in (45_000, 45_000, 46_000)]
    file = written(tmp_path, "s.csv", "\n".join([header, *rows, ""]))

    assert cli.run(["import", "subscriptions", file, "--json"]) == 1

    told = json.loads(capsys.readouterr().out)
    assert (told["added_count"], told["known_count"], told["rejected_count"]) == (1, 1, 1)
    reason = "id 'S' exists already with another amount"
    assert Path(told["rejects_file"]).read_text(encoding="utf-8").splitlines()[1:] == [
        f"4,{reason},{rows[2]}"
    ]
    assert [row["amount"] for row in shell.rows("SELECT amount FROM subscriptions")] == [45_000]
    assert [row["masked_phone"] for row in shell.wallets("C1")] == ["****7890"]
    assert len(shell.told("subscription.imported")) == 1


def test_an_import_that_breaks_off_leaves_whole_rows_and_goes_on(
    shell: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each written row has its event and no other has one; the same file again completes it."""
    monkeypatch.setattr(importing, "BATCH", 2)
    record, calls = importing.events.record, counter()

    def broken(*given: Any) -> None:
        if next(calls) == 1:
            raise RuntimeError("the connection is gone")
        record(*given)

    monkeypatch.setattr(importing.events, "record", broken)
    rows = "".join(f"C{n},Customer {n},,\n" for n in range(5))
    file = written(tmp_path, "c.csv", "id,name,phone,email\n" + rows)

    assert cli.run(["import", "customers", file]) == 1
    assert shell.counts()["customers"] == len(shell.told("customer.created")) == 2
    assert cli.run(["import", "customers", file]) == 0
    assert shell.counts()["customers"] == len(shell.told("customer.created")) == 5


def test_an_exported_reason_is_no_formula(
    shell: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed text is exported as text, with any first character."""
    _, subscription = shell.begun()
    shell.run()
    invoice = shell.invoices(subscription)[0]["id"]
    refunding.refund_invoice(shell.context, invoice, 1_000, Actor("operator", "=1+1"))
    shell.run()
    assert cli.run(["export", "refunds", "--from", "2026-01-01", "--to", "2026-12-31"]) == 0
    [row] = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (row["reason"], row["amount"]) == ("'=1+1", "1000")


def test_an_import_is_quick(shell: Engine, tmp_path: Path) -> None:
    """At least 2,000 customers and 1,000 subscriptions in a second of CPU, on any busy machine."""
    shell.audited = False  # the gateway has no such tokens
    shell.plan()
    many = 5_000
    people = "".join(f"C{n},Customer {n},0812{n:08},q{n}@example.com\n" for n in range(many))
    first = datetime.fromisoformat("2026-02-01T00:00:00+07:00")
    due = [first + timedelta(seconds=61 * n) for n in range(many)]
    running = "".join(
        f"S{n},C{n},P,{at.replace(month=1)},{at},1,,yes,{n:032x}\n" for n, at in enumerate(due)
    )
    for kind, least, text in (
        ("customers", 2_000, f"id,name,phone,email\n{people}"),
        ("subscriptions", 1_000, f"{SUBSCRIPTIONS}\n{running}"),
    ):
        file = written(tmp_path, "many.csv", text)
        begun = process_time()
        assert cli.run(["import", kind, file, "--json"]) == 0
        seconds = process_time() - begun
        assert shell.counts()[kind] == many
        assert many / seconds > least, f"{many / seconds:,.0f} {kind} a second"


STALE = "2022-01-15T00:00+07:00,2023-01-15T00:00+07:00"
RECENT = "2025-01-15T09:00+07:00,2026-01-15T09:00+07:00"


def test_a_year_typed_wrong_is_rejected_with_the_sum(
    shell: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row by row, with periods and rupiah; the dry run adds up what would be charged at once."""
    shell.plan()
    for customer in ("C1", "C2", "C3"):
        subscribing.create_customer(shell.context, customer, name="Ayu", by=OPERATOR)
    header = "id,customer,plan,anchor,next_due_at"
    rows = [f"S1,C1,P,{STALE}", f"S2,C2,P,{RECENT}",
            "S3,C3,P,2025-08-31T09:00,2026-02-28T09:00"]  # fmt: skip
    file = written(tmp_path, "s.csv", "\n".join([header, *rows, ""]))

    def imported(*options: str, code: int) -> Any:
        capsys.readouterr()
        words = ["import", "subscriptions", file, *options, "--json"]
        assert cli.run(words) == code
        told = json.loads(capsys.readouterr().out)
        return told["added_count"], told["rejected_count"], told["charged_now"]

    one = {"periods_count": 1, "amount": 50_000, "more": False}
    both = {"periods_count": 38, "amount": 1_900_000, "more": False}
    assert imported("--dry-run", code=1) == (2, 1, one)
    with Path(f"{file}.rejected.csv").open(encoding="utf-8") as text:
        [rejected] = csv.DictReader(text)
    assert rejected["line"] == "2"
    for part in ("next_due_at 2023-01-15", "37 periods, Rp 1,850,000", "--backdate"):
        assert part in rejected["reason"]
    assert imported("--dry-run", "--backdate", code=0) == (3, 0, both)
    assert cli.run(["import", "subscriptions", file, "--dry-run", "--backdate"]) == 0
    assert "38 periods, Rp 1,900,000 would be charged now" in capsys.readouterr().out
    assert shell.counts()["subscriptions"] == 0

    assert imported(code=1) == (2, 1, one)
    late = {"periods_count": 37, "amount": 1_850_000, "more": False}
    assert imported("--backdate", code=0) == (1, 0, late), "what was there already is not counted"
    shell.audited = False  # no customer has a wallet, and no period was opened yet


def test_an_imported_anchor_inside_a_spring_gap_keeps_its_hour(
    shell: Engine, tmp_path: Path
) -> None:
    """02:30 of a Sunday on which it did not exist is due at 02:30 on the others."""
    shell.plan(every="1 week", timezone="America/New_York")
    customer = shell.customer()
    row = f"S1,{customer},P,2025-03-09T02:30,2026-03-01T02:30"
    file = written(tmp_path, "s.csv", f"id,customer,plan,anchor,next_due_at\n{row}\n")
    assert cli.run(["import", "subscriptions", file]) == 0

    shell.advance(datetime.fromisoformat("2026-03-16T00:00:00+00:00"))

    hours = [f"{at:%d %H:%M}" for row in shell.rows(
        "SELECT period_start AT TIME ZONE 'America/New_York' AS at FROM invoices ORDER BY 1"
    ) for at in row.values()]  # fmt: skip
    assert hours == ["01 02:30", "08 03:00", "15 02:30"]
