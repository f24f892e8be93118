"""Checks of wide storms in addition to the verdict: refunds, paid days, and intents.

It looks at the rows while the storm rages, since a row that was changed does not tell what it
was; and at the end it compares them with the gateway's ledger. It knows no service.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from billing.domain.money import prorate
from billing.domain.periods import unused_days, zone
from tests.faults.storm.ledger import SUCCESS
from tests.faults.storm.world import World

Row = Mapping[str, Any]
ROUNDING = timedelta(hours=1)
"""A trial that went on after a pause ends on a whole second, and on a wall that exists."""
PLANNED = {
    "change_at": ("change_dropped", "change_withdrawn"),
    "cancel_at": ("cancel_dropped", "cancel_withdrawn"),
    "pause_at": ("pause_dropped", "pause_withdrawn"),
    "resume_at": ("resume_dropped", "pause_withdrawn"),
}
"""What may be planned, and the events that tell why it was not done on its date."""


class Oracle:
    """An independent record of paid days and intents."""

    def __init__(self, world: World) -> None:
        self.ends_with_a_period: set[UUID] = set()
        """Whose cancellation was planned for the end of what is paid."""
        self._world = world
        self._ends: dict[UUID, datetime] = {}
        self._resumes: dict[UUID, datetime] = {}
        self.told: list[str] = []
        """What was wrong while the storm raged."""
        self._restores = 0

    def tell(self, finding: str) -> None:
        """Note something that is wrong."""
        self._world.note(f"! {finding}")
        self.told.append(finding)

    def failed(self, what: str, error: Exception) -> None:
        """A corrupt row may fail alone, but never a whole tick or message."""
        finding = f"ISOLATION: {what.split(maxsplit=1)[0]} failed: {type(error).__name__}"
        if finding not in self.told:
            self.tell(finding)

    # --- during the storm --------------------------------------------------------------------

    def look(self) -> None:
        """Record the ends of periods before they are cut, and whether pauses end on time."""
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
        """Another decision was made: the date of the pause's end is not checked any more."""
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
        """Each intent is still there, or an event says what happened to it."""
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
        for name, ends in PLANNED.items():
            told = any(kind.removeprefix("subscription.") in ends for kind in kinds)
            was = before.get(name)
            # What came due meanwhile was fulfilled by another process.
            waits = was is not None and was > self._world.clock.now()
            if waits and after.get(name) is None and not told:
                self.tell(f"INTENT: {self._world.name(subscription)}: its {name} vanished")

    @contextmanager
    def costs_nothing(self, subscription: UUID, *, below: int) -> Iterator[None]:
        """A change to something cheaper than `below` never takes money."""
        last = self._last_event()
        yield
        told = self._world.databases.rows(
            "SELECT (data->>'amount')::bigint AS amount, (data->>'net')::bigint AS net FROM events"
            " WHERE id > %(last)s AND subscription_id = %(id)s AND kind = 'subscription.changed'",
            last=last, id=subscription,
        )  # fmt: skip
        # With two, another process changed it meanwhile.
        if len(told) == 1 and told[0]["amount"] < below and (told[0]["net"] or 0) > 0:
            name = self._world.name(subscription)
            self.tell(f"PAID DAYS: {name}: cheaper than before, and {told[0]['net']} were charged")

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
        yield from self.told
        if self._world.restores:
            return  # lost rows are not counted here
        kept = Counter[UUID]()
        yield from self._money(kept)
        yield from self._cut_periods(kept)
        yield from self._planned_ends()
        yield from self._skipped()
        yield from self._trials()

    def _money(self, kept: Counter[UUID]) -> Iterator[str]:
        """No invoice has more refunded than was taken, and no credit is lost.

        `kept` receives what was neither refunded nor credited of each invoice.
        """
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
            value = back[invoice] + row["remaining"] + row["used"] + row["returned"]
            kept[invoice] = had - value - row["under_way"]
            if value > had:
                yield f"OVER-REFUND: {name}: {had} were paid, {value} are given back or credited"
            gone = row["given"] - row["remaining"] - row["used"]
            if gone > back[invoice] + row["under_way"]:
                yield (
                    f"LOST BALANCE: {name}: {gone} left the balance, and {back[invoice]} were"
                    " given back"
                )

    def _cut_periods(self, kept: Counter[UUID]) -> Iterator[str]:
        """All days cut from a paid period are refunded or credited."""
        for row in self._world.databases.rows(_CUT):
            end = self._ends.get(row["id"])
            if end is None or end <= row["period_end"] or not row["amount"]:
                continue
            unused, whole = unused_days(
                row["period_start"], end, row["period_end"], zone(row["timezone"])
            )
            if not unused:
                continue
            name = self._world.name(row["id"])
            # What a coupon paid is not returned, and neither are extras.
            days = max(row["amount"] - row["extras"], 0)
            if not row["settled"] and prorate(days, unused, whole):
                yield f"PAID DAYS: {name}: {unused} of {whole} days were cut, and nothing came back"
            # A refund that was declined after the cut is kept again; then a person has to look.
            most = row["extras"] + prorate(row["amount"] - row["extras"], whole - unused, whole)
            if kept[row["id"]] > most + 1 and not (row["changed"] or row["declined"]):
                yield (
                    f"PAID DAYS: {name}: {unused} of {whole} days were cut, and"
                    f" {kept[row['id']]} of {row['amount']} kept, at most {most} expected"
                )

    def _planned_ends(self) -> Iterator[str]:
        """A customer who canceled at period end had all paid days and paid no later ones."""
        for row in self._world.databases.rows(_ENDED, ids=list(self.ends_with_a_period)):
            if not row["settled"]:
                name = self._world.name(row["invoice_id"])
                yield f"PAID DAYS: {name}: paid to {row['period_end']}, ended {row['cancel_at']}"

    def _skipped(self) -> Iterator[str]:
        """A period is left out for a pause only if it began in it: the days before were served."""
        for row in self._world.databases.rows(_SKIPPED):
            begins, stopped = row["begins"], row["stopped"]
            if row["why"] == "held":
                if not row["held"]:
                    name = self._world.name(row["subscription_id"])
                    yield f"UNPAID: {name}: period {row['first']} was left out as held, and was not"
            elif begins is not None and (stopped is None or begins < stopped):
                name = self._world.name(row["subscription_id"])
                yield (
                    f"UNPAID: {name}: period {row['first']} began {begins} and was left out"
                    f" ({row['why']}), and it stood still only from {stopped} on"
                )

    def _trials(self) -> Iterator[str]:
        """A trial has its promised length; a pause does not change it."""
        for row in self._world.databases.rows(_TRIALS):
            wanted = row["due_at"] + row["paused"]
            if abs(row["period_start"] - wanted) > ROUNDING:
                name = self._world.name(row["subscription_id"])
                kind = "UNPAID" if row["period_start"] > wanted else "PAID DAYS"
                yield f"{kind}: {name}: the trial was to end {wanted}, not {row['period_start']}"


