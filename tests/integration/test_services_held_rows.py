"""A failing row stops no other: it is held with its reason, and an operator releases it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, NotKnown
from billing.domain.events import OPERATOR
from billing.domain.money import MAX_AMOUNT
from billing.services.collecting import opening
from billing.services.money import refunding
from billing.services.operating import held_rows, invoice_actions
from billing.services.operating.held_rows import Kind
from billing.services.subscriptions import canceling, pausing
from tests.integration.command import Billing
from tests.integration.engine import START, Engine
from tests.integration.held import SHUT, is_held, release, two

DAY = timedelta(days=1)


def test_a_price_that_overflows_holds_its_subscription_and_opens_the_others(
    engine: Engine,
) -> None:
    """An amount that the gateway cannot charge never becomes an invoice; no other row waits."""
    (_, big), (_, small) = two(engine, every="1 month")
    engine.execute(
        "UPDATE subscriptions SET amount = :most, extras = :extras WHERE id = :id",
        most=MAX_AMOUNT, extras='[{"kind": "extra", "title": "x", "amount": 1}]', id=big,
    )  # fmt: skip
    engine.run()

    assert (len(engine.invoices(big)), len(engine.invoices(small))) == (0, 1)
    assert "would exceed" in is_held(engine, Kind.SUBSCRIPTION, big)

    engine.execute("UPDATE subscriptions SET amount = 50000 WHERE id = :id", id=big)
    release(engine, Kind.SUBSCRIPTION, big)
    engine.run()
    assert [i["amount"] for i in engine.invoices(big)] == [50_001]


def test_a_row_that_only_the_database_refuses_is_found_by_halving(engine: Engine) -> None:
    """A constraint speaks of one row of a batch of seven; six are opened in the same tick."""
    engine.plan()
    made = [engine.subscribe(engine.customer()) for _ in range(7)]
    bad = made[4]
    engine.execute("UPDATE subscriptions SET next_period_index = -1 WHERE id = :id", id=bad)
    engine.tick()

    assert [len(engine.invoices(each)) for each in made] == [1, 1, 1, 1, 0, 1, 1]
    assert "invoices_period_check" in is_held(engine, Kind.SUBSCRIPTION, bad)
    engine.execute("UPDATE subscriptions SET next_period_index = 0 WHERE id = :id", id=bad)
    release(engine, Kind.SUBSCRIPTION, bad)
    engine.run()
    assert len(engine.charges(bad)) == 1


@pytest.mark.parametrize("on_message", [True, False])
def test_an_invoice_that_cannot_be_claimed_is_held_and_blocks_the_younger_ones(
    engine: Engine, *, on_message: bool
) -> None:
    """Leased by a tick or taken as due: the others are charged, its own next period is not."""
    (customer, bad), (_, fine) = two(engine, every="1 month")
    engine.tick(["ticks.open_periods"])
    engine.execute("UPDATE plans SET retries = 'no policy'")
    engine.execute("UPDATE wallets SET expires_at = :now WHERE customer_id = :id",
                   now=START, id=customer)  # fmt: skip
    from billing.services.collecting import charging

    if on_message:
        charging.collect(engine.context, charging.lease_due(engine.context, 10))
    else:
        charging.collect_on(engine.context, [], 10)

    [invoice] = engine.invoices(bad)
    assert "InvalidValue" in is_held(engine, Kind.INVOICE, invoice["id"])
    assert [c["status"] for c in engine.charges(fine)] == ["succeeded"]
    engine.advance(40 * DAY)
    assert (len(engine.invoices(bad)), engine.charges(bad)) == (2, [])

    engine.execute("UPDATE plans SET retries = '1d'")
    release(engine, Kind.INVOICE, invoice["id"])
    engine.unlink(customer)
    engine.link(customer)
    engine.run()
    assert [i["status"] for i in engine.invoices(bad)] == ["paid", "paid"]


def lost(engine: Engine, *, arrived: bool) -> tuple[UUID, UUID]:
    """Two charges without an answer: the first never arrived, the second did, if `arrived`."""
    (first, a), (second, b) = two(engine, every="1 year")
    engine.script("drop_before", first)
    engine.script("drop_after" if arrived else "drop_before", second)
    engine.run()
    return a, b


def test_a_sealed_body_that_does_not_open_stops_no_question_of_its_batch(engine: Engine) -> None:
    """The charge that cannot be sent again stays unresolved and is held; the other is settled."""
    a, b = lost(engine, arrived=True)
    body = engine.charges(a)[0]["body_sealed"]
    engine.execute(f"UPDATE charges SET body_sealed = '{SHUT}' WHERE subscription_id = :id", id=a)
    engine.advance(DAY)

    [charge] = engine.charges(a)
    assert "BILLING_TOKEN_KEY does not open" in is_held(engine, Kind.CHARGE, charge["id"])
    assert charge["status"] == "unknown", "it blocks every other charge of its subscription"
    assert [c["status"] for c in engine.charges(b)] == ["succeeded"]
    [told] = engine.told("charge.held")
    assert told["data"]["said"] == "NotFound", "what was said of it is kept for a person"
    with pytest.raises(IllegalMove):
        invoice_actions.retry_invoice(engine.context, charge["invoice_id"], OPERATOR)

    engine.execute("UPDATE charges SET body_sealed = :body WHERE id = :id",
                   body=body, id=charge["id"])  # fmt: skip
    release(engine, Kind.CHARGE, charge["id"])
    engine.advance(DAY)
    assert [c["status"] for c in engine.charges(a)] == ["succeeded"]


def test_a_held_charge_is_asked_about_when_it_is_released(engine: Engine) -> None:
    """Until then it gets no status query, although due; the other is queried and settled."""
    a, b = lost(engine, arrived=True)
    [charge] = engine.charges(a)
    held_rows.set_aside(engine.context, Kind.CHARGE, charge["id"], ValueError("odd"))
    engine.advance(DAY)

    [held], [other] = engine.charges(a), engine.charges(b)
    assert (held["status"], held["status_queries"]) == ("unknown", 0)
    assert other["status"] == "succeeded"
    release(engine, Kind.CHARGE, charge["id"])
    engine.run()
    assert engine.charges(a)[0]["status_queries"] > 0
    engine.advance(DAY)


def test_news_of_a_group_is_recorded_though_one_of_it_cannot_be(engine: Engine) -> None:
    """Answers of one group: the other charges whose money moved are settled."""
    (_, a), (_, b) = two(engine, every="1 year")
    engine.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.subscription_id = '{a}' AND NEW.status = 'succeeded' THEN"
        " RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'not today'; END IF;"
        " RETURN NEW; END $$"
    )
    engine.execute("CREATE TRIGGER refuse BEFORE UPDATE ON charges FOR EACH ROW"
                   " EXECUTE FUNCTION refuse()")  # fmt: skip
    try:
        engine.run()
    finally:
        engine.execute("DROP TRIGGER refuse ON charges")
        engine.execute("DROP FUNCTION refuse()")

    [charge] = engine.charges(a)
    assert "not today" in is_held(engine, Kind.CHARGE, charge["id"])
    assert charge["status"] == "in_flight"
    assert [c["status"] for c in engine.charges(b)] == ["succeeded"]

    release(engine, Kind.CHARGE, charge["id"])
    engine.advance(DAY)
    assert [c["status"] for c in engine.charges(a)] == ["succeeded"]


def test_a_person_who_resolves_is_told_the_error_and_nothing_is_held(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator reads the error at once; a tick cannot."""
    from billing.services.collecting import settling

    a, _ = lost(engine, arrived=False)
    [charge] = engine.charges(a)

    def broken(*_: Any) -> None:
        raise ValueError("no such word")

    news = [settling.News(charge["id"], settling.NotFound())]
    with monkeypatch.context() as patch:
        patch.setattr(settling, "_settle", broken)
        with pytest.raises(ValueError, match="no such word"):
            settling.settle(engine.context, news, settling.Source.OPERATOR, OPERATOR)
    assert engine.told("charge.held") == []
    engine.advance(DAY)


