"""CSV in and out: running subscriptions of another system come in, figures for finance go out."""

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter

import pytest

from billing import cli
from billing.cli.files import safe
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
    """The same file twice adds nobody twice; a dry run writes nothing."""
    file = written(tmp_path, "customers.csv", CUSTOMERS)
    assert cli.run(["import", "customers", file, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added"] == 2
    assert shell.counts()["customers"] == 0
    for added, there in ((2, 0), (0, 2)):
        assert cli.run(["import", "customers", file, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["added"], told["there"], told["rejected"]) == (added, there, 0)
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
        assert (told["added"], told["rejected"]) == (added, 3)

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


@pytest.mark.parametrize("cell", ["=1+1", "+62", "-5", "@x", "\t=1", "\r=1"])
def test_a_cell_is_no_formula(cell: str) -> None:
    """What a spreadsheet would execute is shown instead."""
    assert safe(cell) == f"'{cell}"
    assert safe("plain = text") == "plain = text"


def test_an_import_is_quick(shell: Engine, tmp_path: Path) -> None:
    """At least 5,000 customers a second; the bound here leaves room for a busy machine."""
    took = []
    for turn in range(3):
        rows = "".join(
            f"Q{turn}-{n},Customer {n},0812{n:08},q{n}@example.com\n" for n in range(7_000)
        )
        file = written(tmp_path, f"many-{turn}.csv", "id,name,phone,email\n" + rows)
        begun = perf_counter()
        assert cli.run(["import", "customers", file, "--json"]) == 0
        took.append(perf_counter() - begun)
    assert shell.counts()["customers"] == 21_000
    assert min(took) < 3.5, f"{7_000 / min(took):,.0f} rows a second"
