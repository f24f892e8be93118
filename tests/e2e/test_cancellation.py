"""Story: somebody leaves in the middle of a period."""

from tests.e2e.world import World


def test_unused_days_are_paid_back_and_then_the_token_goes(engine: World) -> None:
    """`--refund prorated --unbind` gives the right rupiah back, and then deletes the token."""
    engine.plan("gold", amount=31_000)
    subscription = engine.join("hana", "gold")
    engine.until("2026-03-31T10:00:00+07:00")
    # The period of 31 March has 30 days; after ten of them, twenty are unused.
    engine.until("2026-04-10T12:00:00+07:00")
    done = engine.billing(
        "subscription", "cancel", str(subscription), "--at", "now", "--refund", "prorated",
        "--unbind", "--reason", "moved abroad",
    )  # fmt: skip
    assert done["status"] == "canceled"
    engine.until("2026-04-11T12:00:00+07:00")

    ledger = engine.pretend.ledger()
    last = [row["kind"] for row in ledger][-2:]
    assert last == ["refund", "unbind"]
    assert ledger[-2]["amount"] == 20_667, "31,000 over 30 days, 20 unused, rounded half-up"
    assert engine.value("SELECT status FROM wallets") == "unlinked"
    assert engine.value("SELECT token_sealed FROM wallets") is None
    engine.until("2026-06-30T12:00:00+07:00")
    assert engine.value("SELECT count(*) FROM charges") == 3, "nothing is charged after the end"
    engine.reckon()
