"""Exports for finance: whose days are counted, what is kept, and by what a span selects."""

import csv
from datetime import datetime, timedelta

import pytest

from billing import cli
from billing.domain.events import OPERATOR
from billing.services.money import refunding
from tests.integration.engine import Engine
from tests.integration.test_files import shell

__all__ = ["shell"]

DAY = timedelta(days=1)


def exported(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, str]]:
    """The rows of an export."""
    capsys.readouterr()
    assert cli.run(["export", *words]) == 0
    return list(csv.DictReader(capsys.readouterr().out.splitlines()))


def test_an_exports_instants_are_local_like_its_span(
    shell: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """A charge at 03:00 on the first of a month is of that month, in the span and in the CSV."""
    shell.plan(timezone="Asia/Jakarta")
    customer = shell.customer()
    start = datetime.fromisoformat("2026-02-01T03:00+07:00")
    shell.subscribe(customer, start=start)
    shell.advance(start + timedelta(minutes=5))
    span = ("--from", "2026-02-01", "--to", "2026-03-01")
    for kind in ("invoices", "charges"):
        [row] = exported(capsys, kind, *span)
        instants = {name: at for name, at in row.items() if name.endswith("_at") and at}
        assert instants
        assert all(at.startswith("2026-02-01T03:0") for at in instants.values())
        assert all(at.endswith("+07:00") for at in instants.values())
        assert exported(capsys, kind, "--from", "2026-01-01", "--to", "2026-02-01") == []


def test_an_export_says_what_is_kept_of_the_money(
    shell: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept, refunded and credited add up to what a charge took, and an invoice has the same."""
    _, subscription = shell.begun()
    shell.run()
    [invoice] = shell.invoices(subscription)
    refunding.refund_invoice(shell.context, invoice["id"], 20_000, OPERATOR)
    shell.run()
    span = ("--from", "2026-01-01", "--to", "2026-12-31")
    [charge] = exported(capsys, "charges", *span)
    assert (charge["kept"], charge["refunded"], charge["credited"]) == ("30000", "20000", "0")
    [shown] = exported(capsys, "invoices", *span)
    assert (shown["kept"], shown["refunded"], shown["credited"]) == ("30000", "20000", "0")


def test_finance_can_ask_what_was_paid_in_a_span(
    shell: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invoice of January that was paid in February is February's by --by paid."""
    shell.plan()
    customer = shell.customer(cash=0)
    shell.subscribe(customer)
    shell.advance(timedelta(hours=1))
    shell.put_cash(customer, 90_000)
    shell.advance(3 * DAY)
    january = ("--from", "2026-01-01", "--to", "2026-02-01")
    february = ("--from", "2026-02-01", "--to", "2026-02-28")
    for kind in ("invoices", "charges"):
        assert len(exported(capsys, kind, *february, "--by", "paid")) == 1
        assert exported(capsys, kind, *january, "--by", "paid") == []
        assert exported(capsys, kind, *january, "--by", "created")
    assert cli.run(["export", "charges", *january, "--by", "due"]) == 1
    assert "--by must be created or paid, not 'due'" in capsys.readouterr().err
