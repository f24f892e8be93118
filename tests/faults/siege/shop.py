"""Clients that call the HTTP interface under load, and what must have become of their calls.

Each client makes customers, and acts on each of them a few times, with a key for each deed. Many
calls are repeated after their answer, and some keys are used for another body.
"""

from collections.abc import Iterator, Mapping
from random import Random
from threading import Event, Thread
from typing import Any

from tests.e2e.world import World
from tests.faults.siege.caller import Answer, Caller

PLAN = "shop"
AMOUNT = 70_000
START = "2031-01-31T09:00:00+07:00"
"""Long after a siege: nothing of the shop is ever charged."""
CREDIT, EXTRA = 1_500, 700
REPEATED, REUSED = 0.3, 0.1
PAUSE_SECONDS = 0.05
EXPECTED = {"subscription.created": 1, "credit.given": 1, "subscription.extra_added": 2}


class Client(Thread):
    """One client; it ends after its present customer when it is told to stop."""

    def __init__(self, number: int, url: str, key: str, seed: int, pause_seconds: float) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.caller = Caller(url, key)
        self.told: list[str] = []
        self.made: dict[str, str] = {}
        """Customers, and their subscriptions as the first answer named them."""
        self.left: set[str] = set()
        self.deeds = 0
        self.over = Event()
        self._number, self._pause_seconds = number, pause_seconds
        self._rng = Random(f"client {number} {seed}")

    def run(self) -> None:
        """Make one customer after the other."""
        try:
            while not self.over.wait(self._pause_seconds):
                self._customer(f"shop-{self._number}-{len(self.made)}")
        except Exception as error:  # noqa: BLE001 - the verdict tells
            self.told.append(f"client {self._number} ended: {error!r}")
        finally:
            self.caller.close()

    def _customer(self, who: str) -> None:
        self.caller.call("PUT", f"/v1/customers/{who}", {"name": who})
        order = {"customer": who, "plan": PLAN, "start": START}
        made = self._deed("/v1/subscriptions", order, f"{who}-order")
        self.made[who] = chosen = str(made.document.get("id"))
        self._deed(f"/v1/customers/{who}/credits", {"amount": CREDIT, "reason": "a gift"},
                   f"{who}-credit")  # fmt: skip
        place = f"/v1/subscriptions/{chosen}"
        for number in range(2):
            extra = {"title": f"towel {number}", "amount": EXTRA}
            self._deed(f"{place}/extras", extra, f"{who}-extra-{number}")
        if self._rng.random() < 0.3:
            self._deed(f"{place}/cancel", {"at": "now"}, f"{who}-cancel")
            self.left.add(who)

    def _deed(self, path: str, body: Mapping[str, Any], key: str) -> Answer:
        """Do something once, and perhaps ask for it again."""
        first = self.caller.call("POST", path, body, key)
        self.deeds += 1
        if first.status >= 300:
            self.told.append(f"{key}: refused: {first}")
        if self._rng.random() < REPEATED:
            again = self.caller.call("POST", path, body, key)
            same = first.document.get("id") == again.document.get("id")
            if again.status != first.status or not same:
                self.told.append(f"{key}: the repeat was answered with {again}")
        if self._rng.random() < REUSED:
            other = self.caller.call("POST", path, {**body, "reason": "another"}, key)
            if other.kind != "key_reused":
                self.told.append(f"{key}: another body was answered with {other}")
        return first


class Shop:
    """All clients."""

    def __init__(
        self, url: str, key: str, count: int, seed: int, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self.clients = [Client(number, url, key, seed, pause_seconds) for number in range(count)]

    def open(self) -> None:
        """Let them act."""
        for client in self.clients:
            client.start()

    def shut(self, seconds: float = 120) -> None:
        """Let each finish its customer, and end."""
        for client in self.clients:
            client.over.set()
        for client in self.clients:
            client.join(seconds)

    @property
    def deeds(self) -> int:
        """How many deeds were answered."""
        return sum(client.deeds for client in self.clients)

    @property
    def repeats(self) -> int:
        """How often a request had no answer, and was sent again."""
        return sum(client.caller.repeats for client in self.clients)

    def findings(self, world: World) -> Iterator[str]:
        """Report deeds that were done twice, or answered with success and not done."""
        for client in self.clients:
            yield from client.told
            if client.is_alive():
                yield f"{client.name} did not end"
        told: dict[str, dict[str, int]] = {}
        for row in world.rows(
            "SELECT customer_id, kind, count(*) AS times FROM events"
            " WHERE customer_id LIKE 'shop-%' GROUP BY 1, 2"
        ):
            told.setdefault(row.customer_id, {})[row.kind] = row.times
        ordered = world.rows("SELECT id, customer_id FROM subscriptions")
        orders = {str(row.id): row.customer_id for row in ordered}
        credited = world.rows("SELECT customer_id, sum(amount) AS given FROM credits GROUP BY 1")
        given = {row.customer_id: row.given for row in credited}
        for client in self.clients:
            for who, chosen in client.made.items():
                mine = [order for order, owner in orders.items() if owner == who]
                if mine != [chosen]:
                    yield f"{who}: has the subscriptions {mine}, was told of {chosen}"
                if given.get(who) != CREDIT:
                    yield f"{who}: has {given.get(who)} of credit"
                expected = {**EXPECTED, "subscription.canceled": int(who in client.left)}
                for kind, times in expected.items():
                    found = told.get(who, {}).get(kind, 0)
                    if found != times:
                        yield f"{who}: {kind} {found} times, and {times} expected"
