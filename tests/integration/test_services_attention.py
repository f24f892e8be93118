"""Every dead end is in one list, with its age, its cause and the command that moves it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.domain.events import OPERATOR, Actor, event
from billing.services.money import refunding
from billing.services.operating import held_rows, invoice_actions, kill_switch
from billing.services.operating.held_rows import Kind
from billing.services.reading import auditing
from billing.services.reading.attention import Attention, listed
from billing.services.wallets import unlinking
from billing.store.queries import attention as statements
from billing.store.queries import events
from tests.integration.command import Billing
from tests.integration.engine import Engine

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def waiting(engine: Engine, limit: int = 100) -> list[Attention]:
    """Return what `billing attention` lists."""
    tick = engine.context.settings.tick_seconds
    return listed(engine.context.database, engine.now, tick, limit)


def causes(engine: Engine) -> set[tuple[str, str, bool]]:
    """Kind, cause and whether it is an alarm, of all that is listed."""
    return {(each.item.kind, each.item.cause, each.item.alarm) for each in waiting(engine)}


def doctor(billing: Billing, code: int = 1) -> dict[str, Any]:
    """What the doctor found, by name; it exits 1, if only for the workers that are not there."""
    return {check["name"]: check for check in billing("doctor", code=code)["checks"]}


def test_a_healthy_engine_has_nothing_to_attend_to(engine: Engine) -> None:
    """A year of a subscription that is paid leaves the list empty."""
    engine.begun()
    engine.advance(100 * DAY)
    assert waiting(engine) == []


def test_three_stuck_charges_are_no_good_health(engine: Engine, billing: Billing) -> None:
    """Charges that stay unknown are listed at once, and an alarm when they should be known."""
    engine.plan(every="1 year")
    people = [engine.customer() for _ in range(3)]
    for person in people:
        engine.subscribe(person)
        engine.script("drop_after", person)
        engine.script("drop_before", person, "status", times=None)
    engine.run()
    assert causes(engine) == {("charge", "unknown", False)}
    assert "3 charges unknown" in doctor(billing)["charges"]["detail"]

    engine.advance(2 * HOUR)
    assert causes(engine) == {("charge", "unknown", True)}
    found = doctor(billing)["charges"]
    assert not found["ok"]
    assert "3 charges unknown" in found["detail"]
    assert len(auditing.dead_ends(engine.context)) == 3

    engine.advance(12 * DAY)
    assert causes(engine) == {("charge", "parked", True)}
    [first, *_] = waiting(engine)
    assert first.command.startswith(f"billing charge resolve {first.item.id} --as")
    assert (first.item.customer in people, first.item.amount) == (True, 50_000)
    engine.no_more_scripts()
    for row in engine.rows("SELECT id FROM charges"):
        engine.late_success(row["id"])
    assert waiting(engine) == []


def test_a_refund_whose_outcome_is_unknown_stands_in_the_list(
    engine: Engine, billing: Billing
) -> None:
    """The gateway answers 500: it is listed at once, reported by the doctor, and an alarm later."""
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    [invoice] = engine.invoices(subscription)
    engine.script("http_500", customer, "refund", times=None)
    refunding.refund_invoice(engine.context, invoice["id"], 10_000, OPERATOR)
    engine.run()

    [listed_now] = waiting(engine)
    assert listed_now.item[:4] == (
        "refund", str(engine.refunds(customer)[0]["id"]), customer, str(invoice["id"])
    )  # fmt: skip
    assert (listed_now.item.cause, listed_now.item.amount) == ("unknown", 10_000)
    assert "1 refund unknown" in doctor(billing)["refunds"]["detail"]

    engine.advance(2 * HOUR)
    assert not doctor(billing)["refunds"]["ok"]
    assert [item.kind for item in auditing.dead_ends(engine.context)] == ["refund"]
    engine.advance(2 * DAY)
    [parked] = waiting(engine)
    assert parked.item.cause == "parked"
    assert parked.command == f"billing refunds retry {parked.item.id}"

    engine.no_more_scripts()
    refunding.send_again(engine.context, invoice["id"], OPERATOR)
    engine.run()
    assert waiting(engine) == []


def test_a_surplus_payment_that_cannot_be_given_back_is_a_dead_end(engine: Engine) -> None:
    """Money of a void invoice arrives, and its refund is declined: the customer is owed."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_after", customer)
    engine.run()
    [invoice] = engine.invoices(subscription)
    invoice_actions.void_invoice(engine.context, invoice["id"], OPERATOR)
    engine.script("failed", customer, "refund")
    engine.advance(DAY)

    engine.advance(DAY)

    assert ("refund", "unreturned", True) in causes(engine)
    [finding] = auditing.broken(engine.context)
    assert finding.name == "money that must go back went back"
    engine.audited = False


