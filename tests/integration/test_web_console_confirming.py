"""Confirming in the console: what a person has read is what happens, or nothing does."""

import re
from datetime import timedelta

import pytest

from billing.domain.events import OPERATOR, Actor
from billing.domain.outcomes import StatusOutcome
from billing.domain.people import Role
from billing.services.money import crediting
from billing.services.operating import charge_resolution, invoice_actions
from billing.services.subscriptions import pausing
from tests.integration.console import browsing, hidden, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web

DAY = timedelta(days=1)


def rupiah_after(words: str, said: str) -> int:
    [found] = re.findall(words + r" Rp ([\d,]+)", said)
    return int(found.replace(",", ""))


def test_an_old_preview_of_a_refund_is_not_acted_on(engine: Engine, web: Web) -> None:
    """Preview on day 7, confirmed on day 20 from a session that lives 7 real days: other money."""
    customer, subscription = engine.begun(amount=280_000)
    engine.run()
    engine.set_clock(engine.now + 7 * DAY)
    path = f"/subscriptions/{subscription}/cancel"
    with browsing(web, person(engine)) as [browser]:
        form = {"at": "now", "refund": "prorated", "reason": "moved"}
        answer = browser.send(path, form)
        shown = rupiah_after("Goes back to the wallet", text_of(answer.text))
        engine.set_clock(engine.now + 5 * DAY)
        done = browser.send(path, form | hidden(answer.text))
    refunded = sum(each["amount"] for each in engine.refunds(customer))
    engine.run()
    assert (done.status_code, refunded) in {(409, 0), (303, shown)}, (shown, refunded, done)


def test_credit_that_another_one_took_changes_the_preview(engine: Engine, web: Web) -> None:
    """The sibling took the credit between preview and confirmation."""
    customer, subscription = engine.begun(amount=280_000)
    engine.plan("Q", amount=560_000)
    engine.plan("S", amount=150_000)
    engine.run()
    engine.set_clock(engine.now + 7 * DAY)
    crediting.grant(engine.context, customer, 150_000, Actor("shop", "sorry"))
    path = f"/subscriptions/{subscription}/change"
    with browsing(web, person(engine)) as [browser]:
        form = {"plan": "Q", "quantity": "", "amount": "", "at": "now", "reason": "more"}
        answer = browser.send(path, form)
        shown = rupiah_after("Is charged now", text_of(answer.text))
        engine.subscribe(customer, "S")
        engine.run()
        done = browser.send(path, form | hidden(answer.text))
    made = [each["amount"] - each["credited"] for each in engine.invoices(subscription)][1:]
    engine.run()
    assert done.status_code == 409 or made == [shown], (shown, made)


def test_another_zone_of_the_viewer_moves_no_date(engine: Engine, web: Web) -> None:
    """A pause until 10:30 WIB that was read becomes one until 10:30 UTC."""
    _customer, subscription = engine.begun()
    engine.run()
    path = f"/subscriptions/{subscription}/pause"
    with browsing(web, person(engine)) as [browser]:
        form = {"at": "now", "resume_at": "2026-04-01T10:30", "reason": "holiday"}
        answer = browser.send(path, form)
        assert "Resumes on – 2026-04-01 10:30 WIB" in text_of(answer.text)
        browser.send("/display", {"language": "en", "timezone": "Europe/Berlin", "back": "/x"})
        done = browser.send(path, form | hidden(answer.text))
    found = engine.subscription(subscription)["resume_at"]
    assert done.status_code == 409 or found.isoformat() == "2026-04-01T03:30:00+00:00", found


def test_a_key_of_an_outcome_is_not_used_for_another(engine: Engine, web: Web) -> None:
    """Every other action says that the key was used for other values; resolve says: recorded."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_before", customer)
    engine.run()
    engine.set_clock(engine.now + timedelta(hours=1))
    [charge] = engine.charges(subscription)
    path = f"/invoices/{charge['invoice_id']}/charges/{charge['id']}/resolve"
    form = {"outcome": "not_paid", "reference": "D-1", "reason": "statement"}
    with browsing(web, person(engine, Role.FINANCE)) as [browser]:
        answer = browser.send(path, form)
        full = form | hidden(answer.text)
        browser.send(path, full)
        again = browser.send(path, full | {"outcome": "paid", "reference": "D-2"})
    engine.run()
    assert again.status_code != 303, again.headers["Location"]


def test_an_outcome_is_set_for_what_was_read(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The invoice is voided while the gateway is asked: the page is shown again, nothing is set."""
    _, subscription = engine.begun(every="1 year")
    engine.script("drop_before", engine.subscription(subscription)["customer_id"])
    engine.run()
    engine.set_clock(engine.now + timedelta(hours=1))
    [charge] = engine.charges(subscription)
    path = f"/invoices/{charge['invoice_id']}/charges/{charge['id']}/resolve"
    form = {"outcome": "paid", "reference": "D-1", "reason": "statement"}
    ask = charge_resolution._said

    def said(answer: StatusOutcome) -> str:
        monkeypatch.undo()
        invoice_actions.void_invoice(engine.context, charge["invoice_id"], OPERATOR)
        return ask(answer)

    with browsing(web, person(engine, Role.FINANCE)) as [browser]:
        answer = browser.send(path, form)
        assert "Nothing is sent to the wallet" in text_of(answer.text)
        monkeypatch.setattr(charge_resolution, "_said", said)
        done = browser.send(path, form | hidden(answer.text))
    assert done.status_code == 409
    assert "the money goes back to the wallet by a refund" in text_of(done.text)
    assert engine.charges(subscription)[0]["status"] == "unknown"
    engine.advance(timedelta(days=1))


