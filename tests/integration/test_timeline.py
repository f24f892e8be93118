"""A subscription's history for people: past events in order, coming ones, at any width."""

import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from rich.console import Console

from billing import cli
from billing.cli import output, timeline
from billing.domain.events import OPERATOR, Actor
from billing.services.collecting import charging
from billing.services.money import refunding
from billing.services.operating import held_rows, invoice_actions, kill_switch
from billing.services.reading import read_models
from billing.services.subscriptions import canceling, pausing
from tests.integration.command import Billing
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
Drawn = Callable[..., list[str]]


@pytest.fixture
def drawn(engine: Engine, capsys: pytest.CaptureFixture[str]) -> Drawn:
    """Draw a subscription, and return the lines."""

    def draw(subscription: UUID, periods: int = 12) -> list[str]:
        capsys.readouterr()
        timeline.draw(read_models.life(engine.context.database, subscription, periods))
        return capsys.readouterr().out.splitlines()

    return draw


def hard_life(engine: Engine) -> UUID:
    """A late payment, a refund, a lost answer, a pause, and an end that is to come."""
    customer, subscription = engine.begun(cash=60_000)
    engine.advance(START + 32 * DAY)
    engine.put_cash(customer, 5_000_000)
    engine.advance(5 * DAY)
    paid = engine.invoices(subscription)[1]["id"]
    refunding.refund_invoice(engine.context, paid, 10_000, Actor("operator", "complaint"))
    engine.script("drop_after", customer)
    engine.advance(30 * DAY)
    pausing.pause(
        engine.context, subscription, Actor("operator", "on holiday"), until=engine.now + 40 * DAY
    )
    engine.advance(60 * DAY)
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 70 * DAY)
    return subscription


def test_a_life_is_drawn_in_order_with_what_comes_next(engine: Engine, drawn: Drawn) -> None:
    """Every period with its charges, checks, refunds, pause and end, each line with its time."""
    subscription = hard_life(engine)
    ids = [row["id"] for row in engine.invoices(subscription)]

    phone = engine.wallets(engine.subscription(subscription)["customer_id"])[0]["masked_phone"]

    assert drawn(subscription) == [
        "",
        "2026-01-31 09:00 ● created, plan P, Rp 50,000, by operator",
        "                 ● activated, due at 2026-01-31 09:00, by operator",
        f"                 ● wallet {phone} linked",
        f"                 ┬ period 0   Rp 50,000  paid  {ids[0]}",
        "                 │ ✓ charged, first payment",
        f"2026-02-28 09:00 ┬ period 1   Rp 50,000  paid  {ids[1]}",
        "                 │ ✗ declined: insufficient funds",
        "2026-03-02 09:00 │ ◌ Rp 40,000 short, checked 9 times until 2026-03-04 09:00",
        "2026-03-04 15:00 │ ✓ charged, attempt 2",
        "2026-03-09 09:00 │ ↩ Rp 10,000 refunded (complaint)",
        f"2026-03-31 09:00 ┬ period 2   Rp 50,000  paid  {ids[2]}",
        "                 │ ✓ charged, settled 2026-03-31 09:01",
        "2026-04-08 09:00 ‖ paused, by operator (on holiday)",
        "2026-05-18 09:00 ● period skipped, 3, paused",
        "                 ▶ resumed",
        f"2026-05-31 09:00 ┬ period 4   Rp 50,000  paid  {ids[3]}",
        "                 │ ✓ charged",
        "2026-06-07 09:00 ● cancel scheduled, cancel at 2026-08-16 09:00, by operator",
        "",
        "next",
        "2026-06-30 09:00 ○ the next period begins, Rp 50,000",
        "2026-08-16 09:00 ○ canceled",
        "2027-01-31 09:00 ○ the wallet's token expires; link it again",
    ]


