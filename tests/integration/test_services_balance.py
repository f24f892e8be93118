"""Coupons, lines of one invoice, and the customer's balance."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import AlreadyExists, BillingError, IllegalMove, InvalidValue, NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.domain.money import MAX_AMOUNT
from billing.domain.subscription import RefundPolicy
from billing.services.money import coupons, crediting, extra_lines, refunding
from billing.services.operating import invoice_actions
from billing.services.subscriptions import canceling
from tests.integration.engine import Engine

MONTH = timedelta(days=31)
WHY = Actor("operator", "an apology")


def coupon(engine: Engine, code: str = "C", **values: int) -> str:
    """Offer a coupon."""
    coupons.create(engine.context, code, OPERATOR, **values)
    return code


def begun(engine: Engine, **options: object) -> tuple[str, UUID]:
    """A customer with a wallet, and a subscription whose first invoice is due now."""
    if engine.one("SELECT count(*) FROM plans") == 0:
        engine.plan(amount=10_000)
    customer = engine.customer()
    return customer, engine.subscribe(customer, **options)


def paid(engine: Engine, customer: str) -> list[int]:
    """What the customer's wallet paid, in order."""
    return [row["amount"] for row in engine.debits(customer)]


def balance(engine: Engine, customer: str) -> list[int]:
    """Return the remaining amount of each of a customer's credits."""
    rows = engine.rows(
        "SELECT remaining FROM credits WHERE customer_id = :c ORDER BY id", c=customer
    )
    return [row["remaining"] for row in rows]


def give(engine: Engine, customer: str, *amounts: int) -> None:
    """Give a customer credits."""
    for amount in amounts:
        crediting.grant(engine.context, customer, amount, WHY)


def test_a_coupon_counts_for_its_cycles(engine: Engine) -> None:
    """Ten percent off two invoices, and the third costs what it costs."""
    code = coupon(engine, percent=10, cycles=2)
    customer, subscription = begun(engine, coupon=code)
    engine.advance(2 * MONTH)

    assert paid(engine, customer) == [9_000, 9_000, 10_000]
    assert engine.subscription(subscription)["coupon_code"] is None


def test_a_coupon_for_ever_and_one_in_rupiah(engine: Engine) -> None:
    """Neither ends, and each gives its full discount."""
    ever, flat = coupon(engine, "EVER", percent=25), coupon(engine, "FLAT", rupiah_off=1)
    first, _ = begun(engine, coupon=ever)
    second, _ = begun(engine, coupon=flat)
    engine.advance(3 * MONTH)

    assert paid(engine, first) == [7_500] * 4
    assert paid(engine, second) == [9_999] * 4


def test_a_free_invoice_is_paid_without_a_charge(engine: Engine) -> None:
    """100 % off once: no charge, and the first payment is still to come."""
    customer, subscription = begun(engine, coupon=coupon(engine, percent=100, cycles=1))
    engine.run()
    [free] = engine.invoices(subscription)
    assert (free["amount"], free["status"]) == (0, "paid")
    assert engine.charges(subscription) == []

    engine.advance(MONTH)
    [charge] = engine.charges(subscription)
    assert (charge["amount"], charge["first_payment"]) == (10_000, True)
    assert paid(engine, customer) == [10_000]


def test_free_to_the_last_cycle_is_completed(engine: Engine) -> None:
    """A fixed term that costs nothing ends without any payment."""
    engine.plan(cycles=2, amount=10_000)
    _, subscription = begun(engine, coupon=coupon(engine, percent=100))
    engine.advance(2 * MONTH)

    assert engine.status(subscription) == "completed"
    assert [i["status"] for i in engine.invoices(subscription)] == ["paid", "paid"]


def test_a_coupon_is_used_as_often_as_it_may_be(engine: Engine) -> None:
    """The second of one redemption is refused, with no subscription left behind."""
    code = coupon(engine, percent=10, redeemed_max=1)
    _, subscription = begun(engine, coupon=code)
    before = engine.counts()
    with pytest.raises(IllegalMove, match="redeemed 1 times"):
        begun(engine, coupon=code)
    assert engine.counts()["subscriptions"] == before["subscriptions"]

    coupons.archive(engine.context, coupon(engine, "OLD", percent=1), OPERATOR)
    with pytest.raises(IllegalMove, match="archived"):
        coupons.apply(engine.context, "OLD", subscription, OPERATOR)
    with pytest.raises(NotKnown, match="did you mean 'OLD'"):
        coupons.apply(engine.context, "OLDD", subscription, OPERATOR)
    with pytest.raises(AlreadyExists):
        coupon(engine, "OLD", percent=2)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"percent": 101}, "percent must be 1 to 100"),
        ({"percent": 0}, "percent must be 1 to 100"),
        ({}, "either percent or amount"),
        ({"percent": 5, "rupiah_off": 5}, "either percent or amount"),
        ({"percent": 5, "cycles": 0}, "cycles must be"),
        ({"percent": 5, "redeemed_max": 0}, "redemptions_max must be"),
        ({"rupiah_off": 0}, "amount must be"),
    ],
)
def test_a_coupon_that_makes_no_sense_is_refused(
    engine: Engine, values: dict[str, int], told: str
) -> None:
    """More than all of it, or nothing, or never."""
    with pytest.raises(InvalidValue, match=told):
        coupon(engine, **values)
    assert engine.one("SELECT count(*) FROM coupons") == 0