_TRIALS = """
    SELECT i.subscription_id, i.period_start, (t.data->>'due_at')::timestamptz AS due_at,
        coalesce((SELECT sum((SELECT coalesce((r.data->>'effective_at')::timestamptz, r.at)
                FROM events r WHERE r.subscription_id = p.subscription_id AND r.id > p.id
                  AND r.kind = 'subscription.resumed' ORDER BY r.id LIMIT 1)
            - coalesce((p.data->>'effective_at')::timestamptz, p.at)) FROM events p
            WHERE p.subscription_id = i.subscription_id AND p.kind = 'subscription.paused'
              AND p.data->>'before' = 'trialing'), interval '0') AS paused
    FROM invoices i JOIN events t ON t.subscription_id = i.subscription_id
        AND t.kind = 'subscription.trial_started'
    WHERE i.period_index = 0 AND i.change_index = 0 ORDER BY i.subscription_id"""
_SKIPPED = """
    SELECT e.subscription_id, e.data->>'first' AS first, e.data->>'why' AS why,
        (SELECT i.period_end FROM invoices i WHERE i.subscription_id = e.subscription_id
            AND i.change_index = 0 AND i.period_index = (e.data->>'first')::int - 1) AS begins,
        (SELECT coalesce((s.data->>'effective_at')::timestamptz, s.at) FROM events s
            WHERE s.subscription_id = e.subscription_id AND s.id < e.id
              AND s.kind IN ('subscription.paused', 'subscription.marked_unpaid')
            ORDER BY s.id DESC LIMIT 1) AS stopped,
        EXISTS (SELECT 1 FROM events h WHERE h.subscription_id = e.subscription_id
            AND h.id < e.id AND h.kind = 'subscription.held') AS held
    FROM events e WHERE e.kind = 'period.skipped' AND e.data->>'why' IN ('paused', 'unpaid', 'held')
    ORDER BY e.id"""
