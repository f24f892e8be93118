"""Erasing a customer: nothing personal is left anywhere, and the accounts stay as they are."""

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet

from billing import logs
from billing.domain.errors import NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.services.money import crediting, refunding
from billing.services.reading import auditing, customer_export, read_models
from billing.services.subscriptions import canceling
from billing.services.wallets import erasing, linking
from billing.store.queries import erasure
from billing.store.vault import Vault
from tests.commands import logs_as_before
from tests.integration import personal
from tests.integration.engine import Engine
from tests.integration.personal import NAME, WHY, ended, erase, life, money, state, traces
from tests.integration.web import Web

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def test_nothing_personal_is_left_after_a_whole_life(engine: Engine, web: Web) -> None:
    """Every column of every table, the log, the export and the answers: no trace; money stays."""
    stream, client = StringIO(), web.client("admin", name="shop")
    with logs_as_before():
        logs.configure("json", "debug", stream)
        person = life(web, client)
        before, held = traces(engine, person.needles), money(engine)
        customer = person.id
        client.ok("POST", f"/v1/customers/{customer}/erase", {"reason": person.why})
        engine.run()

    assert before >= {
        "customers.name", "customers.phone", "customers.email", "wallets.phone_sealed",
        "wallets.masked_phone", "subscriptions.reason", "invoices.reason", "invoices.lines",
        "refunds.reason", "credits.reason", "imports.content", "events.reason", "events.data",
        "commands.arguments",
    }  # fmt: skip
    assert traces(engine, person.needles) == set()
    assert money(engine) == held
    assert held
    shown = [
        client.ok("GET", f"/v1/customers/{customer}/export"),
        client.ok("GET", f"/v1/customers/{customer}"),
        client.ok("GET", "/v1/events?limit=500"),
    ]
    said = json.dumps(shown).lower() + stream.getvalue().lower()
    assert [needle for needle in person.needles if needle in said] == []
    assert "customer.erased" in stream.getvalue()
    assert [told["reason"] for told in engine.told("customer.erase_requested")] == [None]
    assert engine.wallets(customer)[-1]["status"] == "unlinked"


def test_the_export_has_everything_in_full(engine: Engine, web: Web) -> None:
    """Phone and e-mail unmasked, the wallet's phone decrypted, every kind of row, and no token."""
    client = web.client("admin")
    person = life(web, client)
    customer = person.id
    [wallet] = engine.wallets(customer)
    token = engine.context.vault.open(wallet["token_sealed"]).decode()

    found = client.ok("GET", f"/v1/customers/{customer}/export")

    assert (found["customer"]["name"], found["customer"]["phone"]) == (NAME, person.stored_phone)
    assert found["customer"]["email"] == personal.EMAIL
    assert [each["phone"] for each in found["wallets"]] == [person.stored_phone]
    assert all(found[kind] for kind in ("subscriptions", "invoices", "charges", "refunds",
                                        "credits", "events"))  # fmt: skip
    assert [each["content"]["masked_phone"] for each in found["imports"]] == [person.masked_phone]
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


@pytest.mark.parametrize("after", range(1, len(erasure._STATEMENTS) + 1))
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


def test_a_request_from_before_the_erasure_is_answered_as_before(engine: Engine, web: Web) -> None:
    """
    A request that is repeated with its key after the erasure acts no second time, and is no error.

    Its texts are erased and cannot be compared any more; its ids and amounts still are.
    """
    client = web.client("admin")
    customer, subscription = engine.begun()
    engine.run()
    [invoice] = engine.invoices(subscription)
    mine = f"/v1/customers/{customer}"
    requests: list[tuple[str, dict[str, Any]]] = [
        (f"{mine}/credits", {"amount": 900, "reason": WHY}),
        (f"/v1/invoices/{invoice['id']}/refunds", {"amount": 700, "reason": WHY}),
        (f"/v1/subscriptions/{subscription}/extras", {"title": NAME, "amount": 5, "reason": WHY}),
        (f"/v1/subscriptions/{subscription}/cancel", {"at": "now", "reason": WHY}),
        (f"{mine}/erase", {"reason": WHY}),
    ]
    for number, (path, body) in enumerate(requests):
        client.ok("POST", path, body, key=f"k{number}")
        engine.run()
    assert state(engine, customer) == (True, True, "")
    before = engine.counts()

    for number, (path, body) in enumerate(requests):
        client.ok("POST", path, body, key=f"k{number}")
        if "amount" in body:
            other = {**body, "amount": 1}
            assert client.refused("POST", path, other, key=f"k{number}")["type"] == "key_reused"
    assert engine.counts() == before
    assert traces(engine) == set()


