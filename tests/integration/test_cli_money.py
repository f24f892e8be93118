"""The commands about prices: steps and caps, changes, coupons, credit, expiring tokens."""

from datetime import timedelta

from tests.integration.command import Billing
from tests.integration.engine import Engine


def test_a_plans_ladders_and_caps_and_the_dates_they_lead_to(
    billing: Billing, engine: Engine
) -> None:
    """The terms given to `plan create` are shown by `plan show` and used by `invoice show`."""
    words = ["plan", "create", "P", "--amount", 50_000, "--every", "1 month"]
    ladders = ["--retries-for", "insufficient_funds=0 10 25 * *; 1d", "--retries-for", "limit=1d"]
    made = billing(*words, *ladders, "--max-days", 26, "--max-attempts", 9, "--max-declines", 8)
    assert made["retries_for"] == {"insufficient_funds": "0 10 25 * *; 1d", "limit": "1d"}
    assert (made["declines_max"], made["attempts_max"], made["days_max"]) == (8, 9, 26)
    assert "limit=1d" in billing("plan", "show", "P", people=True)
    assert 'retries for "hard"' in billing(
        *["plan", "create", "Q", "--amount", 5, "--every", "1 day", "--retries-for", "hard=1d"],
        code=1,
    )
    subscription = engine.subscribe(engine.customer(cash=0))
    engine.run()

    [invoice] = billing("invoice", "list", "--subscription", subscription)
    shown = billing("invoice", "show", invoice["id"])
    assert shown["retries_at"] == ["2026-02-25T03:00:00+00:00"]  # ten on the 26th is too late
    assert "2026-02-25 10:00" in billing("invoice", "show", invoice["id"], people=True)


def test_the_subscriptions_that_will_lose_their_token(billing: Billing, engine: Engine) -> None:
    """Only within the span, the earliest first, each wallet with what needs it; ended ones not."""
    engine.plan()
    late, early, ended = (engine.customer() for _ in range(3))
    made = {customer: str(engine.subscribe(customer)) for customer in (late, early, ended)}
    second = str(engine.subscribe(early, again=True))
    for customer, days in ((late, 29), (early, 7), (ended, 3)):
        engine.execute(
            "UPDATE wallets SET expires_at = :at WHERE customer_id = :customer",
            at=engine.now + timedelta(days=days), customer=customer,
        )  # fmt: skip
    billing("subscription", "cancel", made[ended])

    listed = billing("wallet", "list", "--expiring", "30 days")
    assert [row["customer"] for row in listed] == [early, late]
    assert set(listed[0]["subscriptions"]) == {made[early], second}
    assert listed[0]["expires_at"] == "2026-02-07T02:00:00+00:00"
    assert [row["customer"] for row in billing("wallet", "list", "--expiring", "7d")] == [early]
    assert second in billing("wallet", "list", "--expiring", "7d", people=True)
    assert "until 2026-02-01 09:00" in billing("wallet", "list", "--expiring", "1d", people=True)
    assert "2 days" in billing("wallet", "list", "--expiring", "2 dyas", code=1)
    both = ("wallet", "list", "--expiring", "1d", "--status", "expired")
    assert "--status or --expiring, not both" in billing(*both, code=1)


def test_a_change_from_the_command_line(billing: Billing, engine: Engine) -> None:
    """The amounts of a change are printed; a planned one is shown and can be withdrawn."""
    engine.plan("P", amount=10_000)
    engine.plan("Q", amount=30_000)
    customer = engine.customer()
    subscription = engine.subscribe(customer)
    engine.run()

    done = billing("subscription", "change", subscription, "--plan", "Q", "--at", "period-end")
    assert (done["next_plan"], done["next_amount"]) == ("Q", 30_000)
    assert done["change_at"] == "2026-02-28T02:00:00+00:00"
    told = billing("subscription", "change", subscription, "--plan", "P", people=True)
    assert "the planned change is withdrawn" in told
    told = billing("subscription", "change", subscription, "--quantity", 3, people=True)
    assert "is P now, Rp 30,000 a period" in told
    assert "Rp 20,000 is charged for the remaining days" in told
    engine.run()
    told = billing("subscription", "change", subscription, "--amount", 9_000, people=True)
    assert "Rp 21,000 is the customer's, for future invoices" in told
    assert billing("customer", "show", customer)["credit_balance"] == 21_000
    assert "say what to change" in billing("subscription", "change", subscription, code=1)
    assert "--quantity must be" in billing(
        "subscription", "change", subscription, "--quantity", 0, code=1
    )