def test_a_narrow_terminal_wraps_and_cuts_nothing(
    engine: Engine, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns no line is longer, every id is complete on one line, and times stay aligned."""
    subscription = hard_life(engine)
    reason = "because of " * 20
    engine.execute("UPDATE events SET reason = :r WHERE kind = 'subscription.paused'", r=reason)
    monkeypatch.setattr(output, "console", lambda: Console(width=80, markup=False))

    lines = drawn(subscription)

    assert max(len(line) for line in lines) <= 80
    for invoice in engine.invoices(subscription):
        assert any(line.endswith(f"│ {invoice['id']}") for line in lines)
    assert " ".join(line[19:] for line in lines).count("because of") == 20
    assert {line[17] for line in lines if len(line) > 20} <= set("┬│●○‖▶■")


def test_a_long_life_shows_its_newest_periods(engine: Engine, drawn: Drawn) -> None:
    """Twelve periods and one line for those before them; all of them when asked for."""
    _, subscription = engine.begun(every="1 day", amount=1_000)
    engine.advance(29 * DAY)

    lines = drawn(subscription)
    assert lines[1] == "18 earlier invoices, Rp 18,000 paid; show all with --all"
    assert "created" not in "\n".join(lines)
    assert sum("┬" in line for line in lines) == 12
    everything = drawn(subscription, read_models.PERIODS_MAX)
    assert sum("┬" in line for line in everything) == 30
    assert "created" in everything[1]


def test_the_tries_that_are_drawn_are_the_ones_that_happen(engine: Engine, drawn: Drawn) -> None:
    """During dunning each step is shown with its date, the last one named, then the end."""
    customer, subscription = engine.begun(retries="2d 5d", on_exhausted="unpaid")
    engine.script("decline", customer, times=None)
    engine.run()

    lines = drawn(subscription)
    coming = lines[lines.index("next") + 1 :]
    assert coming[:2] == [
        "2026-02-02 09:00 ○ Rp 50,000 for period 0 is attempted again",
        "2026-02-07 09:00 ○ Rp 50,000 for period 0 is attempted again, the last attempt",
    ]
    engine.advance(8 * DAY)
    lines = drawn(subscription)
    tried = [line[:16] for line in lines if ", attempt " in line]
    assert tried == [line[:16] for line in coming[:2]]
    invoice = engine.invoices(subscription)[0]["id"]
    assert lines[-1] == (
        f"it stays unpaid until: billing invoice retry {invoice},"
        f" or: billing subscription resume {subscription}"
    )


def test_a_charge_of_an_older_period_names_it(engine: Engine, drawn: Drawn) -> None:
    """While an invoice is overdue, later periods begin; each attempt names its period."""
    customer, subscription = engine.begun(every="1 day", retries="36h")
    engine.script("decline", customer)
    engine.advance(2 * DAY)

    assert any(line.endswith("✓ charged for period 0, first payment, attempt 2")
               for line in drawn(subscription))  # fmt: skip


def test_an_unknown_charge_shows_its_next_status_query(engine: Engine, drawn: Drawn) -> None:
    """A lost answer is drawn as unknown, with the next status query."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.tick()

    lines = drawn(subscription)
    assert any("? outcome unknown" in line for line in lines)
    assert any(line.endswith("○ status query for the charge of period 0") for line in lines)
    engine.advance(DAY)


def test_a_wallet_that_is_lost_and_an_invoice_that_waits(engine: Engine, drawn: Drawn) -> None:
    """Without a token nothing is charged; the line says until when a new link helps."""
    customer, subscription = engine.begun()
    engine.run()
    engine.lose_wallet(customer)
    engine.advance(START + 29 * DAY)

    lines = drawn(subscription)
    assert any("expired: the token has expired" in line for line in lines)
    assert any("! invoice blocked" in line for line in lines)
    assert (
        "period 1 becomes uncollectible, Rp 50,000, unless a wallet is linked before" in lines[-2]
    )


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda e, s: pausing.pause(e.context, s, OPERATOR), "it stays paused until: billing "),
        (lambda e, s: canceling.cancel(e.context, s, OPERATOR), "nothing: it is canceled"),
    ],
)
def test_a_dead_end_is_named(
    engine: Engine, drawn: Drawn, end: Callable[[Engine, UUID], object], words: str
) -> None:
    """The last line names the dead end, with what an operator can do."""
    _, subscription = engine.begun()
    engine.run()
    end(engine, subscription)
    assert words in drawn(subscription)[-1]


