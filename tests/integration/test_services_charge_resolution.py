"""Resolving a charge by an operator: the gateway is queried before it, and for a week after it."""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.domain.errors import IllegalMove, NotKnown
from billing.domain.events import OPERATOR, event
from billing.domain.outcomes import Outcome, SealedPayment
from billing.services.collecting import charging
from billing.services.operating import charge_resolution, held_rows, invoice_actions
from billing.services.operating.charge_resolution import Resolution
from billing.services.operating.confirming import Changed
from billing.services.reading import auditing
from billing.services.subscriptions import canceling
from billing.store.queries import events, pages
from billing.store.queries.holding import Kind
from tests.integration.answering import Answering, answer_as_before, answer_with, status_with
from tests.integration.engine import START, Engine

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def lost(engine: Engine, *, moved: bool) -> tuple[str, UUID, UUID]:
    """An unknown charge of a yearly plan: its money moved, or did not."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_after" if moved else "drop_before", customer)
    engine.run()
    return customer, subscription, engine.charges(subscription)[0]["id"]


def resolve(engine: Engine, charge: UUID, *, succeeded: bool) -> Resolution:
    """Resolve a charge."""
    return charge_resolution.resolve_charge(engine.context, charge, succeeded, OPERATOR)


def silent(engine: Engine) -> Answering:
    """Answer every status query with a health page."""
    return answer_with(engine, check_status=status_with(200, b"{}"))


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_young_charge_is_not_resolved(engine: Engine, succeeded: bool) -> None:
    """A young charge is queried automatically; a resolution is refused, and nothing is written."""
    _, subscription, charge = lost(engine, moved=True)
    before = engine.charges(subscription)

    with pytest.raises(IllegalMove, match="can be resolved 900 s after"):
        resolve(engine, charge, succeeded=succeeded)

    assert engine.charges(subscription) == before
    engine.advance(HOUR)
    assert engine.charges(subscription)[0]["status"] == "succeeded"


def test_a_charge_on_the_wire_is_not_resolved(engine: Engine, other: Engine) -> None:
    """Resolved as declined and retried during its call: one debit, at any age."""
    customer, subscription = engine.begun(every="1 year")
    inner, refused = engine.context.gateway, []

    def pay(payment: SealedPayment) -> Outcome:
        other.set_clock(START + HOUR)
        with pytest.raises(IllegalMove, match="is in flight") as caught:
            resolve(other, UUID(payment.request_id), succeeded=False)
        refused.append(caught)
        invoice = engine.invoices(subscription)[0]["id"]
        with pytest.raises(IllegalMove, match="unresolved"):
            invoice_actions.retry_invoice(other.context, invoice, OPERATOR)
        charging.collect(other.context, charging.lease_due(other.context, 10))
        return inner.pay(payment)

    answer_with(engine, pay=pay)
    engine.run()
    engine.advance(DAY)

    assert len(refused) == 1
    assert len(engine.debits(customer)) == 1


@pytest.mark.parametrize("succeeded", [True, False])
def test_the_gateways_word_goes_before_a_persons(engine: Engine, succeeded: bool) -> None:
    """The gateway says SUCCESS, so that is settled and reported against the operator's verdict."""
    customer, subscription, charge = lost(engine, moved=True)
    engine.set_clock(START + HOUR)

    done = resolve(engine, charge, succeeded=succeeded)

    assert (done.gateway, done.settled_by) == ("succeeded", "gateway")
    assert engine.charges(subscription)[0]["status"] == "succeeded"
    assert engine.charges(subscription)[0]["resolved_at"] is None
    assert len(engine.debits(customer)) == 1


def test_money_that_moved_before_a_cancel_goes_back_whatever_a_person_says(engine: Engine) -> None:
    """Resolved as declined after the cancellation, queried later, and the payment is refunded."""
    customer, subscription, charge = lost(engine, moved=True)
    canceling.cancel(engine.context, subscription, OPERATOR)
    engine.set_clock(START + HOUR)

    resolve(engine, charge, succeeded=False)
    engine.advance(60 * DAY)

    assert [row["status"] for row in engine.refunds(customer)] == ["succeeded"]


