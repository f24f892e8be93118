"""Rejected rows of an import: reported with every fault, and written to a file for correction."""

import csv
import json
from pathlib import Path

import pytest

from billing import cli
from billing.domain.events import OPERATOR
from billing.services.operating import importing
from tests.integration.engine import Engine
from tests.integration.test_files import shell, written

__all__ = ["shell"]


def test_a_mended_reject_file_can_be_imported(
    shell: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reject file has each bad row with every fault; the corrected row is imported."""
    file = written(
        tmp_path, "c.csv", 'id,name,phone,email\nC3,"=Dewi, M",12a,no-at\nC4,"Open,,\nC5,Eko,,\n'
    )
    assert cli.run(["import", "customers", file]) == 1
    rejected = Path(f"{file}.rejected.csv")
    assert rejected.stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr().out
    assert "12a" not in said
    with rejected.open(encoding="utf-8", newline="") as text:
        first, second = csv.DictReader(text)
    assert first["line"] == "2"
    assert "phone must be digits only" in first["reason"]
    assert "e-mail must have an @" in first["reason"]
    assert (first["id"], first["name"], first["phone"]) == ("C3", "'=Dewi, M", "12a")
    assert second["id"] == 'C4,"Open,,'

    mended = rejected.read_text(encoding="utf-8").replace("12a", "12").replace("no-at", "a@b.id")
    rejected.write_text(mended.splitlines()[0] + "\n" + mended.splitlines()[1] + "\n")
    assert cli.run(["import", "customers", str(rejected), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added_count"] == 1
    assert shell.one("SELECT name FROM customers WHERE id = 'C3'") == "=Dewi, M"


def test_every_bad_row_keeps_its_cells_over_many_batches(
    shell: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rows that are bad by themselves, and rows that the database already has otherwise."""
    monkeypatch.setattr(importing, "BATCH", 3)
    good = written(tmp_path, "g.csv", "id,name\n" + "".join(f"C{n},Old\n" for n in range(40)))
    assert cli.run(["import", "customers", good]) == 0
    names = [f"C{n},{'Old' if n % 3 else 'New'}\n" if n % 5 else f"C{n},\n" for n in range(40)]
    file = written(tmp_path, "c.csv", "id,name\n" + "".join(names))
    assert cli.run(["import", "customers", file]) == 1
    with Path(f"{file}.rejected.csv").open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    wrong = [n for n in range(40) if not n % 5 or not n % 3]
    assert [row["id"] for row in rows] == [f"C{n}" for n in wrong]
    assert [int(row["line"]) for row in rows] == [n + 2 for n in wrong]


def test_a_subscriptions_row_is_told_all_its_faults(
    shell: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown customer, an invalid date and an invalid yes or no are reported together."""
    shell.plan()
    row = "X1,nobody,P,2026-01-31T09:00,tomorrow,maybe\n"
    header = "id,customer,plan,anchor,next_due_at,paid_before\n"
    file = written(tmp_path, "s.csv", header + row)
    assert cli.run(["import", "subscriptions", file]) == 1
    told = Path(f"{file}.rejected.csv").read_text(encoding="utf-8")
    assert "no customer has the id 'nobody'" in told
    assert "next_due_at must be an ISO 8601 instant, not 'tomorrow'" in told
    assert "paid_before must be yes or no, not 'maybe'" in told


def test_an_empty_file_is_called_empty(
    shell: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the columns that were expected are named."""
    file = written(tmp_path, "c.csv", "\n")
    assert cli.run(["import", "customers", file]) == 1
    err = capsys.readouterr().err
    assert f"{file} is empty; the columns of customers are id, name; optional: phone, email" in err


def test_a_subscription_is_found_by_the_reference_it_came_with(
    shell: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finance knows the old system's numbers."""
    shell.plan()
    customer = shell.customer(linked=False)
    at = "2026-01-31T09:00"
    row = {"id": "OLD-7", "customer": customer, "plan": "P", "anchor": at, "next_due_at": at}
    [*_, report] = importing.subscriptions(shell.context, [(2, row)], OPERATOR)
    assert report.added == 1
    assert cli.run(["subscription", "show", "OLD-7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["customer"] == customer
    assert cli.run(["subscription", "show", "OLD-8"]) == 1
    assert "is not the id of any subscription" in capsys.readouterr().err
