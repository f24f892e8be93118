"""Notices: DOKU's HTTP notifications, sent to the merchant when a payment has ended.

Scripts and the control API decide which are sent, and how they are wrong. It knows the book's rows
and one HTTP call; the answer is recorded and changes nothing.
"""

import http.client
import json
from collections import deque
from collections.abc import Callable
from contextlib import closing
from threading import Thread
from urllib.parse import urlsplit
from uuid import uuid4

from billing.sandbox.faults.kinds import Action
from billing.sandbox.faults.scripts import Scripts
from billing.sandbox.protocol.answers import Json
from billing.sandbox.protocol.signatures import Credentials, signature
from billing.sandbox.state.book import Book
from billing.sandbox.state.clock import real_now, stamp
from billing.sandbox.state.records import Row

FINAL = {"SUCCESS", "FAILED", "EXPIRED"}
KEPT_MAX = 1000
TIMEOUT_SECONDS = 30.0
_FORGED_SECRET = b"a secret that is never used"


class Notices:
    """The messages of one sandbox to its merchant."""

    def __init__(
        self,
        book: Book,
        scripts: Scripts,
        credentials: Credentials,
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.sent: deque[Json] = deque(maxlen=KEPT_MAX)
        self._book = book
        self._scripts = scripts
        self._credentials = credentials
        self._later = later
        self._seen = len(book.rows)

    def send_new(self) -> None:
        """Send what scripts ask for about payments that have ended since the last call."""
        rows, self._seen = self._book.rows[self._seen :], len(self._book.rows)
        for row in rows:
            if row.kind not in {"payment", "end"} or row.status not in FINAL:
                continue
            subject = {"call": "pay", "customer_id": row.customer_id, "number": row.number or ""}
            notice = self._scripts.take_notice(subject)
            if notice is not None:
                self.send(self._book.payments[row.number or ""], notice)

    def send(self, row: Row, notice: Action) -> None:
        """Send one notice about a payment, as often as it says, one after another."""
        messages = [
            self._message(row, said, notice)
            for said in notice.says.split() or [row.status]
            for _ in range(notice.copies)
        ]

        def start() -> None:
            Thread(target=self._post, args=(notice, row.number, messages), daemon=True).start()

        if notice.seconds:
            self._later(notice.seconds, start)
        else:
            start()

    def _message(self, row: Row, said: str, notice: Action) -> bytes:
        more = 1 if notice.amount == "wrong" else 0
        body = {
            "service": {"id": "EMONEY"},
            "acquirer": {"id": "OVO", "name": "OVO"},
            "channel": {"id": "EMONEY_OVO"},
            "transaction": {
                "status": said,
                "date": row.at,
                "original_request_id": row.request_id,
            },
            # Real notifications have decimals, and are indented.
            "order": {"invoice_number": row.number, "amount": float(row.amount + more)},
            "emoney_payment": {"account_id": "", "approval_code": "A01   "},
        }
        return json.dumps(body, indent=4).encode()

    def _post(self, notice: Action, number: str | None, messages: list[bytes]) -> None:
        parts = urlsplit(notice.url)
        for body in messages:
            told: Json = {"number": number, "status": None}
            connection = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS
            )
            with closing(connection):
                try:
                    connection.request(
                        "POST", parts.path, body, self._headers(notice, parts.path, body)
                    )
                    told["status"] = connection.getresponse().status
                except (OSError, http.client.HTTPException) as error:
                    told["error"] = type(error).__name__
            self.sent.append(told)

    def _headers(self, notice: Action, target: str, body: bytes) -> dict[str, str]:
        request_id, at = str(uuid4()), stamp(real_now())
        credentials = self._credentials
        if notice.signature == "forged":
            credentials = Credentials(credentials.client_id, _FORGED_SECRET)
        return {
            "Client-Id": credentials.client_id,
            "Request-Id": request_id,
            "Request-Timestamp": at,
            "Signature": signature(
                credentials,
                request_id=request_id,
                stamp_line=f"Request-Timestamp:{at}",
                target=target,
                body=body,
            ),
            "Content-Type": "application/json",
        }
