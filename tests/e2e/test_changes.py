"""Story: somebody wants more in the middle of a month, and then less."""

from tests.e2e.world import World


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
    assert done["change"] == {
        "id": subscription, "changed": True, "plan": "small", "quantity": 1, "amount": 10_000,
        "credit": 15_484, "charge": 5_161, "net": -10_323,
    }  # fmt: skip
    assert engine.billing("customer", "show", "indah")["balance"] == 10_323
    engine.until("2026-07-02T09:00:00+07:00")
    paid = [row["amount"] for row in engine.pretend.ledger() if row["kind"] == "payment"]
    assert paid == [10_000, 10_000, 30_000, 9_677]
    assert engine.billing("customer", "show", "indah")["balance"] == 0
    shown = engine.billing("subscription", "show", subscription)["invoices"]
    assert [(i["period_index"], i["change_index"], i["amount"], i["credited"]) for i in shown] == [
        (0, 0, 10_000, 0), (0, 1, 10_000, 0), (1, 0, 30_000, 0), (2, 0, 10_000, 10_000),
        (3, 0, 10_000, 323),
    ]  # fmt: skip
    engine.reckon()