def test_a_setup_fee_is_on_the_first_invoice_only(engine: Engine) -> None:
    """It is charged once, also beside a coupon that makes the period free."""
    customer, subscription = begun(engine, setup_fee=2_500)
    free, _ = begun(engine, setup_fee=2_500, coupon=coupon(engine, percent=100))
    engine.advance(MONTH)

    assert paid(engine, customer) == [12_500, 10_000]
    assert paid(engine, free) == [2_500]
    lines = engine.invoices(subscription)[0]["lines"]
    assert lines[1] == {"kind": "extra", "title": "setup fee", "amount": 2_500}


def test_a_line_for_the_next_invoice(engine: Engine) -> None:
    """Added in the middle of a period, charged with the next one, and gone after it."""
    customer, subscription = begun(engine)
    engine.run()
    extra_lines.add(engine.context, subscription, "a towel", 700, OPERATOR)
    engine.advance(2 * MONTH)

    assert paid(engine, customer) == [10_000, 10_700, 10_000]
    with pytest.raises(InvalidValue, match="exceed"):
        extra_lines.add(engine.context, subscription, "a house", MAX_AMOUNT, OPERATOR)
    for title, why in ((" ", "must not be empty"), ("a\ntowel", "printable")):
        with pytest.raises(InvalidValue, match=why):
            extra_lines.add(engine.context, subscription, title, 1, OPERATOR)
    canceling.cancel(engine.context, subscription, OPERATOR)
    with pytest.raises(IllegalMove, match="canceled"):
        extra_lines.add(engine.context, subscription, "late", 1, OPERATOR)


def test_a_line_whose_invoice_never_comes_is_told(engine: Engine) -> None:
    """A line is not lost without an event when the subscription ends first."""
    _, subscription = begun(engine)
    engine.run()
    for title, amount in (("a towel", 700), ("a bag", 900)):
        extra_lines.add(engine.context, subscription, title, amount, OPERATOR)

    canceling.cancel(engine.context, subscription, Actor("operator", "left"))
    engine.run()

    told = [(e["data"]["title"], e["data"]["amount"], e["reason"])
            for e in engine.told("subscription.extra_dropped")]  # fmt: skip
    assert told == [("a towel", 700, "left"), ("a bag", 900, "left")]
    assert engine.subscription(subscription)["extras"] == []


def test_a_coupon_for_ever_that_is_replaced_is_told(engine: Engine) -> None:
    """One event has the actor and the coupon that was removed."""
    for code in ("ever", "new"):
        coupon(engine, code, percent=10)
    _, subscription = begun(engine, coupon="ever")
    engine.run()
    assert engine.told("subscription.coupon_dropped") == []

    coupons.apply(engine.context, "new", subscription, Actor("operator", "promised"))

    [told] = engine.told("subscription.coupon_dropped")
    assert told["data"] == {"why": "replaced by another coupon", "coupon": "ever"}
    assert told["reason"] == "promised"


def test_a_price_of_its_own(engine: Engine) -> None:
    """A subscription's amount overrides the plan's, and stays."""
    customer, _ = begun(engine, quantity=2, amount=15_000)
    engine.advance(MONTH)
    assert paid(engine, customer) == [15_000, 15_000]


def test_credits_cover_the_next_invoices_oldest_first(engine: Engine) -> None:
    """4000 and 9000 against 10000 a month: 0, then 7000 are charged; first_payment is true then."""
    customer, subscription = begun(engine)
    give(engine, customer, 4_000, 9_000)
    engine.run()
    assert balance(engine, customer) == [0, 3_000]
    engine.advance(MONTH)

    [charge] = engine.charges(subscription)
    assert (charge["amount"], charge["first_payment"]) == (7_000, True)
    assert [i["credited"] for i in engine.invoices(subscription)] == [10_000, 3_000]
    assert balance(engine, customer) == [0, 0]


def test_two_subscriptions_share_one_balance(engine: Engine) -> None:
    """Opened in one transaction, they use no rupiah twice."""
    customer, first = begun(engine)
    second = engine.subscribe(customer, again=True)
    give(engine, customer, 13_000)
    engine.run()

    credited = [engine.invoices(each)[0]["credited"] for each in (first, second)]
    assert sorted(credited) == [3_000, 10_000]
    assert paid(engine, customer) == [7_000]


def test_a_void_invoice_gives_back_what_it_took(engine: Engine) -> None:
    """After a void by an operator or by a cancellation the credit is as before."""
    customer, subscription = begun(engine)
    give(engine, customer, 4_000)
    engine.put_cash(customer, 0)
    engine.run()
    [invoice] = engine.invoices(subscription)
    assert balance(engine, customer) == [0]

    invoice_actions.void_invoice(engine.context, invoice["id"], OPERATOR)
    assert balance(engine, customer) == [4_000]
    engine.advance(MONTH)
    assert balance(engine, customer) == [0]
    canceling.cancel(engine.context, subscription, OPERATOR)
    assert balance(engine, customer) == [4_000]


