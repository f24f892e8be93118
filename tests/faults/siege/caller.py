"""A client of the HTTP interface that repeats a request until it is answered.

The web process may be killed before it answers, or after. Then, and when the answer says so, the
same request is sent again with the same key. It knows no deeds.
"""

from collections.abc import Callable, Mapping
from threading import Event
from time import monotonic
from typing import Any, NamedTuple

import requests

PATIENCE_SECONDS = 90.0
TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS = 0.2
AGAIN = frozenset({"in_progress", "unavailable", "too_many_requests"})


class Answer(NamedTuple):
    """A status and a document."""

    status: int
    document: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The stable name of a problem; empty for a success."""
        return "" if self.status < 300 else str(self.document.get("type", ""))


class Caller:
    """Sends requests with one API key; for one thread."""

    def __init__(self, url: str, key: str, meanwhile: Callable[[], None] | None = None) -> None:
        self.repeats = 0
        self._url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self._meanwhile = meanwhile

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, key: str = ""
    ) -> Answer:
        """Send a request until it is answered. Raises TimeoutError when it never is."""
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._once(method, path, body, key)
            if answer is not None and answer.kind not in AGAIN:
                return answer
            if monotonic() > deadline:
                raise TimeoutError(f"{method} {path} was not answered: {answer}")
            self.repeats += 1
            if self._meanwhile is not None:
                self._meanwhile()
            Event().wait(PAUSE_SECONDS)

    def _once(
        self, method: str, path: str, body: Mapping[str, Any] | None, key: str
    ) -> Answer | None:
        try:
            response = self._session.request(
                method, self._url + path, json=body, timeout=TIMEOUT_SECONDS,
                headers={"Idempotency-Key": key} if key else {},
            )  # fmt: skip
            return Answer(response.status_code, response.json() if response.content else {})
        except (requests.RequestException, ValueError):  # cut off, also within the body
            return None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
