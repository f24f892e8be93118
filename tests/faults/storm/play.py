"""One seed from the first subscription to its result: storm, calm, and verdict.

It says how much happens and in what mixture; what is right is said by the verdict.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from contextvars import Context as Variables
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from time import monotonic
from typing import cast

import psycopg
import structlog

from schedules.beat import TICKS
from tests.faults.storm import databases, verdict
from tests.faults.storm.acts import People
from tests.faults.storm.ahead import Ahead
from tests.faults.storm.bugs import BUGS
from tests.faults.storm.combinations import Combinations
from tests.faults.storm.console import LIMITS, Console
from tests.faults.storm.databases import Databases
from tests.faults.storm.door import SETTINGS
from tests.faults.storm.internet import Internet
from tests.faults.storm.oracle import Oracle
from tests.faults.storm.wide_bugs import WIDE_BUGS
from tests.faults.storm.work import NEXT_DUE, NEXT_PERIOD, Message, Work
from tests.faults.storm.world import World, determined
from tests.servers import Servers

CHARGES_MIN, CRASHES_MIN, ROUNDS_MIN, ROUNDS_MAX = 60, 16, 30, 260
CALM_DAYS = 12
"""Longer than the gateway is asked about a charge before it is parked."""
ASKED_FOR = timedelta(days=18)
"""A charge of the last day is asked about for a week more, and parked when nobody knows; so is one
that was made in that week."""
CALM_STEP = timedelta(minutes=20)
STUCK_ROUNDS = 80
"""A subscription that missed many periods is charged for one of them in each round."""
HOUR = timedelta(hours=1)
STOPPED = "SELECT count(*) FROM events WHERE kind = 'engine.charging_stopped' AND actor = 'guard'"
PAYOUTS = "SELECT status, count(*) FROM refunds WHERE credit_id IS NOT NULL GROUP BY 1 ORDER BY 1"
WATCHFUL = {
    "breaker_answers_min": 6, "breaker_share_percent": 20, "breaker_window_seconds": 3_000,
}  # fmt: skip
"""A wide storm trips the breaker now and then. It counts in real time, and a seed plays the same
again: its window is longer than any seed takes."""


@dataclass
class Result:
    """What came of one seed."""

    seed: int
    findings: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    trace_hash: str = ""
    met: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def crashes(self) -> int:
        """How many processes were killed."""
        return sum(count for what, count in self.met.items() if what.startswith("killed "))


class Storm:
    """One seed, being played."""

    def __init__(self, seed: int, place: Databases, *, wide: bool = False) -> None:
        self.world = World(seed, place, **({**WATCHFUL, **SETTINGS, **LIMITS} if wide else {}))
        self.work = Work(self.world)
        self.people = People(self.world)
        self.oracle = Oracle(self.world)
        self.combinations = Combinations(self.world, self.people, self.oracle) if wide else None
        self.internet = Internet(self.world, self.people) if wide else None
        self.ahead = Ahead(self.world) if wide else None
        self.console = Console(self.world) if wide else None
        if wide:
            self.world.failed = self.oracle.failed
            self.world.gateway.pages = Random(f"pages {seed}")
        # Another process knows nothing of the variables of the one that is interrupted.
        self.world.meanwhile = lambda: Variables().run(self._meanwhile)
        self.work.alarm = self._alarm
        self._rng = self.world.rng

    def play(self, until: Collection[str] = ()) -> list[str]:
        """Let the storm rage and pass, and return what is wrong afterwards.

        It ends at once when there are findings that begin with each of the words in `until`.
        """
        self._begin()
        for number in range(ROUNDS_MAX):
            if number >= ROUNDS_MIN and self._is_enough():
                break
            self._round()
            if until and all(any(said.startswith(word) for said in self._told()) for word in until):
                return self._told()
        stuck = self._calm()
        found = [*stuck, *verdict.findings(self.world), *self.oracle.findings()]
        if self.ahead is not None:
            found += self.ahead.findings()
        if self.console is not None:
            found += self.console.findings()
        return found if self.internet is None else [*found, *self.internet.findings()]

    def _told(self) -> list[str]:
        """What is wrong already; the verdict at the end says it as well."""
        told = [*verdict.doubles(self.world), *self.oracle.told]
        if self.ahead is not None:
            told += self.ahead.told
        if self.console is not None:
            told += self.console.told
        return told if self.internet is None else [*told, *self.internet.told]

    def _begin(self) -> None:
        self.world.gateway.calm = True
        self.people.begin()
        if self.combinations is not None:
            self.combinations.begin()
        if self.ahead is not None:
            self.ahead.begin()
        if self.internet is not None:
            self.internet.begin()
        if self.console is not None:
            self.console.begin()
        self.world.gateway.calm = False
        self.world.chaos.on = True

    def _alarm(self, message: Message) -> None:
        if message.task == "collect" and self._rng.random() < 0.25:
            self.people.react(message.ids)

    def _is_enough(self) -> bool:
        killed = sum(self.world.chaos.met[m] for m in self.world.chaos.met if "killed" in m)
        return len(self.world.gateway.first_sent) >= CHARGES_MIN and killed >= CRASHES_MIN

    def _round(self) -> None:
        """Let some time pass, with ticks, messages and an action of a person."""
        rng = self._rng
        self._pass_time()
        due = self.work.due()
        for name in TICKS:
            if rng.random() < (0.85 if name in due else 0.1):
                self.work.tick(name)
        self.work.deliver(0.85)
        if rng.random() < 0.6:
            self.people.act()
        self._act_widely()
        if rng.random() < 0.6:
            self.work.end_leases()
        roll = rng.random()
        if roll < 0.015:
            self.world.take_snapshot()
        elif roll < 0.03 and self.world.has_snapshot:
            self.world.restore()
            self.work.mail.clear()
            if self.internet is not None:
                self.internet.feed.restored()

    def _act_widely(self) -> None:
        if self.combinations is not None:
            self.oracle.look()
            self.combinations.act()
        if self.internet is not None:
            self.internet.act()
        if self.ahead is not None:
            self.ahead.act()
        if self.console is not None:
            self.console.act()

    def _pass_time(self) -> None:
        """Mostly to where something is due; sometimes far beyond; sometimes the clock is wrong."""
        rng, clock = self._rng, self.world.clock
        roll = rng.random()
        if roll < 0.03:
            clock.skew = -HOUR if not clock.skew else timedelta(0)
            self.world.met["clock set back or right"] += 1
            self.world.note("the machine's clock is set")
        elif roll < 0.05:
            self.world.met["a month of silence"] += 1
            self.world.pass_time(timedelta(days=31))
        elif roll < 0.20:
            self.world.pass_time(timedelta(minutes=rng.randint(1, 30)))
        elif roll < 0.30:
            self.world.pass_time(timedelta(hours=rng.randint(1, 72)))
        else:
            at = self._at(NEXT_PERIOD if roll < 0.55 else NEXT_DUE)
            wait = at - clock.now() if at else HOUR
            wait = min(max(wait, timedelta(minutes=1)), timedelta(days=31))
            self.world.pass_time(wait + timedelta(seconds=5))

    def _at(self, statement: str) -> datetime | None:
        [row] = self.world.databases.rows(statement)
        return cast("datetime | None", row["min"])

    def _meanwhile(self) -> None:
        """Run an action of another process or person between two steps of this one."""
        if self.console is not None and self.console.interrupts():
            return
        if self.internet is not None and self.internet.interrupts():
            return
        if self.ahead is not None and self.ahead.interrupts():
            return
        rng = self._rng
        roll = rng.random()
        if roll < 0.25:
            self.world.pass_time(timedelta(seconds=rng.randint(30, 150)))
            self.work.tick("ticks.reconcile")
            self.work.deliver_one()
        elif roll < 0.55:
            self.work.deliver_one()
        elif roll < 0.75:
            self.work.tick(rng.choice(TICKS))
        else:
            self.people.act()

    # --- the calm ----------------------------------------------------------------------------

    def _calm(self) -> list[str]:
        """End the faults: due work is done, and parked rows are resolved."""
        world = self.world
        world.chaos.on, world.gateway.calm, self.work.orderly = False, True, True
        world.clock.skew = timedelta(0)
        world.note("CALM")
        # The breaker stopped charging: an operator checked that the gateway's answers are right.
        world.configure(breaker_share_percent=0)
        self.people.make_peace()
        if self.combinations is not None:
            self.combinations.heal()
        if self.internet is not None:
            self.internet.make_peace()
        until = world.clock.now() + timedelta(days=CALM_DAYS)
        while True:
            if stuck := self._work_off():
                return stuck
            at = self._at(NEXT_DUE)
            if at is None or at > until + (ASKED_FOR if self._is_asking() else timedelta(0)):
                return []
            world.pass_time(max(at - world.clock.now(), CALM_STEP))

    def _is_asking(self) -> bool:
        """Whether a question has no answer yet, and asking has not ended either."""
        open_ones = "status IN ('in_flight', 'pending', 'unknown') AND parked_at IS NULL"
        return bool(self.world.databases.rows(f"SELECT 1 FROM charges WHERE {open_ones} LIMIT 1"))

    def _work_off(self) -> list[str]:
        for _ in range(STUCK_ROUNDS):
            self.people.resolve()
            self.people.tell_late_news()
            self.people.send_again()
            if self.internet is not None:
                self.internet.confirm()
                self.internet.tick()
            if self.ahead is not None:
                self.ahead.tick()
            due = self.work.due()
            if not due and not self.work.mail:
                return []
            self.work.end_leases()
            self.work.deliver()
            for name in due:
                self.work.tick(name)
                self.work.deliver()
        return [f"still due after {STUCK_ROUNDS} rounds of work: {self.work.due()}"]


def run_seed(
    seed: int,
    servers: Servers,
    admin: psycopg.Connection,
    bug: str | None = None,
    *,
    wide: bool = False,
    until: Collection[str] = (),
) -> Result:
    """Play one seed in a database of its own, with a bug put in if one is named.

    A wide storm also has combinations of acts, pages of proxies, and rows that were spoilt. A storm
    that looks for findings which begin with the words in `until` ends when it has found them all.
    """
    began, result = monotonic(), Result(seed)
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with databases.fresh(servers, admin) as place, ExitStack() as undo:
            storm = Storm(seed, place, wide=wide)
            undo.callback(storm.world.close)
            undo.enter_context(determined(storm.world))
            if bug is not None:
                {**BUGS, **WIDE_BUGS}[bug](storm.world, undo)
            try:
                result.findings = storm.play(until)
            except Exception:  # noqa: BLE001 - any exception of the engine is a finding
                result.findings = [f"the engine raised: {traceback.format_exc()}"]
            result.trace, result.trace_hash = storm.world.trace, storm.world.trace_hash
            result.met = _met(storm)
    finally:
        structlog.configure(**before)
    result.seconds = monotonic() - began
    return result


def _met(storm: Storm) -> Counter[str]:
    world = storm.world
    met = world.met + world.chaos.met + world.gateway.met
    payments = world.ledger.payments.values()
    [row] = world.databases.rows(STOPPED)
    met["breaker tripped"] = row["count"]
    for row in world.databases.rows(PAYOUTS):
        met[f"payout {row['status']}"] = row["count"]
    met["charges sent"] = len(world.gateway.first_sent)
    met["debits"] = sum(payment.moves for payment in payments)
    met["refunds"] = sum(refund.status == "SUCCESS" for refund in world.ledger.refunds.values())
    met["late successes"] = sum(payment.late for payment in payments)
    return met
