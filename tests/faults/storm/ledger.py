"""The gateway's own truth: accounts, tokens, payments and refunds, and the rules between them.

It knows nothing of the engine, of faults, or of chance.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.domain.outcomes import (
    Declined,
    Fault,
    Outcome,
    Pending,
    RefundOrder,
    RefundOutcome,
    SealedPayment,
    Succeeded,
    Unknown,
    Waiting,
)

SUCCESS, FAILED, PENDING, EXPIRED = "SUCCESS", "FAILED", "PENDING", "TOKEN_EXPIRED"


@dataclass
class Account:
    """A customer's OVO account, its tokens, and the link that waits for its confirmation."""

    cash: int
    tokens: list[str] = field(default_factory=list)
    link_waits: bool = False
    links: int = 0


@dataclass(frozen=True)
class Fate:
    """What becomes of a payment that arrives, apart from money and tokens."""

    status: str = SUCCESS
    fault: Fault | None = None
    end: str | None = None  # what a payment that is open, or a FAILED that is not final, becomes
    queries: int | None = None  # after this many status queries
    ends_at: datetime | None = None  # or then
    hidden_until: datetime | None = None  # until then a question is answered "not found"


@dataclass
class Payment:
    """One payment as the gateway has it."""

    number: str
    request_id: str
    body: bytes
    customer: str
    token: str
    amount: int
    first_payment: bool
    seq: int
    fate: Fate
    status: str
    moves: int = 0
    moved_seq: int = 0
    queries: int = 0
    late: bool = False  # the money moved after FAILED or TOKEN_EXPIRED had been said
    lied_about: bool = False
    refunded: int = 0
    refund_declined: int = 0

    @property
    def kept(self) -> int:
        """Return the rupiah that were taken and not refunded."""
        return self.amount * self.moves - self.refunded


@dataclass
class Refund:
    """One refund as the gateway has it."""

    order: RefundOrder
    status: str
    seq: int
    lied_about: bool = False


class Ledger:
    """Everything that happened to money, in order."""

    def __init__(self) -> None:
        self.seq = 0
        self.accounts: dict[str, Account] = {}
        self.payments: dict[str, Payment] = {}
        self.by_request: dict[str, Payment] = {}
        self.refunds: dict[str, Refund] = {}
        self.unlinked: set[str] = set()
        self.put_in = 0

    def next(self) -> int:
        """The number of the next thing that happens."""
        self.seq += 1
        return self.seq

    # --- accounts ----------------------------------------------------------------------------

    def open_account(self, customer: str, cash: int) -> None:
        """Let a customer have an OVO account."""
        self.accounts[customer] = Account(cash)
        self.put_in += cash

    def top_up(self, customer: str, cash: int) -> None:
        """Put money into an account, or take it out."""
        account = self.accounts[customer]
        change = max(cash, -account.cash)
        account.cash += change
        self.put_in += change

    def confirm(self, customer: str) -> bool:
        """Confirm the waiting link; the previous token ends."""
        account = self.accounts[customer]
        if not account.link_waits:
            return False
        account.link_waits = False
        account.links += 1
        account.tokens = [f"token-{customer}-{account.links}"]
        return True

    def unlink(self, token: str) -> None:
        """Delete a token for good."""
        self.unlinked.add(token)
        for account in self.accounts.values():
            if token in account.tokens:
                account.tokens.remove(token)

    # --- payments ----------------------------------------------------------------------------

    def pay(self, sealed: SealedPayment, fate: Fate) -> Outcome:
        """Take a payment; a repeated one gets its first answer."""
        earlier = self.by_request.get(sealed.request_id)
        if earlier is not None:
            if earlier.body == sealed.body:
                return self._answer(earlier)
            return Unknown("http_409 conflict")
        if sealed.number in self.payments:
            return Unknown("http_400 invoice_already_used")
        said: dict[str, Any] = json.loads(sealed.body)
        customer, token = said["customer"], said["token"]
        account = self.accounts[customer]
        if token not in account.tokens:
            fate = Fate(FAILED, Fault.WALLET)
        elif fate.status == SUCCESS and account.cash < sealed.amount:
            fate = Fate(FAILED, Fault.INSUFFICIENT_FUNDS, hidden_until=fate.hidden_until)
        elif fate.status == EXPIRED and fate.end is None:
            account.tokens.remove(token)
        payment = Payment(
            sealed.number, sealed.request_id, sealed.body, customer, token, sealed.amount,
            said["first_payment"], self.next(), fate, fate.status,
        )  # fmt: skip
        self.payments[payment.number] = self.by_request[payment.request_id] = payment
        if payment.status == SUCCESS:
            self._move(payment)
        return self._answer(payment)

    def _move(self, payment: Payment) -> None:
        payment.moves += 1
        payment.moved_seq = self.next()
        self.accounts[payment.customer].cash -= payment.amount

    @staticmethod
    def _answer(payment: Payment) -> Outcome:
        """The first answer, which a repeat gets as well."""
        match payment.fate.status:
            case "SUCCESS":
                return Succeeded()
            case "PENDING":
                return Pending(Waiting.CUSTOMER)
            case "TOKEN_EXPIRED":
                return Pending(Waiting.TOKEN_EXPIRED)
        fault = payment.fate.fault
        # A live FAILED without a code is nothing that can be booked.
        return Unknown("status_failed") if fault is None else Declined(fault, fault.value)

    def pass_time(self, now: datetime) -> None:
        """Let the payments end whose time has come."""
        for payment in self.payments.values():
            at = payment.fate.ends_at
            if payment.status == PENDING and at is not None and at <= now:
                self.end(payment, payment.fate.end or FAILED)

    def question(self, payment: Payment) -> None:
        """Answer a status query; some payments end after a number of queries."""
        if payment.fate.queries is None or payment.fate.end is None or payment.moves:
            return
        payment.queries += 1
        if payment.queries > payment.fate.queries and payment.status != payment.fate.end:
            self.end(payment, payment.fate.end)

    def end(self, payment: Payment, status: str) -> None:
        """Bring a payment to its end; without the money SUCCESS is FAILED."""
        if status == SUCCESS and self.accounts[payment.customer].cash < payment.amount:
            status = FAILED
        if status == SUCCESS:
            payment.late = payment.status in {FAILED, EXPIRED}
            self._move(payment)
        payment.status = status

    # --- refunds -----------------------------------------------------------------------------

    def refund(self, order: RefundOrder, *, decline: bool) -> RefundOutcome:
        """Give money back once for each Request-Id, and never more than is left."""
        earlier = self.refunds.get(order.request_id)
        if earlier is not None:
            same = earlier.order == order
            return self._refund_answer(earlier) if same else Unknown("http_409 conflict")
        payment = self.payments.get(order.number)
        if payment is None or payment.request_id != order.charge_request_id:
            return Declined(Fault.OTHER, "not_found")
        refused = decline or order.amount > payment.kept
        made = Refund(order, FAILED if refused else SUCCESS, self.next())
        self.refunds[order.request_id] = made
        if refused:
            payment.refund_declined += order.amount
        else:
            payment.refunded += order.amount
            self.accounts[payment.customer].cash += order.amount
        return self._refund_answer(made)

    @staticmethod
    def _refund_answer(refund: Refund) -> RefundOutcome:
        return Succeeded() if refund.status == SUCCESS else Declined(Fault.OTHER, "refund_failed")