def test_coupons_and_lines_from_the_command_line(billing: Billing, engine: Engine) -> None:
    """Offered, redeemed with a subscription, applied to a running one, archived."""
    engine.plan("P", amount=10_000)
    customer = engine.customer()
    made = billing(
        "coupon", "create", "HALF", "--percent", 50, "--cycles", 2, "--max-redemptions", 1
    )
    assert (made["percent"], made["cycles"], made["redemptions_max"]) == (50, 2, 1)
    billing("coupon", "create", "OFF", "--amount", 3_000)
    assert "--percent must be" in billing("coupon", "create", "X", "--percent", 101, code=1)
    subscription = billing(
        "subscribe", customer, "P", "--coupon", "HALF", "--setup-fee", 700, "--amount", 20_000
    )["id"]
    assert "redeemed 1 times" in billing(
        "subscribe", customer, "P", "--coupon", "HALF", "--again", code=1
    )
    engine.run()
    [invoice] = billing("subscription", "show", subscription)["invoices"]
    assert invoice["amount"] == 10_700
    assert [line["amount"] for line in invoice["lines"]] == [20_000, -10_000, 700]

    billing("coupon", "apply", "OFF", subscription)
    billing("subscription", "extra", subscription, "--amount", 500, "--title", "a towel")
    engine.advance(timedelta(days=30))
    assert billing("subscription", "show", subscription)["invoices"][-1]["amount"] == 17_500
    assert billing("coupon", "archive", "OFF")["archived_at"]
    assert [row["code"] for row in billing("coupon", "list")] == ["HALF", "OFF"]


def test_a_balance_from_the_command_line(billing: Billing, engine: Engine) -> None:
    """Credit has a reason, is listed, and is not paid out when it came from no payment."""
    customer = engine.customer()
    assert "needs a reason" in billing("credit", "give", customer, "--amount", 500, code=1)
    made = billing("credit", "give", customer, "--amount", 500, "--reason", "late delivery")
    [row] = billing("credit", "list", customer)
    assert (row["id"], row["amount_remaining"], row["reason"]) == (made["id"], 500, "late delivery")
    assert "balance Rp 500" in billing("credit", "list", customer, people=True)
    assert "no payment backs" in billing("credit", "refund", made["id"], code=1)


def test_a_refund_that_nobody_knows_about_is_on_its_way(billing: Billing, engine: Engine) -> None:
    """Lists, the customer and the invoice say so, instead of "refunded Rp 0" and silence."""
    customer, subscription = engine.begun()
    engine.run()
    invoice = engine.invoices(subscription)[0]["id"]
    engine.script("http_500", customer, "refund", times=None)
    made = billing("refund", invoice, "--amount", 20_000, "--reason", "goodwill")
    engine.run()

    [row] = billing("refunds", "list", "--status", "unknown")
    assert (row["id"], row["customer"], row["amount"]) == (made["id"], customer, 20_000)
    shown = billing("customer", "show", customer)
    money = ("taken", "refunded", "refunding", "kept", "credited")
    assert [shown[f"amount_{name}"] for name in money] == [50_000, 0, 20_000, 30_000, 0]
    assert shown["unresolved_refunds_count"] == 1
    assert "unresolved refunds: 1" in shown["verdict"]
    told = billing("customer", "show", customer, people=True)
    assert "on its way back Rp 20,000" in told
    assert billing("invoice", "show", invoice)["amount_refunding"] == 20_000
    assert "outcome unknown" in billing("subscription", "show", subscription, people=True)
    assert "neither parked" in billing(
        "refunds", "resolve", made["id"], "--as", "declined", "--reason", "ticket", code=1
    )
    assert billing("refunds", "list", "--waiting") == []

    engine.advance(timedelta(days=1))
    [waiting] = billing("refunds", "list", "--waiting")
    assert (waiting["kind"], waiting["id"]) == ("parked", made["id"])
    assert waiting["command"] == f"billing refunds retry {made['id']}"
    told = billing(
        *["refunds", "resolve", made["id"], "--as", "declined", "--reason", "ticket"], people=True
    )
    assert "the gateway's answer: not found" in told
    engine.no_more_scripts()
    engine.advance(timedelta(days=2))
    assert billing("customer", "show", customer)["amount_kept"] == 50_000


