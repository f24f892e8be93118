"""Every error a person or program can expect from the engine; the docstring is the message's gist.

All of them mean: refused, nothing written. Their text is one line that says what is wrong and
what would be right, and never contains a secret or personal data beyond the caller's own input.
"""


class BillingError(Exception):
    """Base of all expected refusals; doors print its text and exit with 1."""


class InvalidValue(BillingError):
    """An argument is outside what the engine or the gateway accepts."""


class NotKnown(BillingError):
    """No plan, customer, wallet, subscription, invoice, charge or refund has this id."""


class AlreadyExists(BillingError):
    """A plan or customer with this id exists already, with other contents."""


class WalletAlreadyLinked(BillingError):
    """The customer has a live wallet, or a link that is still open."""


class IllegalMove(BillingError):
    """The thing is in a state from which this move is not possible."""


class RefundTooLarge(BillingError):
    """More would be given back than was taken and is left."""


class GatewayRefused(BillingError):
    """The gateway declined or could not be reached for something a person is waiting for."""


class BrokenOff(BillingError):
    """A long command ended early; what it had done until then stays, and is counted here."""


class NotConfigured(BillingError):
    """A setting is missing or makes no sense, or a server it names cannot be reached."""