def test_a_failed_that_a_person_denies_counts_when_it_is_said_twice(engine: Engine) -> None:
    """Resolved as succeeded, but the gateway says FAILED: refused; the next answer settles it."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("failed", customer)
    engine.run()
    [charge] = engine.charges(subscription)
    engine.set_clock(START + HOUR)

    with pytest.raises(IllegalMove, match="says failed"):
        resolve(engine, charge["id"], succeeded=True)
    engine.set_clock(engine.now + 10 * MINUTE)
    done = resolve(engine, charge["id"], succeeded=True)

    assert (done.gateway, done.settled_by) == ("failed", "gateway")
    assert engine.charges(subscription)[0]["status"] == "declined"


def test_a_persons_word_counts_when_the_gateway_says_nothing(engine: Engine) -> None:
    """It is queried daily for a week afterwards; then nothing is due any more."""
    _, subscription, charge = lost(engine, moved=False)
    silent(engine)
    engine.set_clock(START + HOUR)
    done = resolve(engine, charge, succeeded=False)
    assert done.settled_by == "operator"
    assert done.gateway.startswith("nothing certain")

    asks = []
    for day in range(1, 10):
        engine.advance(START + HOUR + day * DAY)
        asks.append(engine.charges(subscription)[0]["status_queries"])

    assert asks == [1, 2, 3, 4, 5, 6, 7, 7, 7]
    assert engine.charges(subscription)[0]["next_check_at"] is None
    assert engine.told("charge.contradicted") == []
    engine.dead_ends = {"postponed"}  # the retry waits for an answer about it, and is listed


def test_a_payment_said_to_be_declined_is_booked_when_it_shows(engine: Engine) -> None:
    """Late money: the invoice is paid, and the contradiction is recorded."""
    customer, subscription, charge = lost(engine, moved=True)
    page = silent(engine)
    engine.set_clock(START + HOUR)
    resolve(engine, charge, succeeded=False)
    answer_as_before(engine, page)

    engine.advance(2 * DAY)

    [row] = engine.charges(subscription)
    assert row["status"] == "succeeded"
    assert engine.status(subscription) == "active"
    [told] = engine.told("charge.contradicted")
    assert told["data"]["why"] == "an operator said declined, the gateway says succeeded"
    assert len(engine.debits(customer)) == 1
    assert [item.cause for item in auditing.dead_ends(engine.context)] == ["contradicted"]
    held_rows.release(engine.context, Kind.CHARGE, charge, OPERATOR)


def test_a_payment_said_to_have_succeeded_that_never_was_is_for_a_person(engine: Engine) -> None:
    """It stays settled, and is listed and found by the audit until an operator acknowledges it."""
    _, subscription, charge = lost(engine, moved=False)
    page = silent(engine)
    engine.set_clock(START + HOUR)
    resolve(engine, charge, succeeded=True)
    assert engine.status(subscription) == "active"
    answer_as_before(engine, page)

    engine.advance(8 * DAY)

    [told] = engine.told("charge.contradicted")
    assert told["data"]["why"] == "an operator said succeeded, the gateway says not found"
    contradicted = engine.rows("SELECT id FROM charges WHERE contradicted_at IS NOT NULL")
    assert [row["id"] for row in contradicted] == [charge]
    [finding] = auditing.broken(engine.context)
    assert finding.name == "the gateway does not deny a recorded payment"
    assert engine.charges(subscription)[0]["status"] == "succeeded"

    with pytest.raises(
        IllegalMove, match="has already succeeded; only an open charge can be resolved"
    ):
        resolve(engine, charge, succeeded=False)
    resolve(engine, charge, succeeded=True)
    assert auditing.audit(engine.context) == []
    assert auditing.dead_ends(engine.context) == []
    assert len(engine.told("charge.confirmed")) == 1
    engine.audited = False  # the ledger knows no such payment


def test_another_amount_that_went_back_may_be_said_to_be_declined(engine: Engine) -> None:
    """The gateway has no trace of it any more: the verdict counts, and the next attempt is sent."""
    customer, subscription = engine.begun(every="1 year", retries="1d")
    engine.script("drop_before", customer)
    engine.run()
    [charge] = engine.charges(subscription)
    body = b'{"order":{"invoice_number":"%s","amount":30000},"transaction":{"status":"%s"}}'
    number = charge["gateway_number"].encode()
    page = answer_with(engine, check_status=status_with(200, body % (number, b"SUCCESS")))
    engine.set_clock(START + HOUR)
    with pytest.raises(IllegalMove, match=r"Rp 30,000 under our number .*refunded or failed"):
        resolve(engine, charge["id"], succeeded=False)
    answer_as_before(engine, page)

    answer_with(engine, check_status=status_with(200, body % (number, b"REFUNDED")))
    done = resolve(engine, charge["id"], succeeded=False)
    engine.advance(2 * DAY)

    assert done.gateway == "nothing certain (other_amount_refunded)"
    assert [c["status"] for c in engine.charges(subscription)] == ["declined", "succeeded"]
    engine.audited = False  # the page speaks of a payment that the ledger does not know


def test_a_request_for_approval_does_not_stand_in_the_way(engine: Engine) -> None:
    """It is an event of the subscription that changes nothing of it."""
    _, subscription, charge = lost(engine, moved=False)
    silent(engine)
    engine.advance(HOUR)
    told = event("approval.requested", at=engine.now, by=OPERATOR, subscription_id=subscription)
    with engine.context.database.transaction() as connection:
        seen = pages.newest_event(connection, subscription)
        events.record(connection, [told])
        assert not pages.has_changed(connection, subscription, seen, besides_charge=charge)
    resolve(engine, charge, succeeded=False)
    assert engine.charges(subscription)[0]["status"] == "declined"


def test_a_charge_that_nobody_knows_is_not_resolved(engine: Engine) -> None:
    """An unknown id is refused as such."""
    with pytest.raises(NotKnown):
        resolve(engine, UUID(int=7), succeeded=True)


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_change_while_the_gateway_is_asked_is_not_decided_about(
    engine: Engine, other: Engine, succeeded: bool
) -> None:
    """The invoice is voided meanwhile: as paid its money would go back, which nobody has read."""
    _, subscription, charge = lost(engine, moved=False)
    for each in (engine, other):
        each.set_clock(START + HOUR)
    inner = engine.context.gateway
    [invoice] = engine.invoices(subscription)

    def ask(identifier: str, number: str, amount: int) -> object:
        invoice_actions.void_invoice(other.context, invoice["id"], OPERATOR)
        return inner.check_status(identifier, number, amount)

    asked = answer_with(engine, check_status=ask)
    with pytest.raises(Changed, match="nothing was recorded, look at it again"):
        resolve(engine, charge, succeeded=succeeded)
    assert engine.charges(subscription)[0]["status"] == "unknown"
    answer_as_before(engine, asked)
    assert resolve(engine, charge, succeeded=False).settled_by == "operator"
    engine.run()


def test_a_decision_is_about_what_was_read(engine: Engine) -> None:
    """An operator who has read the page before the last change is told so."""
    _, subscription, charge = lost(engine, moved=False)
    engine.set_clock(START + HOUR)
    with engine.context.database.transaction() as connection:
        seen = pages.newest_event(connection, subscription)
    invoice_actions.void_invoice(engine.context, engine.invoices(subscription)[0]["id"], OPERATOR)
    with pytest.raises(Changed):
        charge_resolution.resolve_charge(engine.context, charge, False, OPERATOR, seen)
    assert engine.charges(subscription)[0]["status"] == "unknown"
    engine.advance(DAY)
