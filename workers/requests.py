"""Describe a task's message without personal or secret values.

Senders that do not know our tasks describe their arguments in full, and an exception contains its
arguments; Flower, `celery inspect` and the log get this description instead.
"""

from typing import Any

from celery.worker.request import Request

from billing.logs import scrub


class DiscreetRequest(Request):  # type: ignore[misc]  # celery has no types
    """A request whose argument descriptions are redacted."""

    @property
    def argsrepr(self) -> str:
        """Return the redacted positional arguments."""
        return scrub(str(self._argsrepr))

    @property
    def kwargsrepr(self) -> str:
        """Return the redacted named arguments."""
        return scrub(str(self._kwargsrepr))

    def send_event(self, kind: str, **fields: Any) -> None:
        """Send a task event, with exceptions and tracebacks redacted."""
        scrubbed = {k: scrub(v) if isinstance(v, str) else v for k, v in fields.items()}
        super().send_event(kind, **scrubbed)

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as Celery calls it
        """Describe the request for `celery inspect` without its arguments."""
        shown = {"args": self.argsrepr, "kwargs": self.kwargsrepr}
        return {**super().info(safe=safe), **shown}
