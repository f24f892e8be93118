"""The sandbox's own memory: wallets, ledger, and used Request-Ids, changed only by events.

Every recorded event is journaled in the same order and is applied again at the next start. The book
decides nothing about requests and knows no HTTP.
"""

import heapq
from collections.abc import Iterable
from typing import assert_never

from billing.sandbox.state.clock import BusinessClock
from billing.sandbox.state.events import (
    Answered,
    BindingAsked,
    BindingConfirmed,
    ClockSet,
    DefaultsSet,
    Event,
    PaymentEnded,
    PaymentMade,
    RefundMade,
    TokenExpired,
    Unbound,
    WalletSet,
)
from billing.sandbox.state.journal import Journal
from billing.sandbox.state.records import Binding, Open, Row, Wallet


def fold_phone(phone: str) -> str:
    """Normalise a phone: the API page writes one OVO account as 0871… and as 62871…."""
    return "62" + phone[1:] if phone.startswith("0") else phone


class Book:
    """All state of one sandbox."""

    def __init__(self, clock: BusinessClock, journal: Journal | None = None) -> None:
        self.clock = clock
        self.rows: list[Row] = []
        self.payments: dict[str, Row] = {}
        self.payments_by_request: dict[str, Row] = {}
        self.refunds: dict[str, Row] = {}
        self.open: dict[str, Open] = {}
        self.wallets: dict[str, Wallet] = {}
        self.bindings: dict[str, Binding] = {}
        self.phones: dict[str, str] = {}
        self.answers: dict[str, Answered] = {}
        self.defaults = DefaultsSet()
        self.alarms: list[tuple[str, str, str]] = []
        """A heap of (instant, "end" or "confirm", number or session): what happens by itself."""
        self._unsaved: list[Event] = []
        self._journal = journal
        if journal is not None:
            self._apply_all(journal.replay())

    def record(self, event: Event) -> None:
        """Apply an event; the next `commit` makes it durable."""
        self._apply(event)
        self._unsaved.append(event)

    def commit(self) -> None:
        """Journal the events since the last commit, as one line."""
        if self._unsaved and self._journal is not None:
            self._journal.append(self._unsaved)
        self._unsaved.clear()

    def close(self) -> None:
        """Commit, and close the journal."""
        self.commit()
        if self._journal is not None:
            self._journal.close()

    def wallet(self, customer_id: str) -> Wallet:
        """Return the customer's wallet; a new one has the default balances."""
        if customer_id not in self.wallets:
            self.record(WalletSet(customer_id, self.defaults.cash, self.defaults.points))
        return self.wallets[customer_id]

    def take_alarm(self) -> tuple[str, str, str]:
        """Remove and return the earliest alarm."""
        return heapq.heappop(self.alarms)

    def _apply_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._apply(event)

    def _apply(self, event: Event) -> None:  # noqa: C901  one arm an event, nothing else
        match event:
            case Answered():
                self.answers[event.request_id] = event
            case PaymentMade():
                self._make_payment(event)
            case PaymentEnded():
                self._end_payment(event)
            case RefundMade():
                self._refund(event)
            case WalletSet():
                self._set_wallet(event)
            case BindingAsked():
                self._ask_binding(event)
            case BindingConfirmed():
                self._confirm_binding(event)
            case TokenExpired():
                self.wallets[event.customer_id].token_expires_at = event.at
            case Unbound():
                self._unbind(event)
            case DefaultsSet():
                self.defaults = event
            case ClockSet():
                self.clock.frozen_at = event.now
            case _:
                assert_never(event)

    def _add(self, row: Row) -> Row:
        self.rows.append(row)
        return row

    @property
    def next_seq(self) -> int:
        """The number that the next row of the ledger will have; the first is 1."""
        return len(self.rows) + 1

    def _make_payment(self, event: PaymentMade) -> None:
        row = self._add(
            Row(
                seq=self.next_seq,
                kind="payment",
                at=event.at,
                customer_id=event.customer_id,
                request_id=event.request_id,
                number=event.number,
                amount=event.amount,
                first_payment=event.first_payment,
                status=event.status,
                code=event.code,
            )
        )
        self.payments[event.number] = row
        self.payments_by_request[event.request_id] = row
        if event.status == "SUCCESS":
            self._debit(row, use_points=event.use_points)
        elif event.end is not None:
            self.open[event.number] = Open(
                row, event.use_points, event.end, event.end_after_queries
            )
            if event.end_at is not None:
                heapq.heappush(self.alarms, (event.end_at, "end", event.number))

    def _end_payment(self, event: PaymentEnded) -> None:
        ended = self.open.pop(event.number)
        ended.row.status = event.status
        end = Row(
            self.next_seq,
            "end",
            event.at,
            ended.row.customer_id,
            number=event.number,
            amount=ended.row.amount,
            status=event.status,
        )
        self._add(end)
        if event.status == "SUCCESS":
            self._debit(ended.row, use_points=ended.use_points)

    def _debit(self, row: Row, *, use_points: bool) -> None:
        wallet = self.wallets[row.customer_id]
        row.points, row.cash = wallet.split(row.amount, use_points=use_points)
        wallet.points -= row.points
        wallet.cash -= row.cash
        row.moves += 1

    def _refund(self, event: RefundMade) -> None:
        payment = self.payments[event.number]
        row = self._add(
            Row(
                seq=self.next_seq,
                kind="refund",
                at=event.at,
                customer_id=payment.customer_id,
                request_id=event.request_id,
                number=event.number,
                amount=event.amount,
                status=event.status,
                code=event.code,
            )
        )
        self.refunds[event.request_id] = row
        if event.status != "SUCCESS":
            return
        row.points = min(event.amount, payment.points - payment.refunded_points)
        row.cash = event.amount - row.points
        wallet = self.wallets[payment.customer_id]
        wallet.points += row.points
        wallet.cash += row.cash
        row.moves += 1
        payment.refunded += event.amount
        payment.refunded_points += row.points
        if payment.refunded == payment.amount:
            payment.status = "REFUNDED"

    def _set_wallet(self, event: WalletSet) -> None:
        wallet = self.wallets.setdefault(event.customer_id, Wallet(event.customer_id, 0, 0))
        wallet.cash, wallet.points = event.cash, event.points

    def _ask_binding(self, event: BindingAsked) -> None:
        customer_id = event.customer["id"]
        wallet = self.wallets[customer_id]
        if wallet.binding is not None and wallet.binding.state == "waiting":
            wallet.binding.state = "void"
        wallet.profile = event.customer
        wallet.binding = Binding(
            event.session_id, customer_id, event.phone, event.success_url, event.failed_url
        )
        self.bindings[event.session_id] = wallet.binding
        if event.confirm_at is not None:
            heapq.heappush(self.alarms, (event.confirm_at, "confirm", event.session_id))
        row = Row(self.next_seq, "bind", event.at, customer_id, event.request_id, status="PENDING")
        self._add(row)

    def _confirm_binding(self, event: BindingConfirmed) -> None:
        binding = self.bindings[event.session_id]
        binding.state = "confirmed"
        wallet = self.wallets[binding.customer_id]
        if wallet.phone is not None:
            del self.phones[fold_phone(wallet.phone)]
        wallet.phone = binding.phone
        self.phones[fold_phone(binding.phone)] = binding.customer_id
        wallet.token_id, wallet.token_expires_at = event.token_id, event.expires_at
        self._add(Row(self.next_seq, "confirm", event.at, binding.customer_id))

    def _unbind(self, event: Unbound) -> None:
        wallet = self.wallets[event.customer_id]
        if wallet.phone is not None:
            del self.phones[fold_phone(wallet.phone)]
        wallet.phone = wallet.token_id = None
        self._add(Row(self.next_seq, "unbind", event.at, event.customer_id, event.request_id))
