"""Actions of operators and customers at any moment, also with the kill switch.

An operator who got no answer repeats the command with the same key. To resolve a charge operators
know the gateway's ledger, but otherwise no more than the engine.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from billing.domain.events import Actor
from billing.domain.outcomes import Succeeded
from billing.domain.refund import RefundVerdict
from billing.domain.settlement import Source
from billing.domain.subscription import CatchUp, OnExhausted, RefundPolicy
from billing.services.collecting import settling
from billing.services.collecting.settling import News
from billing.services.context import Context, Request
from billing.services.money import crediting, refund_resolution, refunding
from billing.services.operating import charge_resolution, invoice_actions, kill_switch
from billing.services.subscriptions import canceling, changing, pausing, subscribing
from billing.services.wallets import linking, unlinking
from tests.faults.storm.ledger import EXPIRED, FAILED, PENDING
from tests.faults.storm.world import World

BY = Actor("storm")
PLANS: Sequence[dict[str, Any]] = (
    {"every": "1 month"},
    {"every": "1 week", "on_exhausted": OnExhausted.UNPAID},
    {"every": "10 days", "on_exhausted": OnExhausted.PAUSE, "retries": "1d 2d"},
    {"cron": "0 9 1,15 * *", "retries": "2d; 0 10 25 * *", "retries_for": {"limit": "1d 1d 1d"}},
    {"every": "1 month", "trial": "7 days", "retries": "1d 1d 1d"},
    {"every": "1 week", "cycles": 4, "days_max": 15, "attempts_max": 6},
    {"every": "4 days", "catch_up": CatchUp.LATEST, "on_exhausted": OnExhausted.UNPAID},
    {"cron": "30 2 * * 0", "timezone": "America/New_York", "retries": "6h 12h 1d"},
    {"every": "2 weeks", "cycles": 3, "catch_up": CatchUp.LATEST},
)
PLANS_CHOSEN, CUSTOMERS, SUBSCRIPTIONS, SUBSCRIPTIONS_MAX, LIVE_MIN = 5, 5, 10, 60, 6
RICH = 3_000_000
ENDS = (canceling.NOW, canceling.NOW, canceling.PERIOD_END, timedelta(days=3))
LINKED_MIN = 3
ACTS: Mapping[str, int] = {
    "retry": 14, "refund": 12, "void": 5, "cancel": 6, "resolve": 6, "switch": 5, "unlink": 3,
    "link": 12, "confirm": 20, "money": 6, "subscribe": 8, "refresh": 3, "pause": 6,
    "change": 6, "credit": 3,
}  # fmt: skip


class People:
    """All people who act by hand."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._keys = 0
        self._subscriptions = 0
        self._plans: list[str] = []
        self._customers: list[str] = []
        self._sent_again: set[UUID] = set()

    # --- the beginning -----------------------------------------------------------------------

    def begin(self) -> None:
        """Offer plans, and let the first customers link a wallet and subscribe."""
        for number, options in enumerate(self._rng.sample(PLANS, PLANS_CHOSEN)):
            code = f"P{number}"
            values = {"amount": 10_000 * (number + 3), "by": BY, **options}
            self._do(f"plan {code}", lambda c, a=code, v=values: subscribing.create_plan(c, a, **v))
            self._plans.append(code)
        for number in range(CUSTOMERS):
            who = f"C{number}"
            self._do(who, lambda c, a=who: subscribing.create_customer(c, a, name=a, by=BY))
            self._world.ledger.open_account(who, self._rng.choice([RICH, RICH, RICH, 150_000]))
            self._customers.append(who)
            self._link(who)
            self._world.ledger.confirm(who)
            self.refresh(who)
        for number in range(SUBSCRIPTIONS):
            self.subscribe(self._customers[number % CUSTOMERS])

    def act(self) -> None:
        """Run one action of a person."""
        linked = self._some("SELECT customer_id FROM wallets WHERE status = 'active' ORDER BY 1")
        anybody = self._rng.choice(self._customers)
        who = linked["customer_id"] if linked and self._rng.random() < 0.7 else anybody
        deeds: dict[str, Callable[[], None]] = {
            "retry": self._retry,
            "refund": self._refund,
            "void": self._void,
            "cancel": self._cancel,
            "resolve": self.resolve,
            "switch": self._switch,
            "unlink": self._unbind,
            "link": self.link_anew,
            "confirm": self.confirm,
            "money": self._money,
            "subscribe": lambda: self.subscribe(who),
            "refresh": lambda: self.refresh(who),
            "pause": self._pause,
            "change": self._change,
            "credit": self._credit,
        }
        [name] = self._rng.choices(list(ACTS), list(ACTS.values()))
        name = self._most_wanted() or name
        if self._is_stopped() and self._rng.random() < 0.3:
            name = "switch"
        self._world.met[f"act {name}"] += 1
        deeds[name]()

    def _most_wanted(self) -> str | None:
        """Return the act that is needed first, so that there are wallets and subscriptions."""
        [row] = self._world.databases.rows("""
            SELECT (SELECT count(*) FROM subscriptions
                    WHERE status IN ('trialing', 'active', 'past_due')) AS bill,
                   (SELECT count(*) FROM wallets WHERE status = 'pending') AS open,
                   (SELECT count(*) FROM wallets WHERE status = 'active') AS linked""")
        if row["linked"] < LINKED_MIN:
            return "confirm" if row["open"] and self._rng.random() < 0.5 else "link"
        return "subscribe" if row["bill"] < LIVE_MIN else None

    def _money(self) -> None:
        who = self._rng.choice(self._customers)
        self._world.ledger.top_up(who, self._rng.choice([RICH, RICH, -RICH, 40_000]))

    def _do(self, what: str, deed: Any) -> str:
        """Run a command, and perhaps repeat it when it gave no answer."""
        self._world.note(f"({what})")
        end = self._world.run(what, deed)
        if end in {"killed", "cut"} and self._rng.random() < 0.6:
            self._world.met["clicked again"] += 1
            end = self._world.run(f"{what}, again", deed)
        return end

    def _request(self, task: str, **arguments: Any) -> Request:
        self._keys += 1
        return Request(f"key-{self._keys}", task, arguments)

    def _some(self, statement: str, **parameters: Any) -> Mapping[str, Any] | None:
        rows = self._world.databases.rows(statement, **parameters)
        return self._rng.choice(rows) if rows else None

    # --- customers ---------------------------------------------------------------------------

    def subscribe(self, who: str) -> None:
        """Put a customer on a plan, now or in a few days."""
        if self._subscriptions >= SUBSCRIPTIONS_MAX:
            return
        self._subscriptions += 1
        name, plan = f"S{self._subscriptions}", self._rng.choice(self._plans)
        request = self._request("subscribe", name=name)
        start = None
        if self._rng.random() < 0.3:
            start = self._world.clock.now() + timedelta(days=self._rng.randint(0, 9))

        def deed(context: Context) -> None:
            made = subscribing.subscribe(context, who, plan, BY, start=start, request=request)
            self._world.call(UUID(made["id"]), name)

        self._do(f"{who} subscribes to {plan} as {name}", deed)

    def confirm(self) -> None:
        """Let a customer finish a link, if one waits."""
        for who in self._customers:
            if self._world.ledger.confirm(who):
                self._world.note(f"({who} says yes to the link)")
                return

    def refresh(self, who: str) -> None:
        """Look whether the link is finished."""
        self._do(f"{who} refresh", lambda c: linking.refresh(c, who))

    def link_anew(self) -> None:
        """Let a customer without a live wallet begin a new link."""
        row = self._some("""
            SELECT id FROM customers c WHERE NOT EXISTS (SELECT 1 FROM wallets w
                WHERE w.customer_id = c.id AND w.status IN ('pending', 'active', 'unlinking'))
            ORDER BY id""")
        if row is not None:
            self._link(row["id"])
            if self._rng.random() < 0.6 and self._world.ledger.confirm(row["id"]):
                self._world.note(f"({row['id']} says yes to the link)")

    def _link(self, who: str) -> None:
        phone = f"6281200000{who[1:]:0>4}"
        request = self._request("bind", customer=who)
        self._do(f"{who} links", lambda c: linking.link(c, who, phone, BY, request=request))

    def _unbind(self) -> None:
        who, request = self._rng.choice(self._customers), self._request("unlink")
        self._do(f"{who} unlink", lambda c: unlinking.unlink(c, who, BY, request))

    # --- operators ---------------------------------------------------------------------------

    def _retry(self) -> None:
        row = self._some("SELECT id FROM invoices WHERE status = 'open' ORDER BY id")
        if row is not None:
            request = self._request("retry")
            what = f"retry {self._world.name(row['id'])}"
            self._do(what, lambda c: invoice_actions.retry_invoice(c, row["id"], BY, request))

    def react(self, ids: Sequence[UUID]) -> None:
        """After a failure, void or cancel what was being charged."""
        row = self._some(
            "SELECT id, subscription_id FROM invoices WHERE id = ANY(%(ids)s) AND status = 'open'"
            " ORDER BY id",
            ids=list(ids),
        )
        if row is not None and self._rng.random() < 0.5:
            self._void(row["id"])
        elif row is not None:
            self._cancel(row["subscription_id"])

    def _void(self, invoice: UUID | None = None) -> None:
        row = self._some(
            "SELECT id FROM invoices WHERE status IN ('open', 'uncollectible')"
            " AND id = coalesce(%(id)s, id) ORDER BY id",
            id=invoice,
        )
        if row is not None:
            request = self._request("void")
            what = f"void {self._world.name(row['id'])}"
            self._do(what, lambda c: invoice_actions.void_invoice(c, row["id"], BY, request))

    def _refund(self) -> None:
        row = self._some("SELECT id, amount FROM invoices WHERE status = 'paid' ORDER BY id")
        if row is None:
            return
        amount = self._rng.choice([None, row["amount"], row["amount"] // 2, 5_000, 7_500])
        request = self._request("refund")
        by = Actor("storm", f"refund {request.key}")
        self._do(
            f"refund {amount or 'all'} of {self._world.name(row['id'])}",
            lambda c: refunding.refund_invoice(c, row["id"], amount, by, request),
        )

    def _cancel(self, subscription: UUID | None = None) -> None:
        row = self._some(
            "SELECT id FROM subscriptions WHERE ended_at IS NULL AND id = coalesce(%(id)s, id)"
            " ORDER BY id",
            id=subscription,
        )
        if row is None:
            return
        ending_one, rng = row["id"], self._rng
        at: str | timedelta = rng.choice(ENDS)
        when = at if isinstance(at, str) else self._world.clock.now() + at
        policy, unlink = rng.choice(list(RefundPolicy)), rng.random() < 0.4
        request = self._request("cancel")

        def deed(context: Context) -> None:
            said = canceling.cancel(
                context, ending_one, BY, at=when, refund=policy, unlink=unlink, request=request
            )
            if said["status"] == "canceled":
                self._world.canceled.setdefault(ending_one, self._world.ledger.next())

        self._do(f"cancel {self._world.name(ending_one)} {at} {policy}", deed)

    def _pause(self) -> None:
        """Pause an active subscription, or resume a paused one."""
        row = self._some(
            "SELECT id, status FROM subscriptions WHERE status IN ('active', 'past_due',"
            " 'trialing', 'paused') ORDER BY id"
        )
        if row is None:
            return
        chosen, rng = row["id"], self._rng
        paused, later = row["status"] == "paused", rng.random() < 0.5
        until = self._world.clock.now() + timedelta(days=40) if rng.random() < 0.5 else None
        request = self._request("pause")

        def deed(context: Context) -> None:
            if paused:
                pausing.resume(context, chosen, BY, request=request)
            else:
                at = pausing.PERIOD_END if later else pausing.NOW
                pausing.pause(context, chosen, BY, at=at, until=until, request=request)

        self._do(f"{'resume' if paused else 'pause'} {self._world.name(chosen)}", deed)

    def _change(self) -> None:
        """Change how many one pays for, now or at period end; or take such a change back."""
        row = self._some(
            "SELECT id FROM subscriptions WHERE status IN ('active', 'past_due', 'trialing')"
            " ORDER BY id"
        )
        if row is None:
            return
        chosen, quantity = row["id"], self._rng.randint(1, 3)
        at = self._rng.choice([changing.NOW, changing.NOW, changing.PERIOD_END])
        request = self._request("change")
        self._do(
            f"change {self._world.name(chosen)} to {quantity} {at}",
            lambda c: changing.change(c, chosen, BY, quantity=quantity, at=at, request=request),
        )

    def _credit(self) -> None:
        """Give a customer something, or pay out what a change has left."""
        credit = self._some("SELECT id FROM credits WHERE remaining > 0 ORDER BY id")
        if credit is not None and self._rng.random() < 0.5:
            which, paying = credit["id"], self._request("credit refund")
            self._do("pay out", lambda c: crediting.refund(c, which, BY, paying))
            return
        who, amount = self._rng.choice(self._customers), self._rng.choice([5_000, 45_000])
        giving = self._request("credit")
        gift = Actor("storm", "a gift")
        self._do(f"give {who}", lambda c: crediting.grant(c, who, amount, gift, giving))

    def _switch(self) -> None:
        if self._is_stopped():
            self.start_charging()
        elif self._rng.random() < 0.4:
            self._do("STOP", lambda c: kill_switch.stop_charging(c, BY))

    def _is_stopped(self) -> bool:
        rows = self._world.databases.rows("SELECT stopped_at FROM engine")
        return rows[0]["stopped_at"] is not None

    def start_charging(self) -> None:
        """Turn the kill switch off."""
        self._do("start charging", lambda c: kill_switch.start_charging(c, BY))

    def resolve(self) -> None:
        """Settle what is parked, by what the gateway's people say."""
        parked = """SELECT id, gateway_number FROM charges WHERE parked_at IS NOT NULL
            AND status IN ('in_flight', 'pending', 'unknown') ORDER BY id"""
        for row in self._world.databases.rows(parked):
            payment = self._world.ledger.payments.get(row["gateway_number"])
            if payment is not None and payment.status in {PENDING, EXPIRED}:
                self._world.ledger.end(payment, FAILED)  # they close it, being asked
            moved = payment is not None and payment.moves > 0
            charge = row["id"]
            self._do(
                f"resolve {self._world.name(row['gateway_number'])} {moved}",
                lambda c, a=charge, b=moved: charge_resolution.resolve_charge(c, a, b, BY),
            )

    def send_again(self) -> None:
        """Go on with refunds that wait for a person, each once more; what is left is decided."""
        waiting = """SELECT DISTINCT invoice_id AS id FROM refunds WHERE parked_at IS NOT NULL
            OR status = 'unreturned' ORDER BY invoice_id"""
        for row in self._world.databases.rows(waiting):
            invoice = row["id"]
            if invoice not in self._sent_again:
                self._sent_again.add(invoice)
                what = f"send refunds of {self._world.name(invoice)} again"
                self._do(what, lambda c, i=invoice: refunding.send_again(c, i, BY))
            else:
                self._decide(invoice)

    def _decide(self, invoice: UUID) -> None:
        """The gateway declines it again: a restore forgot that it had gone back, or it is kept."""
        unreturned = """SELECT id FROM refunds WHERE status = 'unreturned'
            AND invoice_id = %(invoice)s ORDER BY sequence"""
        why = Actor("storm", "declined twice")
        restored = self._world.restored_seq > 0
        verdict = RefundVerdict.RETURNED_ELSEWHERE if restored else RefundVerdict.KEPT
        for row in self._world.databases.rows(unreturned, invoice=invoice):
            self._do(
                f"refund of {self._world.name(invoice)} is {verdict}",
                lambda c, r=row["id"]: refund_resolution.resolve_refund(c, r, verdict, why),
            )

    def tell_late_news(self) -> None:
        """Book money that moved after the gateway had said twice that it would not."""
        for payment in self._world.ledger.payments.values():
            if not payment.late:
                continue
            # After a restore that forgot a price the amounts differ: its answer is no success.
            late = """SELECT id FROM charges WHERE gateway_number = %(number)s
                AND amount = %(amount)s AND status IN ('declined', 'unsent')"""
            known = {"number": payment.number, "amount": payment.amount}
            for row in self._world.databases.rows(late, **known):
                news = [News(row["id"], Succeeded())]
                self._do(
                    f"late news of {self._world.name(payment.number)}",
                    lambda c, n=news: settling.settle(c, n, Source.STATUS, BY),
                )

    def make_peace(self) -> None:
        """Fill all wallets, and finish all started actions."""
        self.start_charging()
        for who in self._customers:
            self._world.ledger.top_up(who, RICH)
            self._world.ledger.confirm(who)
