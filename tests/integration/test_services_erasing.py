"""Erasing a customer: nothing personal is left anywhere, and the accounts stay as they are."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest

from billing import logs
from billing.domain.errors import BillingError, IllegalMove, NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.services.money import crediting
from billing.services.operating import importing
from billing.services.reading import auditing, customer_export, read_models
from billing.services.subscriptions import canceling, subscribing
from billing.services.wallets import erasing, linking
from billing.store.queries import erasure
from tests.commands import logs_as_before
from tests.integration import personal
from tests.integration.engine import Engine
from tests.integration.personal import NAME, NEEDLES, WHY, life, money, traces
from tests.integration.races import Hold, at_once, beside
from tests.integration.web import Web

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def ended(engine: Engine, **options: Any) -> str:
    """A customer with a linked wallet, whose only subscription was paid and is canceled."""
    customer, subscription = engine.begun(**options)
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR)
    return customer


def state(engine: Engine, customer: str) -> tuple[bool, bool, str]:
    """Whether the erasure was requested, whether it was done, and the name."""
    [row] = engine.rows("SELECT * FROM customers WHERE id = :id", id=customer)
    return row["erase_requested_at"] is not None, row["erased_at"] is not None, row["name"]


def erase(engine: Engine, customer: str) -> None:
    """Request the erasure, and do what is due."""
    erasing.erase(engine.context, customer, Actor("shop", WHY))
    engine.run()


def test_nothing_personal_is_left_after_a_whole_life(engine: Engine, web: Web) -> None:
    """Every column of every table, the log, the export and the answers: no trace; money stays."""
    stream, client = StringIO(), web.client("admin", name="shop")
    with logs_as_before():
        logs.configure("json", "debug", stream)
        customer, _ = life(web, client)
        before, held = traces(engine), money(engine)
        client.ok("POST", f"/v1/customers/{customer}/erase", {"reason": WHY})
        engine.run()

    assert before >= {
        "customers.name", "customers.phone", "customers.email", "wallets.phone_sealed",
        "wallets.masked_phone", "subscriptions.reason", "invoices.reason", "invoices.lines",
        "refunds.reason", "credits.reason", "imports.content", "events.reason", "events.data",
        "commands.arguments",
    }  # fmt: skip
    assert traces(engine) == set()
    assert money(engine) == held
    assert held
    shown = [
        client.ok("GET", f"/v1/customers/{customer}/export"),
        client.ok("GET", f"/v1/customers/{customer}"),
        client.ok("GET", "/v1/events?limit=500"),
    ]
    said = json.dumps(shown).lower() + stream.getvalue().lower()
    assert [needle for needle in NEEDLES if needle in said] == []
    assert "customer.erased" in stream.getvalue()
    assert [told["reason"] for told in engine.told("customer.erase_requested")] == [None]
    assert engine.wallets(customer)[-1]["status"] == "unlinked"


def test_the_export_has_everything_in_full(engine: Engine, web: Web) -> None:
    """Phone and e-mail unmasked, the wallet's phone decrypted, every kind of row, and no token."""
    client = web.client("admin")
    customer, _ = life(web, client)
    [wallet] = engine.wallets(customer)
    token = engine.context.vault.open(wallet["token_sealed"]).decode()

    found = client.ok("GET", f"/v1/customers/{customer}/export")

    assert (found["customer"]["name"], found["customer"]["phone"]) == (NAME, "6281299887766")
    assert found["customer"]["email"] == personal.EMAIL
    assert [each["phone"] for each in found["wallets"]] == ["6281299887766"]
    assert all(found[kind] for kind in ("subscriptions", "invoices", "charges", "refunds",
                                        "credits", "events"))  # fmt: skip
    assert [each["content"]["masked_phone"] for each in found["imports"]] == ["****7766"]
    assert found["cut"] == []
    assert token not in json.dumps(found)


def test_an_export_that_is_too_long_says_what_was_cut(engine: Engine) -> None:
    """The newest rows are there, and the names of the lists that are not whole."""
    customer = ended(engine)

    found = customer_export.export(engine.context, customer, rows_max=1)

    assert found.cut == ["events"]
    assert len(found.events) == 1
    with pytest.raises(NotKnown):
        customer_export.export(engine.context, "nobody")


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


@pytest.mark.parametrize("kind", ["failed", "http_500", "drop_after", "garbage"])
def test_the_erasure_waits_until_the_token_is_deleted(engine: Engine, kind: str) -> None:
    """While the gateway refuses, everything is there; once it confirms, nothing is."""
    customer = ended(engine)
    engine.script(kind, customer, "unbind", times=2)
    erase(engine, customer)
    assert state(engine, customer) == (True, False, "Ani")
    assert engine.wallets(customer)[0]["status"] == "unlinking"
    assert engine.told("customer.erased") == []

    engine.advance(HOUR)

    assert state(engine, customer) == (True, True, "")
    assert len(engine.told("customer.erased")) == 1
    assert len(engine.ledger(customer, "unbind")) == 1


