"""Which processes are killed, how often, and how; in an order drawn from the seed.

It knows processes and servers and nothing of charges.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import psutil

from billing.local.processes import Child
from tests.faults.fleet import kill, pool_of
from tests.faults.ground import Ground

WORKERS = ("north", "south")
BEATS = ("east", "west")
LONG = {
    "pool child killed": 26,
    "worker killed": 16,
    "beat killed": 10,
    "redis flushed": 3,
    "redis restarted": 1,
    "redis killed": 1,
    "postgres restarted": 1,
    "postgres crashed": 2,
}
FRONT = {"web killed": 12, "webhooks killed": 8, "receiver killed": 10}
"""The processes that merchants see, in a siege with them."""
SHORT_FRONT = dict.fromkeys(FRONT, 2)
SHORT = {
    "pool child killed": 3,
    "worker killed": 2,
    "beat killed": 1,
    "redis flushed": 1,
    "redis killed": 1,
    "postgres crashed": 1,
}


@dataclass
class Strikes:
    """The strikes to come, and those that have been."""

    ground: Ground
    random: Random
    ahead: list[str]
    done: Counter[str] = field(default_factory=Counter)
    revived: Counter[str] = field(default_factory=Counter)

    def next(self) -> None:
        """Strike once; a process that was killed is started again at once, without waiting."""
        what = self.ahead.pop()
        match what:
            case "pool child killed":
                if not self._kill_child():
                    self.ahead.insert(0, what)  # both workers are starting; its turn comes later
                    return
            case "worker killed":
                self._kill(self.ground.fleet.workers[self.random.choice(WORKERS)])
            case "beat killed":
                self._kill(self.ground.fleet.beats[self.random.choice(BEATS)])
            case "web killed" | "webhooks killed" | "receiver killed":
                self._kill(self.ground.fleet.others[what.partition(" ")[0]])
            case "redis flushed":
                self.ground.broker().flushall()
            case "redis restarted" | "redis killed":
                self.ground.restart_redis(crash=what == "redis killed")
            case _:
                self.ground.stop_postgres(crash=what == "postgres crashed")
                self.ground.start_postgres()
        self.done[what] += 1

    def revive(self) -> None:
        """Restart processes that ended because a server was away, as a supervisor does."""
        fleet = self.ground.fleet
        for child in [*fleet.workers.values(), *fleet.beats.values(), *fleet.others.values()]:
            if not child.running:
                self.revived[child.program.name] += 1
                child.end()
                child.start()

    @property
    def kills(self) -> int:
        """How many SIGKILLs workers and beats have had."""
        return sum(
            self.done[what] for what in LONG if what.endswith("killed") and "redis" not in what
        )

    def _kill_child(self) -> bool:
        children = [c for name in WORKERS for c in pool_of(self.ground.fleet.workers[name])]
        if not children:
            return False
        try:
            self.random.choice(children).kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def _kill(self, child: Child) -> None:
        kill(child)
        child.start()


def drawn(ground: Ground, random: Random, counts: dict[str, int]) -> Strikes:
    """All strikes of a siege in the order in which they come."""
    ahead = [what for what, count in counts.items() for _ in range(count)]
    random.shuffle(ahead)
    return Strikes(ground, random, ahead)