Story = Callable[[Engine], None]


def _link(engine: Engine) -> None:
    engine.bind(engine.customer(linked=False))
    engine.set_clock(engine.now + 2 * DAY)
    engine.run()


def _unlink(engine: Engine) -> None:
    customer = engine.customer()
    engine.script("failed", customer, "unbind", times=None)
    unlinking.unlink(engine.context, customer, OPERATOR)
    engine.advance(2 * DAY)
    engine.dead_ends = {"unlink stuck"}


def _wallet(engine: Engine) -> None:
    customer, _ = engine.begun(every="1 year")
    engine.unlink(customer)
    engine.advance(timedelta(hours=1))  # asked once more before the wallet is given up


def _unpaid(engine: Engine) -> None:
    customer, _ = engine.begun(retries="1d", on_exhausted="unpaid", every="1 year")
    engine.put_cash(customer, 0)
    engine.advance(5 * DAY)


def _stopped(engine: Engine) -> None:
    engine.begun(every="1 year")
    kill_switch.stop_charging(engine.context, Actor("operator", "fire"))
    engine.tick(["ticks.open_periods"])
    engine.set_clock(engine.now + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("story", "found", "command"),
    [
        (_link, {("wallet", "link open", False)}, "billing wallet refresh"),
        (_unlink, {("wallet", "unlink stuck", True)}, "billing wallet unlink"),
        (_wallet, {("invoice", "waits for wallet", False)}, "billing wallet link"),
        (
            _unpaid,
            {("subscription", "unpaid", False), ("invoice", "uncollectible", False)},
            "billing ",
        ),
        (_stopped, {("engine", "stopped", True)}, "billing start-charging"),
    ],
)
def test_each_waiting_item_is_listed_with_its_command(
    engine: Engine, story: Story, found: set[tuple[str, str, bool]], command: str
) -> None:
    """Links, unlinks, wallets, open invoices and the kill switch; only alarms need an operator."""
    story(engine)
    assert causes(engine) == found
    for each in waiting(engine):
        assert each.command.startswith(command)
        assert each.item.since_at <= engine.now
        assert each.age_seconds >= 0


@pytest.mark.parametrize("kind", Kind)
def test_a_held_row_of_any_kind_is_an_alarm(engine: Engine, kind: Kind) -> None:
    """It needs an operator, so that the doctor and the audit fail."""
    customer, subscription = engine.begun(every="1 year")
    if kind is Kind.INVOICE:
        engine.tick(["ticks.open_periods"])
    elif kind is Kind.CHARGE:
        engine.script("drop_after", customer)
        engine.run()
    elif kind is Kind.REFUND:
        engine.run()
        invoice = engine.invoices(subscription)[0]["id"]
        refunding.refund_invoice(engine.context, invoice, 10_000, OPERATOR)
    [row] = engine.rows(f"SELECT id FROM {kind.value}s")
    held_rows.set_aside(engine.context, kind, row["id"], ValueError("odd"))

    [found] = waiting(engine)
    assert found.item[:3] == (kind.value, str(row["id"]), customer)
    assert (found.item.cause, found.item.why, found.item.alarm) == ("held", "ValueError: odd", True)
    assert found.command.startswith(f"billing release {kind.value} {row['id']}")
    assert [item.id for item in auditing.dead_ends(engine.context)] == [str(row["id"])]
    held_rows.release(engine.context, kind, row["id"], OPERATOR)
    engine.advance(DAY)


LATE = {
    "a period": ("subscriptions", "next_due_at", "subscription"),
    "an invoice": ("invoices", "next_attempt_at", "invoice"),
    "an end": ("subscriptions", "cancel_at", "subscription"),
    "a wallet": ("wallets", "next_attempt_at", "wallet"),
    "the end of a token": ("wallets", "expires_at", "wallet"),
}


