"""Combined actions of people: intents together with other intents, amounts, coupons and starts.

These are the acts of wide storms, which draw from chances of their own: the seeds of the others
stay as they were. Each act asks the oracle to look at what it may have broken.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from billing.domain.events import Actor
from billing.services.context import Context, Request
from billing.services.money import coupons, crediting, extra_lines, refunding
from billing.services.operating import charge_resolution, held_rows
from billing.services.subscriptions import canceling, changing, pausing, subscribing
from billing.store.queries.holding import Kind
from tests.faults.storm.acts import BY, People
from tests.faults.storm.oracle import Oracle
from tests.faults.storm.world import World

ACTS: Mapping[str, int] = {
    "part of a refund": 8, "another plan": 9, "cancel at the end": 5, "withdraw": 3,
    "pause to the due date": 6, "resume now": 8, "pay out": 8, "coupon": 4, "extra": 3,
    "backdated": 1, "resolve unasked": 3, "poison": 2, "release": 1, "price": 5,
}  # fmt: skip
COUPONS: Mapping[str, Mapping[str, Any]] = {
    "TENTH": {"percent": 10, "cycles": 2},
    "WHOLE": {"percent": 100, "cycles": 1},
    "SOME": {"rupiah_off": 7_500},
}
BACKDATED_DAYS = (36, 200)
"""Beyond what is started without a person's explicit word (BILLING_BACKDATE_DAYS_MAX)."""
POISONED_MAX = 2
TOO_EARLY = timedelta(minutes=5)
"""With what a process may dawdle this stays under the horizon before which nobody is believed."""
TOO_MUCH = 9_999_999_999
GARBAGE = b"\x01\x00"
RUNNING = "status IN ('active', 'past_due', 'trialing')"
_BALANCES = "SELECT id FROM credits WHERE remaining > 0 AND invoice_id IS NOT NULL ORDER BY id"
_PAID_AHEAD = """
    SELECT s.* FROM subscriptions s WHERE status = 'active' AND amount > 10000 AND EXISTS (
        SELECT 1 FROM invoices i WHERE i.subscription_id = s.id AND i.status = 'paid'
        AND i.amount > 0 AND i.period_end > %(now)s + interval '1 d') ORDER BY s.id"""
"""Who would get something back from a lower price."""


