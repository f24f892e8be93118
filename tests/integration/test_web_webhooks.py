"""Webhook endpoints over HTTP, and the events that then reach a real receiver."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from billing.sandbox.process import SandboxProcess
from tests.integration.engine import Engine, running
from tests.integration.hooked import tick
from tests.integration.kept import Kept
from tests.integration.receiver import Receiver
from tests.integration.web import Web, serving
from tests.servers import Servers


@pytest.fixture
def hooked(emptied: Kept, gateway: SandboxProcess, shared_servers: Servers) -> Iterator[Web]:
    """The interface of an engine that may send webhooks to this machine."""
    with (
        running(emptied, gateway, webhook_allowed_hosts="127.0.0.1") as engine,
        serving(engine, shared_servers.own_redis()) as made,
    ):
        yield made


def renewed(engine: Engine) -> None:
    """Let a customer pay once."""
    engine.begun()
    engine.run()


def test_an_endpoint_hears_of_a_payment(hooked: Web, receiver: Receiver) -> None:
    """Created over HTTP with a filter, it gets the event, signed with the secret it was given."""
    client = hooked.client()
    wanted = {"url": f"{receiver.url}/hook", "event_types": ["invoice.paid"]}
    made = client.ok("POST", "/v1/webhook-endpoints", wanted, key="hook-1")
    assert made["secret"].startswith("whsec_")

    renewed(hooked.engine)
    tick(hooked.engine)

    [received] = receiver.received
    received.verify(made["secret"])
    assert received.document["type"] == "invoice.paid"
    found = client.ok("GET", "/v1/webhook-deliveries")["data"]
    assert [(row["type"], row["status"]) for row in found] == [("invoice.paid", "succeeded")]
    shown = client.ok("GET", f"/v1/webhook-endpoints/{made['id']}")
    assert "secret" not in shown
    assert client.ok("GET", "/v1/webhook-endpoints")["data"] == [shown]


def test_a_secret_is_rotated_and_both_sign(hooked: Web, receiver: Receiver) -> None:
    """A receiver may change its secret at any time of the day after."""
    client = hooked.client()
    made = client.ok("POST", "/v1/webhook-endpoints", {"url": receiver.url})
    path = f"/v1/webhook-endpoints/{made['id']}"
    rotated = client.ok("POST", f"{path}/rotate-secret")
    assert rotated["secret"] != made["secret"]

    assert client.ok("POST", f"{path}/test") == {
        "succeeded": True, "status_code": 200, "error": None,
    }  # fmt: skip
    for secret in (made["secret"], rotated["secret"]):
        receiver.received[0].verify(secret)


def test_deliveries_are_paged_resent_and_replayed(hooked: Web, receiver: Receiver) -> None:
    """What was sent can be sent again, one or a range; the webhook-id stays."""
    client = hooked.client()
    made = client.ok("POST", "/v1/webhook-endpoints", {"url": receiver.url})
    renewed(hooked.engine)
    tick(hooked.engine)
    sent = len(receiver.received)

    ids = []
    after = ""
    while True:
        page = client.ok("GET", f"/v1/webhook-deliveries?limit=2{after}")
        ids += [row["id"] for row in page["data"]]
        if page["next_cursor"] is None:
            break
        after = f"&after={page['next_cursor']}"
    assert len(set(ids)) == len(ids) == sent

    client.ok("POST", f"/v1/webhook-deliveries/{ids[0]}/resend")
    tick(hooked.engine)
    again = client.ok("POST", f"/v1/webhook-endpoints/{made['id']}/replay", {"after": 0})
    assert again["deliveries_count"] >= sent
    tick(hooked.engine)
    assert max(len(receiver.of(each.webhook_id)) for each in receiver.received) >= 2


def test_a_cursor_of_no_delivery_is_refused(hooked: Web, receiver: Receiver) -> None:
    """
    An empty page would say that everything was read.

    A delivery of another endpoint is no cursor of an endpoint's list either.
    """
    client = hooked.client()
    made = [client.ok("POST", "/v1/webhook-endpoints", {"url": receiver.url}) for _ in range(2)]
    hooked.engine.plan()
    tick(hooked.engine)
    path = "/v1/webhook-deliveries?limit=1"
    mine = f"{path}&endpoint={made[0]['id']}"
    other = client.ok("GET", f"{path}&endpoint={made[1]['id']}")["data"][0]["id"]

    for after in (f"{path}&after={uuid4()}", f"{mine}&after={uuid4()}", f"{mine}&after={other}"):
        said = client.refused("GET", after)
        assert (said["status"], said["type"]) == (422, "invalid_value")
        assert "cursor" in said["detail"]


@pytest.mark.parametrize(
    "url",
    ["http://shop.example/hook", "https://127.0.0.2/", "https://[::1]/", "https://10.0.0.1/",
     "https://169.254.169.254/latest", "ftp://shop.example", "https://", "nonsense",
     "https://user:pass@shop.example/", "https://0x7f000001/", "https://shop.example:0/"],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(web: Web, url: str) -> None:
    """Nobody can make the engine call its own network."""
    client = web.client()
    assert client.refused("POST", "/v1/webhook-endpoints", {"url": url})["status"] == 422
    assert client.ok("GET", "/v1/webhook-endpoints")["data"] == []


def test_an_endpoint_is_changed_disabled_and_deleted(hooked: Web, receiver: Receiver) -> None:
    """A disabled one gets nothing; a deleted one is not known any more."""
    client = hooked.client()
    made = client.ok("POST", "/v1/webhook-endpoints", {"url": receiver.url})
    path = f"/v1/webhook-endpoints/{made['id']}"
    found = client.ok("PATCH", path, {"enabled": False, "description": "shop"})
    assert found["disabled_cause"]
    assert found["description"] == "shop"
    renewed(hooked.engine)
    tick(hooked.engine)
    assert receiver.received == []
    assert client.send("DELETE", path).status_code == 204
    assert client.refused("GET", path)["status"] == 404


def test_a_charge_is_announced_as_the_plan_says(hooked: Web, receiver: Receiver) -> None:
    """A plan with a notice is created over HTTP; its charges are announced by webhook."""
    client, engine = hooked.client(), hooked.engine
    wanted = {"amount": 50_000, "every": "1 month", "notice": "3 days"}
    assert client.ok("PUT", "/v1/plans/gold", wanted)["notice"] == "3 days"
    assert client.ok("PUT", "/v1/plans/gold", wanted)["notice"] == "3 days"
    assert client.refused("PUT", "/v1/plans/gold", wanted | {"notice": "2 days"})["status"] == 409
    for wrong in ("1 month", "soon", ""):
        assert client.refused("PUT", "/v1/plans/x", wanted | {"notice": wrong})["status"] == 422
    client.ok("POST", "/v1/webhook-endpoints",
              {"url": receiver.url, "event_types": ["invoice.upcoming"]})  # fmt: skip
    subscription = engine.subscribe(engine.customer(), "gold")
    engine.advance(timedelta(days=26))
    tick(engine)

    [received] = receiver.received
    data = received.document["data"]
    assert data["details"]["charge_at"] == "2026-02-28T02:00:00+00:00"
    assert data["object"]["id"] == data["subscription"] == str(subscription)
    [line] = client.ok("GET", "/v1/events?type=invoice.upcoming")["data"]
    assert line["details"] == data["details"]
