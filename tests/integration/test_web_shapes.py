"""One shape: the HTTP interface and `--json` show the same documents of the same rows."""

from typing import Any

import pytest

from tests.integration.command import Billing
from tests.integration.engine import Engine
from tests.integration.web import Client, Web

LISTS = {
    "plans": ("plan", "list"), "coupons": ("coupon", "list"), "customers": ("customer", "list"),
    "wallets": ("wallet", "list"), "subscriptions": ("subscription", "list"),
    "invoices": ("invoice", "list"), "charges": ("charge", "list"), "refunds": ("refunds", "list"),
    "webhook-endpoints": ("webhook", "list"), "webhook-deliveries": ("webhook", "deliveries"),
}  # fmt: skip
"""Each list of the HTTP interface, with its command."""
BY_AGE = "ways_out"
"""Its commands depend on the age from which an outcome may be decided, which a command knows."""


def plain(document: Any) -> Any:
    """Return a document without what depends on the age of a row."""
    if isinstance(document, dict):
        return {name: plain(each) for name, each in document.items() if name != BY_AGE}
    return [plain(each) for each in document] if isinstance(document, list) else document


def lived(engine: Engine, client: Client) -> dict[str, str]:
    """Make a row of every noun, and return an id of each."""
    client.ok("PUT", "/v1/plans/gold", {"amount": 50_000, "every": "1 month"})
    client.ok("POST", "/v1/coupons", {"code": "HALF", "percent": 50})
    body = {"url": "https://shop.example/hook", "event_types": ["invoice.paid"]}
    endpoint = client.ok("POST", "/v1/webhook-endpoints", body)
    customer = engine.customer()
    order = {"customer": customer, "plan": "gold", "setup_fee": 5_000}
    made = client.ok("POST", "/v1/subscriptions", order)
    engine.run()
    shown = client.ok("GET", f"/v1/subscriptions/{made['id']}")
    [invoice] = shown["invoices"]
    path = f"/v1/invoices/{invoice['id']}/refunds"
    refund = client.ok("POST", path, {"amount": 1_000, "reason": "late"})
    return {
        "customer": customer, "subscription": made["id"], "invoice": invoice["id"],
        "charge": invoice["charges"][0]["id"], "refund": refund["id"], "webhook": endpoint["id"],
    }  # fmt: skip


def test_each_list_and_each_resource_is_the_same_from_both(
    engine: Engine, web: Web, billing: Billing
) -> None:
    """Keys, values and instants are equal, so that a program reads both with one model."""
    client = web.client()
    ids = lived(engine, client)
    for name, words in LISTS.items():
        rows = client.ok("GET", f"/v1/{name}")["data"]
        assert rows or name == "webhook-deliveries", name
        assert plain(billing(*words)) == plain(rows), name

    credits_path = f"/v1/customers/{ids['customer']}/credits"
    client.ok("POST", credits_path, {"amount": 5, "reason": "gift"})
    assert billing("credit", "list", ids["customer"]) == client.ok("GET", credits_path)["data"]
    for words, path in (
        (("plan", "show", "gold"), "plans/gold"),
        (("customer", "show", ids["customer"]), f"customers/{ids['customer']}"),
        (("wallet", "refresh", ids["customer"]), f"customers/{ids['customer']}/wallet"),
        (("subscription", "show", ids["subscription"]), f"subscriptions/{ids['subscription']}"),
        (("invoice", "show", ids["invoice"]), f"invoices/{ids['invoice']}"),
        (("charge", "show", ids["charge"]), f"charges/{ids['charge']}"),
        (("refunds", "show", ids["refund"]), f"refunds/{ids['refund']}"),
        (("webhook", "show", ids["webhook"]), f"webhook-endpoints/{ids['webhook']}"),
    ):
        assert plain(billing(*words)) == plain(client.ok("GET", f"/v1/{path}")), words
    exported = client.ok("GET", f"/v1/customers/{ids['customer']}/export")
    assert billing("customer", "export", ids["customer"]) == exported


def test_events_have_the_same_keys_from_both(engine: Engine, web: Web, billing: Billing) -> None:
    """A command lists by time and the feed by position; the documents have the same keys."""
    engine.plan()
    [from_feed] = web.client().ok("GET", "/v1/events?kind=plan.created")["data"]
    [from_command] = billing("event", "list", "--type", "plan.created")
    assert set(from_command) == set(from_feed)
    assert from_command == from_feed


