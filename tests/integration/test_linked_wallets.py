"""The tests' quick way to a linked wallet leaves what a link leaves."""

from datetime import datetime, timedelta
from typing import Any

from tests.integration.engine import Engine

OF_ITS_OWN = {
    "id",
    "customer_id",
    "phone_sealed",
    "token_sealed",
    "token_hash",
    "masked_phone",
    "registration_url",
}


def rows_of(engine: Engine, customer: str) -> list[list[dict[str, Any]]]:
    """What is stored of a customer, without what each customer has of its own."""
    found = [
        engine.rows(f"SELECT * FROM {table} WHERE {column} = :id ORDER BY 1", id=customer)
        for table, column in (("customers", "id"), ("wallets", "customer_id"),
                              ("events", "customer_id"))
    ]  # fmt: skip
    return [
        [{name: value for name, value in row.items() if name not in OF_ITS_OWN | {"data"}}
         for row in rows]
        for rows in found
    ]  # fmt: skip


def test_a_copied_customer_is_like_one_that_linked_a_wallet(engine: Engine) -> None:
    """Rows, events and the gateway's wallet are equal, and each charge finds its own token."""
    copied, also = engine.customer(), engine.customer()
    linked = engine.customer(linked=False)
    engine.link(linked)
    assert rows_of(engine, copied) == rows_of(engine, linked) == rows_of(engine, also)
    names = {"customer_id", "masked_phone_number", "token_id", "token_expires_at"}
    shown, ends = list[dict[str, Any]](), list[datetime]()
    for customer in (copied, also, linked):
        wallet = engine.gateway.control("GET", f"wallets/{customer}")
        [row] = engine.wallets(customer)
        assert engine.context.vault.open(row["token_sealed"]).decode() == wallet["token_id"]
        assert row["masked_phone"] == wallet["masked_phone_number"]
        [asked] = [e for e in engine.told("wallet.link_requested") if e["customer_id"] == customer]
        assert asked["data"]["wallet"] == str(row["id"])
        shown.append({name: value for name, value in wallet.items() if name not in names})
        ends.append(datetime.fromisoformat(wallet["token_expires_at"]))
    assert shown[0] == shown[1] == shown[2]
    assert max(ends) - min(ends) < timedelta(minutes=5)
    engine.plan()
    for customer in (copied, also, linked):
        engine.subscribe(customer)
    engine.run()
    assert [len(engine.debits(customer)) for customer in (copied, also, linked)] == [1, 1, 1]
