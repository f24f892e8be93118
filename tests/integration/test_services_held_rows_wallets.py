"""Wallets and imports isolate the row that fails, as every other batch does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.domain.events import OPERATOR
from billing.services.operating import importing
from billing.services.operating.held_rows import Kind
from billing.services.wallets import unlinking
from tests.integration.engine import Engine
from tests.integration.held import SHUT, is_held, release

DAY = timedelta(days=1)


def test_a_token_that_cannot_be_deleted_for_want_of_a_key_holds_its_wallet(engine: Engine) -> None:
    """The other customers' tokens are deleted; this one when the key is there again."""
    bad, fine = engine.customer(), engine.customer()
    [row] = engine.wallets(bad)
    engine.execute(f"UPDATE wallets SET token_sealed = '{SHUT}' WHERE id = :id", id=row["id"])
    for customer in (bad, fine):
        unlinking.unlink(engine.context, customer, OPERATOR)
    engine.run()

    assert "BILLING_TOKEN_KEY" in is_held(engine, Kind.WALLET, row["id"])
    assert engine.wallets(fine)[0]["status"] == "unlinked"
    engine.advance(3 * DAY)
    assert len(engine.told("wallet.held")) == 1, "nobody tries it meanwhile"

    engine.execute("UPDATE wallets SET token_sealed = :token WHERE id = :id",
                   token=row["token_sealed"], id=row["id"])  # fmt: skip
    release(engine, Kind.WALLET, row["id"])
    engine.run()
    assert engine.wallets(bad)[0]["status"] == "unlinked"


@pytest.mark.parametrize(
    ("statement", "call"),
    [("lose_wallet", "expires_at"), ("next_notice", "next_notice_at")],
)
def test_of_wallets_that_end_one_that_fails_keeps_nobody_else_waiting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, statement: str, call: str
) -> None:
    """Neither the end of a token's year nor the notice of it."""
    from billing.services.wallets import linking

    bad, fine = engine.customer(), engine.customer()
    engine.execute(f"UPDATE wallets SET {call} = :now", now=engine.now)
    [row] = engine.wallets(bad)
    engine.execute("UPDATE wallets SET expires_at = expires_at + interval '1 s' WHERE id = :id",
                   id=row["id"])  # fmt: skip
    [row] = engine.wallets(bad)
    module = linking.transitions if statement == "lose_wallet" else linking.wallet
    plain: Callable[..., Any] = getattr(module, statement)

    def broken(*given: Any) -> Any:
        if row["id"] in given or row["expires_at"] in given:
            raise ValueError("no such date")
        return plain(*given)

    engine.set_clock(engine.now + timedelta(seconds=2))
    with monkeypatch.context() as patch:
        patch.setattr(module, statement, broken)
        engine.run()

    assert "no such date" in is_held(engine, Kind.WALLET, row["id"])
    event = "wallet.link_needed" if statement == "lose_wallet" else "wallet.expiring"
    assert [told["customer_id"] for told in engine.told(event)] == [fine]
    release(engine, Kind.WALLET, row["id"])
    engine.run()
    assert [told["customer_id"] for told in engine.told(event)] == [fine, bad]


def test_an_import_rejects_the_row_that_cannot_be_written_and_writes_the_others(
    engine: Engine,
) -> None:
    """The bad row is reported with its number; the good rows of its batch have their events."""
    engine.execute("ALTER TABLE customers ADD CONSTRAINT poison CHECK (name <> 'Bad')")
    lines = [(n, {"id": f"C{n}", "name": "Bad" if n in {3, 6} else "Ani"}) for n in range(2, 9)]
    try:
        *_, report = importing.customers(engine.context, lines, OPERATOR)
    finally:
        engine.execute("ALTER TABLE customers DROP CONSTRAINT poison")

    assert (report.added, [number for number, _ in report.bad]) == (5, [3, 6])
    assert all("customers" in why and "poison" in why for _, why in report.bad)
    assert len(engine.told("customer.created")) == 5
