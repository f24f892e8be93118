"""The audit is silent while all is well, and names every kind of damage it promises to find."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from billing.domain.events import OPERATOR, Actor
from billing.services.money import crediting, extra_lines, refunding
from billing.services.operating import kill_switch
from billing.services.reading import auditing
from billing.store.queries import audit as statements
from tests.integration import checks
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)


@pytest.fixture
def story(engine: Engine) -> UUID:
    """Three weeks of a subscription: paid twice, once after a decline, a refund, an open one.

    The open one has a line of its own and is covered in part by a credit.
    """
    customer, subscription = engine.begun(every="1 week")
    engine.script("decline", customer)
    engine.advance(8 * DAY)
    refunding.refund_invoice(
        engine.context, engine.invoices(subscription)[0]["id"], 20_000, OPERATOR
    )
    engine.run()
    crediting.grant(engine.context, customer, 12_000, Actor("operator", "a gift"))
    extra_lines.add(engine.context, subscription, "a towel", 1_000, OPERATOR)
    engine.script("decline", customer, times=None)
    engine.advance(START + 15 * DAY)
    assert [row["status"] for row in engine.invoices(subscription)] == ["paid", "paid", "open"]
    checks.check(engine)
    engine.audited = False
    return subscription


OF_A_CHARGE = (
    "from_charge = amount, charge_id = (SELECT id FROM charges WHERE kept > 0 ORDER BY id LIMIT 1)"
)
DAMAGE: dict[str, list[str]] = {
    "one paying charge for each paid invoice": [
        (
            "UPDATE charges SET surplus = true WHERE status = 'succeeded'"
            " AND invoice_id = (SELECT id FROM invoices WHERE period_index = 1)"
        ),
    ],
    "no paying charge for an invoice that is not paid": [
        (
            "UPDATE invoices SET status = 'open', paid_at = NULL, next_attempt_at = '2030-01-01'"
            " WHERE period_index = 1"
        ),
    ],
    "a surplus payment is given back": [
        "UPDATE charges SET surplus = true WHERE status = 'succeeded' AND kept > 0",
    ],
    "a charge, its invoice and its wallet are of the same customer": [
        "UPDATE charges SET customer_id = 'somebody else'",
        "UPDATE charges SET subscription_id = gen_random_uuid()",
        "UPDATE invoices SET customer_id = 'somebody else'",
    ],
    "a charge and a refund are of the plan of their invoice": [
        "UPDATE charges SET plan_code = 'another'",
        "UPDATE refunds SET plan_code = 'another'",
        "UPDATE invoices SET plan_code = 'another'",
    ],
    "the plan of an invoice exists": ["UPDATE invoices SET plan_code = 'another'"],
    "an invoice and its subscription are of the same customer": [
        "UPDATE invoices SET customer_id = 'somebody else'",
    ],
    "charge and invoice agree on the amount": [
        "UPDATE charges SET amount = amount + 1, kept = kept + 1 WHERE kept > 0",
        "UPDATE invoices SET amount = amount + 1 WHERE period_index = 0",
    ],
    "the lines of an invoice add up": [
        "UPDATE invoices SET lines = lines || '[{\"amount\": 5}]' WHERE lines <> '[]'",
        "UPDATE invoices SET lines = '[{\"amount\": 5}]' WHERE period_index = 0",
    ],
    "what invoices took of credits adds up": [
        "UPDATE invoices SET credited = credited - 1 WHERE credited > 0",
        "UPDATE credit_uses SET amount = amount + 1",
        "DELETE FROM credit_uses",
        "UPDATE invoices SET status = 'void', next_attempt_at = NULL WHERE credited > 0",
        (
            "WITH void AS (UPDATE invoices SET status = 'void', next_attempt_at = NULL"
            " WHERE credited > 0) UPDATE credit_uses SET returned = amount - 1"
        ),
    ],
    "what is left of a credit adds up": [
        "UPDATE credits SET remaining = remaining + 1",
        "UPDATE credits SET amount = amount + 1",
        "UPDATE credit_uses SET returned = 1",
        "DELETE FROM credit_uses",
    ],
    "what is paid out of a credit adds up": [
        f"UPDATE credits SET paid_out = 7, remaining = amount - 7, {OF_A_CHARGE}",
        (
            f"WITH given AS (UPDATE credits SET {OF_A_CHARGE}) UPDATE refunds"
            " SET source = 'credited', credit_id = (SELECT id FROM credits LIMIT 1)"
        ),
    ],
    "what was taken is kept, refunded or credited": [
        "UPDATE charges SET refunded = 19999, kept = kept + 1 WHERE refunded > 0",
        "UPDATE charges SET refunded = 1, kept = kept - 1 WHERE kept = amount AND kept > 0",
        "UPDATE charges SET credited = 1, kept = kept - 1 WHERE kept > 0",
        "UPDATE refunds SET status = 'declined'",
        f"UPDATE credits SET {OF_A_CHARGE}",
    ],
    "a credit is of the charge that paid its invoice": [f"UPDATE credits SET {OF_A_CHARGE}"],
    "money that must go back went back": ["UPDATE refunds SET status = 'unreturned'"],
    "no charge gave back more than it took": [
        (
            "INSERT INTO events (at, kind, actor, charge_id, data) SELECT now(),"
            " 'charge.breach_found', 'x', id, '{\"refunded\": 2, \"credited\": 3}' FROM charges"
        ),
    ],
    "no refund is contradicted by the gateway": [
        (
            "INSERT INTO events (at, kind, actor, data) SELECT now(), 'refund.contradicted', 'x',"
            " jsonb_build_object('refund', id, 'booked', false, 'gateway', 'failed') FROM refunds"
        ),
    ],
    "the gateway does not deny a recorded payment": [
        "UPDATE charges SET contradicted_at = now() WHERE status = 'succeeded'",
    ],
    "refunded money adds up": [
        "UPDATE invoices SET amount_refunded = 0",
        "UPDATE invoices SET amount_refunded = 5 WHERE period_index = 1",
        "UPDATE refunds SET status = 'unknown', parked_at = now()",
    ],
    "periods follow each other without gap or overlap": [
        "UPDATE invoices SET period_end = period_end - interval '1 hour' WHERE period_index = 0",
        "UPDATE invoices SET period_end = period_end + interval '1 hour' WHERE period_index = 0",
        (
            "UPDATE invoices SET period_index = 9, period_start = period_start - interval '1 day'"
            " WHERE period_index = 2"
        ),
    ],
    "every period has an invoice or was skipped on record": [
        "UPDATE subscriptions SET next_period_index = next_period_index + 1",
        "UPDATE subscriptions SET next_period_index = next_period_index - 1",
        (
            "INSERT INTO events (at, kind, actor, subscription_id, data) SELECT now(),"
            " 'period.skipped', 'x', id, '{\"first\": 7, \"last\": 7}' FROM subscriptions"
        ),
    ],
    "the first payment is marked as such": [
        "UPDATE charges SET first_payment = NOT first_payment WHERE status = 'succeeded'",
        "UPDATE charges SET first_payment = false",
    ],
    "an open invoice has a date, a charge on its way, or an older one before it": [
        "UPDATE invoices SET next_attempt_at = NULL",
    ],
    "an unresolved charge is asked about, or parked": [
        f"UPDATE charges SET status = '{status}', next_check_at = NULL WHERE id ="
        " (SELECT c.id FROM charges c JOIN invoices i ON i.id = c.invoice_id"
        "  WHERE i.status = 'open' LIMIT 1)"
        for status in ("in_flight", "pending", "unknown")
    ],
    "what only an answer called unsent is asked about once its invoice is closed": [
        (
            "UPDATE charges SET status = 'unsent', unsent_by_answer = true, fault = NULL WHERE id ="
            " (SELECT c.id FROM charges c JOIN invoices i ON i.id = c.invoice_id"
            "  WHERE i.status <> 'open' AND c.status = 'declined' LIMIT 1)"
        ),
    ],
    "an unsettled refund is tried again, or parked": [
        f"UPDATE refunds SET status = '{status}', next_attempt_at = NULL"
        for status in ("requested", "in_flight", "unknown")
    ],
    "a subscription that bills has a next due date": [
        "UPDATE subscriptions SET next_due_at = NULL",
    ],
    "a term whose last invoice is settled is over": [
        (
            "WITH term AS (UPDATE plans SET cycles = 3),"
            " last AS (UPDATE subscriptions SET next_due_at = NULL)"
            " UPDATE invoices SET status = 'void', next_attempt_at = NULL WHERE status = 'open'"
        ),
    ],
    "nothing is owed by a subscription that has ended": [
        "UPDATE subscriptions SET status = 'canceled', next_due_at = NULL, ended_at = now()",
        "UPDATE subscriptions SET status = 'completed', next_due_at = NULL, ended_at = now()",
    ],
    "every settled charge has its event": [
        "DELETE FROM events WHERE kind = 'charge.succeeded'",
        "UPDATE charges SET status = 'unsent' WHERE status = 'declined'",
    ],
    "what is final stays so": [
        (
            "UPDATE charges SET status = 'declined', kept = 0"
            " WHERE status = 'succeeded' AND kept = amount"
        ),
        "UPDATE invoices SET status = 'open', paid_at = NULL WHERE period_index = 0",
        "UPDATE refunds SET status = 'requested'",
        (
            "INSERT INTO events (at, kind, actor, subscription_id) SELECT now(),"
            " 'subscription.canceled', 'x', id FROM subscriptions"
        ),
    ],
    "an erased customer has no personal value left": [
        (
            "UPDATE customers SET name = '', phone = '', email = '', erase_requested_at = now(),"
            " erased_at = now()"
        ),
    ],
    "the totals of each hour are those of its events": [
        "INSERT INTO hourly_totals VALUES ('2026-01-31 02:00Z', 'charge.succeeded', 1, 50000)",
    ],
    "the totals of each day are those of its events": [
        "INSERT INTO daily_totals VALUES ('2026-01-31', 'charged', '', 1, 50000)",
    ],
    "the totals of each day ahead are those of the rows": [
        (
            "INSERT INTO ahead_state (at, until, counted_at, took_seconds, event_id)"
            " SELECT now(), now(), now(), 0, last_value FROM events_id_seq;"
            " INSERT INTO ahead_totals VALUES ('2026-02-28', 'P', 'period', false, 1, 50000)"
        ),
    ],
    "every notice can be read": [
        "ALTER TABLE plans DROP CONSTRAINT plans_notice_check; UPDATE plans SET notice = 'soon'",
    ],
    "nothing stays unknown beyond the alarm": [
        (
            "UPDATE charges SET status = 'pending', created_at = '2025-12-01'"
            " WHERE id = (SELECT id FROM charges WHERE status = 'declined' LIMIT 1)"
        ),
    ],
    "nothing that is due waits": [
        "UPDATE invoices SET next_attempt_at = '2026-01-01' WHERE status = 'open'",
        "UPDATE charges SET next_check_at = '2026-01-01'",
        "UPDATE refunds SET next_attempt_at = '2026-01-01'",
        "UPDATE subscriptions SET next_due_at = '2026-01-01'",
        "UPDATE subscriptions SET pause_at = '2026-01-01' WHERE ended_at IS NULL",
        "UPDATE subscriptions SET cancel_at = '2026-01-01' WHERE ended_at IS NULL",
        (
            "UPDATE subscriptions SET status = 'paused', next_due_at = NULL,"
            " resume_at = '2026-01-01' WHERE ended_at IS NULL"
        ),
    ],
}
CASES = [(name, damage) for name, damages in DAMAGE.items() for damage in damages]


def test_damage_is_found(engine: Engine, story: UUID, subtests: pytest.Subtests) -> None:
    """Rows that are corrupted in one way each are named by the invariant that they break."""
    overdue = engine.now - auditing.LEEWAY
    for name, damage in CASES:
        with subtests.test(name, damage=damage), engine.undone() as connection:
            assert statements.broken(connection, name, overdue) == []
            *before, last = damage.split("; ")
            for statement in before:
                connection.execute(text(statement))
            assert connection.execute(text(last)).rowcount > 0
            assert statements.broken(connection, name, overdue) != []


def test_a_finding_names_the_invariant_and_the_row(engine: Engine, story: UUID) -> None:
    """The text says which promise is broken, and where."""
    engine.execute("UPDATE invoices SET next_attempt_at = NULL WHERE status = 'open'")
    [open_invoice] = [i for i in engine.invoices(story) if i["status"] == "open"]

    [finding] = auditing.audit(engine.context)

    assert finding.name.startswith("an open invoice has a date")
    assert str(open_invoice["id"]) in finding.detail


def test_every_invariant_was_tried() -> None:
    """A new invariant comes with a test that it finds something."""
    assert DAMAGE.keys() == statements.INVARIANTS.keys()


def test_many_findings_do_not_become_a_flood(engine: Engine) -> None:
    """At most twenty lines of each kind are shown."""
    engine.plan(every="1 day")
    engine.subscribe(engine.customer())
    engine.set_clock(START + 30 * DAY)
    engine.run()
    engine.audited = False
    engine.execute("UPDATE charges SET amount = amount + 1, kept = kept + 1")

    named = [f for f in auditing.audit(engine.context) if f.name.startswith("charge and invoice")]

    assert len(named) == 20


def test_the_kill_switch_is_no_finding(engine: Engine) -> None:
    """Invoices that wait while charging is stopped are not late; other work is."""
    _customer, _subscription = engine.begun()
    kill_switch.stop_charging(engine.context, OPERATOR)
    engine.set_clock(START + DAY)
    engine.tick()
    engine.set_clock(START + 2 * DAY)

    assert auditing.audit(engine.context) == []
    kill_switch.start_charging(engine.context, OPERATOR)
    assert {f.name for f in auditing.audit(engine.context)} == {"nothing that is due waits"}
    engine.run()
