"""A random past of a merchant with a console: customers, people, keys, endpoints and requests.

Everything is done by the engine's own services, one step after the other; a step that is refused
changes nothing. It checks nothing.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st

from billing.domain.errors import BillingError
from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Person, Role
from billing.domain.subscription import RefundPolicy
from billing.services.money import coupons, refunding
from billing.services.operating import (
    api_keys,
    approval_ends,
    approvals,
    archiving,
    bulk,
    held_rows,
    invoice_actions,
    metrics,
    people,
)
from billing.services.operating.archiving import What
from billing.services.operating.held_rows import Kind
from billing.services.subscriptions import canceling
from billing.services.webhooks import endpoints, fanout
from billing.services.webhooks.endpoints import Changes
from tests.integration import hooked, second_person
from tests.integration.console import PASSWORD
from tests.integration.engine import Engine
from tests.integration.receiver import Receiver, status

LIMITS = {"approval_refund_above": 15_000, "approval_bulk_above": 1, "approval_hours": 48}
ROLES = list(Role)
SCRIPTS = ("", "", "", "drop_after", "failed", "turn_away")
TYPES: tuple[tuple[str, ...], ...] = ((), ("charge.*",), ("invoice.paid", "approval.*"))
Step = tuple[str, int]

NAMES = (
    "customer", "customer", "later", "later", "later", "refund", "coupon", "offer", "person", "key",
    "endpoint", "deliver", "deliver", "ask", "ask", "ask many", "decide", "decide", "retry", "cash",
    "hold", "expire", "cancel",
)  # fmt: skip
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 99)), min_size=4, max_size=14
)


class Past:
    """What has happened in an engine so far; it may go on in the database of an earlier one."""

    def __init__(self, engine: Engine, receiver: Receiver) -> None:
        self.engine, self.receiver = engine, receiver
        receiver.answer = lambda handler: status(500 if "deaf" in handler.path else 200)(handler)
        self._mark = uuid4().hex[:6]
        self._made = 0
        self.people: list[Person] = []
        self._keys: list[UUID] = []
        for role in (Role.ADMIN, Role.OPERATOR, Role.FINANCE):
            self.people.append(self._person(role))
        self._plans = [
            engine.plan(self._name("W"), every="1 week", amount=50_000, retries="1d 1d",
                        on_exhausted="unpaid"),
            engine.plan(self._name("H"), cron="0 */3 * * *", every=None, amount=20_000,
                        retries="6h"),
        ]  # fmt: skip
        self._coupons = [self._coupon(0)]
        self.customer(2)

    def lived(self, done: list[Step]) -> None:
        """Do the steps, what is due, and count what is new, as a tick does."""
        for name, number in done:
            with suppress(BillingError):
                getattr(self, name.replace(" ", "_"))(number)
        self.engine.run()
        self.engine.no_more_scripts()
        metrics.count(self.engine.context)

    def _name(self, what: str) -> str:
        self._made += 1
        return f"{what}{self._made}-{self._mark}"

    def _some(self, statement: str, number: int) -> Any:
        """One of the rows of a statement; a refusal when there is none."""
        rows = self.engine.rows(statement)
        if not rows:
            raise BillingError("there is no row for this")
        return rows[number % len(rows)]

    # --- customers ---------------------------------------------------------------------------

    def customer(self, number: int) -> None:
        """A customer with more or less money, on a plan."""
        customer = self.engine.customer(
            linked=number % 9 != 0, cash=(0, 60_000, 10_000_000)[number % 3]
        )
        if script := SCRIPTS[number % len(SCRIPTS)]:
            self.engine.script(script, customer)
        self.engine.subscribe(customer, self._plans[number % 2])
        self.engine.run()

    def later(self, number: int) -> None:
        """Hours or days pass."""
        self.engine.advance(timedelta(hours=number % 30) if number % 2 else timedelta(days=1))

    def cash(self, number: int) -> None:
        """Somebody fills a wallet, or empties it."""
        row = self._some("SELECT customer_id FROM wallets WHERE status = 'active'", number)
        self.engine.put_cash(row["customer_id"], 0 if number % 3 else 1_000_000)

    def hold(self, number: int) -> None:
        """A row is set aside."""
        row = self._some("SELECT id FROM subscriptions WHERE ended_at IS NULL", number)
        held_rows.set_aside(self.engine.context, Kind.SUBSCRIPTION, row["id"], ValueError("bad"))

    # --- operators ---------------------------------------------------------------------------

    def by(self, number: int) -> Actor:
        """One of the people, with a reason."""
        return Actor(self.people[number % len(self.people)].name, f"reason {number}")

    def refund(self, number: int) -> None:
        """An operator refunds a part."""
        row = self._some("SELECT id FROM invoices WHERE status = 'paid'", number)
        refunding.refund_invoice(self.engine.context, row["id"], 1_000 + number, self.by(number))
        self.engine.run()

    def retry(self, number: int) -> None:
        """An operator retries an invoice that is not paid."""
        row = self._some(
            "SELECT id FROM invoices WHERE status IN ('open', 'uncollectible')", number
        )
        invoice_actions.retry_invoice(self.engine.context, row["id"], self.by(number))
        self.engine.run()

    def _coupon(self, number: int) -> str:
        code = self._name("K")
        most = None if number % 2 else 1 + number % 3
        coupons.create(self.engine.context, code, OPERATOR, percent=10, redeemed_max=most)
        return code

    def coupon(self, number: int) -> None:
        """A coupon is made or used."""
        if number % 4 == 0:
            self._coupons.append(self._coupon(number))
        row = self._some("SELECT id FROM subscriptions WHERE ended_at IS NULL", number)
        code = self._coupons[number % len(self._coupons)]
        coupons.apply(self.engine.context, code, row["id"], self.by(number))

    def offer(self, number: int) -> None:
        """A coupon is archived, or a plan that nobody needs."""
        what, code = What.COUPON, self._coupons[-1]
        if number % 2:
            what, code = What.PLAN, self.engine.plan(self._name("OLD"))
        archiving.archive(self.engine.context, what, code, self.by(number), f"archive {uuid4()}")

    # --- access ------------------------------------------------------------------------------

    def _person(self, role: Role) -> Person:
        name = self._name("Person ")
        return people.create(self.engine.context, name, role, PASSWORD, OPERATOR)

    def person(self, number: int) -> None:
        """Another person; or one of these gets another role or factor, or is disabled."""
        context, by = self.engine.context, self.by(number)
        made = self._person(ROLES[number % len(ROLES)])
        if number % 3 == 0:
            people.set_second_factor(context, made.name, by)
        elif number % 3 == 1:
            people.disable(context, made.name, by)

    def key(self, number: int) -> None:
        """A key is made, which may end, or is revoked."""
        ends = self.engine.now + timedelta(hours=5) if number % 3 == 0 else None
        made = api_keys.create(
            self.engine.context, self._name("key "), ["read"], self.by(number), expires_at=ends
        )
        if number % 3 == 1:
            api_keys.revoke(self.engine.context, str(made.row.id), self.by(number))

    # --- webhooks ----------------------------------------------------------------------------

    def endpoint(self, number: int) -> None:
        """An endpoint that hears, or is deaf; or one is disabled or deleted."""
        context, by = self.engine.context, self.by(number)
        path = "deaf" if number % 3 == 0 else "good"
        made, _ = hooked.create(
            self.engine, f"{self.receiver.url}/{path}/{number}", *TYPES[number % len(TYPES)]
        )
        self.engine.plan(self._name("NEW"))
        self.deliver(number)
        if number % 7 == 0:
            endpoints.update(context, made, Changes(enabled=False), by)
        elif number % 7 == 1:
            endpoints.delete(context, made, by)

    def deliver(self, number: int) -> None:
        """The ticks of webhooks run; sometimes only the first, so that deliveries wait."""
        if number % 3:
            hooked.tick(self.engine)
        else:
            fanout.fan_out(self.engine.context)

    # --- two people --------------------------------------------------------------------------

    def ask(self, number: int) -> None:
        """A person confirms a refund or a cancellation, above the limit or not."""
        asker = self.people[number % len(self.people)]
        if number % 4:
            row = self._some("SELECT id, subscription_id FROM invoices WHERE status = 'paid'",
                             number)  # fmt: skip
            amount = (None, 3_000, 20_000)[number % 3]
            errand = second_person.refund_of(row["id"], row["subscription_id"], amount)
        else:
            row = self._some("SELECT id FROM subscriptions WHERE status = 'active'", number)
            errand = second_person.cancellation_of(row["id"], RefundPolicy.FULL)
        context, reason = self.engine.context, f"asked {number}"
        read = second_person.preview(context, errand, Actor(asker.name, reason))
        second_person.confirm(context, errand, read, asker, reason, uuid4().hex)

    def ask_many(self, number: int) -> None:
        """A person acts on many rows."""
        kind, cause = ((Kind.INVOICE, "uncollectible"), (Kind.SUBSCRIPTION, "held"))[number % 2]
        order = second_person.choose(self.engine.context, kind, cause, bulk.ROWS_MAX)
        if order is not None:
            asker = self.people[number % 2]
            second_person.confirm_many(self.engine.context, order, asker, "all", uuid4().hex)

    def decide(self, number: int) -> None:
        """A person decides about a request, also about an own one."""
        row = self._some("SELECT id FROM approvals WHERE status = 'open'", number)
        ways: list[Callable[..., object]] = [
            approvals.approve, approvals.approve, approvals.decline, approvals.withdraw,
        ]  # fmt: skip
        person = self.people[number % len(self.people)]
        ways[number % 4](self.engine.context, row["id"], person, f"seen {number}")

    def expire(self, _number: int) -> None:
        """The hourly tick ends requests."""
        approval_ends.expire(self.engine.context)

    def cancel(self, number: int) -> None:
        """A subscription ends."""
        row = self._some("SELECT id FROM subscriptions WHERE ended_at IS NULL", number)
        canceling.cancel(self.engine.context, row["id"], self.by(number))
