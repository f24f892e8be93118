"""Every error that an operator or a program can expect from the engine.

Each error means that the request was refused and nothing was written. Its text is one line that
says what is wrong and what would be right. It contains no secret, and no personal data except the
caller's own input.

Programs and people get the same refusal: `said` is what is wrong, in words of the domain, and is
what the HTTP interface answers. `hint` is for a terminal: the command or the option that helps.
"""

from typing import NamedTuple


class FieldFault(NamedTuple):
    """One refused value: the name of its field, and what is wrong with it."""

    field: str
    said: str


class BillingError(Exception):
    """Base of all expected refusals; commands and tasks show its text, commands exit with 1.

    `field` names the argument that was refused, as bodies of the HTTP interface name it; `faults`
    names several.
    """

    def __init__(
        self, said: str = "", *, hint: str = "", field: str = "",
        faults: tuple[FieldFault, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(f"{said}; {hint}" if hint else said)
        self.said = said
        self.faults = faults or ((FieldFault(field, said),) if field else ())


class InvalidValue(BillingError):
    """An argument is outside what the engine or the gateway accepts."""


class KeyReused(InvalidValue):
    """An idempotency key was used before, with another command or other arguments."""


class NotKnown(BillingError):
    """No plan, customer, wallet, subscription, invoice, charge or refund has this id."""


class AlreadyExists(BillingError):
    """A plan or customer with this id exists already, with other content."""


class WalletAlreadyLinked(BillingError):
    """The customer has a live wallet, or a registration link that is still open."""


class IllegalMove(BillingError):
    """The object is in a state in which this move is not possible."""


class RefundTooLarge(BillingError):
    """The refund is larger than what is left of the charge."""


class GatewayRefused(BillingError):
    """A request that an operator waits for failed at the gateway, or its answer is unclear."""


class GatewayDeclined(GatewayRefused):
    """The gateway declined a request and said why; to send the same again would not help."""


class BrokenOff(BillingError):
    """A long command ended early; its completed work stays, and the text counts that work."""


class NotConfigured(BillingError):
    """A setting is missing or invalid, or a server that it names cannot be reached."""
