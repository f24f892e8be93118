"""People of the console in a wide storm: they read, confirm, ask each other, and act on many rows.

What was read is confirmed later, when it may have changed, and so is what waits for a second
person. It draws from chances of its own. The claims are about events: nobody's request is done
twice, or otherwise than it was shown, and nobody refunds alone more than the limit.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from billing.domain.events import Actor
from billing.domain.people import Person, Role
from billing.domain.subscription import RefundPolicy
from billing.services.context import Context, Request
from billing.services.money import refunding
from billing.services.operating import approval_ends, approvals, bulk, people
from billing.store.queries.holding import Kind
from tests.faults.storm.acts import BY
from tests.faults.storm.merchant import SECRET_NAME
from tests.faults.storm.world import World
from tests.integration import second_person
from tests.integration.second_person import Errand, Read

LIMIT, PART = 12_000, 7_000
LIMITS: Mapping[str, Any] = {
    "approval_refund_above": LIMIT, "approval_bulk_above": 1, "approval_hours": 200,
}  # fmt: skip
ACTS: Mapping[str, int] = {
    "read": 8, "confirm": 8, "approve": 9, "end": 2, "many": 3, "repeat": 3, "expire": 1,
    "parts": 3, "overtaken": 3,
}  # fmt: skip
OFTEN, AT_ONCE = 0.5, 0.5
INTERRUPTS, INTERRUPTS_A_DECISION = 0.02, 0.4
PASSWORD = "correct horse battery"
NAMES = ("Ani", "Budi", "Cici")
TOGETHER = timedelta(hours=24)
WAITING = ((Kind.INVOICE, "waits for balance"), (Kind.INVOICE, "no date"),
           (Kind.SUBSCRIPTION, "held"), (Kind.INVOICE, "held"))  # fmt: skip
_PAID = """
    SELECT i.id, i.subscription_id, i.customer_id, i.amount FROM invoices i
    WHERE i.status = 'paid' AND i.amount > i.credited ORDER BY i.id"""
_RUNNING = """
    SELECT s.id, s.customer_id FROM subscriptions s WHERE s.ended_at IS NULL AND EXISTS (
        SELECT 1 FROM invoices i WHERE i.subscription_id = s.id AND i.status = 'paid')
    ORDER BY s.id"""
_DONE = """
    SELECT kind, actor, data FROM events WHERE reason = %(reason)s AND kind IN (
        'refund.requested', 'subscription.canceled', 'invoice.retry_requested')
    AND actor = ANY(%(names)s) ORDER BY id"""
_ALONE = """
    SELECT e.id, e.subscription_id AS subscription, e.at,
        CAST(e.data->>'amount' AS bigint) AS amount
    FROM events e WHERE e.kind = 'refund.requested' AND e.actor = ANY(%(names)s)
    AND NOT e.data ? 'approved_by' ORDER BY e.id"""
_OWN = "SELECT id FROM approvals WHERE status = 'approved' AND decided_by = asked_by"


@dataclass
class Paper:
    """What a person has read, and perhaps confirmed; `request` is what became of it."""

    name: str
    reason: str
    who: Person
    errand: Errand | None = None
    read: Read | None = None
    order: bulk.Order | None = None
    request: UUID | None = None
    is_confirmed: bool = False

    @property
    def key(self) -> str:
        """The key of its form."""
        return f"{self.name:0>32}"


class Console:
    """Three people, each of whom may do everything."""

    def __init__(self, world: World) -> None:
        self.told: list[str] = []
        self._world = world
        self._rng = Random(f"console {world.seed}")
        self._people: list[Person] = []
        self._papers: list[Paper] = []
        self._deciding: list[Paper] = []
        self._made = 0

    def begin(self) -> None:
        """Let the people in."""
        for name in NAMES:
            self._world.run(
                f"person {name}",
                lambda c, n=name: self._people.append(
                    people.create(c, n, Role.ADMIN, PASSWORD, BY)
                ),
            )

    def act(self) -> None:
        """Let somebody act, or nobody."""
        if self._rng.random() < OFTEN:
            self._act()

    def interrupts(self) -> bool:
        """Come between two steps of another process: the same approval again, or another act."""
        if self._rng.random() >= (INTERRUPTS_A_DECISION if self._deciding else INTERRUPTS):
            return False
        if self._deciding and self._rng.random() < 0.8:
            self._world.met["approved at the same time"] += 1
            self._approve(self._deciding[-1])
        else:
            self._act()
        return True

    def _act(self) -> None:
        [name] = self._rng.choices(list(ACTS), list(ACTS.values()))
        deeds: dict[str, Callable[[], None]] = {
            "read": self._look,
            "confirm": self._confirm,
            "approve": self._approve_one,
            "end": self._end,
            "many": self._many,
            "repeat": self._repeat,
            "expire": self._expire,
            "parts": self._parts,
            "overtaken": self._overtaken,
        }
        self._world.met[f"console {name}"] += 1
        deeds[name]()

    # --- one person --------------------------------------------------------------------------

    def _look(self) -> None:
        """Read the preview of a refund or of a cancellation; it is confirmed now or later."""
        rng = self._rng
        refunds = rng.random() < 0.75
        row = self._some(_PAID if refunds else _RUNNING)
        if row is None:
            return
        if refunds:
            amount = rng.choice([None, PART, 20_000, row["amount"]])
            errand = second_person.refund_of(row["id"], row["subscription_id"], amount)
        else:
            policy = rng.choice([RefundPolicy.FULL, RefundPolicy.PRORATED])
            errand = second_person.cancellation_of(row["id"], policy)
        paper = self._read(errand, row["customer_id"])
        if paper.read is not None and rng.random() < AT_ONCE:
            self._send(paper)

    def _read(self, errand: Errand, customer: str) -> Paper:
        paper = self._paper(errand.kind.value, f"for {SECRET_NAME} {customer}")
        paper.errand = errand

        def deed(context: Context) -> None:
            read = second_person.preview(context, errand, Actor(paper.who.name, paper.reason))
            paper.read = read
            self._papers.append(paper)

        what = f"{paper.who.name} reads {errand.kind} of {self._world.name(errand.subject)}"
        self._run(what, paper, deed)
        return paper

    def _parts(self) -> None:
        """Refund in parts, each of which is under the limit."""
        row = self._some(_PAID)
        for _ in range(2 if row is not None else 0):
            assert row is not None
            errand = second_person.refund_of(row["id"], row["subscription_id"], PART)
            paper = self._read(errand, row["customer_id"])
            if paper.read is not None:
                self._send(paper)

    def _overtaken(self) -> None:
        """Ask for everything that is kept; a part of it is refunded before it is approved."""
        row = self._some(_PAID)
        if row is None:
            return
        invoice = row["id"]
        errand = second_person.refund_of(invoice, row["subscription_id"], None)
        paper = self._read(errand, row["customer_id"])
        if paper.read is None:
            return
        self._send(paper, is_seen=False)
        request = Request(f"overtaken-{paper.name}", "refund", {})
        by = Actor("storm", f"refund key-overtaken-{paper.name}")
        self._run(
            "a part is refunded", paper,
            lambda c: refunding.refund_invoice(c, invoice, PART, by, request),
        )  # fmt: skip
        self._approve(paper)

    def _confirm(self) -> None:
        waiting = [each for each in self._papers if not each.is_confirmed and each.errand]
        if waiting:
            self._send(self._rng.choice(waiting))

    def _repeat(self) -> None:
        """Reload the answer to a form that was sent long ago."""
        sent = [each for each in self._papers if each.is_confirmed]
        if sent:
            self._send(self._rng.choice(sent))

    def _send(self, paper: Paper, *, is_seen: bool = True) -> None:
        """Send the form; perhaps again, when there was no answer; a request may be seen at once."""
        is_first, paper.is_confirmed = not paper.is_confirmed, True

        def deed(context: Context) -> None:
            made: UUID | None = None
            if paper.order is not None:
                made = second_person.confirm_many(
                    context, paper.order, paper.who, paper.reason, paper.key
                )
            elif paper.errand is not None and paper.read is not None:
                made = second_person.confirm(
                    context, paper.errand, paper.read, paper.who, paper.reason, paper.key
                )
            known = paper.request  # once it is approved, its form is answered as a direct one
            paper.request = made or known
            if None not in {made, known} and made != known and not self._world.restores:
                self._tell(f"{paper.name} became two requests")

        end = self._run("confirms", paper, deed)
        if end in {"killed", "cut"} and self._rng.random() < 0.6:
            self._run("confirms again", paper, deed)
        self._check(paper)
        self._check_alone()
        if is_seen and is_first and paper.request is not None and self._rng.random() < AT_ONCE:
            self._approve(paper)

    def _many(self) -> None:
        """Choose what waits for one reason, and act on all of it."""
        paper = self._paper("many", "rows")
        for kind, cause in self._rng.sample(WAITING, len(WAITING)):

            def deed(context: Context, kind: Kind = kind, cause: str = cause) -> None:
                paper.order = second_person.choose(context, kind, cause, bulk.ROWS_MAX)

            self._run(f"chooses {kind} {cause}", paper, deed)
            if paper.order is not None:
                self._world.met[f"console {paper.order.deed} many"] += 1
                self._papers.append(paper)
                self._send(paper)
                return

    # --- a second person ---------------------------------------------------------------------

    def _approve_one(self) -> None:
        asked = [each for each in self._papers if each.request is not None]
        if asked:
            newest = asked[-6:] if self._rng.random() < 0.8 else asked
            self._approve(self._rng.choice(newest))

    def _approve(self, paper: Paper) -> None:
        person, request = self._rng.choice(self._people), paper.request
        if request is None:
            return

        def deed(context: Context) -> None:
            row = approvals.approve(context, request, person, f"seen {paper.reason}")
            self._world.met[f"request {row.status}"] += 1
            if paper.errand is not None and row.kind.value == "cancel":
                self._world.canceled.setdefault(paper.errand.subject, self._world.ledger.next())

        self._deciding.append(paper)
        try:
            end = self._run(f"{person.name} approves", paper, deed)
            if end in {"killed", "cut"} and self._rng.random() < 0.6:
                self._run(f"{person.name} approves again", paper, deed)
        finally:
            self._deciding.remove(paper)
        self._check(paper)

    def _end(self) -> None:
        """Decline another's request, or withdraw one's own."""
        asked = [each for each in self._papers if each.request is not None]
        if not asked:
            return
        paper = self._rng.choice(asked[-6:])
        person, request = self._rng.choice(self._people), paper.request
        assert request is not None
        how = approvals.withdraw if person == paper.who else approvals.decline
        self._run(f"{person.name} ends it", paper, lambda c: how(c, request, person, "no"))

    def _expire(self) -> None:
        self._world.run("expire", approval_ends.expire, asked=False)

    # --- what must hold ----------------------------------------------------------------------

    def findings(self) -> Iterator[str]:
        """Report requests done twice, otherwise or alone, and limits that did not hold."""
        for paper in self._papers:
            self._check(paper)
        self._check_alone()
        yield from self.told
        if self._world.databases.rows(_OWN):
            yield "REQUEST: a person approved an own request"

    def _check_alone(self) -> None:
        """Add up what one person alone refunded of a subscription, within each day."""
        alone = self._world.databases.rows(_ALONE, names=list(NAMES))
        for place, last in enumerate(alone):
            day = [
                each["amount"] for each in alone[: place + 1]
                if each["subscription"] == last["subscription"]
                and each["at"] > last["at"] - TOGETHER
            ]  # fmt: skip
            if sum(day) > LIMIT:
                name = self._world.name(last["subscription"])
                self._tell(f"{name}: people refunded more than the limit within a day", "ALONE")

    def _check(self, paper: Paper) -> None:
        """Compare a paper with what was done under its reason; an erasure empties the reason."""
        done = self._world.databases.rows(_DONE, reason=paper.reason, names=list(NAMES))
        kinds = [row["kind"] for row in done]
        if paper.order is not None:
            if len(done) > len(paper.order.rows):
                self._tell(f"{paper.name}: {len(done)} done, of {len(paper.order.rows)} rows")
            return
        kind = "refund.requested"
        if paper.errand is not None and paper.errand.kind.value == "cancel":
            kind = "subscription.canceled"
        if kinds.count(kind) > 1:
            self._tell(f"{paper.name} was done {kinds.count(kind)} times")
        amount = sum(row["data"]["amount"] for row in done if row["kind"] == "refund.requested")
        if done and paper.read is not None and amount != paper.read.amount:
            self._tell(f"{paper.name} refunded {amount}, and {paper.read.amount} were shown")
        if done and amount > LIMIT and not all(row["data"].get("approved_by") for row in done):
            self._tell(f"{paper.name} refunded {amount}, and nobody approved it", "ALONE")
        if paper.request is None:
            return
        rows = self._world.databases.rows(
            "SELECT status, reason FROM approvals WHERE id = %(id)s", id=paper.request
        )
        for row in rows:  # a restore may have forgotten it
            is_erased = row["reason"] != paper.reason
            if not is_erased and (row["status"] == "approved") != bool(done):
                self._tell(f"{paper.name} is {row['status']}, and {len(done)} things were done")

    def _tell(self, finding: str, kind: str = "REQUEST") -> None:
        whole = f"{kind}: {finding}"
        if whole not in self.told:
            self._world.note(f"! {whole}")
            self.told.append(whole)

    # --- tools -------------------------------------------------------------------------------

    def _paper(self, what: str, about: str) -> Paper:
        self._made += 1
        name = f"c{self._made}"
        return Paper(name, f"{what} key-{name} {about}", self._rng.choice(self._people))

    def _run(self, what: str, paper: Paper, deed: Callable[[Context], Any]) -> str:
        self._world.note(f"({paper.name}: {what})")
        return self._world.run(f"{paper.name} {what}", deed)

    def _some(self, statement: str) -> Mapping[str, Any] | None:
        rows = self._world.databases.rows(statement)
        return self._rng.choice(rows) if rows else None
