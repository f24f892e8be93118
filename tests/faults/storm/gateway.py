"""The scripted gateway: the engine's `Gateway` protocol over a ledger in memory, with faults.

The fault of each call is drawn from the seed. It knows no rows and no services.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from random import Random

from billing.clock import Clock
from billing.domain.outcomes import (
    Balance,
    BalanceOutcome,
    Binding,
    BindingStarted,
    BindOutcome,
    Declined,
    Fault,
    NotFound,
    Outcome,
    Payer,
    Payment,
    Pending,
    RefundOrder,
    RefundOutcome,
    SealedPayment,
    StatusOutcome,
    Succeeded,
    Token,
    Tokens,
    TokensOutcome,
    UnbindOutcome,
    Unknown,
    Unsent,
    Waiting,
)
from tests.faults.storm import pages
from tests.faults.storm.ledger import EXPIRED, FAILED, PENDING, SUCCESS, Fate, Ledger

MINUTE = timedelta(minutes=1)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LATE_MAX_MINUTES = 6
"""How long a request may be under way, or a payment invisible. With what a process may dawdle
this stays under the engine's horizon of 15 minutes, which is its stated belief."""

WAYS: Mapping[str, int] = {
    # What happens to any call on its way.
    "plain": 70, "refused": 4, "lost before": 5, "lost after": 8, "nonsense": 4, "doubled": 4,
}  # fmt: skip
PAY_FATES: Mapping[str, int] = {
    "success": 62, "declined": 14, "pending": 7, "token expired": 3, "failed": 4, "hidden": 4,
    "late": 4, "rate limited": 2,
}  # fmt: skip
FAULTS: Mapping[Fault, int] = {
    Fault.INSUFFICIENT_FUNDS: 5, Fault.LIMIT: 2, Fault.TECHNICAL: 4, Fault.OTHER: 2,
    Fault.WALLET: 1, Fault.HARD: 1,
}  # fmt: skip
ASKED: Mapping[str, int] = {"plain": 84, "lost": 8, "nonsense": 4, "wrong": 4}
BALANCES: Mapping[str, int] = {"plain": 60, "short": 12, "rich": 10, "lost": 10, "refused": 8}
PAGE_SHARE = 0.04
Point = Callable[[str], None]


