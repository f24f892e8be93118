"""What must go back and was declined: any way in which it leaves the charge ends the refund."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from billing.domain.errors import IllegalMove
from billing.domain.events import Actor
from billing.domain.outcomes import Succeeded
from billing.domain.refund import RefundVerdict
from billing.domain.subscription import RefundPolicy
from billing.services.money import charge_money, refund_resolution, refunding
from billing.services.reading import auditing
from billing.services.subscriptions import canceling
from billing.store.queries import refunds
from tests.integration.engine import Engine, Row

SOON = timedelta(minutes=10)
WHY = Actor("operator", "asked for it")
TAKEN = 40_000
Act = Callable[["Dead"], None]


class Dead:
    """A canceled subscription whose refund the gateway declined."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        engine.audited = False
        self.customer, self.subscription = engine.begun(amount=TAKEN)
        engine.run()
        engine.script("failed", self.customer, "refund")
        canceling.cancel(engine.context, self.subscription, WHY, refund=RefundPolicy.FULL)
        engine.advance(SOON)
        [self.first] = self.refunds
        assert (self.first["status"], self.first["purpose"]) == ("unreturned", "cancel")

    @property
    def refunds(self) -> list[Row]:
        """All refunds, the oldest first."""
        return self.engine.refunds(self.customer)

    @property
    def waiting(self) -> list[Row]:
        """The unreturned ones."""
        return [row for row in self.refunds if row["status"] == "unreturned"]

    @property
    def kept(self) -> int:
        """What the charge keeps."""
        return int(self.engine.one("SELECT kept FROM charges"))

    @property
    def returned(self) -> int:
        """What the customer has got, from the gateway and by other means."""
        rows = self.engine.ledger(self.customer, "refund")
        elsewhere = [r["amount"] for r in self.refunds if r["status"] == "returned_elsewhere"]
        return sum(row["amount"] * row["moves"] for row in rows) + sum(elsewhere)

    def give(self, amount: int | None) -> None:
        """Refund the invoice by an operator's command."""
        refunding.refund_invoice(self.engine.context, self.first["invoice_id"], amount, WHY)

    def decide(self, verdict: RefundVerdict, number: int = 0) -> str:
        """Decide about an unreturned refund."""
        row = self.waiting[number]
        found = refund_resolution.resolve_refund(self.engine.context, row["id"], verdict, WHY)
        return found["status"]


def refund(amount: int | None) -> Act:
    """An operator's refund that the gateway pays."""

    def act(dead: Dead) -> None:
        dead.give(amount)
        dead.engine.advance(SOON)

    return act


def declined(*amounts: int | None) -> Act:
    """Refunds of an operator, one right after the other, that the gateway declines."""

    def act(dead: Dead) -> None:
        dead.engine.script("failed", dead.customer, "refund", times=len(amounts))
        for amount in amounts:
            dead.give(amount)
        dead.engine.advance(SOON)

    return act


def together(*amounts: int | None) -> Act:
    """Refunds of an operator of which the gateway declines the first."""

    def act(dead: Dead) -> None:
        dead.engine.script("failed", dead.customer, "refund")
        for amount in amounts:
            dead.give(amount)
            dead.engine.run()  # a decline counts when it is seen again, a minute later
        dead.engine.advance(SOON)

    return act


def retry(number: int = 0) -> Act:
    """Another refund in the place of an unreturned one."""

    def act(dead: Dead) -> None:
        row = dead.waiting[number]
        refund_resolution.retry_refund(dead.engine.context, row["id"], WHY)
        dead.engine.advance(SOON)

    return act


def elsewhere(number: int = 0) -> Act:
    """An operator's bank transfer."""

    def act(dead: Dead) -> None:
        assert dead.decide(RefundVerdict.RETURNED_ELSEWHERE, number) == "returned_elsewhere"

    return act


PARTS: dict[str, Sequence[Act]] = {
    "two smaller ones": [refund(15_000), refund(25_000)],
    "three smaller ones": [refund(15_000), refund(15_000), refund(None)],
    "a smaller one, then a retry": [refund(15_000), retry()],
    "a smaller one, then a transfer": [refund(15_000), elsewhere()],
    "a smaller one that is declined": [declined(15_000), retry()],
    "a smaller one declined, then two": [declined(15_000), refund(15_000), refund(25_000)],
    "two, both declined, then all": [declined(15_000, 25_000), refund(None)],
    "two, both declined, then a part": [declined(15_000, 25_000), refund(20_000), retry()],
    "two, both declined, then one transfer": [
        declined(15_000, 25_000), refund(10_000), elsewhere(1), elsewhere(),
    ],
    "two, the first declined": [together(15_000, 25_000), retry()],
    "two, the first declined, in parts": [together(15_000, 25_000), refund(5_000), elsewhere()],
    "all at once": [refund(None)],
    "all at once, declined, then parts": [declined(None), refund(1), refund(39_998), elsewhere()],
}  # fmt: skip


