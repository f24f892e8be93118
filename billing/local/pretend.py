"""Controls the sandbox's customers over its control address: balances, confirmations.

It knows one address and JSON, and takes no part in charging.
"""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]
"""A JSON object in the sandbox's answer; its keys depend on the call."""


class Pretend:
    """The control side of a running sandbox."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    def defaults(self, *, cash: int, confirm_after_seconds: int) -> None:
        """Set the balance of new wallets, and how soon their customers confirm a link."""
        body = {"cash": cash, "auto_confirm_seconds": confirm_after_seconds}
        self.call("PUT", "defaults", body)

    def give(self, customer_id: str, cash: int) -> None:
        """Set the balance of a wallet."""
        self.call("PUT", f"wallets/{customer_id}", {"cash": cash})

    def top_up(self, customer_id: str, amount: int) -> None:
        """Add money to a wallet."""
        self.call("POST", f"wallets/{customer_id}/top-up", {"amount": amount})

    def set_clock(self, instant: str) -> None:
        """Set the sandbox's own clock (ISO 8601)."""
        self.call("PUT", "clock", {"now": instant})

    def ledger(self) -> list[Json]:
        """Return every ledger row, oldest first."""
        entries: list[Json] = []
        while True:
            after = entries[-1]["seq"] if entries else 0
            page = self.call("GET", f"ledger?after={after}&limit=10000")["rows"]
            if not page:
                return entries
            entries += page

    def call(self, method: str, path: str, body: object = None) -> Json:
        """Call the control address and return its JSON; ValueError when it refuses."""
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            payload = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/_sandbox/{path}", payload)
            response = connection.getresponse()
            answer: Json = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(answer["message"])
        return answer