class StormGateway:
    """Calls the ledger, or does not, and gives any answer."""

    def __init__(self, ledger: Ledger, rng: Random, clock: Clock, note: Callable[[str], None],
                 name: Callable[[str], str]) -> None:  # fmt: skip
        self.ledger = ledger
        self.calm = False
        self.pages: Random | None = None
        """Chances of a page of a proxy in the place of an answer; None: there is no proxy."""
        self.met: Counter[str] = Counter()
        self.point: Point = lambda _place: None
        self.first_sent: dict[str, int] = {}
        self.dead_tokens_used: list[str] = []
        self._rng = rng
        self._clock = clock
        self._note = note
        self._name = name
        self._under_way: list[tuple[SealedPayment, Fate, timedelta]] = []

    # --- money -------------------------------------------------------------------------------

    def compose(self, payment: Payment) -> bytes:
        """The exact body: the same payment gives the same bytes."""
        said = asdict(payment) | {"customer": payment.payer.id}
        return json.dumps(said, sort_keys=True).encode()

    def pay(self, payment: SealedPayment) -> Outcome:
        """Take a payment, with the faults drawn for it."""
        self._watch(payment)
        self.point("before call")
        outcome = self._pay(payment)
        self._note(f"pay {self._name(payment.number)}: {_said(outcome)}")
        self.point("after call")
        return outcome

    def _watch(self, payment: SealedPayment) -> None:
        new = payment.request_id not in self.first_sent
        self.first_sent.setdefault(payment.request_id, self.ledger.next())
        token = json.loads(payment.body)["token"]
        if new and token in self.ledger.unlinked:
            self.dead_tokens_used.append(payment.number)

    def _pay(self, payment: SealedPayment) -> Outcome:
        self.arrive()
        if (proxy := self._meets_a_page("pay")) is not None:
            if proxy.random() < 0.5:
                self.ledger.pay(payment, Fate())
            return pages.payment(proxy, payment)
        way = self._draw("way", WAYS)
        kind = self._draw("pay", PAY_FATES)
        if way == "refused":
            return Unsent("connection refused")
        if kind == "rate limited":
            return Unsent("rate_limited")
        if way == "lost before":
            return Unknown("connection reset")
        fate = self._fate(kind)
        if kind == "late":
            delay = self._rng.randint(1, LATE_MAX_MINUTES) * MINUTE
            self._under_way.append((payment, fate, delay + self._age()))
            return Unknown("timeout")
        outcome = self.ledger.pay(payment, fate)
        if way == "doubled":
            self.ledger.pay(payment, Fate())
        if way in {"lost after", "nonsense"} or kind == "hidden":
            return Unknown("timeout" if way != "nonsense" else "http_200 unreadable")
        return outcome

    def _age(self) -> timedelta:
        """The present instant as a duration, to be compared only with another one."""
        return self._clock.now() - _EPOCH

    def arrive(self, *, all_of_them: bool = False) -> None:
        """Let requests arrive that were long on their way, and open payments end."""
        age = self._age()
        due = [item for item in self._under_way if all_of_them or item[2] <= age]
        self._under_way = [item for item in self._under_way if item not in due]
        for payment, fate, _ in due:
            said = self.ledger.pay(payment, fate)
            self._note(f"{self._name(payment.number)} arrives late: {_said(said)}")
        self.ledger.pass_time(self._clock.now())

    def _fate(self, kind: str) -> Fate:
        rng, now = self._rng, self._clock.now()
        match kind:
            case "declined":
                faults = list(FAULTS)
                [fault] = rng.choices(faults, [FAULTS[name] for name in faults])
                self.met[f"fault {fault}"] += 1
                return Fate(FAILED, fault)
            case "pending":
                end = rng.choice([SUCCESS, SUCCESS, FAILED, None])
                if rng.random() < 0.5:
                    return Fate(PENDING, end=end, queries=rng.randint(0, 2))
                wait = rng.choice([2, 10, 90, 1_500, 6_000]) * MINUTE
                return Fate(PENDING, end=end, ends_at=now + wait if end else None)
            case "token expired":
                return Fate(EXPIRED, end=rng.choice([SUCCESS, None]), queries=rng.randint(0, 2))
            case "failed":
                return Fate(FAILED, end=rng.choice([SUCCESS, None]), queries=rng.randint(0, 2))
            case "hidden":
                return Fate(hidden_until=now + rng.randint(1, LATE_MAX_MINUTES) * MINUTE)
        return Fate()

    def check_status(self, identifier: str, number: str, amount: int) -> StatusOutcome:
        """Tell about a payment by its number, or about a refund by its Request-Id."""
        self.point("before call")
        is_refund = identifier != number
        outcome = self._refund_status(identifier) if is_refund else self._status(number, amount)
        self._note(f"status of {self._name(number)}: {_said(outcome)}")
        self.point("after call")
        return outcome

    def _status(self, number: str, amount: int) -> StatusOutcome:
        self.arrive()
        if (proxy := self._meets_a_page("status")) is not None:
            return pages.status(proxy, number, amount)
        how = self._draw("status", ASKED)
        payment = self.ledger.payments.get(number)
        if how in {"lost", "nonsense"}:
            return Unknown("timeout")
        if payment is None:
            return NotFound()
        if payment.amount != amount:
            return Unknown("other_amount")  # as the client says (billing.gateway.statuses)
        hidden = payment.fate.hidden_until
        if hidden is not None and hidden > self._clock.now():
            return NotFound()
        may_lie = not payment.lied_about
        if how == "wrong" and payment.fate.status == SUCCESS and may_lie:
            # One wrong FAILED in a payment's life ("not final", says the gateway's page).
            payment.lied_about = True
            return Declined(Fault.OTHER, "failed")
        self.ledger.question(payment)
        match payment.status:
            case "SUCCESS":
                return Succeeded()
            case "PENDING":
                return Pending(Waiting.CUSTOMER)
            case "TOKEN_EXPIRED":
                return NotFound()
        return Declined(Fault.OTHER, "failed")

    def _refund_status(self, request_id: str) -> StatusOutcome:
        how = self._draw("refund status", ASKED)
        refund = self.ledger.refunds.get(request_id)
        if how in {"lost", "nonsense"}:
            return Unknown("timeout")
        if refund is None:
            return NotFound()
        if how == "wrong" and refund.status == SUCCESS and not refund.lied_about:
            refund.lied_about = True
            return Declined(Fault.OTHER, "failed")
        return Succeeded() if refund.status == SUCCESS else Declined(Fault.OTHER, "failed")

    def refund(self, order: RefundOrder) -> RefundOutcome:
        """Take a refund, with the faults drawn for it."""
        self.point("before call")
        outcome = self._refund(order)
        self._note(f"refund {order.amount} of {self._name(order.number)}: {_said(outcome)}")
        self.point("after call")
        return outcome

    def _refund(self, order: RefundOrder) -> RefundOutcome:
        if (proxy := self._meets_a_page("refund")) is not None:
            if proxy.random() < 0.5:
                self.ledger.refund(order, decline=False)
            return pages.refund(proxy, order)
        way = self._draw("way", WAYS)
        if way == "refused":
            return Unsent("connection refused")
        if way == "lost before":
            return Unknown("connection reset")
        declined = not self.calm and self._rng.random() < (0.03 if self.pages is None else 0.2)
        outcome = self.ledger.refund(order, decline=declined)
        if way == "doubled":
            outcome = self.ledger.refund(order, decline=False)
        return Unknown("timeout") if way in {"lost after", "nonsense"} else outcome

    # --- wallets -----------------------------------------------------------------------------

    def bind(self, binding: Binding) -> BindOutcome:
        """Begin a link; it waits for the customer."""
        self.point("before call")
        outcome: BindOutcome
        match self._draw("way", WAYS):
            case "refused":
                outcome = Unsent("connection refused")
            case "lost before":
                outcome = Unknown("connection reset")
            case way:
                self.ledger.accounts[binding.payer.id].link_waits = True
                lost = way in {"lost after", "nonsense"}
                url = f"https://127.0.0.1/link/{binding.request_id}"
                outcome = Unknown("timeout") if lost else BindingStarted(url)
        self._note(f"bind {self._name(binding.payer.id)}: {_said(outcome)}")
        self.point("after call")
        return outcome

    def list_tokens(self, customer_id: str) -> TokensOutcome:
        """The customer's live tokens."""
        self.point("before call")
        way = self._draw("way", WAYS)
        tokens = self.ledger.accounts[customer_id].tokens
        well = way in {"plain", "doubled"}
        said = Tokens([Token(t, "") for t in tokens]) if well else Unknown("timeout")
        self.point("after call")
        return said

    def balance(self, customer_id: str, token: str) -> BalanceOutcome:
        """What the account holds, or something else: advice only."""
        self.point("before call")
        how = self._draw("balance", BALANCES)
        said: BalanceOutcome
        match how:
            case "lost":
                said = Unknown("timeout")
            case "refused":
                said = Unsent("rate_limited")
            case "short":
                said = Balance(0, 0)
            case "rich":
                said = Balance(10**9, 0)
            case _:
                said = Balance(self.ledger.accounts[customer_id].cash, 0)
        self.point("after call")
        return said

    def unbind(self, payer: Payer, token: str, request_id: str) -> UnbindOutcome:
        """Delete a token; one that is gone counts as deleted."""
        self.point("before call")
        outcome: UnbindOutcome
        match self._draw("way", WAYS):
            case "refused":
                outcome = Unsent("connection refused")
            case "lost before":
                outcome = Unknown("connection reset")
            case way:
                self.ledger.unlink(token)
                lost = way in {"lost after", "nonsense"}
                outcome = Unknown("timeout") if lost else Succeeded()
        self._note(f"unlink {token}: {_said(outcome)}")
        self.point("after call")
        return outcome

    def _meets_a_page(self, call: str) -> Random | None:
        """The proxy's chances, when it answers in the gateway's place."""
        if self.pages is None or self.calm or self.pages.random() >= PAGE_SHARE:
            return None
        self.met[f"page {call}"] += 1
        return self.pages

    def _draw(self, call: str, odds: Mapping[str, int]) -> str:
        if self.calm:
            return next(iter(odds))
        [kind] = self._rng.choices(list(odds), list(odds.values()))
        if kind not in {"plain", "success"}:
            self.met[f"{call} {kind}"] += 1
        return kind


def _said(outcome: object) -> str:
    words = [str(getattr(outcome, name, "")) for name in ("fault", "waiting", "reason")]
    return " ".join(filter(None, [type(outcome).__name__, *words]))
