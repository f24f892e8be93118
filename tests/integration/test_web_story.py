"""The first integration of a merchant, over HTTP: from a plan to a prorated refund."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

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
    client = web.client("write", "refund")
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
    assert paid["invoices"][0]["period_start_at"].endswith("+00:00")


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


def test_upcoming_charges_are_those_that_are_made(engine: Engine, web: Web) -> None:
    """Dates and amounts, with an extra line and credit, as the engine then charges them."""
    client = web.client()
    paid = begun(web, client)
    path = f"/v1/subscriptions/{paid['id']}"
    client.ok("POST", f"{path}/extras", {"title": "Towel", "amount": 5_000})
    client.ok("POST", f"/v1/customers/{paid['customer']}/credits", {"amount": 6_000, "reason": "x"})

    found = client.ok("GET", f"{path}/upcoming?to=2026-04-15T00:00:00%2B07:00")["data"]
    assert [(line["due_at"][:10], line["amount"]) for line in found] == [
        ("2026-02-28", 30_000), ("2026-03-31", 31_000),
    ]  # fmt: skip

    engine.advance(START + 74 * DAY)
    engine.run()
    charges = client.ok("GET", f"/v1/charges?customer={paid['customer']}")["data"]
    made = [(charge["created_at"], charge["amount"]) for charge in reversed(charges)]
    assert made[1:] == [(line["due_at"], line["amount"]) for line in found]


def test_upcoming_is_empty_without_a_wallet_or_a_future(engine: Engine, web: Web) -> None:
    """A pending subscription has no dates yet, a canceled one none any more."""
    client = web.client()
    client.ok("PUT", "/v1/plans/gold", PLAN)
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani"})
    made = client.ok("POST", "/v1/subscriptions", {"customer": "c1", "plan": "gold"})
    path = f"/v1/subscriptions/{made['id']}"
    assert client.ok("GET", f"{path}/upcoming")["data"] == []
    client.ok("POST", f"{path}/cancel", {"at": "now"})
    assert client.ok("GET", f"{path}/upcoming")["data"] == []


@pytest.mark.parametrize("when", ["date", "period-end"])
@pytest.mark.parametrize("refund", ["prorated", "full", "none"])
def test_a_preview_of_a_dated_cancellation_equals_it(
    engine: Engine, web: Web, when: str, refund: str
) -> None:
    """What will be refunded on that date, and not on the day of the preview."""
    client = web.client()
    paid = begun(web, client)
    path = f"/v1/subscriptions/{paid['id']}"
    at = "period-end" if when == "period-end" else (START + 10 * DAY).isoformat()
    wanted = {"at": at, "refund": refund}
    counts = engine.counts()

    seen = client.ok("POST", f"{path}/preview", {"action": "cancel", **wanted})
    assert (seen["status"], engine.counts()) == ("active", counts)

    client.ok("POST", f"{path}/cancel", wanted)
    engine.advance(40 * DAY)
    engine.run()
    back = client.ok("GET", f"/v1/refunds?customer={paid['customer']}")["data"]
    assert sum(each["amount"] for each in back) == seen["amount_refunded"]
    assert client.ok("GET", path)["status"] == "canceled"


def test_a_preview_beyond_the_period_names_no_amount(engine: Engine, web: Web) -> None:
    """Other periods begin before: nobody knows yet whether they will be paid."""
    client = web.client()
    paid = begun(web, client)
    wanted = {"action": "cancel", "at": (START + 45 * DAY).isoformat(), "refund": "full"}
    seen = client.ok("POST", f"/v1/subscriptions/{paid['id']}/preview", wanted)
    assert seen["amount_refunded"] is None
    assert seen["cancel_at"] == (START + 45 * DAY).isoformat()


def test_a_second_click_makes_no_second_subscription(engine: Engine, web: Web) -> None:
    """Another Idempotency-Key is another request, and still one subscription to a plan."""
    client = web.client()
    paid = begun(web, client)
    wanted = {"customer": paid["customer"], "plan": "gold"}
    assert client.refused("POST", "/v1/subscriptions", wanted)["type"] == "already_exists"
    second = client.ok("POST", "/v1/subscriptions", wanted | {"again": True})
    assert second["id"] != paid["id"]


def test_a_key_without_refunds_cancels_without_one(engine: Engine, web: Web) -> None:
    """Money goes back only with the scope that says so, by every path."""
    paid = begun(web, web.client())
    path = f"/v1/subscriptions/{paid['id']}/cancel"
    client = web.client("write")
    assert client.refused("POST", path, {"refund": "full"})["type"] == "forbidden"
    assert client.ok("POST", path, {"refund": "none"})["status"] == "canceled"


def test_a_link_that_failed_is_no_success_when_it_is_repeated(engine: Engine, web: Web) -> None:
    """And the same key with another phone is another request."""
    client = web.client()
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani"})
    engine.script("decline", "c1", "bind", code="account_error", message="no such wallet")
    path, phone = "/v1/customers/c1/wallet-links", {"phone": "081234567890"}
    assert client.refused("POST", path, phone, key="k")["status"] == 422
    repeated = client.refused("POST", path, phone, key="k")
    assert repeated["status"] == 409
    assert "account_error (no such wallet)" in repeated["detail"]
    other = {"phone": "081234567891"}
    assert client.refused("POST", path, other, key="k")["type"] == "key_reused"


@pytest.mark.parametrize("code", ["invalid_parameter", "account_error"])
def test_a_link_that_the_gateway_declines_is_the_callers_problem(
    engine: Engine, web: Web, code: str
) -> None:
    """The code says what to correct; to send the same again would not help."""
    client = web.client()
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani"})
    engine.script("decline", "c1", "bind", code=code, message="no OVO account")

    said = client.refused("POST", "/v1/customers/c1/wallet-links", {"phone": "081234567890"})

    assert (said["status"], said["type"]) == (422, "gateway_declined")
    assert f"{code} (no OVO account)" in said["detail"]


def test_a_customer_whose_token_the_gateway_still_has_is_declined(engine: Engine, web: Web) -> None:
    """The gateway's own check, without a script."""
    customer = engine.customer()
    engine.execute("UPDATE wallets SET status = 'expired', closed_at = :now", now=engine.now)

    path = f"/v1/customers/{customer}/wallet-links"
    said = web.client().refused("POST", path, {"phone": "081234567890"})

    assert (said["status"], said["type"]) == (422, "gateway_declined")
    assert "active OVO token" in said["detail"]
    engine.audited = False


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("drop_after", {}), ("http_500", {}), ("garbage", {}), ("turn_away", {}),
        ("decline", {"code": "merchant_not_active"}), ("decline", {"code": "maintenance_mode"}),
        ("decline", {"code": "a_code_that_is_in_no_table"}),
    ],
)  # fmt: skip
def test_a_link_that_failed_at_the_gateway_is_no_fault_of_the_caller(
    engine: Engine, web: Web, kind: str, more: dict[str, str]
) -> None:
    """No answer, an unclear one, or a code that the merchant or DOKU has to solve."""
    client = web.client()
    client.ok("PUT", "/v1/customers/c1", {"name": "Ani"})
    engine.script(kind, "c1", "bind", **more)

    said = client.refused("POST", "/v1/customers/c1/wallet-links", {"phone": "081234567890"})

    assert (said["status"], said["type"]) == (502, "gateway_refused")
