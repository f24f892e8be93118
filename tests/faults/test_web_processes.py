"""The web process, the worker of webhooks and a receiver are killed while clients call the API.

The clients repeat their calls with the same keys; what is true afterwards is read from the rows and
from the receiver's own file. `python -m tests.faults.siege --web` is the long form.
"""

from collections.abc import Iterator
from random import Random
from uuid import UUID

import pytest

from billing.domain.events import OPERATOR
from billing.local.servers import free_port
from billing.services.operating import api_keys
from billing.services.webhooks import fanout, sending
from tests.faults.fleet import kill
from tests.faults.ground import Ground, grounds
from tests.faults.siege import hooks, shop
from tests.faults.siege.hooks import Hooks
from tests.faults.siege.receiver import Received
from tests.faults.siege.shop import Shop

KILLED = ("web", "webhooks", "receiver", "web", "receiver", "webhooks", "web", "receiver")
DEEDS_BETWEEN = 12
CLIENTS = 2


@pytest.fixture
def ground() -> Iterator[Ground]:
    """An engine without workers for charges: nothing is charged here."""
    with grounds() as there:
        yield there


def tick(ground: Ground) -> None:
    """Do what the tick of webhooks does, without a worker and a beat of its own."""
    fanout.fan_out(ground.context)
    for endpoint in sending.lease_due(ground.context, 10):
        ground.messenger.send_task("webhooks.deliver", [str(endpoint)])


@pytest.mark.timeout(180)
def test_killed_web_and_webhook_processes_lose_no_event_and_do_no_deed_twice(
    ground: Ground,
) -> None:
    """
    Under SIGKILLs each event reaches the receiver at least once, and each key acts exactly once.

    A client without an answer repeats its call; an answer of success is always true.
    """
    ground.plan(shop.PLAN, amount=shop.AMOUNT)
    web, hook, file = free_port(), free_port(), ground.fleet.home / "received"
    there = Hooks(ground, hook, file)
    ground.fleet.start_web(web, BILLING_WEB_REQUESTS_PER_SECOND="0")
    ground.fleet.start_webhooks()
    ground.fleet.start_receiver(hook, file)
    key = api_keys.create(ground.context, "shop", ["admin"], OPERATOR).key
    clients = Shop(f"http://127.0.0.1:{web}", key, CLIENTS, seed=7)
    clients.open()
    for name in Random(7).sample(KILLED, len(KILLED)):
        enough = clients.deeds + DEEDS_BETWEEN

        def worked(enough: int = enough) -> bool:
            tick(ground)
            return clients.deeds >= enough

        ground.poll(worked, f"{DEEDS_BETWEEN} deeds before {name} is killed")
        kill(ground.fleet.others[name])
        ground.fleet.others[name].start()
        there.hurry()  # leases of the killed end, and attempts that failed are due
    clients.shut()

    def done() -> bool:
        tick(ground)
        return there.is_done()

    ground.poll(done, "every delivery succeeded")
    assert list(clients.findings(ground)) == []
    assert list(there.findings()) == []
    assert clients.repeats > 0, "no call was interrupted"


def test_the_verdict_on_webhooks_sees_a_wrong_signature_and_a_reused_id() -> None:
    """A request that is not signed by this secret, or whose id had another event, is reported."""
    body = '{"data": {"position": %d}}'
    made = [Received(str(UUID(int=1)), "1", "v1,x", body % number) for number in (1, 2)]

    found = list(hooks.wrong(made, "whsec_AAAA"))

    assert [line.partition(" ")[2] for line in found] == [
        "is not signed", "is not signed", "stands for two events",
    ]  # fmt: skip