def test_without_a_wallet_it_says_how_to_begin(engine: Engine, drawn: Drawn) -> None:
    """A subscription that waits for a link has nothing else in its life."""
    engine.plan()
    subscription = engine.subscribe(engine.customer(linked=False))
    assert drawn(subscription)[-1].startswith("a wallet: billing wallet link ")


def test_a_trial_ends_with_the_first_charge(engine: Engine, drawn: Drawn) -> None:
    """What comes next after a trial is its end."""
    _, subscription = engine.begun(trial="7 days")
    lines = drawn(subscription)
    assert "2026-02-07 09:00 ○ the trial ends; the next period begins, Rp 50,000" in lines


def test_programs_get_the_same_as_before(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--all --json` has every invoice, also when the drawing has fewer."""
    monkeypatch.setenv("BILLING_DATABASE_URL", engine.url)
    _, subscription = engine.begun(every="1 day", amount=1_000)
    engine.advance(19 * DAY)
    assert cli.run(["subscription", "show", str(subscription), "--all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["invoices"]) == 20
    assert cli.run(["subscription", "show", str(subscription)]) == 0
    assert capsys.readouterr().out.count("┬") == 12


def test_a_canceled_subscription_has_nothing_next(engine: Engine, drawn: Drawn) -> None:
    """A past end date is history, and so is a pause that never began."""
    _, subscription = engine.begun()
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR, at="period-end")
    canceling.cancel(engine.context, subscription, OPERATOR, at=engine.now + 5 * DAY)
    engine.advance(10 * DAY)

    lines = drawn(subscription)
    coming = lines[lines.index("next") + 1 :]
    assert [line for line in coming if "token" not in line] == ["nothing: it is canceled"]


def waits(engine: Engine, drawn: Drawn, subscription: UUID) -> str:
    """The timeline says what a subscription waits for; the JSON says the same."""
    said = [line for line in drawn(subscription) if line.startswith("it waits for ")]
    told = read_models.subscription(engine.context.database, subscription).prospect.waits_for
    assert said == ([f"it waits for {told}"] if told else [])
    return told or ""


def test_a_first_charge_that_does_not_come_says_why(engine: Engine, drawn: Drawn) -> None:
    """A tick, a worker with its message, stopped charging, an outcome, a wallet."""
    customer, subscription = engine.begun()
    assert waits(engine, drawn, subscription).startswith("the next tick, which opens")
    engine.tick(["ticks.open_periods"])
    assert waits(engine, drawn, subscription) == "the next tick"
    assert len(charging.lease_due(engine.context, 10)) == 1
    assert waits(engine, drawn, subscription).startswith("a worker, which has its message")
    kill_switch.stop_charging(engine.context, Actor("operator", "an audit"))
    assert "which is stopped (an audit)" in waits(engine, drawn, subscription)
    kill_switch.start_charging(engine.context, OPERATOR)
    engine.forget_leases()
    [invoice] = engine.invoices(subscription)
    held_rows.set_aside(engine.context, held_rows.Kind.INVOICE, invoice["id"], ValueError("odd"))
    assert waits(engine, drawn, subscription) == (
        "an operator, because it is held: ValueError: odd"
    )
    held_rows.release(engine.context, held_rows.Kind.INVOICE, invoice["id"], OPERATOR)
    engine.script("drop_after", customer)
    engine.tick()
    assert waits(engine, drawn, subscription) == "the outcome of an unresolved charge"
    engine.advance(DAY)
    assert waits(engine, drawn, subscription) == ""
    without = engine.subscribe(engine.customer(linked=False))
    assert waits(engine, drawn, without) == "a linked wallet"


def test_an_invoice_behind_another_says_what_it_waits_for(engine: Engine, drawn: Drawn) -> None:
    """Money, and the older invoice: each is named where the invoice is shown."""
    _, subscription = engine.begun(cash=10_000, every="1 day", retries="1h 3d")
    engine.advance(START + DAY)
    older, newer = (row["id"] for row in engine.invoices(subscription))

    told = {each: read_models.invoice(engine.context.database, each) for each in (older, newer)}

    assert told[older].steps.waits_for == "money in the wallet: Rp 40,000 short"
    assert told[newer].steps.waits_for == "an older invoice, which is charged first"
    assert [way.command for way in told[older].steps.ways_out] == [
        f"billing invoice retry {older}", f"billing invoice void {older}",
    ]  # fmt: skip
    assert waits(engine, drawn, subscription).startswith("money in the wallet")


def test_an_answer_that_is_confirmed_first_says_so(
    engine: Engine, drawn: Drawn, billing: Billing
) -> None:
    """The last decline of a policy gets one more status query, and is not shown as only unknown."""
    customer, subscription = engine.begun(retries="6h", on_exhausted="unpaid")
    engine.script("decline", customer, times=None)
    engine.run()
    engine.advance(timedelta(hours=6))
    charge = engine.charges(subscription)[-1]
    assert (charge["status"], charge["fault"] is None) == ("unknown", False)

    told = "the gateway, which is queried again to confirm a final answer"
    assert waits(engine, drawn, subscription) == told
    assert billing("charge", "show", charge["id"])["waits_for"] == told
    assert told in billing("charge", "show", charge["id"], people=True)
    engine.advance(DAY)
    assert billing("charge", "show", charge["id"])["waits_for"] is None


def test_show_names_the_ways_out(engine: Engine, billing: Billing) -> None:
    """Of a subscription, an invoice, a charge, a refund and a wallet, for people and programs."""
    customer, subscription = engine.begun(cash=0, retries="1d", on_exhausted="unpaid")
    engine.advance(2 * DAY)
    invoice = engine.invoices(subscription)[0]["id"]
    charge = engine.charges(subscription)[0]["id"]
    retry = f"billing invoice retry {invoice}"

    for words in (("subscription", subscription), ("invoice", invoice), ("charge", charge)):
        assert retry in billing(words[0], "show", words[1], people=True)
        ways = billing(words[0], "show", words[1])["ways_out"]
        assert retry in [way["command"] for way in ways]
    engine.put_cash(customer, 1_000_000)
    invoice_actions.retry_invoice(engine.context, invoice, OPERATOR)
    engine.run()
    refunding.refund_invoice(engine.context, invoice, 10_000, OPERATOR)
    [refund] = billing("invoice", "show", invoice)["refunds"]
    assert refund["ways_out"] == []  # it is sent by itself, and a person's word is refused
    engine.execute("UPDATE refunds SET parked_at = :now", now=engine.now)
    [refund] = billing("invoice", "show", invoice)["refunds"]
    assert [way["command"] for way in refund["ways_out"]] == [
        f"billing refunds retry {refund['id']}",
        f'billing refunds resolve {refund["id"]} --as … --reason "…"',
    ]
    told = billing("invoice", "show", invoice, people=True)
    assert f"billing refunds retry {refund['id']}" in told
    paid = billing("charge", "show", engine.charges(subscription)[-1]["id"])
    assert paid["ways_out"] == []
    wallet = billing("wallet", "refresh", customer)
    assert [way["command"] for way in wallet["ways_out"]] == [f"billing wallet unlink {customer}"]
    engine.run()