@pytest.mark.parametrize("after_sending", [False, True])
def test_a_refund_that_cannot_be_recorded_is_held_and_sent_once_in_all(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, after_sending: bool
) -> None:
    """Before it is sent or after: under its own Request-Id the gateway pays it once."""
    (first, a), (second, b) = two(engine, every="1 year")
    engine.run()
    plain: Any = refunding._write if after_sending else refunding._take
    for subscription in (a, b):
        refunding.refund_invoice(
            engine.context, engine.invoices(subscription)[0]["id"], 1_000, OPERATOR
        )
    [bad] = [refund["id"] for refund in engine.refunds(first)]

    def broken(where: Any, refund: Any, *more: Any) -> Any:
        if bad == (refund if isinstance(refund, UUID) else refund.id):
            raise ValueError("no such word")
        return plain(where, refund, *more)

    with monkeypatch.context() as patch:
        patch.setattr(refunding, plain.__name__, broken)
        engine.tick()

    assert "no such word" in is_held(engine, Kind.REFUND, bad)
    assert [refund["status"] for refund in engine.refunds(second)] == ["succeeded"]
    refunding.send_due(engine.context, bad)
    assert len(engine.ledger(first, "refund")) == int(after_sending), "a held one is not sent"

    release(engine, Kind.REFUND, bad)
    engine.advance(DAY)
    assert [refund["status"] for refund in engine.refunds(first)] == ["succeeded"]
    assert sum(row["moves"] for row in engine.ledger(first, "refund")) == 1


