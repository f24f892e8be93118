"""The front of a siege: web process, webhook worker and receiver, and the clients that call.

Refunds and cancellations of the siege's people go over HTTP, too, each with its key. It knows
neither charges nor strikes.
"""

from collections.abc import Callable, Iterator, Mapping

from billing.domain.events import OPERATOR
from billing.local.processes import until
from billing.local.servers import free_port
from billing.services.operating import api_keys
from tests.faults.ground import Ground
from tests.faults.siege import shop
from tests.faults.siege.caller import Answer, Caller
from tests.faults.siege.hooks import Hooks
from tests.faults.siege.shop import Shop

CLIENTS, PAUSE_SECONDS = 2, 0.5
DELIVERED_SECONDS = 1_200.0
HURRY_EVERY = 40
"""Looks between two times at which waits are ended, as days would."""


class Front:
    """The processes that merchants see."""

    def __init__(self, ground: Ground, seed: int, meanwhile: Callable[[], None]) -> None:
        self._ground = ground
        web, hook, file = free_port(), free_port(), ground.fleet.home / "received"
        ground.plan(shop.PLAN, amount=shop.AMOUNT)
        self._hooks = Hooks(ground, hook, file)
        ground.fleet.start_web(web, BILLING_WEB_REQUESTS_PER_SECOND="0")
        ground.fleet.start_webhooks()
        ground.fleet.start_receiver(hook, file)
        key = api_keys.create(ground.context, "shop", ["admin"], OPERATOR).key
        self._caller = Caller(f"http://127.0.0.1:{web}", key, meanwhile)
        self._shop = Shop(f"http://127.0.0.1:{web}", key, CLIENTS, seed, PAUSE_SECONDS)
        self._shop.open()

    def post(self, path: str, body: Mapping[str, object], key: str) -> Answer:
        """Do a deed over HTTP, and do it again with the same key: the second acts no more."""
        first = self._caller.call("POST", path, body, key)
        self._caller.call("POST", path, body, key)
        return first

    def shut(self) -> None:
        """Let the clients end."""
        self._shop.shut()

    def deliver(self) -> bool:
        """Wait until every delivery is over; waits and leases end sooner than in real time."""
        looks = 0

        def done() -> bool:
            nonlocal looks
            looks += 1
            if looks % HURRY_EVERY == 0:
                self._hooks.hurry()
            return self._hooks.is_done()

        self._hooks.hurry()
        return until(done, DELIVERED_SECONDS)

    def findings(self) -> dict[str, list[str]]:
        """Everything that is not as it should be, by what it is."""
        return {
            "calls of the clients": list(self._shop.findings(self._ground)),
            "webhooks": list(self._undelivered()),
        }

    def _undelivered(self) -> Iterator[str]:
        if not self.deliver():
            yield f"deliveries are not over after {DELIVERED_SECONDS:.0f} s"
        yield from self._hooks.findings()

    @property
    def words(self) -> str:
        """What happened, in one line."""
        repeats = self._shop.repeats + self._caller.repeats
        return (
            f"{self._shop.deeds:,} deeds of clients, {repeats:,} calls repeated without an answer,"
            f" {self._hooks.repeats:,} webhooks that came again"
        )
