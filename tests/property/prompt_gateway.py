"""A gateway inside the process: it accepts everything at once, unless the wallet is empty.

For tests about time, which make thousands of charges; what a gateway may do wrong is other tests'.
"""

from billing.domain.outcomes import (
    Balance,
    BalanceOutcome,
    Binding,
    BindingStarted,
    BindOutcome,
    Declined,
    Fault,
    Outcome,
    Payer,
    Payment,
    RefundOrder,
    RefundOutcome,
    SealedPayment,
    StatusOutcome,
    Succeeded,
    Token,
    Tokens,
    TokensOutcome,
    UnbindOutcome,
)

DECLINED = Declined(Fault.OTHER, "failed")


class PromptGateway:
    """Implements `Gateway`."""

    def __init__(self) -> None:
        self.is_empty = False
        self._declined: set[str] = set()

    def bind(self, binding: Binding) -> BindOutcome:
        """A page to confirm on."""
        return BindingStarted("https://gateway.invalid/link")

    def list_tokens(self, customer_id: str) -> TokensOutcome:
        """One token, at once."""
        return Tokens([Token(f"token-{customer_id}", "****6789")])

    def balance(self, customer_id: str, token: str) -> BalanceOutcome:
        """Enough for everything."""
        return Balance(10**9, 0)

    def compose(self, payment: Payment) -> bytes:
        """An empty body."""
        return b"{}"

    def pay(self, payment: SealedPayment) -> Outcome:
        """The money moves, if there is any."""
        if self.is_empty:
            self._declined.add(payment.number)
            return DECLINED
        return Succeeded()

    def refund(self, order: RefundOrder) -> RefundOutcome:
        """The money goes back."""
        return Succeeded()

    def unbind(self, payer: Payer, token: str, request_id: str) -> UnbindOutcome:
        """The token is deleted."""
        return Succeeded()

    def check_status(self, identifier: str, number: str, amount: int) -> StatusOutcome:
        """What became of a payment; one that was declined stays so."""
        if number in self._declined:
            return DECLINED
        return Succeeded()
