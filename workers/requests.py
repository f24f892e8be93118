"""A task's message as the worker shows it: without what may be personal or secret.

Senders that do not know our tasks describe their arguments in full; Flower and the log see this
description instead.
"""

from celery.worker.request import Request

from billing.logs import scrub


class DiscreetRequest(Request):  # type: ignore[misc]  # celery has no types
    """A request whose descriptions of arguments are scrubbed."""

    @property
    def argsrepr(self) -> str:
        """The positional arguments, for people to see."""
        return scrub(str(self._argsrepr))

    @property
    def kwargsrepr(self) -> str:
        """The named arguments, for people to see."""
        return scrub(str(self._kwargsrepr))