def test_a_crash_between_unlink_and_emptying_only_delays_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next tick completes it, without the gateway."""
    customer = ended(engine)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    erasing.erase(engine.context, customer, OPERATOR)
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "empty", crash)
        with pytest.raises(KeyboardInterrupt):
            engine.run()
    assert engine.wallets(customer)[0]["status"] == "unlinked"
    assert state(engine, customer) == (True, False, "Ani")

    engine.tick()

    assert state(engine, customer) == (True, True, "")
    assert len(engine.told("customer.erased")) == 1


@pytest.mark.parametrize("after", range(1, 10))
def test_a_crash_in_the_middle_of_emptying_changes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """It is one transaction: all columns are emptied, or none; one that fails stops no other."""
    customer, other = engine.customer(linked=False), engine.customer(linked=False)
    engine.execute("UPDATE customers SET erase_requested_at = created_at")
    statements = list(erasure._STATEMENTS)
    broken = "SELECT 1 / CAST((:id = '" + customer + "') IS NOT TRUE AS int)"
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "_STATEMENTS", (*statements[:after], broken, *statements[after:]))
        with pytest.raises(Exception, match="division by zero"):
            erasing.complete_due(engine.context, 10)
    assert state(engine, customer) == (True, False, "Ani")
    assert state(engine, other) == (True, True, "")

    engine.tick()

    assert state(engine, customer) == (True, True, "")


def test_erasing_twice_is_erasing_once(engine: Engine, web: Web) -> None:
    """With the same key, with another one, at once, and after it is done."""
    customer, client = ended(engine), web.client("admin")
    path = f"/v1/customers/{customer}/erase"
    for key in ("one", "one", "two"):
        found = client.ok("POST", path, {"reason": WHY}, key=key)
        assert found["erase_requested_at"] is not None
    engine.run()
    for key in ("one", "two", "three"):
        assert client.ok("POST", path, key=key)["erased_at"] is not None

    events = ("customer.erase_requested", "customer.erased")
    assert [len(engine.told(kind)) for kind in events] == [1, 1]
    assert traces(engine) == set()


def test_another_customer_is_not_touched(engine: Engine, web: Web) -> None:
    """A second person with a life of the same kind keeps every value."""
    client = web.client("admin", name="shop")
    customer, _ = life(web, client)
    gone = engine.customer()
    engine.execute("UPDATE customers SET name = 'Bambang' WHERE id = :id", id=gone)
    crediting.grant(engine.context, gone, 900, Actor("shop", "for Bambang"))
    tables = ("customers", "wallets", "subscriptions", "invoices", "charges", "refunds", "credits",
              "imports", "commands")  # fmt: skip
    shown = "SELECT * FROM {} AS t WHERE CAST(t AS text) NOT LIKE '%' || :id || '%' ORDER BY 1"
    before = {table: engine.rows(shown.format(table), id=gone) for table in tables}
    told = engine.rows("SELECT * FROM events WHERE customer_id = :id ORDER BY id", id=customer)

    erase(engine, gone)

    assert state(engine, gone) == (True, True, "")
    assert {table: engine.rows(shown.format(table), id=gone) for table in tables} == before
    assert told == engine.rows(
        "SELECT * FROM events WHERE customer_id = :id ORDER BY id", id=customer
    )
    assert traces(engine, "bambang") == set()
    assert "customers.name" in traces(engine)


def test_late_money_is_recorded_and_refunded_after_the_erasure(engine: Engine) -> None:
    """The gateway says later that a declined charge succeeded: the money goes back."""
    customer, subscription = engine.begun(retries="2d")
    engine.script("drop_after", customer)
    engine.script("status_says", customer, "status", times=3, status="FAILED")
    engine.advance(HOUR)
    [charge] = engine.charges(subscription)
    assert charge["status"] == "declined"
    canceling.cancel(engine.context, subscription, OPERATOR)
    erase(engine, customer)
    assert state(engine, customer) == (True, True, "")

    engine.no_more_scripts()
    engine.late_success(charge["id"])
    engine.run()

    [refund] = engine.refunds(customer)
    assert (refund["status"], refund["amount"]) == ("succeeded", 50_000)
    assert auditing.broken(engine.context) == []


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


def test_an_open_link_is_closed_at_once(engine: Engine) -> None:
    """There is no token yet: nothing has to wait."""
    customer = engine.customer(linked=False)
    engine.bind(customer)
    erasing.erase(engine.context, customer, Actor("shop", WHY))

    assert state(engine, customer) == (True, True, "")
    [wallet] = engine.wallets(customer)
    assert (wallet["status"], wallet["registration_url"]) == ("unlinked", None)
    assert bytes(wallet["phone_sealed"]) == b""
    assert read_models.customer(engine.context.database, customer, 1).customer.row.erased_at
