"""The work of workers and beat: ticks that find due work, and messages that may be lost.

The queue is a list: messages are lost, doubled, late, out of order, and delivered again when the
process that had them was killed. It decides nothing about money.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from billing.services.collecting import charging, opening_batches, reconciling
from billing.services.context import Context
from billing.services.money import refunding
from billing.services.reading import auditing
from billing.services.subscriptions import canceling, pausing
from billing.services.wallets import linking
from billing.store.queries import engine
from billing.store.queries.subscriptions import MAY_END, MAY_PAUSE, MAY_RESUME
from schedules.beat import AUDIT, TICKS
from tests.faults.storm.world import World

LIMIT = 500
TASK_HEAT, TICK_HEAT = 1.6, 0.5

DUE = f"""
SELECT EXISTS (SELECT 1 FROM subscriptions s WHERE s.cancel_at <= %(now)s AND {MAY_END}
               OR s.pause_at <= %(now)s AND {MAY_PAUSE}
               OR s.resume_at <= %(now)s AND {MAY_RESUME})
           AS "ticks.end_subscriptions",
       EXISTS (SELECT 1 FROM subscriptions WHERE next_due_at <= %(now)s AND held_at IS NULL
               AND (cancel_at IS NULL OR next_due_at < cancel_at)
               AND (pause_at IS NULL OR next_due_at < pause_at)) AS "ticks.open_periods",
       EXISTS (SELECT 1 FROM invoices WHERE next_attempt_at <= %(now)s AND held_at IS NULL)
           AS "ticks.sweep_charges",
       EXISTS (SELECT 1 FROM charges WHERE next_check_at <= %(now)s AND held_at IS NULL)
           AS "ticks.reconcile",
       EXISTS (SELECT 1 FROM refunds WHERE next_attempt_at <= %(now)s AND held_at IS NULL)
           AS "ticks.sweep_refunds",
       EXISTS (SELECT 1 FROM wallets WHERE held_at IS NULL AND (next_attempt_at <= %(now)s
               OR (expires_at <= %(now)s AND status = 'active')
               OR (next_notice_at <= %(now)s AND status = 'active'))) AS "ticks.attend_wallets"
"""
NEXT_DUE = str(engine.NEXT_DUE)
NEXT_PERIOD = "SELECT min(next_due_at) FROM subscriptions WHERE held_at IS NULL"
LEASED = ("invoices", "charges", "refunds", "wallets")


@dataclass(frozen=True)
class Message:
    """A task's name and the ids it was given."""

    task: str
    ids: tuple[UUID, ...]


UNTIL_NOTHING_IS_DUE = 10**6


def task(context: Context, message: Message) -> None:
    """Do what `workers.charges` does with a message."""
    match message.task:
        case "collect":
            charging.collect_on(context, message.ids, UNTIL_NOTHING_IS_DUE)
        case "ask":
            reconciling.ask(context, message.ids)
        case "refund":
            refunding.send_due(context, message.ids[0])
        case "attend":
            linking.attend(context, message.ids[0])


class Work:
    """Beat, the broker and the workers."""

    def __init__(self, world: World) -> None:
        self.mail: list[Message] = []
        self.orderly = False
        self.alarm: Callable[[Message], None] = lambda _message: None
        self._world = world

    # --- ticks -------------------------------------------------------------------------------

    def due(self) -> list[str]:
        """The ticks that would find something, in the order of the beat table."""
        [row] = self._world.databases.rows(DUE, now=self._world.clock.now())
        return [name for name in TICKS if row[name]]

    def tick(self, name: str) -> None:
        """Let beat's message be worked on."""
        self._world.run(name, lambda context: self._tick(context, name), TICK_HEAT, asked=False)

    def _tick(self, context: Context, name: str) -> None:
        match name:
            case "ticks.end_subscriptions":
                canceling.cancel_due(context)
                pausing.pause_due(context)
                pausing.resume_due(context)
            case "ticks.open_periods":
                if opening_batches.open_due(context):
                    self._tick(context, "ticks.sweep_charges")
            case "ticks.sweep_charges":
                self._post("collect", charging.lease_due(context, LIMIT))
            case "ticks.reconcile":
                self._post("ask", reconciling.lease_due(context, LIMIT))
            case "ticks.sweep_refunds":
                self._post("refund", refunding.lease_due(context, LIMIT), largest=1)
            case "ticks.attend_wallets":
                linking.expire_due(context, LIMIT)
                linking.give_notice(context, LIMIT)
                self._post("attend", linking.lease_due(context, LIMIT), largest=1)
            case _ if name == AUDIT:
                auditing.audit(context)

    def _post(self, task: str, ids: Sequence[UUID], largest: int = 8) -> None:
        """Enqueue batches; a process may die between two of them."""
        rng, left = self._world.rng, sorted(ids)
        rng.shuffle(left)
        while left:
            size = rng.randint(1, largest)
            message, left = Message(task, tuple(left[:size])), left[size:]
            fate = 1.0 if self.orderly else rng.random()
            if fate < 0.05:
                self._world.met["message lost"] += 1
                continue
            self.mail.append(message)
            if fate < 0.12:
                self._world.met["message doubled"] += 1
                self.mail.append(message)
            self._world.chaos.point("between tasks")

    # --- messages ----------------------------------------------------------------------------

    def deliver(self, share: float = 1.0) -> None:
        """Work on the mail, out of order; what is not delivered now comes at another time."""
        rng, later = self._world.rng, []
        for _ in range(len(self.mail)):
            if not self.mail:
                break  # another worker took the rest
            at = 0 if self.orderly else rng.randrange(len(self.mail))
            message = self.mail.pop(at)
            if rng.random() < share:
                self.work_on(message)
            else:
                self._world.met["message late"] += 1
                later.append(message)
        self.mail += later

    def deliver_one(self) -> None:
        """Work on any one message."""
        if self.mail:
            self.work_on(self.mail.pop(self._world.rng.randrange(len(self.mail))))

    def work_on(self, message: Message) -> None:
        """Let a worker do a task; a killed one's message may come again."""
        names = " ".join(self._world.name(item) for item in message.ids)
        what = f"{message.task} {names}"
        self._world.note(what)
        end = self._world.run(what, lambda context: task(context, message), TASK_HEAT, asked=False)
        if end == "killed" and self._world.rng.random() < 0.5:
            self._world.met["message delivered again"] += 1
            self.mail.append(message)
        if end in {"killed", "cut"}:
            self.alarm(message)

    def end_leases(self) -> None:
        """Let every lease of some tables end, as real time would."""
        rng = self._world.rng
        for table in LEASED if self.orderly else rng.sample(LEASED, rng.randint(1, 4)):
            self._world.databases.write(_END[table])


_END = {
    table: f"UPDATE {table} SET leased_until = NULL WHERE leased_until IS NOT NULL"
    for table in LEASED
}