def test_a_refund_that_must_go_back_is_seen_to(billing: Billing, engine: Engine) -> None:
    """It is listed with its command, sent again under a new id, and resolved in the end."""
    customer, subscription = engine.begun()
    engine.run()
    engine.script("failed", customer, "refund", times=2)
    billing("subscription", "cancel", subscription, "--refund", "full", "--reason", "moved away")
    engine.advance(timedelta(minutes=2))
    [waiting] = billing("refunds", "list", "--waiting")
    assert (waiting["kind"], waiting["amount"]) == ("unreturned", 50_000)
    assert billing("audit", code=1)["findings"][0]["name"] == "money that must go back went back"
    assert "must be returned: billing refunds retry" in billing(
        "subscription", "show", subscription, people=True
    )

    again = billing("refunds", "retry", waiting["id"], "--reason", "another try")
    assert (again["replaces"], again["purpose"]) == (waiting["id"], "cancel")
    engine.advance(timedelta(minutes=2))
    needed = billing("refunds", "resolve", again["id"], "--as", "kept", code=1)
    assert "needs a reason" in needed
    done = billing(
        *["refunds", "resolve", again["id"], "--as", "returned-elsewhere", "--reason", "by bank"]
    )
    assert (done["status"], done["done"]["gateway"]) == ("returned_elsewhere", None)
    assert billing("refunds", "show", again["id"])["status"] == "returned_elsewhere"
    assert billing("customer", "show", customer)["amount_refunded"] == 50_000
    assert billing("audit")["ok"] is True
    assert "nothing contradicts" in billing(
        "refunds", "acknowledge", again["id"], "--reason", "seen", code=1
    )
    [charge] = billing("charge", "list")
    assert "nothing is wrong" in billing(
        "charge", "acknowledge", charge["id"], "--reason", "seen", code=1
    )


def test_a_refund_after_a_credit_says_what_is_left(billing: Billing, engine: Engine) -> None:
    """The refusal names what was credited, and how that is paid out."""
    engine.plan("A", amount=100_000)
    engine.plan("B", amount=10_000)
    customer = engine.customer()
    subscription = engine.subscribe(customer, "A")
    engine.advance(timedelta(days=10))
    billing("subscription", "change", subscription, "--plan", "B")
    invoice = engine.invoices(subscription)[0]["id"]
    told = billing("refund", invoice, "--amount", 100_000, code=1)
    assert "Rp 42,143 is left" in told
    assert "Rp 57,857 was credited" in told
    billing("refund", invoice)
    engine.run()
    assert "billing credit refund" in billing("refund", invoice, code=1)
    assert billing("credit", "list", customer)[0]["amount_from_charge"] == 57_857


def test_a_refund_with_a_key_is_ordered_once(billing: Billing, engine: Engine) -> None:
    """The same words with the same key answer as before; with others they are refused."""
    customer, subscription = engine.begun()
    engine.run()
    invoice = engine.invoices(subscription)[0]["id"]
    words = ["refund", invoice, "--amount", 20_000, "--idempotency-key", "ticket-1"]

    first = billing(*words)
    assert billing(*words)["id"] == first["id"]
    said = billing(*words, "--reason", "another towel", code=1)
    assert "key ticket-1 was used for refund" in said
    assert "not both" in billing("refund", invoice, "--again", *words[-2:], code=1)
    assert len(engine.refunds(customer)) == 1
    engine.run()
    assert len(engine.ledger(customer, "refund")) == 1