@pytest.mark.parametrize("acts", PARTS.values(), ids=PARTS)
def test_every_way_of_returning_it_in_parts_ends(engine: Engine, acts: Sequence[Act]) -> None:
    """The customer has all of it once, nothing waits, and the audit finds nothing."""
    dead = Dead(engine)
    for act in acts:
        act(dead)
        assert dead.kept > 0 or not dead.waiting
        assert dead.kept == TAKEN - dead.returned
        # Money that must go back is not kept silently.
        assert bool(dead.waiting) == bool(dead.kept)
    assert (dead.kept, dead.returned, dead.waiting) == (0, TAKEN, [])
    assert auditing.audit(engine.context) == []


def test_the_last_part_takes_its_place(engine: Engine) -> None:
    """It replaces the first one, with an event, and must return its money as the first had to."""
    dead = Dead(engine)
    refund(15_000)(dead)
    refund(25_000)(dead)
    first, part, last = dead.refunds
    assert (first["status"], part["purpose"], last["purpose"]) == ("declined", "operator", "cancel")
    assert last["replaces"] == first["id"]
    [told] = engine.told("refund.replaced")
    assert told["data"]["replaced_by"] == str(last["id"])
    assert told["data"]["refund"] == str(first["id"])


def test_a_part_that_is_on_its_way_must_go_back_too(engine: Engine) -> None:
    """When it is declined after the last part replaced the first refund, it is listed."""
    dead = Dead(engine)
    together(15_000, 25_000)(dead)
    [waiting] = dead.waiting
    assert (waiting["amount"], waiting["purpose"], dead.kept) == (15_000, "cancel", 15_000)


@pytest.mark.parametrize(
    ("verdict", "amount", "left"),
    [(RefundVerdict.RETURNED_ELSEWHERE, 25_000, 0), (RefundVerdict.KEPT, 40_000, 25_000)],
)
def test_a_person_decides_about_what_is_left(
    engine: Engine, verdict: RefundVerdict, amount: int, left: int
) -> None:
    """After a smaller refund both decisions are accepted; only what is kept was transferred."""
    dead = Dead(engine)
    refund(15_000)(dead)
    status = dead.decide(verdict)
    [decided] = [row for row in dead.refunds if row["status"] == status]
    assert (decided["amount"], dead.kept, dead.waiting) == (amount, left, [])
    assert auditing.audit(engine.context) == []
    engine.advance(timedelta(days=3))
    assert engine.told("refund.contradicted") == []


def test_late_news_of_the_first_one_ends_the_one_after_it(engine: Engine) -> None:
    """The gateway had paid it: the unreturned refund in its place has nothing to return."""
    dead = Dead(engine)
    engine.script("failed", dead.customer, "refund")
    retry()(dead)
    [second] = dead.waiting
    with engine.context.database.transaction() as connection:
        row = refunds.lock(connection, dead.first["id"])
        assert row is not None
        refund_resolution.look_back(connection, row, Succeeded(), engine.now)
    assert [row["status"] for row in dead.refunds] == ["succeeded", "declined"]
    assert engine.told("refund.replaced")[-1]["data"]["refund"] == str(second["id"])


def test_a_credit_takes_its_place(engine: Engine) -> None:
    """Money that became the customer's credit cannot be refunded as well."""
    dead = Dead(engine)
    first = dead.first
    with engine.context.database.transaction() as connection:
        invoice = charge_money.InvoiceIds(
            first["invoice_id"], dead.subscription, first["customer_id"]
        )
        charge_money.credit(connection, invoice, TAKEN, "as credit", WHY, engine.now)
    assert (dead.kept, dead.waiting) == (0, [])
    with pytest.raises(IllegalMove, match="there is nothing to retry"):
        refund_resolution.retry_refund(engine.context, first["id"], WHY)
    assert auditing.audit(engine.context) == []


def test_a_refund_of_another_charge_leaves_it(engine: Engine) -> None:
    """Each charge has its own money."""
    dead = Dead(engine)
    other = engine.subscribe(engine.customer(), "P")
    engine.run()
    invoice = engine.invoices(other)[0]["id"]
    refunding.refund_invoice(engine.context, invoice, None, WHY)
    engine.advance(SOON)
    assert [row["id"] for row in dead.waiting] == [dead.first["id"]]