_SETTLED = """EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
    AND o.period_index = i.period_index AND (EXISTS (SELECT 1 FROM credits c
        WHERE c.invoice_id = o.id) OR EXISTS (SELECT 1 FROM refunds r WHERE r.invoice_id = o.id)
        OR EXISTS (SELECT 1 FROM credit_uses u WHERE u.invoice_id = o.id AND u.returned > 0)))
    AS settled"""
"""What a period was paid by the balance goes back to the credits that it came from."""
_CUT = f"""SELECT i.*, p.timezone, {_SETTLED},
        (SELECT coalesce(sum((line->>'amount')::bigint), 0)::bigint
            FROM jsonb_array_elements(i.lines) AS line
            WHERE line->>'kind' NOT IN ('period', 'coupon')) AS extras,
        EXISTS (SELECT 1 FROM invoices o WHERE o.subscription_id = i.subscription_id
            AND o.period_index = i.period_index AND o.change_index > 0) AS changed,
        EXISTS (SELECT 1 FROM refunds r WHERE r.invoice_id = i.id
            AND r.status IN ('declined', 'unreturned', 'waived')) AS declined
    FROM invoices i
    JOIN subscriptions s ON s.id = i.subscription_id JOIN plans p ON p.code = s.plan_code
    WHERE i.status = 'paid' AND i.change_index = 0 ORDER BY i.id"""
_ENDED = f"""SELECT s.id, s.cancel_at, i.id AS invoice_id, i.period_end, {_SETTLED}
    FROM subscriptions s JOIN invoices i ON i.subscription_id = s.id
    WHERE s.id = ANY(%(ids)s) AND s.ended_at >= s.cancel_at AND i.change_index = 0
      AND i.status = 'paid' AND i.amount > 0
      AND i.period_start < s.cancel_at AND i.period_end > s.cancel_at ORDER BY s.id"""
_CREDITS = """
    SELECT i.id, i.credited, g.given, g.remaining, g.used,
        coalesce((SELECT sum(u.returned) FROM credit_uses u WHERE u.invoice_id = i.id), 0)
            ::bigint AS returned,
        coalesce((SELECT sum(r.amount) FROM refunds r WHERE r.invoice_id = i.id
            AND r.status IN ('requested', 'in_flight', 'unknown', 'returned_elsewhere')), 0)
            ::bigint AS under_way
    FROM invoices i JOIN LATERAL (
        SELECT coalesce(sum(c.amount), 0)::bigint AS given,
            coalesce(sum(c.remaining), 0)::bigint AS remaining,
            coalesce(sum((SELECT sum(u.amount - u.returned) FROM credit_uses u
                WHERE u.credit_id = c.id)), 0)::bigint AS used
        FROM credits c WHERE c.invoice_id = i.id) AS g ON true
    ORDER BY i.id"""