class Combinations:
    """The acts of a wide storm."""

    def __init__(self, world: World, people: People, oracle: Oracle) -> None:
        self._world = world
        self._people = people
        self._oracle = oracle
        self._rng = Random(f"combinations {world.seed}")
        self._keys = 0
        self._healing: list[tuple[str, dict[str, Any]]] = []

    def begin(self) -> None:
        """Offer coupons."""
        for code, options in COUPONS.items():
            self._do(
                f"coupon {code}",
                lambda c, a=code, o=options: coupons.create(c, a, BY, **o),
            )

    def act(self) -> None:
        """Run one of these actions."""
        [name] = self._rng.choices(list(ACTS), list(ACTS.values()))
        deeds: dict[str, Callable[[], None]] = {
            "part of a refund": self._refund,
            "another plan": self._change_plan,
            "price": self._change_price,
            "cancel at the end": self._cancel,
            "withdraw": self._withdraw,
            "pause to the due date": self._pause,
            "resume now": self._resume,
            "pay out": self._pay_out,
            "coupon": self._coupon,
            "extra": self._extra,
            "backdated": self._start_long_ago,
            "resolve unasked": self._resolve,
            "poison": self._poison,
            "release": self._release,
        }
        self._world.met[f"act {name}"] += 1
        deeds[name]()
        self._oracle.look()

    # --- tools -------------------------------------------------------------------------------

    def _do(self, what: str, deed: Callable[[Context], Any]) -> str:
        self._world.note(f"({what})")
        return self._world.run(what, deed)

    def _request(self, task: str) -> Request:
        self._keys += 1
        return Request(f"wide-{self._keys}", task, {})

    def _some(self, statement: str, **parameters: Any) -> Mapping[str, Any] | None:
        rows = self._world.databases.rows(statement, **parameters)
        return self._rng.choice(rows) if rows else None

    def _one(self, where: str) -> Mapping[str, Any] | None:
        return self._some(f"SELECT * FROM subscriptions WHERE {where} ORDER BY id")

    # --- money -------------------------------------------------------------------------------

    def _refund(self) -> None:
        """Refund a paid invoice in full, its credited part, or another part."""
        row = self._some("""
            SELECT i.id, i.amount, coalesce((SELECT sum(c.amount) FROM credits c
                WHERE c.invoice_id = i.id), 0)::bigint AS given
            FROM invoices i WHERE i.status = 'paid' AND i.amount > 0
            ORDER BY (i.amount > 0 AND EXISTS (SELECT 1 FROM credits c
                WHERE c.invoice_id = i.id)) DESC, i.id LIMIT 12""")
        if row is None:
            return
        amount = self._rng.choice([row["amount"], row["amount"], row["given"], row["amount"] // 3])
        if amount:
            request = self._request("refund")
            by = Actor("storm", f"refund {request.key}")
            self._do(
                f"refund {amount} of {self._world.name(row['id'])}",
                lambda c: refunding.refund_invoice(c, row["id"], amount, by, request),
            )

    def _pay_out(self) -> None:
        """Pay out credit that came from a payment; create such credit first if there is none."""
        if self._some(_BALANCES) is None:
            row = self._some(_PAID_AHEAD, now=self._world.clock.now())
            if row is not None:
                self._set_price(row, row["amount"] * 3 // 10, changing.NOW)
        balance = self._some(_BALANCES)
        if balance is not None:
            what = f"pay out {balance['id']}"
            end = self._do(what, lambda c: crediting.refund(c, balance["id"], BY))
            self._world.met["paid out"] += end == "done"

    def _coupon(self) -> None:
        row, code = self._one("ended_at IS NULL"), self._rng.choice(list(COUPONS))
        if row is not None:
            what = f"{code} for {self._world.name(row['id'])}"
            self._do(what, lambda c: coupons.apply(c, code, row["id"], BY))

    def _extra(self) -> None:
        row, amount = self._one("ended_at IS NULL"), self._rng.choice([500, 12_000])
        if row is not None:
            what = f"an extra of {amount} for {self._world.name(row['id'])}"
            self._do(what, lambda c: extra_lines.add(c, row["id"], "towel", amount, BY))

    # --- time --------------------------------------------------------------------------------

    def _change_plan(self) -> None:
        """Change to another plan, which mostly has another interval."""
        row = self._one_to_change()
        plan = self._some("SELECT code FROM plans WHERE archived_at IS NULL ORDER BY code")
        if row is None or plan is None or plan["code"] == row["plan_code"]:
            return
        at = self._rng.choice([changing.NOW, changing.NOW, changing.PERIOD_END])
        self._change(row, f"{plan['code']} {at}", plan_code=plan["code"], at=at)

    def _one_to_change(self) -> Mapping[str, Any] | None:
        """A running subscription; rather one for which something is planned already."""
        planned = f"{RUNNING} AND coalesce(change_at, cancel_at, pause_at) IS NOT NULL"
        return (self._one(planned) if self._rng.random() < 0.5 else None) or self._one(RUNNING)

    def _change_price(self) -> None:
        """Give a running subscription a price of its own, mostly a lower one."""
        row = self._one_to_change()
        if row is None:
            return
        amount = max(row["amount"] * self._rng.choice([30, 50, 120]) // 100, 1_000)
        self._set_price(row, amount, self._rng.choice([changing.NOW, changing.PERIOD_END]))

    def _set_price(self, row: Mapping[str, Any], amount: int, at: str) -> None:
        with self._oracle.costs_nothing(row["id"], below=row["amount"]):
            self._change(row, f"{amount} {at}", amount=amount, at=at)

    def _change(self, row: Mapping[str, Any], what: str, **options: Any) -> None:
        self._oracle.expects_no_resume_of(row["id"])
        with self._oracle.plans_are_kept(row["id"]):
            self._do(
                f"change {self._world.name(row['id'])} to {what}",
                lambda c: changing.change(c, row["id"], BY, request=self._request("change"),
                                          **options),
            )  # fmt: skip

    def _cancel(self) -> None:
        """Plan a cancellation for the end of what is paid."""
        row = self._one(f"{RUNNING} AND cancel_at IS NULL")
        if row is None:
            return
        with self._oracle.plans_are_kept(row["id"]):
            end = self._do(
                f"cancel {self._world.name(row['id'])} at the end",
                lambda c: canceling.cancel(c, row["id"], BY, at=canceling.PERIOD_END),
            )
        if end == "done":
            self._oracle.ends_with_a_period.add(row["id"])

    def _withdraw(self) -> None:
        row = self._one("cancel_at IS NOT NULL AND ended_at IS NULL")
        if row is not None:
            what = f"withdraw the cancellation of {self._world.name(row['id'])}"
            self._do(what, lambda c: canceling.withdraw(c, row["id"], BY))
            self._oracle.ends_with_a_period.discard(row["id"])

    def _pause(self) -> None:
        """Pause until the very instant at which the next period begins."""
        row = self._one(
            "status IN ('active', 'trialing') AND next_due_at IS NOT NULL AND cancel_at IS NULL"
        )
        if row is None or row["next_due_at"] <= self._world.clock.now():
            return
        until = row["next_due_at"]
        with self._oracle.plans_are_kept(row["id"]):
            end = self._do(
                f"pause {self._world.name(row['id'])} until {until}",
                lambda c: pausing.pause(c, row["id"], BY, until=until),
            )
        if end == "done":
            self._oracle.resumes_on(row["id"], until)

    def _resume(self) -> None:
        """Resume at once with a period that begins now; if none is paused, pause one first."""
        row = self._one("status = 'paused'")
        if row is None:
            row = self._one("status IN ('active', 'trialing') AND next_due_at IS NOT NULL")
            if row is None:
                return
            self._do(
                f"pause {self._world.name(row['id'])}",
                lambda c: pausing.pause(c, row["id"], BY),
            )
            self._world.pass_time(timedelta(days=self._rng.randint(0, 4)))
        self._oracle.expects_no_resume_of(row["id"])
        with self._oracle.plans_are_kept(row["id"]):
            self._do(
                f"resume {self._world.name(row['id'])} from now",
                lambda c: pausing.resume(c, row["id"], BY, start=pausing.NOW),
            )

    def _start_long_ago(self) -> None:
        """Mistype the year of a start, which would charge many past periods at once."""
        who = self._some("SELECT id FROM customers ORDER BY id")
        plan = self._some("SELECT code FROM plans ORDER BY code")
        if who is None or plan is None:
            return
        days, meant = self._rng.randint(*BACKDATED_DAYS), self._rng.random() < 0.3
        start = self._world.clock.now() - timedelta(days=days)
        name = f"B{self._keys}"

        def deed(context: Context) -> None:
            made = subscribing.subscribe(
                context, who["id"], plan["code"], BY, start=start, backdate=meant,
                request=self._request("subscribe"),
            )  # fmt: skip
            self._world.call(UUID(made["id"]), name)

        end = self._do(f"{who['id']} starts {days} days ago as {name}", deed)
        if end == "done" and not meant:
            self._oracle.tell(f"BACKDATED: {name} began {days} days ago, and nobody confirmed it")

    # --- what should not be possible ---------------------------------------------------------

    def _resolve(self) -> None:
        """Resolve a charge that was just sent as declined, which no operator can know yet."""
        row = self._some(
            """
            SELECT id, gateway_number FROM charges WHERE parked_at IS NULL
            AND status IN ('in_flight', 'pending', 'unknown') AND sent_at > %(recently)s
            ORDER BY id""",
            recently=self._world.clock.now() - TOO_EARLY,
        )
        if row is not None:
            self._do(
                f"resolve {self._world.name(row['gateway_number'])}, unasked",
                lambda c: charge_resolution.resolve_charge(c, row["id"], False, BY),
            )

    def _poison(self) -> None:
        """Corrupt one row, as a bad import or a lost key would; the others must not be affected."""
        if len(self._healing) >= POISONED_MAX:
            return
        table, column = self._rng.choice(
            [("charges", "body_sealed"), ("wallets", "token_sealed"), ("subscriptions", "amount")]
        )
        where = {
            "charges": "status IN ('pending', 'unknown') AND body_sealed IS NOT NULL",
            "wallets": "status = 'active'",
            "subscriptions": f"{RUNNING} AND next_due_at IS NOT NULL",
        }[table]
        row = self._some(f"SELECT id, {column} AS value FROM {table} WHERE {where} ORDER BY id")
        if row is None:
            return
        spoilt: Any = TOO_MUCH if column == "amount" else GARBAGE
        self._world.note(f"({table}.{column} of {self._world.name(row['id'])} is spoilt)")
        extras = (
            """, extras = '[{"kind": "extra", "title": "x", "amount": 9999999999}]'"""
            if column == "amount" else ""
        )  # fmt: skip
        self._world.databases.write(
            f"UPDATE {table} SET {column} = %(spoilt)s{extras} WHERE id = %(id)s",
            spoilt=spoilt, id=row["id"],
        )  # fmt: skip
        healed = ", extras = '[]'" if extras else ""
        heal = (
            f"UPDATE {table} SET {column} = %(value)s{healed}"
            f" WHERE id = %(id)s AND {column} = %(spoilt)s"
        )
        self._healing.append((heal, {"value": row["value"], "id": row["id"], "spoilt": spoilt}))

    def _release(self) -> None:
        """Release held rows; rows that are still corrupt are held again."""
        for kind in Kind:
            if self._world.databases.rows(f"SELECT 1 FROM {kind}s WHERE held_at IS NOT NULL"):
                self._do(f"release {kind}s", lambda c, k=kind: held_rows.release(c, k, None, BY))

    def heal(self) -> None:
        """Repair corrupt rows, and release them."""
        for statement, parameters in self._healing:
            self._world.databases.write(statement, **parameters)
        self._healing.clear()
        self._release()
