"""A task's message as the worker shows it: without what may be personal or secret.

Senders that do not know our tasks describe their arguments in full, and an exception repeats what
it was given; Flower, `celery inspect` and the log see this description instead.
"""

from typing import Any

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

    def send_event(self, kind: str, **fields: Any) -> None:
        """Tell watchers; of a failure that is the exception and its traceback."""
        told = {k: scrub(v) if isinstance(v, str) else v for k, v in fields.items()}
        super().send_event(kind, **told)

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as Celery calls it
        """Describe it for `inspect`: never with the arguments themselves."""
        shown = {"args": self.argsrepr, "kwargs": self.kwargsrepr}
        return {**super().info(safe=safe), **shown}
