"""The events of a charge that are written together with its rows: the claim's and the renewal's."""

from datetime import timedelta

from billing.domain.events import Actor
from billing.domain.outcomes import Succeeded
from billing.domain.settlement import Source
from billing.services.collecting import settling
from billing.services.collecting.settling import News
from tests.integration.engine import START, Engine


def test_a_plain_renewal_leaves_the_events_of_each_move(engine: Engine) -> None:
    """They are in order and about the same charge; two are written with its outcome."""
    customer, subscription = engine.begun()
    engine.run()

    [paid] = engine.charges(subscription)
    rows = engine.rows(
        "SELECT kind, actor, reason, customer_id, invoice_id, charge_id, data FROM events"
        " WHERE subscription_id = :id AND charge_id IS NOT NULL ORDER BY id",
        id=subscription,
    )
    claim = {"attempt": 1, "amount": paid["amount"], "first_payment": True, "trigger": "scheduled"}
    about = (customer, paid["invoice_id"], paid["id"])
    assert [tuple(row.values()) for row in rows] == [
        ("charge.claimed", "scheduler", None, *about, claim),
        ("charge.succeeded", "scheduler", None, *about, {"source": "live"}),
        ("invoice.paid", "scheduler", None, *about, {"amount": paid["amount"]}),
    ]


def test_a_person_who_settles_a_charge_stands_in_its_events(engine: Engine) -> None:
    """Both events that are written with the outcome have the actor and the reason."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.run()
    [charge] = engine.charges(subscription)
    engine.set_clock(START + timedelta(hours=1))
    by = Actor("operator", "seen in the back office")
    settling.settle(engine.context, [News(charge["id"], Succeeded())], Source.OPERATOR, by)

    told = engine.told("charge.succeeded") + engine.told("invoice.paid")
    assert [(row["actor"], row["reason"]) for row in told] == [(by.name, by.reason)] * 2