def test_a_refund_gives_back_money_and_leaves_the_balance(engine: Engine) -> None:
    """6,000 were charged and 4,000 paid by credit: at most 6,000 can be refunded."""
    customer, subscription = begun(engine)
    give(engine, customer, 4_000)
    engine.run()
    [invoice] = engine.invoices(subscription)
    with pytest.raises(BillingError, match="Rp 6,000 is left"):
        refunding.refund_invoice(engine.context, invoice["id"], 6_001, OPERATOR)
    refunding.refund_invoice(engine.context, invoice["id"], None, OPERATOR)
    engine.run()

    assert [r["amount"] for r in engine.refunds(customer)] == [6_000]


def test_a_full_refund_on_cancelling_returns_credits_as_credits(engine: Engine) -> None:
    """Paid money is refunded as money, and used credit returns to the credit that it came from."""
    customer, subscription = begun(engine)
    give(engine, customer, 4_000)
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR, refund=canceling.RefundPolicy.FULL)
    engine.run()

    assert [r["amount"] for r in engine.refunds(customer)] == [6_000]
    assert balance(engine, customer) == [4_000]
    [credit] = engine.rows("SELECT * FROM credits")
    with pytest.raises(IllegalMove, match="no payment backs"):
        crediting.refund(engine.context, credit["id"], OPERATOR)


def test_a_credit_from_a_payment_can_be_paid_out(engine: Engine) -> None:
    """Credit is paid out through the payment it came from, once; granted credit is not."""
    from billing.services.subscriptions import changing

    customer, subscription = begun(engine)
    give(engine, customer, 500)
    engine.plan("LESS", amount=1_000)
    engine.run()
    changing.change(engine.context, subscription, OPERATOR, plan_code="LESS")
    [gift, credit] = engine.rows("SELECT * FROM credits ORDER BY id")

    crediting.refund(engine.context, credit["id"], OPERATOR)
    engine.run()

    assert [r["amount"] for r in engine.refunds(customer)] == [credit["remaining"]]
    with pytest.raises(IllegalMove, match="nothing is left"):
        crediting.refund(engine.context, credit["id"], OPERATOR)
    with pytest.raises(IllegalMove, match="no payment backs"):
        crediting.refund(engine.context, gift["id"], OPERATOR)
    with pytest.raises(NotKnown, match="no credit has the id 77"):
        crediting.refund(engine.context, 77, OPERATOR)


def test_every_event_of_a_credit_reads_alike(engine: Engine) -> None:
    """Granted credit, credit for unused days, its return and payout have amount and reason.

    A payout belongs to the subscription whose payment it refunds, and is in its history.
    """
    from billing.services.subscriptions import changing

    customer, subscription = begun(engine)
    engine.plan("LESS", amount=1_000)
    give(engine, customer, 500)
    engine.run()
    changing.change(engine.context, subscription, OPERATOR, plan_code="LESS")
    canceling.cancel(engine.context, subscription, OPERATOR, refund=RefundPolicy.FULL)
    [_, credit] = engine.rows("SELECT * FROM credits ORDER BY id")
    crediting.refund(engine.context, credit["id"], OPERATOR)
    engine.run()

    told = engine.rows("SELECT * FROM events WHERE kind LIKE 'credit.%' ORDER BY id")
    kinds = {"credit.given", "credit.paid_out", "credit.returned"}
    assert {each["kind"] for each in told} == kinds
    assert all({"credit", "amount", "why"} <= each["data"].keys() for each in told)
    [gift, *others] = told
    assert gift["subscription_id"] is None
    assert {each["subscription_id"] for each in others} == {subscription}


def test_a_refund_does_not_give_back_what_was_credited(engine: Engine) -> None:
    """After a downgrade the refundable amount of the invoice is lower by the credit."""
    from billing.services.subscriptions import changing

    customer, subscription = begun(engine)
    engine.plan("LESS", amount=1_000)
    engine.run()
    changing.change(engine.context, subscription, OPERATOR, plan_code="LESS")
    [credited] = balance(engine, customer)
    [invoice] = engine.invoices(subscription)
    refunding.refund_invoice(engine.context, invoice["id"], None, OPERATOR)
    engine.run()

    assert [r["amount"] for r in engine.refunds(customer)] == [10_000 - credited]


def test_a_gift_needs_a_reason_and_an_amount(engine: Engine) -> None:
    """Credit is never granted without a reason."""
    customer = engine.customer()
    with pytest.raises(InvalidValue, match="needs a reason"):
        crediting.grant(engine.context, customer, 5, OPERATOR)
    with pytest.raises(InvalidValue, match="amount must be"):
        crediting.grant(engine.context, customer, 0, WHY)
    with pytest.raises(NotKnown):
        crediting.grant(engine.context, "nobody", 5, WHY)