def test_a_reason_that_is_typed_after_the_erasure_stays(engine: Engine, web: Web) -> None:
    """A refund is still possible. Its reason is kept with it, and the next request says so."""
    customer, subscription = engine.begun()
    engine.run()
    [invoice] = engine.invoices(subscription)
    canceling.cancel(engine.context, subscription, OPERATOR)
    erase(engine, customer)
    client, path = web.client("admin"), f"/v1/invoices/{invoice['id']}/refunds"

    made = client.ok("POST", path, {"amount": 700, "reason": "ticket 4711"}, key="k")
    engine.run()

    assert made["reason"] == "ticket 4711"
    assert client.ok("POST", path, {"amount": 700, "reason": "ticket 4711"}, key="k") != made
    assert client.refused("POST", path, {"amount": 700, "reason": "x"}, key="k")["status"] == 422
    assert auditing.broken(engine.context) == []


def test_another_customer_is_not_touched(engine: Engine, web: Web) -> None:
    """A second person with a life of the same kind keeps every value."""
    client = web.client("admin", name="shop")
    customer = life(web, client).id
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
    assert traces(engine, ["bambang"]) == set()
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


def test_texts_in_every_column_that_can_hold_one_are_erased(engine: Engine) -> None:
    """Also those that seldom have one: errors of held rows, messages of the gateway, old keys."""
    customer, subscription = engine.begun()
    engine.run()
    [invoice] = engine.invoices(subscription)
    made = refunding.refund_invoice(engine.context, invoice["id"], 1_000, OPERATOR)
    engine.run()
    canceling.cancel(engine.context, subscription, OPERATOR)
    fill = {
        "wallets": "reason = :why", "charges": "message = :why, body_sealed = :sealed",
        "subscriptions": "reason = :why, extras = jsonb_build_array(jsonb_build_object("
        "'kind', 'extra', 'amount', 1, 'title', :why))",
        "invoices": "reason = :why, lines = jsonb_build_array(jsonb_build_object("
        "'kind', 'extra', 'amount', amount, 'title', :why))",
        "refunds": "reason = :why, message = :why",
        "events": "reason = :why, data = data || jsonb_build_object('why', :why, 'new', :why,"
        " 'deep', jsonb_build_object('name', :why), 'list', jsonb_build_array(:why))",
    }  # fmt: skip
    sealed = engine.context.vault.seal(WHY.encode())
    for table, columns in fill.items():
        known = {"why": WHY, "id": customer} | ({"sealed": sealed} if ":sealed" in columns else {})
        columns = columns.replace(":why", "CAST(:why AS text)")  # noqa: PLW2901 - typed for jsonb
        engine.execute(f"UPDATE {table} SET {columns} WHERE customer_id = :id", **known)
    for key, name, value in (("a", "customer", customer), ("b", "invoice", str(invoice["id"])),
                             ("c", "refund", made["refund"])):  # fmt: skip
        engine.execute(
            "INSERT INTO commands (key, task, arguments, created_at) VALUES (:key, 'x',"
            " jsonb_build_object(CAST(:name AS text), CAST(:value AS text), 'reason',"
            " CAST(:why AS text)), now())",
            key=key, name=name, value=value, why=WHY,
        )  # fmt: skip

    erase(engine, customer)

    assert state(engine, customer) == (True, True, "")
    assert traces(engine) == set()
    [told] = engine.told("refund.requested")
    assert told["data"] | {"refund": made["refund"], "amount": 1_000} == told["data"]
    stored = [row["arguments"] for row in engine.rows("SELECT * FROM commands ORDER BY key")]
    assert stored[0] == {"customer": customer, "reason": "erased"}


def test_a_key_that_is_lost_does_not_prevent_an_erasure(engine: Engine) -> None:
    """The tokens that the gateway lists are deleted, since ours cannot be decrypted any more."""
    customer = ended(engine)
    lost = replace(engine.context, vault=Vault([Fernet.generate_key().decode()]))
    erasing.erase(lost, customer, OPERATOR)
    for wallet in linking.lease_due(lost, 10):
        linking.attend(lost, wallet)

    assert state(engine, customer) == (True, True, "")
    assert engine.gateway.control("GET", f"wallets/{customer}")["token_id"] is None


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE wallets SET masked_phone = '****1234'", "a personal value in a wallet"),
        ("UPDATE charges SET body_sealed = 'x'", "the body of a charge"),
        ("UPDATE events SET reason = 'x' WHERE kind = 'charge.claimed'", "a reason in an event"),
        ("UPDATE subscriptions SET ended_at = NULL, status = 'unpaid'", "a live subscription"),
    ],
)
def test_the_audit_finds_what_was_left(engine: Engine, change: str, what: str) -> None:
    """A value that is there after the erasure is a finding."""
    customer = ended(engine)
    erase(engine, customer)
    assert auditing.broken(engine.context) == []

    engine.execute(change)

    found = [each.detail for each in auditing.broken(engine.context) if "erased" in each.name]
    assert found == [f"{customer} was erased, and has {what}"]
    engine.audited = False


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
