"""The records of the sandbox's book: wallets, bindings, ledger rows, and open payments.

Plain values; only the book changes them, by applying events.
"""

from dataclasses import dataclass, field

from billing.sandbox.protocol.answers import Json


@dataclass(slots=True)
class Binding:
    """A requested link; its state is waiting, confirmed, or void after a newer request."""

    session_id: str
    customer_id: str
    phone: str
    success_url: str
    failed_url: str
    state: str = "waiting"


@dataclass(slots=True)
class Wallet:
    """One customer's OVO account as the gateway sees it."""

    customer_id: str
    cash: int
    points: int
    profile: Json = field(default_factory=dict)
    binding: Binding | None = None
    phone: str | None = None
    token_id: str | None = None
    token_expires_at: str = ""

    def status(self, now: str) -> str:
        """Return unbound, pending, bound or expired."""
        if self.token_id is not None:
            return "bound" if now < self.token_expires_at else "expired"
        waiting = self.binding is not None and self.binding.state == "waiting"
        return "pending" if waiting else "unbound"

    def holds(self, token_id: str) -> bool:
        """Return whether this is the wallet's token, expired or not."""
        return self.token_id is not None and self.token_id == token_id

    def split(self, amount: int, *, use_points: bool) -> tuple[int, int]:
        """Return the points and cash that would pay an amount: points first, if they are used."""
        points = min(self.points, amount) if use_points else 0
        return points, amount - points

    def affords(self, amount: int, *, use_points: bool) -> bool:
        """Return whether there is enough to pay an amount."""
        return self.split(amount, use_points=use_points)[1] <= self.cash


@dataclass(slots=True)
class Row:
    """
    One row of the ledger; `seq` counts all kinds, so it gives the order of events.

    `moves` counts how often money moved for this row; only the code that moves the money changes
    it. A payment's row is the only kind that changes later: its status, its split, its refunds.
    """

    seq: int
    kind: str
    at: str
    customer_id: str
    request_id: str | None = None
    number: str | None = None
    amount: int = 0
    points: int = 0
    cash: int = 0
    first_payment: bool | None = None
    status: str = "SUCCESS"
    code: str | None = None
    moves: int = 0
    refunded: int = 0
    refunded_points: int = 0


@dataclass(slots=True)
class Open:
    """How an open payment will end: after N status queries, or at an instant (an alarm)."""

    row: Row
    use_points: bool
    end: str
    queries_left: int | None