@pytest.mark.parametrize("ends", ["cancel", "pause", "resume"])
def test_of_dates_that_have_come_one_that_fails_stops_no_other(engine: Engine, ends: str) -> None:
    """Ends, pauses and the ends of pauses: the plan of one of them cannot be read any more."""
    (customer, bad), (_, fine) = two(engine, every="10 days")
    engine.run()
    for each in (bad, fine):
        match ends:
            case "cancel":
                at = engine.now + 5 * DAY
                canceling.cancel(engine.context, each, OPERATOR, at=at, refund="prorated")  # type: ignore[arg-type]
            case "pause":
                pausing.pause(engine.context, each, OPERATOR, at="period-end")
            case "resume":
                pausing.pause(engine.context, each, OPERATOR, until=engine.now + 5 * DAY)
    if ends == "pause":
        engine.execute("UPDATE subscriptions SET pause_at = pause_at - interval '5 d'")
    engine.execute("ALTER TABLE events ADD CONSTRAINT poison CHECK (subscription_id IS NULL OR"
                   f" subscription_id <> '{bad}' OR kind NOT IN ('subscription.canceled',"
                   " 'subscription.paused', 'subscription.resumed')) NOT VALID")  # fmt: skip
    try:
        engine.set_clock(engine.now + 5 * DAY)
        engine.tick(["ticks.end_subscriptions"])
    finally:
        engine.execute("ALTER TABLE events DROP CONSTRAINT poison")

    after = {"cancel": "canceled", "pause": "paused", "resume": "active"}[ends]
    assert engine.status(fine) == after
    assert "poison" in is_held(engine, Kind.SUBSCRIPTION, bad)
    release(engine, Kind.SUBSCRIPTION, bad)
    engine.run()
    assert engine.status(bad) == after
    assert engine.status(fine) == after
    assert customer


def test_a_database_that_is_away_holds_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tick fails with a log line, and the next one does the work."""
    from sqlalchemy.exc import OperationalError

    from billing.store.queries import invoices

    _, subscription = engine.begun()

    def away(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("server closed the connection"))

    with monkeypatch.context() as patch:
        patch.setattr(invoices, "open_periods", away)
        with pytest.raises(OperationalError):
            engine.tick()
    assert engine.told("subscription.held") == []
    engine.run()
    assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]


def test_a_bug_that_fails_for_all_holds_few_and_fails_the_tick(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no period can be computed it is not the rows' fault; nothing is opened or lost."""
    monkeypatch.setattr(held_rows, "HELD_AT_ONCE_MAX", 2)
    monkeypatch.setattr(held_rows.isolate, "__kwdefaults__", {"held_max": 2})
    engine.plan()
    made = [engine.subscribe(engine.customer()) for _ in range(6)]

    def broken(_: Any) -> None:
        raise KeyError("amount")

    with monkeypatch.context() as patch:
        patch.setattr(opening.pricing, "price", broken)
        with pytest.raises(KeyError):
            engine.tick()

    held = engine.rows("SELECT id FROM subscriptions WHERE held_at IS NOT NULL")
    assert len(held) == 2
    held_rows.release(engine.context, Kind.SUBSCRIPTION, None, OPERATOR)
    engine.run()
    assert [len(engine.charges(each)) for each in made] == [1] * 6


