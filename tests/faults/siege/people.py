"""The subscribers of a siege: who pays every month, who wants something back, who leaves.

What they ought to have paid in the end is written down here, apart from the engine's rows.
"""

from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from billing.domain.subscription import RefundPolicy
from billing.services import ending, refunding, watching
from billing.services.context import Request
from tests.e2e.world import BY
from tests.faults.ground import Ground

AMOUNT = 50_000
PLAN = "siege"


@dataclass
class People:
    """Subscribers by name, and what was agreed with each."""

    ground: Ground
    random: Random
    names: list[str]
    refunds: dict[str, int] = field(default_factory=dict)  # in rupiah, in all
    left_in: dict[str, int] = field(default_factory=dict)  # the last period that had begun

    def complain(self, month: int) -> None:
        """One of a hundred gets a part of a paid month back."""
        for who in self._some(max(1, len(self.names) // 100)):
            subscription = self._subscription(who)
            invoice = watching.last_paid_invoice(self.ground.context, subscription)
            if invoice is None:
                continue
            amount = self.random.randrange(1_000, AMOUNT // 10)
            arguments = {"who": who, "amount": amount}
            request = Request(f"complaint-{month}-{who}", "siege", arguments)
            refunding.refund_invoice(self.ground.context, invoice, amount, BY, request)
            self.refunds[who] = self.refunds.get(who, 0) + amount

    def leave(self, month: int) -> None:
        """One of two hundred leaves at once, and wants the whole of the last month back."""
        for who in self._some(max(1, len(self.names) // 200)):
            if who in self.refunds:
                continue
            ending.cancel(
                self.ground.context, self._subscription(who), BY, refund=RefundPolicy.FULL
            )
            self.left_in[who] = month

    def _some(self, count: int) -> list[str]:
        here = [name for name in self.names if name not in self.left_in]
        return self.random.sample(here, count)

    def _subscription(self, who: str) -> UUID:
        return self.ground.subscription(who)
