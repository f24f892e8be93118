"""What reaches the engine over HTTP in a wide storm: a merchant, a feed reader, the gateway.

It holds them together for the play; each draws from chances of its own.
"""

from collections.abc import Iterator
from random import Random

from billing.services.operating import charge_resolution
from billing.services.wallets import erasing
from tests.faults.storm.acts import BY, People
from tests.faults.storm.chaos import MEDDLING
from tests.faults.storm.feed import Feed
from tests.faults.storm.merchant import SECRET_NAME, Merchant
from tests.faults.storm.notices import Notices
from tests.faults.storm.world import World

INTERRUPTS = 0.4
BEFORE_A_COMMIT = 0.02
"""Events that are written and not yet visible, while others with higher ids become visible."""
LIMIT = 100
CONTRADICTED = """
    SELECT id, gateway_number FROM charges
    WHERE contradicted_at IS NOT NULL AND status = 'succeeded' ORDER BY id"""
ERASED = "SELECT id FROM customers WHERE erased_at IS NOT NULL"
TRACES = ("customers", "events", "commands", "wallets", "approvals")


class Internet:
    """Everybody who sends requests."""

    def __init__(self, world: World, people: People) -> None:
        self.merchant = Merchant(world, people)
        self.feed = Feed(world)
        self.notices = Notices(world)
        self._world = world
        world.chaos.meddling = {**MEDDLING, "before commit": BEFORE_A_COMMIT}
        self._rng = Random(f"internet {world.seed}")

    def begin(self) -> None:
        """Get a key, and create customers and endpoints."""
        self.merchant.begin()
        self.feed.begin(self.merchant.door)

    def act(self) -> None:
        """Let some requests come."""
        roll = self._rng.random()
        if roll < 0.6:
            self.merchant.act()
        elif roll < 0.75:
            self.notices.act()
        elif roll < 0.95:
            self.feed.act()
        else:
            self.tick()

    def interrupts(self) -> bool:
        """Let a request come between two steps of another process, or none."""
        if self._rng.random() >= INTERRUPTS:
            return False
        roll = self._rng.random()
        if roll < 0.4:
            self.merchant.interrupt()
        elif roll < 0.55:
            self.notices.act()
        else:
            self.merchant.rename()  # its event overtakes those of the process that is interrupted
            self.feed.act()
        return True

    def tick(self) -> None:
        """Complete erasures, as a tick does."""
        self._world.run("erase", lambda c: erasing.complete_due(c, LIMIT), asked=False)

    def make_peace(self) -> None:
        """Repeat what has no answer."""
        self.merchant.make_peace()

    def confirm(self) -> None:
        """After a wrong notification the gateway lied once about money that moved: keep it."""
        for row in self._world.databases.rows(CONTRADICTED):
            if self._world.ledger.payments[row["gateway_number"]].moves:
                self._world.run(
                    f"confirm {self._world.name(row['gateway_number'])}",
                    lambda c, a=row["id"]: charge_resolution.resolve_charge(c, a, True, BY),
                )

    @property
    def told(self) -> list[str]:
        """What was wrong while the storm raged."""
        return [*self.merchant.record.told, *self.feed.told, *self.notices.told]

    def findings(self) -> Iterator[str]:
        """Report everything that is wrong."""
        self.tick()
        yield from self.merchant.record.findings()
        yield from self.notices.findings()
        yield from self.feed.findings()
        yield from self._traces()

    def _traces(self) -> Iterator[str]:
        """Look for the name of an erased customer in every table that had it."""
        for row in self._world.databases.rows(ERASED):
            self._world.met["erased"] += 1
            for table in TRACES:
                found = self._world.databases.rows(
                    f"SELECT 1 FROM {table} t WHERE t::text LIKE %(name)s LIMIT 1",
                    name=f"%{SECRET_NAME} {row['id']}%",
                )
                if found:
                    yield f"ERASURE: {table} has the name of {row['id']}"
