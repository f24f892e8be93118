"""Stories over a year: subscriptions that came from another system, and a token that ends."""

from pathlib import Path
from typing import Any

from billing.services import linking
from tests.e2e.world import BY, World


def test_a_year_after_an_import_and_the_end_of_a_token(engine: World, tmp_path: Path) -> None:
    """
    Renewals on the anchor that came along, month after month, and none of them a first payment.

    A token that ends takes no charge along: what is owed waits, and follows the new link.
    """
    engine.plan("monthly")
    engine.plan("quarter", every="3 months")
    hana = engine.join("hana", "quarter")
    gita = engine.join("gita", "quarter")
    engine.until("2026-02-01T09:00:00+07:00")
    engine.billing("subscription", "cancel", str(gita))
    file = tmp_path / "running.csv"
    file.write_text(
        "id,customer,plan,anchor,next_due_at,paid_before,token,bound_at\n"
        f"OLD-1,gita,monthly,2024-08-31T09:00,2026-02-28T09:00,yes,{taken(engine, 'gita')},"
        "2026-01-31T09:00\n"
    )
    for added in (1, 0):
        assert engine.billing("import", "subscriptions", str(file))["added"] == added

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
    linking.bind(engine.context, "hana", "6281299990001", BY)
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
            "UPDATE wallets SET status = 'unlinked', token_sealed = NULL, closed_at = bound_at"
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
        row for row in engine.pretend.ledger()
        if (row["customer_id"], row["kind"]) == (customer, "payment")
    ]  # fmt: skip