def test_each_command_that_makes_something_prints_the_whole_object(
    engine: Engine, web: Web, billing: Billing
) -> None:
    """As a POST does; what the command did besides is in `done` and nowhere else."""
    client = web.client()
    ids = lived(engine, client)

    def shape(path: str) -> set[str]:
        return set(client.ok("GET", f"/v1/{path}"))

    subscription = shape(f"subscriptions/{ids['subscription']}")
    again = billing("subscribe", ids["customer"], "gold", "--again")
    assert set(again) == subscription | {"done"}
    assert set(again["done"]["charged_now"]) == {"periods_count", "amount", "more"}
    changed = billing("subscription", "change", again["id"], "--quantity", 2, "--at", "period-end")
    assert set(changed) == subscription | {"done"}
    ended = billing("subscription", "cancel", again["id"])
    assert set(ended) == subscription | {"done"}
    given = billing("credit", "give", ids["customer"], "--amount", 10, "--reason", "gift")
    assert given == client.ok("GET", f"/v1/customers/{ids['customer']}/credits")["data"][0]
    assert set(billing("plan", "create", "q", "--amount", 5, "--every", "1 day")) == shape(
        "plans/q"
    )
    made = billing("customer", "create", "c-9", "--name", "Ani")
    assert set(made) == shape("customers/c-9")
    linked = billing("wallet", "link", "c-9", "--phone", "6281234567890")
    assert set(linked) == shape("customers/c-9/wallet")
    refund = billing("refund", ids["invoice"], "--amount", 5, "--reason", "late")
    assert set(refund) == shape(f"refunds/{refund['id']}")


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "plans/x", {"amount": 5}, "body.every"),
        ("PUT", "plans/x", {"amount": 5, "every": "1 month", "retries": "soon"}, "body.retries"),
        ("PUT", "plans/x", {"amount": 5, "every": "1 dya"}, "body.every"),
        ("PUT", "plans/x", {"amount": 5, "cron": "x"}, "body.cron"),
        ("PUT", "plans/x", {"amount": 5, "every": "1 day", "timezone": "M"}, "body.timezone"),
        ("PUT", "customers/c9", {"name": " "}, "body.name"),
        ("PUT", "customers/c9", {"name": "Ani", "phone": "x"}, "body.phone"),
        ("PUT", "customers/c9", {"name": "Ani", "email": "x"}, "body.email"),
        ("POST", "coupons", {"code": "C"}, "body.percent"),
        ("POST", "subscriptions", {"customer": "c1", "plan": "none"}, "body.plan"),
        ("POST", "subscriptions", {"customer": "none", "plan": "P"}, "body.customer"),
        ("POST", "subscriptions", {"customer": "c1", "plan": "P", "coupon": "X"}, "body.coupon"),
        ("POST", "subscriptions", {"customer": "c1", "plan": "P",
                                   "start": "2020-01-01T00:00:00Z"}, "body.start"),
        ("POST", "customers/c1/wallet-links", {"phone": "12"}, "body.phone"),
        ("POST", "customers/c1/wallet-links",
         {"phone": "081234567890", "success_url": "x"}, "body.success_url"),
        ("POST", "webhook-endpoints", {"url": "http://x.example"}, "body.url"),
        ("POST", "webhook-endpoints",
         {"url": "https://x.example/", "event_types": ["x"]}, "body.event_types"),
        ("GET", "customers/none", None, "path.customer_id"),
        ("GET", "invoices?customer=none", None, "query.customer"),
        ("GET", "invoices?plan=none", None, "query.plan"),
        ("GET", "invoices?after=none", None, "query.after"),
        ("GET", "events?kind=none", None, "query.kind"),
    ],
)  # fmt: skip
def test_a_refusal_of_a_service_names_the_field(
    engine: Engine, web: Web, method: str, path: str, body: Any, field: str
) -> None:
    """A program finds the refused value by its name in JSON, and no command in the words."""
    client = web.client()
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani"})
    engine.plan("P")

    found = client.refused(method, f"/v1/{path}", body)

    assert [each["field"] for each in found["errors"]] == [field]
    assert "billing " not in found["detail"]
    assert "--" not in found["detail"]
