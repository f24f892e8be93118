"""The customers of a siege: some pay every month, some get a refund, some cancel.

The amounts that they should have paid are computed here, independently of the engine's rows.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from billing.domain.outcomes import Payer, Succeeded
from billing.domain.subscription import RefundPolicy
from billing.services.context import Request
from billing.services.money import refunding
from billing.services.reading import live_view
from billing.services.subscriptions import canceling
from billing.services.wallets import linking
from tests.e2e.world import BY
from tests.faults.ground import Ground
from tests.faults.siege.front import Front

AMOUNT = 50_000
PLAN = "siege"
HARD: dict[str, Any] = {"kind": "decline", "http_status": 403, "code": "suspected_fraud"}
DEAD: dict[str, Any] = {"kind": "decline", "code": "dormant_account"}
"""A decline that ends all charges, and one after which the wallet has to be linked again."""
PHONES = 62_813_0000_0000


@dataclass
class People:
    """Subscribers by name, and what was agreed with each."""

    ground: Ground
    random: Random
    names: list[str]
    refunds: dict[str, int] = field(default_factory=dict)  # in rupiah, in all
    left_in: dict[str, int] = field(default_factory=dict)  # the last period that had begun
    refused: list[str] = field(default_factory=list)  # for good, by a payment of theirs
    dormant: list[str] = field(default_factory=list)  # whose wallets the gateway gives up
    linked_again: int = 0
    front: Front | None = None
    """Where refunds and cancellations are asked for over HTTP, in a siege with a web process."""

    def meet_declines(self, months: int) -> None:
        """Two of a hundred meet a hard decline once, two that of a wallet: far from the breaker."""
        few = max(2, len(self.names) // 50)
        drawn = self.random.sample(self.names, 2 * few)
        self.refused, self.dormant = drawn[:few], drawn[few:]
        meets = [(who, HARD) for who in self.refused] + [(who, DEAD) for who in self.dormant]
        for who, action in meets:
            match, skip = {"call": "pay", "customer_id": who}, self.random.randrange(months - 1)
            self.ground.pretend.call(
                "POST", "scripts", {"match": match, "skip": skip, "action": action}
            )

    def link_again(self) -> None:
        """Link a new wallet for each customer whose wallet ended; the old token is deleted."""
        context = self.ground.context
        for row in self.ground.rows(
            "SELECT DISTINCT ON (customer_id) customer_id, token_sealed FROM wallets w"
            " WHERE token_sealed IS NOT NULL AND NOT EXISTS (SELECT 1 FROM wallets o WHERE"
            " o.customer_id = w.customer_id AND o.status IN ('active', 'pending'))"
            " ORDER BY customer_id, created_at DESC"
        ):
            who, token = row.customer_id, context.vault.open(row.token_sealed).decode()
            request = UUID(int=self.random.getrandbits(128), version=4)
            assert context.gateway.unbind(Payer(who, who), token, str(request)) == Succeeded()
            self.linked_again += 1
            linking.link(context, who, str(PHONES + self.linked_again), BY)
            linking.refresh(context, who)

    def complain(self, month: int) -> None:
        """One of a hundred gets a part of a paid month back."""
        for who in self._some(max(1, len(self.names) // 100)):
            subscription = self._subscription(who)
            invoice = live_view.last_paid_invoice(self.ground.context, subscription)
            if invoice is None:
                continue
            amount, key = self.random.randrange(1_000, AMOUNT // 10), f"complaint-{month}-{who}"
            if self.front is not None:
                asked = {"amount": amount, "reason": "a complaint"}
                made = self.front.post(f"/v1/invoices/{invoice}/refunds", asked, key)
                assert made.status == 201, made
            else:
                request = Request(key, "siege", {"who": who, "amount": amount})
                refunding.refund_invoice(self.ground.context, invoice, amount, BY, request)
            self.refunds[who] = self.refunds.get(who, 0) + amount

    def leave(self, month: int) -> None:
        """One of two hundred leaves at once, and wants the whole of the last month back."""
        for who in self._some(max(1, len(self.names) // 200)):
            if who in self.refunds:
                continue
            self._cancel(who, month)
            self.left_in[who] = month

    def _cancel(self, who: str, month: int) -> None:
        chosen = self._subscription(who)
        if self.front is not None:
            path, asked = f"/v1/subscriptions/{chosen}/cancel", {"refund": "full"}
            made = self.front.post(path, asked, f"leave-{month}-{who}")
            assert made.status == 200, made
        else:
            canceling.cancel(self.ground.context, chosen, BY, refund=RefundPolicy.FULL)

    def _some(self, count: int) -> list[str]:
        here = [name for name in self.names if name not in {*self.left_in, *self.refused}]
        return self.random.sample(here, count)

    def _subscription(self, who: str) -> UUID:
        return self.ground.subscription(who)
