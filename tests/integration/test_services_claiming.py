"""Claiming: which invoices may be charged, and how a charge that was claimed before is counted.

The partial unique indexes stop a wrong claim; these tests require that it is not attempted.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from billing.services.collecting import charging, claiming
from billing.store.queries import claims
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def candidates(engine: Engine, *invoice_ids: UUID) -> list[UUID]:
    """Which of these invoices the claim's statement offers."""
    with engine.context.database.transaction() as connection:
        rows = claims.candidates(connection, list(invoice_ids), engine.now)
        return [row.invoice_id for row in rows]


def make_due(engine: Engine) -> None:
    """Put every open invoice on the schedule now, which no service does."""
    engine.execute("UPDATE invoices SET next_attempt_at = :now WHERE status = 'open'",
                   now=engine.now)  # fmt: skip


@pytest.fixture
def two_open(engine: Engine) -> tuple[str, UUID, UUID, UUID]:
    """Give a customer with two due invoices: customer, subscription, older and newer invoice."""
    customer, subscription = engine.begun(retries="40d")
    engine.script("decline", customer)
    engine.advance(START + 30 * DAY)
    make_due(engine)
    older, newer = engine.invoices(subscription)
    assert (older["status"], newer["status"]) == ("open", "open")
    return customer, subscription, older["id"], newer["id"]


def test_only_the_oldest_open_invoice_is_offered(
    engine: Engine, two_open: tuple[str, UUID, UUID, UUID]
) -> None:
    """A newer invoice waits for the older one, in any order of the ids in the message."""
    _, _, older, newer = two_open

    assert candidates(engine, newer) == []
    assert candidates(engine, newer, older) == [older]
    assert candidates(engine, older, newer) == [older]


def test_a_newer_invoice_is_not_charged_before_an_older_one(
    engine: Engine, two_open: tuple[str, UUID, UUID, UUID]
) -> None:
    """A message about the newer one alone charges nothing; then both are charged, oldest first."""
    customer, subscription, older, newer = two_open
    before = len(engine.ledger(customer, "payment"))

    charging.collect(engine.context, [newer])

    assert len(engine.ledger(customer, "payment")) == before
    assert claiming.claim(engine.context, {newer: None}) == []
    engine.run()
    paid = [c["invoice_id"] for c in engine.charges(subscription) if c["status"] == "succeeded"]
    numbers = [row["number"].split("-")[1] for row in engine.debits(customer)]
    assert sorted(paid) == sorted([older, newer])
    assert numbers == ["0", "1"]


@pytest.mark.parametrize("status", ["in_flight", "pending", "unknown"])
def test_an_invoice_with_an_unresolved_charge_is_not_offered(engine: Engine, status: str) -> None:
    """It is neither postponed nor blocked: before a status query nothing may happen to it."""
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.run()
    waiting = {"pending": "customer"}.get(status)
    engine.execute("UPDATE charges SET status = :status, waiting = :waiting",
                   status=status, waiting=waiting)  # fmt: skip
    make_due(engine)
    [invoice] = engine.invoices(subscription)

    assert candidates(engine, invoice["id"]) == []

    engine.execute("UPDATE charges SET status = 'unknown', waiting = NULL")
    engine.execute("UPDATE invoices SET next_attempt_at = NULL")
    engine.advance(HOUR)
    assert len(engine.debits(customer)) == 1


def test_an_invoice_whose_charge_is_unknown_is_not_blocked_for_want_of_a_wallet(
    engine: Engine,
) -> None:
    """
    A message about an unknown charge whose token has expired changes nothing.

    If it were blocked and given up, the subscription would end while its money may have moved.
    """
    customer, subscription = engine.begun()
    engine.script("drop_after", customer)
    engine.run()
    engine.lose_wallet(customer)
    make_due(engine)
    [invoice] = engine.invoices(subscription)
    [charge] = engine.charges(subscription)
    before = engine.counts()

    for _ in range(2):
        claiming.claim(engine.context, {invoice["id"]: charge["id"]})
        make_due(engine)

    assert engine.counts() == before
    assert engine.invoices(subscription)[0]["blocked_on"] is None
    engine.execute("UPDATE invoices SET next_attempt_at = NULL")
    engine.advance(HOUR)
    assert engine.status(subscription) == "active"
    assert len(engine.debits(customer)) == 1


def test_a_lost_charge_that_is_claimed_again_was_sent_twice(engine: Engine) -> None:
    """
    The first sending was lost, the wallet too; with a new wallet the same charge is sent again.

    The rejection of this sending proves nothing about the first one: the charge is unknown, and
    gets a status query before it is sent a third time.
    """
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_before", customer)
    engine.run()
    engine.lose_wallet(customer)
    engine.advance(HOUR)
    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["code"], charge["sends"]) == ("declined", "not_found", 1)

    engine.link(customer)
    engine.script("turn_away", customer)
    engine.run()

    [again] = engine.charges(subscription)
    assert again["id"] == charge["id"]
    assert (again["status"], again["sends"]) == ("unknown", 2)
    engine.advance(HOUR)
    [paid] = engine.charges(subscription)
    assert (paid["status"], paid["sends"]) == ("succeeded", 3)
    assert len(engine.debits(customer)) == 1


def test_a_charge_that_never_left_is_claimed_again_as_its_first_sending(engine: Engine) -> None:
    """A request that was rejected before the gateway read it does not count as a sending."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("turn_away", customer, times=2)
    engine.advance(HOUR)

    [charge] = engine.charges(subscription)
    assert (charge["status"], charge["sends"]) == ("succeeded", 1)
