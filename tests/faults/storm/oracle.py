"""What wide storms are held to besides the verdict: money given back, paid days, and plans made.

It looks at the rows while the storm rages, since a row that was changed does not tell what it
was; and at the end it compares them with the gateway's ledger. It knows no service.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from billing.domain.periods import unused_days, zone
from tests.faults.storm.ledger import SUCCESS
from tests.faults.storm.world import World

Row = Mapping[str, Any]
PLANNED = ("change_at", "cancel_at", "pause_at")
WITHDRAWN = ("withdrawn", "dropped", "moved", "intent", "canceled", "completed", "planned",
             "scheduled")  # fmt: skip
"""Words in the kinds of events that tell what became of a plan."""


class Oracle:
    """An idea of its own of what was paid for and what was planned."""

    def __init__(self, world: World) -> None:
        self.ends_with_a_period: set[UUID] = set()
        """Whose cancellation was planned for the end of what is paid."""
        self._world = world
        self._ends: dict[UUID, datetime] = {}
        self._resumes: dict[UUID, datetime] = {}
        self._told: list[str] = []
        self._restores = 0

    def tell(self, finding: str) -> None:
        """Note something that is wrong."""
        self._world.note(f"! {finding}")
        self._told.append(finding)

    def failed(self, what: str, error: Exception) -> None:
        """One row that is spoilt may fail by itself, and never a whole tick or message."""
        finding = f"ISOLATION: {what.split(maxsplit=1)[0]} failed: {type(error).__name__}"
        if finding not in self._told:
            self.tell(finding)

    # --- during the storm --------------------------------------------------------------------

    def look(self) -> None:
        """Note where periods end, before anybody cuts them, and whether pauses end on time."""
        if len(self._world.restores) != self._restores:
            self._restores = len(self._world.restores)
            self._ends.clear()
            self._resumes.clear()
            self.ends_with_a_period.clear()
        rows = self._world.databases.rows
        for row in rows("SELECT id, period_end FROM invoices WHERE change_index = 0"):
            self._ends.setdefault(row["id"], row["period_end"])
        self._look_at_resumes()

    def resumes_on(self, subscription: UUID, at: datetime) -> None:
        """A pause is to end exactly when a period begins; that period is to be billed."""
        self._resumes[subscription] = at

    def expects_no_resume_of(self, subscription: UUID) -> None:
        """Something else was decided: the date of the pause's end is nothing to hold on to."""
        self._resumes.pop(subscription, None)

    def _look_at_resumes(self) -> None:
        if not self._resumes:
            return
        due = {key: at for key, at in self._resumes.items() if at <= self._world.clock.now()}
        for row in self._world.databases.rows(
            """SELECT s.id, s.status, s.next_due_at, s.ended_at, p.catch_up,
                   EXISTS (SELECT 1 FROM invoices i WHERE i.subscription_id = s.id
                           AND i.period_start >= s.resumes) AS billed
               FROM (SELECT s.*, d.at AS resumes FROM subscriptions s
                     JOIN unnest(%(ids)s::uuid[], %(ats)s::timestamptz[]) AS d (id, at)
                     ON d.id = s.id) AS s
               JOIN plans p ON p.code = s.plan_code""",
            ids=list(due), ats=list(due.values()),
        ):  # fmt: skip
            if row["status"] == "paused":
                continue
            at = self._resumes.pop(row["id"])
            waits = row["next_due_at"] is not None and row["next_due_at"] <= at
            runs = row["status"] in {"active", "past_due"} and row["catch_up"] == "all"
            if runs and not (row["billed"] or waits):
                name = self._world.name(row["id"])
                self.tell(f"UNPAID: {name}: the period of {at} was skipped, and its pause was over")

    @contextmanager
    def plans_are_kept(self, subscription: UUID) -> Iterator[None]:
        """Whatever was planned is planned still, or an event tells what became of it."""
        before, last = self._planned(subscription), self._last_event()
        yield
        after = self._planned(subscription)
        kinds = [
            row["kind"]
            for row in self._world.databases.rows(
                "SELECT kind FROM events WHERE id > %(last)s AND subscription_id = %(id)s",
                last=last, id=subscription,
            )
        ]  # fmt: skip
        told = any(word in kind for kind in kinds for word in WITHDRAWN)
        for name in PLANNED:
            was = before.get(name)
            # What came due meanwhile was fulfilled by another process.
            waits = was is not None and was > self._world.clock.now()
            if waits and after.get(name) is None and not told:
                self.tell(f"INTENT: {self._world.name(subscription)}: its {name} vanished")

    def _planned(self, subscription: UUID) -> Row:
        rows = self._world.databases.rows(
            f"SELECT {', '.join(PLANNED)} FROM subscriptions WHERE id = %(id)s", id=subscription
        )
        return rows[0] if rows else {}

    def _last_event(self) -> int:
        [row] = self._world.databases.rows("SELECT coalesce(max(id), 0) AS id FROM events")
        return int(row["id"])

    # --- at the end --------------------------------------------------------------------------

    def findings(self) -> Iterator[str]:
        """Everything that is wrong by this idea."""
        yield from self._told
        if self._world.restores:
            return  # what was forgotten is held against nobody here
        yield from self._money()
        yield from self._cut_periods()
        yield from self._planned_ends()

    def _money(self) -> Iterator[str]:
        """Of each invoice no more is given back than was taken, and no credit is lost."""
        world, back, taken = self._world, Counter[UUID](), Counter[UUID]()
        invoice_of = {
            row["gateway_number"]: row["invoice_id"]
            for row in world.databases.rows("SELECT gateway_number, invoice_id FROM charges")
        }
        for payment in world.ledger.payments.values():
            if payment.number in invoice_of:
                taken[invoice_of[payment.number]] += payment.amount * payment.moves
        for refund in world.ledger.refunds.values():
            if refund.status == SUCCESS and refund.order.number in invoice_of:
                back[invoice_of[refund.order.number]] += refund.order.amount
        for row in world.databases.rows(_CREDITS):
            name, invoice = world.name(row["id"]), row["id"]
            had = taken[invoice] + row["credited"]
            value = back[invoice] + row["remaining"] + row["used"]
            if value > had:
                yield f"OVER-REFUND: {name}: {had} were paid, {value} are given back or credited"
            gone = row["given"] - row["remaining"] - row["used"]
            if gone > back[invoice] + row["under_way"]:
                yield (
                    f"LOST BALANCE: {name}: {gone} left the balance, and {back[invoice]} were"
                    " given back"
                )

    def _cut_periods(self) -> Iterator[str]:
        """Days of a paid period that was cut are given back or credited."""
        for row in self._world.databases.rows(_CUT):
            end = self._ends.get(row["id"])
            if end is None or end <= row["period_end"] or not row["amount"]:
                continue
            unused, whole = unused_days(
                row["period_start"], end, row["period_end"], zone(row["timezone"])
            )
            if unused and not row["settled"]:
                name = self._world.name(row["id"])
                yield f"PAID DAYS: {name}: {unused} of {whole} days were cut, and nothing came back"

    def _planned_ends(self) -> Iterator[str]:
        """Who cancelled at the end of what was paid had all of it, and paid for nothing after."""
        for row in self._world.databases.rows(_ENDED, ids=list(self.ends_with_a_period)):
            if not row["settled"]:
                name = self._world.name(row["invoice_id"])
                yield f"PAID DAYS: {name}: paid to {row['period_end']}, ended {row['cancel_at']}"