@pytest.mark.parametrize(("table", "column", "kind"), LATE.values(), ids=LATE.keys())
def test_due_work_is_late_after_two_ticks(
    engine: Engine, billing: Billing, table: str, column: str, kind: str
) -> None:
    """Without a worker the doctor names the oldest due work."""
    engine.begun(every="1 year")
    if table != "subscriptions" or column == "cancel_at":
        engine.tick(["ticks.open_periods"])
    if column == "cancel_at":
        engine.run()
    engine.execute(f"UPDATE {table} SET {column} = :now", now=engine.now)
    two_ticks = timedelta(seconds=int(2 * engine.context.settings.tick_seconds))
    engine.set_clock(engine.now + two_ticks)
    assert (kind, "late", True) not in causes(engine)
    engine.set_clock(engine.now + timedelta(seconds=1))
    assert (kind, "late", True) in causes(engine)
    found = doctor(billing)["oldest due"]
    assert not found["ok"]
    assert f"1 {kind} late" in found["detail"]
    engine.run()
    assert not any(alarm for _, _, alarm in causes(engine))


def test_a_contradicted_charge_is_listed_until_it_is_acknowledged(
    engine: Engine,
) -> None:
    """An event records the contradiction; an operator acknowledges it by releasing the charge."""
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    [charge] = engine.charges(subscription)
    about = {"customer_id": customer, "subscription_id": subscription, "charge_id": charge["id"]}
    told = event("charge.contradicted", at=engine.now, **about, why="the gateway says otherwise")
    with engine.context.database.transaction() as connection:
        events.record(connection, [told])

    [found] = waiting(engine)
    assert (found.item.cause, found.item.why) == ("contradicted", "the gateway says otherwise")
    assert found.command.startswith(f"billing release charge {charge['id']}")
    held_rows.release(engine.context, held_rows.Kind.CHARGE, charge["id"], OPERATOR)
    assert waiting(engine) == []


def test_a_page_goes_on_where_the_one_before_ended(engine: Engine) -> None:
    """Alarms first, the oldest first; each item once."""
    engine.plan(every="1 year")
    for _ in range(5):
        subscription = engine.subscribe(engine.customer())
        error = ValueError("odd")
        held_rows.set_aside(engine.context, held_rows.Kind.SUBSCRIPTION, subscription, error)
        engine.set_clock(engine.now + timedelta(seconds=1))
    _link(engine)
    whole = waiting(engine)
    tick = engine.context.settings.tick_seconds

    paged: list[Attention] = []
    while page := listed(
        engine.context.database, engine.now, tick, 2, paged[-1].item if paged else None
    ):
        paged += page

    assert [each.item for each in paged] == [each.item for each in whole]
    assert [each.item.alarm for each in whole] == [True] * 5 + [False]
    assert whole == sorted(whole, key=lambda each: (not each.item.alarm, each.item.since_at))
    engine.dead_ends = {"held"}


def test_no_refund_status_is_unknown_to_the_list(engine: Engine) -> None:
    """A status that is added later, and that nothing settles, is listed by its name."""
    customer, subscription = engine.begun(every="1 year")
    engine.run()
    refunding.refund_invoice(engine.context, engine.invoices(subscription)[0]["id"], 1, OPERATOR)
    engine.run()
    with engine.undone() as connection:
        connection.exec_driver_sql("ALTER TABLE refunds DROP CONSTRAINT refunds_status_check")
        connection.exec_driver_sql("UPDATE refunds SET status = 'to_be_paid_by_hand'")
        late = engine.now - timedelta(seconds=20)
        ages = statements.Ages(late, late, late, late, late)
        [item] = statements.items(connection, ages, limit=10)
    assert (item.kind, item.cause, item.alarm) == ("refund", "to_be_paid_by_hand", True)
    assert customer == item.customer


def test_an_item_that_moves_by_itself_shows_its_date(engine: Engine, billing: Billing) -> None:
    """An invoice with a short wallet shows the date of its next balance check."""
    engine.plan(amount=150_000)
    short = engine.customer(cash=50_000)
    engine.subscribe(short)
    engine.advance(3 * DAY)  # the first decline, and a step that waits for money
    [item] = [each.item for each in waiting(engine)]
    assert item.cause == "waits for balance"
    assert item.moves_at is not None
    assert item.moves_at > engine.now
    assert item.moves_at.utcoffset() == timedelta(hours=7)
    assert item.why == "short by Rp 100,000"
    shown = billing("attention", people=True)
    assert "moves by itself" in shown
    assert shown.startswith("alarm")