def test_a_resumption_from_now_says_what_is_charged(engine: Engine, web: Web) -> None:
    """The form says that it is charged now, and the preview that no money moves."""
    customer, subscription = engine.begun(every="1 week")
    engine.run()
    pausing.pause(engine.context, subscription, OPERATOR)
    engine.advance(10 * DAY)
    before = len(engine.debits(customer))
    path = f"/subscriptions/{subscription}/resume"
    form = {"start": "now", "reason": "back"}
    with browsing(web, person(engine)) as [browser]:
        answer = browser.send(path, form)
        said = text_of(answer.text)
        browser.send(path, form | hidden(answer.text))
    engine.run()
    moved = len(engine.debits(customer)) - before
    assert not (moved and "No money moves by this" in said), (moved, said[-900:])


def test_another_schedule_from_now_says_what_is_charged(engine: Engine, web: Web) -> None:
    """A change to a plan with other dates begins a period at once: its charge is in the money."""
    customer, subscription = engine.begun(amount=280_000)
    engine.plan("W", every="1 week", amount=500_000)
    engine.run()
    engine.set_clock(engine.now + 7 * DAY)
    before = len(engine.debits(customer))
    path = f"/subscriptions/{subscription}/change"
    form = {"plan": "W", "quantity": "", "amount": "", "at": "now", "reason": "more"}
    with browsing(web, person(engine)) as [browser]:
        answer = browser.send(path, form)
        said = text_of(answer.text)
        browser.send(path, form | hidden(answer.text))
    engine.run()
    moved = [each["amount"] for each in engine.debits(customer)][before:]
    assert not (moved and "Is charged now" not in said), (moved, said[-900:])


def test_a_preview_says_who_else_keeps_the_wallet(engine: Engine, web: Web) -> None:
    """With another subscription the wallet stays, and the preview does not promise otherwise."""
    customer, subscription = engine.begun()
    engine.subscribe(customer, again=True)
    engine.run()
    path = f"/subscriptions/{subscription}/cancel"
    form = {"at": "now", "refund": "none", "unlink": "yes", "reason": "a"}
    with browsing(web, person(engine)) as [browser]:
        answer = browser.send(path, form)
        said = text_of(answer.text)
        browser.send(path, form | hidden(answer.text))
    engine.run()
    assert engine.told("wallet.kept")
    assert "once no charge, refund or other subscription needs it" in said


@pytest.mark.parametrize("name", ["cancel", "pause"])
def test_a_period_that_begins_in_between_changes_the_preview(
    engine: Engine, web: Web, name: str
) -> None:
    """Read: it ends on 28 February. Confirmed ten seconds later, before the tick: a month more."""
    customer, subscription = engine.begun(amount=280_000)
    engine.run()
    [row] = engine.rows("SELECT next_due_at FROM subscriptions")
    engine.set_clock(row["next_due_at"] - timedelta(seconds=5))
    path = f"/subscriptions/{subscription}/{name}"
    form = {"at": "period-end", "reason": "moved"}
    with browsing(web, person(engine)) as [browser]:
        answer = browser.send(path, form)
        said = text_of(answer.text)
        assert "2026-02-28 09:00 WIB" in said
        engine.set_clock(engine.now + timedelta(seconds=10))
        done = browser.send(path, form | hidden(answer.text))
    after = engine.subscription(subscription)
    engine.run()
    paid = [each["amount"] for each in engine.debits(customer)]
    assert done.status_code == 409 or paid == [280_000], (
        paid,
        after["cancel_at"],
        after["pause_at"],
        said.partition("what it does")[2],
    )
