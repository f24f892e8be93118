"""The first integration of a merchant, over HTTP: from a plan to a prorated refund."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from billing.services.wallets import linking
from tests.integration.engine import START, Engine
from tests.integration.web import Client, Web

DAY = timedelta(days=1)
PLAN = {"amount": 31_000, "every": "1 month", "timezone": "Asia/Jakarta"}


def begun(web: Web, client: Client) -> dict[str, Any]:
    """Create a plan, a customer with a linked wallet, and a subscription that is paid."""
    customer, control = f"C{uuid4().hex[:12]}", web.engine.gateway.control
    control("PUT", f"wallets/{customer}", {"cash": 1_000_000})
    client.ok("PUT", "/v1/plans/gold", PLAN)
    client.ok("PUT", f"/v1/customers/{customer}", {"name": "Siti Rahma", "phone": "08123456789"})
    phone = f"08{uuid4().int % 10**10:010d}"
    link = client.ok("POST", f"/v1/customers/{customer}/wallet-links", {"phone": phone})
    assert link["registration_url"].startswith("http")
    made = client.ok("POST", "/v1/subscriptions", {"customer": customer, "plan": "gold"})
    assert made["status"] == "pending"
    control("POST", f"wallets/{customer}/confirm")
    linking.refresh(web.engine.context, customer)
    web.engine.run()
    return client.ok("GET", f"/v1/subscriptions/{made['id']}")


def test_a_merchant_integrates_in_ten_calls(engine: Engine, web: Web) -> None:
    """Plan, customer, link, subscription, charge, preview and a prorated refund, as documented."""
    client = web.client("write")
    paid = begun(web, client)

    assert paid["status"] == "active"
    [invoice] = paid["invoices"]
    assert (invoice["status"], invoice["amount"]) == ("paid", 31_000)
    assert invoice["charges"][0]["first_payment"] is True
    found = client.ok("GET", f"/v1/customers/{paid['customer']}")
    assert found["charged_twice"] is False
    assert found["verdict"]

    engine.advance(10 * DAY)
    wanted = {"action": "cancel", "at": "now", "refund": "prorated", "unlink": True}
    seen = client.ok("POST", f"/v1/subscriptions/{paid['id']}/preview", wanted)
    assert seen["status"] == "canceled"
    assert client.ok("GET", f"/v1/subscriptions/{paid['id']}")["status"] == "active"

    gone = {"at": "now", "refund": "prorated", "unlink": True, "reason": "moves away"}
    ended = client.ok("POST", f"/v1/subscriptions/{paid['id']}/cancel", gone)
    assert ended["status"] == "canceled"
    [refund] = ended["invoices"][0]["refunds"]
    assert refund["amount"] == seen["amount_refunded"] > 0
    engine.run()
    assert client.ok("GET", f"/v1/refunds/{refund['id']}")["status"] == "succeeded"
    assert client.ok("GET", f"/v1/customers/{paid['customer']}/wallet")["status"] == "unlinked"


def test_instants_are_utc_and_carry_their_offset(engine: Engine, web: Web) -> None:
    """A program never has to guess a zone."""
    paid = begun(web, web.client())

    assert paid["created_at"] == START.isoformat()
    assert paid["invoices"][0]["period_start"].endswith("+00:00")


def test_the_actor_of_an_event_is_the_name_of_the_key(engine: Engine, web: Web) -> None:
    """Somebody who asks who did it reads a name, with the reason."""
    client = web.client("write", name="shop backend")
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani", "reason": "signed up"})

    [told] = engine.told("customer.created")
    assert (told["actor"], told["reason"]) == ("shop backend", "signed up")


def test_a_second_put_replaces_a_customer_and_repeats_a_plan(engine: Engine, web: Web) -> None:
    """A customer changes; a plan never does, and other values for it are refused."""
    client = web.client()
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani", "phone": "0812-3456-7890"})
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani Wijaya", "email": "a@mail.example"})
    [row] = engine.rows("SELECT * FROM customers")
    assert (row["name"], row["phone"], row["email"]) == ("Ani Wijaya", "", "a@mail.example")

    first = client.ok("PUT", "/v1/plans/gold", PLAN)
    assert client.ok("PUT", "/v1/plans/gold", PLAN) == first
    said = client.refused("PUT", "/v1/plans/gold", PLAN | {"amount": 1})
    assert (said["status"], said["type"]) == (409, "already_exists")


def test_a_preview_of_a_change_equals_the_change(engine: Engine, web: Web) -> None:
    """To the rupiah; and the preview leaves no trace."""
    client = web.client()
    client.ok("PUT", "/v1/plans/platinum", PLAN | {"amount": 93_000})
    paid = begun(web, client)
    engine.advance(10 * DAY)
    path = f"/v1/subscriptions/{paid['id']}"
    counts = engine.counts()

    seen = client.ok("POST", f"{path}/preview", {"action": "change", "plan": "platinum"})
    assert engine.counts() == counts

    changed = client.ok("POST", f"{path}/change", {"plan": "platinum"})
    charged = changed["invoices"][-1]
    assert charged["amount"] == seen["amount_charged"]
    assert UUID(str(seen["subscription"])) == UUID(paid["id"])
    engine.run()
