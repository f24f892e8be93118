"""What forbids an erasure, what an erased customer cannot do, and two acts at the same moment."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.domain.errors import BillingError, IllegalMove, NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.services.money import crediting
from billing.services.operating import importing
from billing.services.subscriptions import canceling, subscribing
from billing.services.wallets import erasing, linking
from billing.store.queries import erasure
from tests.integration.command import Billing
from tests.integration.engine import Engine
from tests.integration.personal import ended, erase, state
from tests.integration.races import Hold, at_once, beside

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class TestRefusals:
    """What must be finished first, and what an erased customer cannot do."""

    def test_a_live_subscription_comes_first(self, engine: Engine) -> None:
        """One clear line, and nothing is written."""
        customer, _ = engine.begun()
        engine.run()
        self._refused(engine, customer, "1 live subscription (cancel first)")

    def test_an_unresolved_charge_comes_first(self, engine: Engine) -> None:
        """Its money may have moved."""
        customer, subscription = engine.begun()
        engine.script("pending", customer, end="SUCCESS", after_queries=3)
        engine.run()
        canceling.cancel(engine.context, subscription, OPERATOR)
        self._refused(engine, customer, "1 unresolved charge (wait or resolve)")

    def test_an_unsettled_refund_comes_first(self, engine: Engine) -> None:
        """The customer waits for this money."""
        customer, subscription = engine.begun()
        engine.run()
        canceling.cancel(engine.context, subscription, OPERATOR, refund=canceling.RefundPolicy.FULL)
        self._refused(engine, customer, "1 unsettled refund (wait or resolve)")
        engine.run()

    def test_credit_that_was_paid_for_comes_first(self, engine: Engine) -> None:
        """It belongs to the customer; credit that was given does not count."""
        customer = ended(engine)
        crediting.grant(engine.context, customer, 500, Actor("shop", "late"))
        engine.execute("UPDATE charges SET kept = kept - 700, credited = 700")
        engine.execute(
            "INSERT INTO credits (customer_id, amount, remaining, invoice_id, charge_id,"
            " from_charge, reason, created_at) SELECT customer_id, 700, 700, invoice_id, id, 700,"
            " 'x', created_at FROM charges"
        )
        self._refused(engine, customer, "Rp 700 of unused credit that a payment backs")

    def _refused(self, engine: Engine, customer: str, why: str) -> None:
        before = engine.counts()
        with pytest.raises(IllegalMove, match=r"cannot be erased yet; it has") as refused:
            erasing.erase(engine.context, customer, OPERATOR)
        assert why in str(refused.value)
        assert "\n" not in str(refused.value)
        assert (engine.counts(), state(engine, customer)[0]) == (before, False)

    def test_an_unknown_customer_is_refused(self, engine: Engine) -> None:
        """As for every other command."""
        with pytest.raises(NotKnown, match="no customer has the id 'nobody'"):
            erasing.erase(engine.context, "nobody", OPERATOR)

    @pytest.mark.parametrize("done", [False, True])
    def test_an_erased_customer_never_changes_again(self, engine: Engine, done: bool) -> None:
        """From the request on: no subscription, link, update, credit or import."""
        customer, c = ended(engine), engine.context
        if not done:
            engine.script("failed", customer, "unbind")
        erase(engine, customer)
        assert state(engine, customer)[:2] == (True, done)
        before, word = engine.counts(), "was erased" if done else "is being erased"
        acts: tuple[Callable[[], Any], ...] = (
            lambda: subscribing.subscribe(c, customer, "P", OPERATOR, again=True),
            lambda: linking.link(c, customer, "628123456789", OPERATOR),
            lambda: subscribing.update_customer(c, customer, name="Ani", by=OPERATOR),
            lambda: subscribing.create_customer(c, customer, name="Ani", by=OPERATOR),
            lambda: crediting.grant(c, customer, 1, Actor("shop", "late")),
        )
        for act in acts:
            with pytest.raises(IllegalMove, match=word):
                act()
        assert engine.counts() == before
        engine.advance(HOUR)
        assert state(engine, customer) == (True, True, "")


def test_an_import_brings_no_erased_customer_back(engine: Engine) -> None:
    """Its row and a new subscription are rejected by name; a subscription that is there stays."""
    customer = ended(engine)
    due = (engine.now + 10 * DAY).isoformat()
    row = {"id": "old", "customer": customer, "plan": "P", "anchor": due, "next_due_at": due}
    [*_, report] = importing.subscriptions(engine.context, [(2, row)], OPERATOR)
    assert report.added == 1
    [mine] = engine.rows("SELECT subscription_id AS id FROM imports")
    canceling.cancel(engine.context, mine["id"], OPERATOR)
    erase(engine, customer)

    for dry_run in (True, False):
        rows = [(2, row), (3, row | {"id": "new"})]
        [*_, again] = importing.subscriptions(engine.context, rows, OPERATOR, dry_run=dry_run)
        assert (again.added, again.there) == (0, 1)
        assert again.bad == [(3, f"customer {customer!r} was erased; use another id")]
        people = [(2, {"id": customer, "name": "Ani"})]
        [*_, found] = importing.customers(engine.context, people, OPERATOR, dry_run=dry_run)
        assert found.bad == [(2, f"customer {customer!r} was erased; use another id")]
    assert state(engine, customer) == (True, True, "")


class TestCommands:
    """`billing customer export` and `erase`."""

    def test_a_person_reads_how_far_the_erasure_is(self, engine: Engine, billing: Billing) -> None:
        """While the wallet is unlinked, and after it; then `show` says so, too."""
        customer = ended(engine)
        assert "is being erased" in billing("customer", "erase", customer, people=True)
        assert "is being erased" in billing("customer", "show", customer, people=True)
        engine.run()
        assert "was erased" in billing("customer", "show", customer, people=True)
        assert billing("customer", "show", customer)["erased_at"] is not None
        assert "was erased" in billing("customer", "erase", customer, "--reason", "x", people=True)

    def test_the_rows_that_stay_can_be_read(self, engine: Engine, billing: Billing) -> None:
        """The subscription, its past and its events are shown without the texts."""
        customer = ended(engine)
        erase(engine, customer)
        [row] = engine.rows("SELECT id FROM subscriptions")
        assert "charged" in billing("subscription", "show", row["id"], people=True)
        assert "customer.erased" in billing("event", "list", "--customer", customer, people=True)
        assert billing("customer", "export", customer)["customer"]["name"] == ""

    def test_a_refusal_is_one_line(self, engine: Engine, billing: Billing) -> None:
        """Exit code 1, and what to do first."""
        customer, _ = engine.begun()
        said = billing("customer", "erase", customer, code=1)
        assert "1 live subscription (cancel first)" in said

    def test_an_export_is_one_document(self, engine: Engine, billing: Billing) -> None:
        """With --json all of it; for people only the counts."""
        customer = ended(engine)
        found = billing("customer", "export", customer)
        assert (found["customer"]["id"], len(found["charges"])) == (customer, 1)
        assert found["wallets"][0]["phone"].startswith("62")
        assert "1 charges" in billing("customer", "export", customer, people=True)


class TestRaces:
    """Two acts at the same moment."""

    def test_a_subscription_and_an_erasure_at_once_are_never_both(
        self, engine: Engine, other: Engine
    ) -> None:
        """The second of the two is refused."""
        for _ in range(5):
            customer = engine.customer(linked=False)
            engine.plan(customer)
            said = at_once(
                lambda: engine.subscribe(customer, customer),  # noqa: B023 - done before the next
                lambda: erasing.erase(other.context, customer, OPERATOR),  # noqa: B023 - the same
            )
            assert [isinstance(each, BillingError) for each in said].count(True) == 1

    def test_a_link_waits_for_the_request(self, engine: Engine, other: Engine, hold: Hold) -> None:
        """It is refused once the request is committed."""
        customer = engine.customer(linked=False)

        def link() -> None:
            with pytest.raises(IllegalMove, match="erased"):
                linking.link(other.context, customer, "628123456789", OPERATOR)

        beside(
            engine, hold, (erasure, "request"),
            lambda: erasing.erase(engine.context, customer, OPERATOR), link,
        )  # fmt: skip
        assert state(engine, customer) == (True, True, "")

    def test_an_import_waits_for_the_request(
        self, engine: Engine, other: Engine, hold: Hold
    ) -> None:
        """Its row is rejected: it reads the customers after the request is committed."""
        customer = engine.customer(linked=False)
        engine.plan()
        due = (engine.now + 10 * DAY).isoformat()
        row = {"id": "1", "customer": customer, "plan": "P", "anchor": due, "next_due_at": due}

        def bring() -> None:
            [*_, report] = importing.subscriptions(other.context, [(2, row)], OPERATOR)
            assert [line for line, _ in report.bad] == [2]

        beside(
            engine, hold, (erasure, "request"),
            lambda: erasing.erase(engine.context, customer, OPERATOR), bring,
        )  # fmt: skip
