"""What a newcomer asks first: what comes next, why nothing happens, and which command helps."""

from datetime import timedelta

from billing.domain.events import OPERATOR, Actor
from billing.services.money import coupons, crediting, extra_lines
from billing.services.operating import kill_switch
from billing.services.reading.live_view import watch
from billing.services.subscriptions import canceling, changing, pausing
from tests.integration.command import Billing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
WHY = Actor("operator", "test")


def test_the_next_periods_price_has_its_extra_lines_its_coupon_and_the_credit(
    billing: Billing, engine: Engine
) -> None:
    """What is shown before a period begins is what its invoice says afterwards."""
    customer, subscription = engine.begun(every="1 day")
    engine.run()
    coupons.create(engine.context, "HALF", OPERATOR, percent=50)
    coupons.apply(engine.context, "HALF", subscription, OPERATOR)
    extra_lines.add(engine.context, subscription, "a towel", 15_000, OPERATOR)
    crediting.grant(engine.context, customer, 7_000, WHY)

    shown = billing("subscription", "show", subscription)["next_invoice"]
    assert shown["due_at"] == "2026-02-01T02:00:00+00:00"
    assert (shown["amount"], shown["amount_from_credit"]) == (40_000, 7_000)
    lines = billing("subscription", "show", subscription, people=True)
    assert "○ the next period begins, Rp 40,000, Rp 7,000 of it from the balance" in lines

    engine.advance(START + DAY)
    invoice = engine.invoices(subscription)[-1]
    assert (invoice["amount"], invoice["credited"]) == (40_000, 7_000)
    [*_, charge] = engine.charges(subscription)
    assert charge["amount"] == 33_000
    assert billing("subscription", "show", subscription)["next_invoice"]["amount"] == 25_000


def test_the_next_price_after_a_planned_change_is_the_new_one(
    billing: Billing, engine: Engine
) -> None:
    """The change takes effect with the period; credit never makes the price negative."""
    customer, subscription = engine.begun(every="1 day")
    engine.run()
    engine.plan("Q", every="1 day", amount=80_000)
    changing.change(engine.context, subscription, OPERATOR, plan_code="Q", at="period-end")
    crediting.grant(engine.context, customer, 500_000, WHY)

    shown = billing("subscription", "show", subscription)["next_invoice"]
    assert (shown["amount"], shown["amount_from_credit"]) == (80_000, 80_000)
    lines = billing("subscription", "show", subscription, people=True)
    assert "Rp 80,000, Rp 80,000 of it from the balance, on plan Q" in lines
    canceling.cancel(engine.context, subscription, OPERATOR)
    assert billing("subscription", "show", subscription)["next_invoice"] is None


def test_stopped_charging_is_told_although_nothing_is_late(
    billing: Billing, engine: Engine
) -> None:
    """An alarm in the list of what needs attention, and a line of the live view."""
    engine.begun(every="1 day")
    engine.run()
    assert billing("attention") == []
    assert watch(engine.context, 0, 1).stopped_at is None

    kill_switch.stop_charging(engine.context, Actor("operator", "a drill"))
    [item] = billing("attention")
    assert (item["kind"], item["cause"], item["why"]) == ("engine", "stopped", "a drill")
    assert (item["alarm"], item["command"]) == (True, 'billing start-charging --reason "…"')
    seen = watch(engine.context, 0, 1)
    assert (seen.stopped_at, seen.stopped_reason) == (engine.now, "a drill")

    kill_switch.start_charging(engine.context, OPERATOR)
    engine.run()


def test_an_uncollectible_invoice_names_the_older_one_that_comes_first(
    billing: Billing, engine: Engine
) -> None:
    """The retry of the younger one is refused; the page says so before it is tried."""
    _, subscription = engine.begun(every="1 day", retries="1h", on_exhausted="unpaid", cash=1)
    engine.advance(2 * DAY)
    pausing.resume(engine.context, subscription, OPERATOR)
    engine.advance(3 * DAY)
    older, younger, *_ = (row["id"] for row in engine.invoices(subscription))
    assert {row["status"] for row in engine.invoices(subscription)} == {"uncollectible"}

    told = f"an older invoice, which is paid first: {older}"
    assert billing("invoice", "show", younger)["waits_for"] == told
    assert told in billing("invoice", "show", younger, people=True)
    assert billing("invoice", "show", older)["waits_for"] is None
    owed = [each for each in billing("attention") if each["kind"] == "invoice"]
    assert {each["command"] for each in owed} == {f"billing invoice retry {older}"}
    behind = {each["id"] for each in owed if "the older one first" in (each["why"] or "")}
    assert behind == {each["id"] for each in owed} - {str(older)}
    assert str(older) in billing("invoice", "retry", younger, code=1)


def test_an_active_subscription_without_a_wallet_says_how_to_link_one(
    billing: Billing, engine: Engine
) -> None:
    """The wallet was unlinked: the next charge will need one."""
    customer, subscription = engine.begun()
    engine.run()
    link = f"billing wallet link {customer} --phone 62…"
    assert link not in billing("subscription", "show", subscription, people=True)

    engine.lose_wallet(customer)
    engine.run()
    shown = billing("subscription", "show", subscription)
    assert (shown["status"], shown["wallet_status"]) == ("active", "expired")
    assert link in [way["command"] for way in shown["ways_out"]]
    engine.bind(customer)
    ways = billing("subscription", "show", subscription)["ways_out"]
    assert f"billing wallet refresh {customer}" in [way["command"] for way in ways]


def test_a_pause_with_an_end_says_when_it_resumes(billing: Billing, engine: Engine) -> None:
    """Not that nothing is due; a pause without an end has no such date."""
    _, subscription = engine.begun(every="1 day")
    engine.run()

    until = "2026-02-05T09:00"
    said = billing("subscription", "pause", subscription, "--until", until, people=True)
    assert said == (
        f"subscription {subscription} is paused; resumes at 2026-02-05 09:00:00+07:00\n"
    )
    said = billing("subscription", "resume", subscription, people=True)
    assert said.startswith(f"subscription {subscription} is active; next due: 2026-02-01 09:00")
    said = billing("subscription", "pause", subscription, people=True)
    assert said == f"subscription {subscription} is paused; next due: –\n"
