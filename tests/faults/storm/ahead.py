"""Charges that are announced ahead in a wide storm, and an independent idea of what must be told.

One plan has a notice. Whatever a tick could have announced when it ended well has a notice with
that very date, and no date has two. What a tick never saw, such as a charge that was due at once,
needs none: docs/events.md has the rules. It draws from chances of its own.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID

from billing.services.context import Context, Request
from billing.services.subscriptions import pausing, subscribing
from billing.services.webhooks import upcoming
from tests.faults.storm.acts import BY
from tests.faults.storm.world import World

PLAN, NOTICE = "TOLD", timedelta(days=6)
CUSTOMERS = ("C0", "C1", "C2")
LIVE_MIN, MADE_MAX = 2, 12
LIMIT = 100
HEAT = 0.5
_TURNS = "s.change_at IS NOT NULL AND s.change_at <= s.next_due_at"
_COMING = f"""
    SELECT s.id, s.next_period_index AS period, s.next_due_at AS due_at FROM subscriptions s
    WHERE CASE WHEN {_TURNS} THEN s.next_plan_code ELSE s.plan_code END = '{PLAN}'
      AND s.status IN ('trialing', 'active', 'past_due') AND s.held_at IS NULL
      AND (s.cancel_at IS NULL OR s.next_due_at < s.cancel_at)
      AND (s.pause_at IS NULL OR s.next_due_at < s.pause_at)
      AND s.next_due_at > %(now)s AND s.next_due_at <= %(until)s ORDER BY s.id"""
_TOLD = """
    SELECT subscription_id AS id, CAST(data->>'period_index' AS int) AS period,
        CAST(data->>'charge_at' AS timestamptz) AS due_at, at FROM events
    WHERE kind = 'invoice.upcoming' ORDER BY id"""
_FAILED = "SELECT subscription_id AS id FROM events WHERE kind = 'subscription.notice_failed'"
_CHARGED = """
    SELECT subscription_id AS id, period_index AS period, period_start AS due_at FROM invoices
    WHERE change_index = 0 ORDER BY id"""
_LIVE = f"SELECT 1 FROM subscriptions WHERE plan_code = '{PLAN}' AND ended_at IS NULL"
_TRIALS = f"""
    SELECT s.id FROM subscriptions s WHERE plan_code = '{PLAN}' AND status = 'trialing'
    AND pause_at IS NULL AND notice_for > next_period_index ORDER BY id"""


class Coming(NamedTuple):
    """A charge that is to come: a period of a subscription, and its date."""

    id: UUID
    period: int
    due_at: datetime


class Ahead:
    """The tick that announces, and somebody who moves dates that were announced."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = Random(f"ahead {world.seed}")
        self._made = 0
        self._seen: set[Coming] = set()
        self._missed: set[Coming] = set()
        self._restores = 0
        self.told: list[str] = []

    def begin(self) -> None:
        """Offer the plan, and let some customers subscribe to it."""
        self._world.run(
            f"plan {PLAN}",
            lambda c: subscribing.create_plan(
                c, PLAN, amount=20_000, by=BY, every="1 week", trial="10 days", notice="6 days"
            ),
        )
        for who in CUSTOMERS:
            self._subscribe(who)

    def act(self) -> None:
        """Run the tick, mostly; keep the plan in use, and pause trials that were announced."""
        roll = self._rng.random()
        if roll < 0.65:
            self.tick()
        elif roll < 0.85:
            self._pause()
        elif len(self._world.databases.rows(_LIVE)) < LIVE_MIN:
            self._subscribe(self._rng.choice(CUSTOMERS))

    def interrupts(self) -> bool:
        """Let the tick come between two steps of another process, or not."""
        if self._rng.random() >= 0.05:
            return False
        self._world.run("announce", _announce, HEAT, asked=False)
        return True

    def tick(self) -> None:
        """Announce; afterwards everything that could be announced all the time has been."""
        if len(self._world.restores) != self._restores:
            self._restores = len(self._world.restores)
            self._seen.clear()
        before = set(self._coming())
        if self._world.run("announce", _announce, HEAT, asked=False) != "done":
            return
        failed = {row["id"] for row in self._world.databases.rows(_FAILED)}
        stayed = {each for each in before.intersection(self._coming()) if each.id not in failed}
        self._seen |= stayed
        missing = stayed - {Coming(*row[:3]) for row in self._announced()}
        for each in sorted(missing - self._missed):
            self._tell(f"AHEAD: {self._name(each)} could be announced, and was not")
        self._missed |= missing

    def findings(self) -> Iterator[str]:
        """Report charges whose date a tick knew and did not tell, and dates told twice."""
        yield from self.told
        announced = self._announced()
        self._world.met["announced"] += len(announced)
        told = [Coming(*row[:3]) for row in announced]
        for each in sorted(set(told)):
            if told.count(each) > 1:
                yield f"AHEAD: {self._name(each)} was announced {told.count(each)} times"
        for coming, at in zip(told, (row[3] for row in announced), strict=True):
            if at >= coming.due_at:
                yield f"AHEAD: {self._name(coming)} was announced at {at}, when it was due"
        charged = [Coming(**row) for row in self._world.databases.rows(_CHARGED)]
        for each in charged:
            self._world.met["announced and charged"] += each in told
            if each in self._seen and each not in told:
                yield f"AHEAD: {self._name(each)} was charged, and this date was not announced"
        dates = {(each.id, each.period) for each in told}
        self._world.met["announced again"] += len(told) - len(dates)

    # --- tools -------------------------------------------------------------------------------

    def _coming(self) -> Iterator[Coming]:
        now = self._world.clock.now()
        for row in self._world.databases.rows(_COMING, now=now, until=now + NOTICE):
            yield Coming(**row)

    def _announced(self) -> list[tuple[UUID, int, datetime, datetime]]:
        return [
            (row["id"], row["period"], row["due_at"], row["at"])
            for row in self._world.databases.rows(_TOLD)
        ]

    def _tell(self, finding: str) -> None:
        self._world.note(f"! {finding}")
        self.told.append(finding)

    def _name(self, coming: Coming) -> str:
        return f"{self._world.name(coming.id)}/{coming.period} of {coming.due_at}"

    def _subscribe(self, who: str) -> None:
        if self._made >= MADE_MAX:
            return
        self._made += 1
        name, key = f"T{self._made}", f"told-{self._made}"

        def deed(context: Context) -> None:
            request = Request(key, "subscribe", {})
            made = subscribing.subscribe(context, who, PLAN, BY, again=True, request=request)
            self._world.call(UUID(made["id"]), name)

        self._world.note(f"({who} takes {PLAN} as {name})")
        self._world.run(f"{who} takes {PLAN}", deed)

    def _pause(self) -> None:
        """Pause a trial whose end was announced, so that it ends on another date."""
        trials = self._world.databases.rows(_TRIALS)
        if not trials:
            return
        chosen, days = self._rng.choice(trials)["id"], self._rng.randint(1, 6)
        until = self._world.clock.now() + timedelta(days=days)
        what = f"pause {self._world.name(chosen)}, announced, for {days} days"
        self._world.note(f"({what})")
        self._world.run(what, lambda c: pausing.pause(c, chosen, BY, until=until))


def _announce(context: Context) -> None:
    upcoming.announce_due(context, LIMIT)
