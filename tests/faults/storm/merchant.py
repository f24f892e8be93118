"""A merchant's backend in a wide storm: it acts through the HTTP interface, with keys.

Answers are lost on their way, calls are repeated at once, later or while they run, and a key is
used for another body. It draws from chances of its own. What is right is said by `calls.py`.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from billing.domain.subscription import RefundPolicy
from billing.services.operating import api_keys, used_keys
from tests.faults.storm.acts import BY, RICH, People
from tests.faults.storm.calls import SHOP, Call, Record
from tests.faults.storm.combinations import COUPONS
from tests.faults.storm.door import Answer, Door
from tests.faults.storm.world import World

ACTS: Mapping[str, int] = {
    "subscribe": 8, "cancel": 5, "withdraw": 3, "refund": 8, "change": 6, "pause": 6, "link": 5,
    "coupon": 3, "credit": 3, "extra": 3, "retry": 4, "void": 2, "other body": 5,
    "late repeat": 8, "goodbye": 6, "old keys": 1, "customer": 2,
}  # fmt: skip
LOST_ANSWERS = 0.15
REPEATED_AT_ONCE = 0.6
TRIES_AT_CALM = 12
SUBSCRIPTIONS_MAX = 12
NAMES = ("M0", "M1", "M2")
SECRET_NAME = "Rahasia"
"""Customers of the merchant; their names and phones are looked for after an erasure."""
RUNNING = "status IN ('active', 'past_due', 'trialing')"


class Merchant:
    """One backend with one key."""

    def __init__(self, world: World, people: People) -> None:
        self.record = Record(world)
        self.goodbyes: dict[str, int] = {}
        """Whose erasure was answered with success, and when in the ledger's count."""
        self._world = world
        self._people = people
        self._rng = Random(f"merchant {world.seed}")
        self._sending: list[Call] = []
        self._made = 0

    def begin(self) -> None:
        """Get a key, and create customers that say goodbye later."""
        made: list[str] = []
        self._world.run("a key", lambda c: made.append(api_keys.create(c, SHOP, ["admin"], BY).key))
        self.door = Door(self._world, made[0])
        for who in NAMES:
            self._world.ledger.open_account(who, RICH)
            self._put(who)

    def act(self) -> None:
        """Run one action; sometimes it is the repeat of a call that has no answer."""
        waiting = [call for call in self.record.calls if call.is_open]
        if waiting and self._rng.random() < 0.4:
            self._send(self._rng.choice(waiting))
            return
        [name] = self._rng.choices(list(ACTS), list(ACTS.values()))
        deeds: dict[str, Callable[[], None]] = {
            "subscribe": lambda: self._subscribe(self._rng.choice(NAMES)),
            "cancel": self._cancel,
            "withdraw": self._withdraw,
            "refund": self._refund,
            "change": self._change,
            "pause": self._pause,
            "link": self._link_any,
            "coupon": self._coupon,
            "credit": lambda: self._credit(self._rng.choice(NAMES)),
            "extra": self._extra,
            "retry": lambda: self._invoice("retry", "status = 'open'"),
            "void": lambda: self._invoice("void", "status IN ('open', 'uncollectible')"),
            "other body": self._other_body,
            "late repeat": self._late_repeat,
            "goodbye": self._say_goodbye,
            "old keys": self._remove_old_keys,
            "customer": self.rename,
        }
        self._world.met[f"call {name}"] += 1
        deeds[name]()

    def interrupt(self) -> None:
        """While a handler is between two steps: the same call a second time, or another one."""
        if self._sending and self._rng.random() < 0.5:
            self._world.met["call at the same time"] += 1
            self._ask(self._sending[-1])
        else:
            self.act()

    def rename(self) -> None:
        """Change a customer, which is a short transaction with one event."""
        self._put(self._rng.choice(NAMES))

    def make_peace(self) -> None:
        """Repeat what has no answer, and the erasures that a restore forgot.

        Then a call is made and its key used for something else: every storm has that, also one
        whose restore forgot all earlier calls.
        """
        for who, seq in self.goodbyes.items():
            if seq < self._world.restored_seq:
                self._call("erase", f"/v1/customers/{who}/erase", who, {})
        for call in self.record.calls:
            for _ in range(TRIES_AT_CALM):
                if call.is_open and self.record.may_repeat(call):
                    self._ask(call)
        self._credit(NAMES[0])
        self._other_body()

    # --- calls -------------------------------------------------------------------------------

    def _call(self, deed: str, path: str, who: str, body: Mapping[str, Any]) -> Call:
        """Make a call, and perhaps repeat it when there was no answer."""
        self._made += 1
        key = f"api-{self._made}"
        reason = f"refund key-{key}" if deed == "refund" else f"because of {key}"
        whole = {**body, "reason": reason}
        call = Call(key, deed, path, whole, reason, who, self._world.clock.now())
        self.record.calls.append(call)
        self._send(call)
        return call

    def _send(self, call: Call) -> None:
        while self._ask(call) is None and call.is_open and self._rng.random() < REPEATED_AT_ONCE:
            self._world.met["call repeated"] += 1

    def _ask(self, call: Call) -> Answer | None:
        """Send a call once; None when there was no answer, or one that says to repeat it."""
        if not self.record.may_repeat(call):
            return None
        call.tries += 1
        self._sending.append(call)
        try:
            answer = self.door.send("POST", call.path, call.body, call.key)
        finally:
            self._sending.remove(call)
        said = "nothing" if answer is None else f"{answer.status} {answer.kind}"
        self._world.note(f"({call.key} {call.deed}: {said})")
        if answer is None or (self._world.chaos.on and self._rng.random() < LOST_ANSWERS):
            return None
        self.record.answered(call, answer)
        if answer.succeeded:
            self._learn(call, answer)
        return None if call.is_open else answer

    def _learn(self, call: Call, answer: Answer) -> None:
        if call.deed == "subscribe":
            self._world.call(UUID(str(answer.document["id"])), f"W{call.key[4:]}")
        if call.deed == "cancel" and answer.document["status"] == "canceled":
            chosen = UUID(str(answer.document["id"]))
            self._world.canceled.setdefault(chosen, self._world.ledger.next())
        if call.deed == "erase":
            self.goodbyes[call.customer] = self._world.ledger.next()

    def _late_repeat(self) -> None:
        """Repeat a call that was answered long ago."""
        done = [c for c in self.record.calls if c.done_seq and self.record.may_repeat(c)]
        if done:
            self._ask(self._rng.choice(done))

    def _other_body(self) -> None:
        """Use a key again for something else, which must be refused."""
        done = [
            call for call in self.record.calls
            if call.deed != "erase" and self.record.remembers(call) and self.record.may_repeat(call)
            and not self.record.is_erased(call)  # an argument that was erased equals any text
        ]  # fmt: skip
        if not done:
            return
        call = self._rng.choice(done)
        other = {**call.body, "reason": f"{call.reason}, or not"}
        answer = self.door.send("POST", call.path, other, call.key)
        if answer is not None and answer.kind not in {"key_reused", "in_progress", "unavailable"}:
            self.record.tell(f"KEY: {call.key} with another body: {answer.status} {answer.kind}")
        self._world.met["call with another body"] += 1

    def _remove_old_keys(self) -> None:
        self._world.run("old keys", used_keys.remove_old)

    # --- what is asked for -------------------------------------------------------------------

    def _some(self, statement: str, **parameters: Any) -> Mapping[str, Any] | None:
        rows = self._world.databases.rows(statement, **parameters)
        return self._rng.choice(rows) if rows else None

    def _on(self, deed: str, where: str, body: Mapping[str, Any], verb: str = "") -> None:
        row = self._some(f"SELECT id, customer_id FROM subscriptions WHERE {where} ORDER BY id")
        if row is not None:
            path = f"/v1/subscriptions/{row['id']}/{verb or deed}"
            self._call(deed, path, row["customer_id"], body)

    def _put(self, who: str) -> None:
        """Create or change a customer: a PUT needs no key."""
        name = f"{SECRET_NAME} {who} {self._rng.randint(1, 9)}"
        body = {"name": name, "phone": _phone(who)}
        answer = self.door.send("PUT", f"/v1/customers/{who}", body)
        if answer is not None and answer.status == 500:
            self.record.tell("API: a customer was answered with an internal error")

    def _subscribe(self, who: str) -> None:
        if sum(call.deed == "subscribe" for call in self.record.calls) >= SUBSCRIPTIONS_MAX:
            return
        plan = self._some("SELECT code FROM plans WHERE archived_at IS NULL ORDER BY code")
        if plan is not None:
            body = {"customer": who, "plan": plan["code"], "again": self._rng.random() < 0.5}
            self._call("subscribe", "/v1/subscriptions", who, body)

    def _cancel(self) -> None:
        at = self._rng.choice(["now", "period-end", "period-end"])
        body = {"at": at, "refund": self._rng.choice(list(RefundPolicy)).value}
        self._on("cancel", "ended_at IS NULL", body)

    def _withdraw(self) -> None:
        self._on("withdraw", "cancel_at IS NOT NULL AND ended_at IS NULL", {}, "withdraw-cancel")

    def _refund(self) -> None:
        row = self._some("""
            SELECT i.id, i.amount, s.customer_id FROM invoices i
            JOIN subscriptions s ON s.id = i.subscription_id
            WHERE i.status = 'paid' AND i.amount > 0 ORDER BY i.id""")
        if row is None:
            return
        amount = self._rng.choice([None, row["amount"], row["amount"] // 2, 5_000])
        body = {} if amount is None else {"amount": amount}
        self._call("refund", f"/v1/invoices/{row['id']}/refunds", row["customer_id"], body)

    def _change(self) -> None:
        at = self._rng.choice(["now", "now", "period-end"])
        self._on("change", RUNNING, {"quantity": self._rng.randint(1, 3), "at": at})

    def _pause(self) -> None:
        if self._rng.random() < 0.5:
            self._on("resume", "status = 'paused'", {})
            return
        until = self._world.clock.now() + timedelta(days=self._rng.randint(3, 40))
        ahead = {"until": until.isoformat()} if self._rng.random() < 0.6 else {}
        at = self._rng.choice(["now", "period-end"])
        self._on("pause", "status IN ('active', 'trialing')", {"at": at, **ahead})

    def _coupon(self) -> None:
        code = self._rng.choice(list(COUPONS))
        self._on("coupon", "ended_at IS NULL", {"code": code})

    def _extra(self) -> None:
        self._on("extra", "ended_at IS NULL", {"title": "towel", "amount": 700}, "extras")

    def _credit(self, who: str) -> None:
        amount = self._rng.choice([5_000, 45_000])
        self._call("credit", f"/v1/customers/{who}/credits", who, {"amount": amount})

    def _invoice(self, deed: str, where: str) -> None:
        row = self._some(f"""
            SELECT i.id, s.customer_id FROM invoices i
            JOIN subscriptions s ON s.id = i.subscription_id WHERE i.{where} ORDER BY i.id""")
        if row is not None:
            self._call(deed, f"/v1/invoices/{row['id']}/{deed}", row["customer_id"], {})

    def _link_any(self) -> None:
        row = self._some(
            """
            SELECT id FROM customers c WHERE id = ANY(%(mine)s) AND NOT EXISTS (
                SELECT 1 FROM wallets w WHERE w.customer_id = c.id
                AND w.status IN ('pending', 'active', 'unlinking')) ORDER BY id""",
            mine=list(NAMES),
        )
        if row is not None:
            who = row["id"]
            self._call("link", f"/v1/customers/{who}/wallet-links", who, {"phone": _phone(who)})
            if self._world.ledger.confirm(who):
                self._people.refresh(who)

    def _say_goodbye(self) -> None:
        """Take the next step towards the erasure of the last customer."""
        who = NAMES[-1]
        live = f"customer_id = '{who}' AND ended_at IS NULL"
        owed = f"customer_id = '{who}' AND i.status = 'open'"
        if self._world.databases.rows(f"SELECT 1 FROM subscriptions WHERE {live}"):
            self._on("cancel", live, {"at": "now", "refund": "none"})
        elif self._some(f"SELECT 1 FROM invoices i WHERE {owed}") is not None:
            row = self._some(f"SELECT id FROM invoices i WHERE {owed} ORDER BY id")
            if row is not None:
                self._call("void", f"/v1/invoices/{row['id']}/void", who, {})
        else:
            self._call("erase", f"/v1/customers/{who}/erase", who, {})


def _phone(who: str) -> str:
    return f"6281277700{who[1:]:0>3}"