_SETTLED = """EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
    AND o.period_index = i.period_index AND (EXISTS (SELECT 1 FROM credits c
        WHERE c.invoice_id = o.id) OR EXISTS (SELECT 1 FROM refunds r WHERE r.invoice_id = o.id)))
    AS settled"""
_CUT = f"""SELECT i.*, p.timezone, {_SETTLED} FROM invoices i
    JOIN subscriptions s ON s.id = i.subscription_id JOIN plans p ON p.code = s.plan_code
    WHERE i.status = 'paid' AND i.change_index = 0 ORDER BY i.id"""
_ENDED = f"""SELECT s.id, s.cancel_at, i.id AS invoice_id, i.period_end, {_SETTLED}
    FROM subscriptions s JOIN invoices i ON i.subscription_id = s.id
    WHERE s.id = ANY(%(ids)s) AND s.ended_at >= s.cancel_at AND i.change_index = 0
      AND i.status = 'paid' AND i.amount > 0
      AND i.period_start < s.cancel_at AND i.period_end > s.cancel_at ORDER BY s.id"""
_CREDITS = """
    SELECT i.id, i.credited, g.given, g.remaining, g.used,
        coalesce((SELECT sum(r.amount) FROM refunds r WHERE r.invoice_id = i.id
            AND r.status NOT IN ('succeeded', 'declined')), 0)::bigint AS under_way
    FROM invoices i JOIN LATERAL (
        SELECT coalesce(sum(c.amount), 0)::bigint AS given,
            coalesce(sum(c.remaining), 0)::bigint AS remaining,
            coalesce(sum((SELECT sum(u.amount) FROM credit_uses u WHERE u.credit_id = c.id)), 0)
                ::bigint AS used
        FROM credits c WHERE c.invoice_id = i.id) AS g ON true
    ORDER BY i.id"""
