"""Short ids in the terminal: a list shows them, and every command takes them."""

import pytest

from billing.domain.short_ids import short
from tests.integration.command import Billing
from tests.integration.engine import Engine

LONG = "bdc3d1d5-0000-4000-8000-000000000000"


def first_word(text: str) -> str:
    """The first cell of the first row of a table."""
    return text.splitlines()[2].split()[0]


def test_an_id_of_a_list_is_taken(billing: Billing, engine: Engine) -> None:
    """Subscription, invoice, charge and refund, each by the id of its list; 100 columns fit."""
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    [invoice], [charge] = engine.invoices(subscription), engine.charges(subscription)
    billing("refund", str(invoice["id"])[:18], "--amount", 1_000, "--reason", "x")
    engine.run()
    [refund] = engine.refunds(customer)
    for nouns, noun, row in (
        ("subscription", "subscription", subscription), ("invoice", "invoice", invoice["id"]),
        ("charge", "charge", charge["id"]), ("refunds", "refund", refund["id"]),
    ):  # fmt: skip
        listed = billing(nouns, "list", people=True)
        assert max(map(len, listed.splitlines())) <= 100
        short = first_word(listed)
        assert len(short) == 17
        assert billing(nouns, "show", short)["id"] == str(row), noun
        assert str(row) in billing(nouns, "list", "--full", people=True)


def test_a_list_of_subscriptions_fits_80_columns(
    billing: Billing, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the amount and the seconds, but with a table and short ids."""
    _, subscription = engine.begun(every="1 year")
    engine.run()
    monkeypatch.setenv("COLUMNS", "80")
    listed = billing("subscription", "list", people=True)
    assert first_word(listed) == short(subscription)
    assert "2027-01-31 09:00 +07:00" in listed
    assert max(map(len, listed.splitlines())) <= 80


def test_an_ambiguous_id_names_the_matches(billing: Billing, engine: Engine) -> None:
    """One clear line; nothing is done."""
    engine.plan("P")
    made = sorted(engine.subscribe(engine.customer(), "P") for _ in range(5))
    start = str(made[0])[:8]
    said = billing("subscription", "cancel", start, "--reason", "x", code=1)
    assert f"{start!r} is not the id of one subscription only: {made[0]}, {made[1]}" in said
    assert said.rstrip().endswith("and more")
    assert engine.told("subscription.canceled") == []


def test_an_id_that_nothing_has_is_one_line(billing: Billing, engine: Engine) -> None:
    """Also for a charge, whose gateway number it could be."""
    engine.begun()
    assert "no invoice has the id 'bdc3d1d5'" in billing("invoice", "show", LONG[:8], code=1)
    assert "no charge has the id or gateway number 'bdc3d1d5'" in (
        billing("charge", "show", LONG[:8], code=1)
    )