def test_only_what_is_held_can_be_released(engine: Engine) -> None:
    """Anything else is refused in one line, and writes nothing."""
    _, subscription = engine.begun()
    engine.run()
    before = engine.counts()
    with pytest.raises(IllegalMove, match="is not held"):
        held_rows.release(engine.context, Kind.SUBSCRIPTION, subscription, OPERATOR)
    with pytest.raises(NotKnown, match="no invoice has the id"):
        held_rows.release(engine.context, Kind.INVOICE, subscription, OPERATOR)
    assert held_rows.release(engine.context, Kind.CHARGE, None, OPERATOR) == []
    assert engine.counts() == before


def test_a_row_that_ends_is_not_held_any_more(engine: Engine) -> None:
    """A canceled held subscription and a void held invoice need no operator any more."""
    _, subscription = engine.begun()
    engine.tick(["ticks.open_periods"])
    [invoice] = engine.invoices(subscription)
    for kind, row in ((Kind.SUBSCRIPTION, subscription), (Kind.INVOICE, invoice["id"])):
        held_rows.set_aside(engine.context, kind, row, ValueError("odd"))
    invoice_actions.void_invoice(engine.context, invoice["id"], OPERATOR)
    canceling.cancel(engine.context, subscription, OPERATOR)

    assert engine.one("SELECT count(held_at) FROM subscriptions") == 0
    assert engine.one("SELECT count(held_at) FROM invoices") == 0
    held_rows.set_aside(engine.context, Kind.INVOICE, invoice["id"], ValueError("too late"))
    assert len(engine.told("invoice.held")) == 1, "nothing is to be done with it any more"


def test_a_held_row_is_in_every_list_and_is_released_from_the_command_line(
    engine: Engine, billing: Billing
) -> None:
    """`attention`, `doctor`, the audit and its own page show it with the reason."""
    _, subscription = engine.begun()
    engine.tick(["ticks.open_periods"])
    [invoice] = engine.invoices(subscription)
    held_rows.set_aside(engine.context, Kind.INVOICE, invoice["id"], ValueError("odd\nrow"))

    [listed] = billing("attention")
    assert (listed["kind"], listed["id"], listed["cause"]) == (
        "invoice",
        str(invoice["id"]),
        "held",
    )
    assert listed["why"] == "ValueError: odd row"
    assert listed["command"].startswith(f"billing release invoice {invoice['id']}")
    doctor = {check["name"]: check for check in billing("doctor", code=1)["checks"]}
    assert "1 invoice held" in doctor["invoices"]["detail"]
    assert not doctor["invoices"]["ok"]
    assert billing("audit", code=1)["findings"][0]["name"] == "nothing needs an operator"
    assert billing("invoice", "show", invoice["id"])["held_cause"] == "ValueError: odd row"
    assert "odd row" in billing("attention", people=True)

    assert "or --all" in billing("release", "invoice", code=1)
    released = billing("release", "invoice", invoice["id"], "--reason", "looked at")
    assert released["released"] == [str(invoice["id"])]
    assert billing("attention") == []
    held_rows.set_aside(engine.context, Kind.INVOICE, invoice["id"], ValueError("odd"))
    assert "1 invoice released" in billing("release", "invoice", "--all", people=True)
    engine.run()
    assert engine.invoices(subscription)[0]["status"] == "paid"


def test_a_question_on_which_the_client_fails_is_unknown(engine: Engine) -> None:
    """An answer that breaks our own client settles nothing, and stops no other status query."""
    a, b = lost(engine, arrived=True)
    [number] = [c["gateway_number"] for c in engine.charges(a)]
    plain = engine.context.gateway

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(plain, name)

        def check_status(self, identifier: str, wanted: str, amount: int) -> Any:
            if wanted == number:
                raise ZeroDivisionError
            return plain.check_status(identifier, wanted, amount)

    engine.context = replace(engine.context, gateway=Broken())
    engine.advance(timedelta(minutes=10))
    assert [c["status"] for c in engine.charges(a)] == ["unknown"]
    assert [c["status"] for c in engine.charges(b)] == ["succeeded"]
    engine.context = replace(engine.context, gateway=plain)
    engine.advance(DAY)
