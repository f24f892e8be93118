"""`billing up` shows webhooks that were delivered to the sandbox."""

import http.client
import re
from urllib.parse import urlsplit

from billing.domain.events import OPERATOR
from billing.local import receiver
from billing.local.pretend import Pretend
from billing.services.webhooks import endpoints
from tests.integration.engine import Engine
from tests.integration.hooked import create, tick


def test_a_delivered_webhook_is_shown(hooked: Engine) -> None:
    """The endpoint is made once, also over several starts; the last webhooks are in one line."""
    url, pretend = hooked.gateway.url, Pretend(hooked.gateway.url)
    before = pretend.call("GET", "webhooks")["count"]
    assert receiver.connect(hooked.context, url, pretend)
    assert receiver.connect(hooked.context, url, pretend)
    [endpoint] = endpoints.every(hooked.context.database)
    customer, _ = hooked.begun()
    hooked.run()
    tick(hooked)

    found = pretend.call("GET", "webhooks")
    assert found["count"] - before == hooked.one("SELECT count(*) FROM webhook_deliveries")
    assert {row["status"] for row in hooked.rows("SELECT status FROM webhook_deliveries")} == {
        "succeeded"
    }
    assert ("invoice.paid", customer) in {
        (webhook["type"], webhook["customer"]) for webhook in found["webhooks"]
    }
    # They are sent at the same time: which of them is the last is not known.
    assert receiver.seen(pretend) == receiver.said(found)
    assert re.fullmatch(
        rf"{found['count']} received · last( 09:00:00 \w+\.\w+( {customer})?,?){{3}}",
        receiver.seen(pretend),
    )
    endpoints.update(hooked.context, endpoint.id, endpoints.Changes(enabled=False), OPERATOR)
    assert receiver.connect(hooked.context, url, pretend)
    assert endpoints.one(hooked.context.database, endpoint.id).disabled_at is None


def test_the_sandbox_accepts_no_webhook_of_others(hooked: Engine) -> None:
    """Another secret's signature, no signature, and a body that is no webhook are refused."""
    pretend = Pretend(hooked.gateway.url)
    receiver.connect(hooked.context, hooked.gateway.url, pretend)
    before = pretend.call("GET", "webhooks")["count"]
    create(hooked, f"{hooked.gateway.url}/_sandbox/webhooks", "plan.created")
    hooked.plan()
    tick(hooked)
    connection = http.client.HTTPConnection(urlsplit(hooked.gateway.url).netloc, timeout=10)
    connection.request("POST", "/_sandbox/webhooks", b"{}", {"webhook-timestamp": "soon"})
    assert connection.getresponse().status == 401
    connection.close()

    statuses = hooked.rows(
        "SELECT last_status_code FROM webhook_deliveries d JOIN events e ON e.id = d.event_id"
        " WHERE e.kind = 'plan.created' ORDER BY 1"
    )
    assert [row["last_status_code"] for row in statuses] == [200, 401]
    assert pretend.call("GET", "webhooks")["count"] > before


def test_a_stack_that_may_not_send_to_this_machine_has_no_receiver(engine: Engine) -> None:
    """BILLING_WEBHOOK_ALLOWED_HOSTS was set to other hosts: nothing is made, nothing is said."""
    pretend = Pretend(engine.gateway.url)

    assert not receiver.connect(engine.context, engine.gateway.url, pretend)
    assert endpoints.every(engine.context.database) == []
    assert receiver.seen(Pretend("http://127.0.0.1:9")) == ""
    assert receiver.said({"count": 0, "webhooks": []}) == "none received yet"
