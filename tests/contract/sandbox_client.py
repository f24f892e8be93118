"""A merchant for the sandbox's own tests: a few lines of signing and HTTP, and the page's samples.

Written from the published description of the signature; it uses nothing of the engine or sandbox.
"""

import base64
import hashlib
import hmac
import http.client
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any

from billing.sandbox.process import SandboxProcess

BIND = "/ovo-open-api/v1/token"
TOKENS = "/tokenization/v1/tokens"
BALANCE = "/ovo-open-api/v1/balance"
PAY = "/ovo-open-api/v1/payment-recurring"
REFUND = "/ovo-open-api/v1/payment-refund"
UNBIND = "/ovo-open-api/v1/token-delete"
STATUS = "/orders/v1/status/"


def sign(secret: str, lines: list[str], body: bytes | None) -> str:
    """The Signature header for these lines and a body, or none."""
    if body is not None:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        lines = [*lines, f"Digest:{digest}"]
    mac = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    return "HMACSHA256=" + base64.b64encode(mac).decode()


def stamp(offset_seconds: int = 0) -> str:
    """Real time, as a Request-Timestamp."""
    moment = datetime.fromtimestamp(time.time_ns() // 10**9, UTC)
    return (moment + timedelta(seconds=offset_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Reply:
    """What came back, and what is needed to verify it."""

    status: int
    headers: Message
    raw: bytes
    request_id: str
    target: str
    method: str

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.json["error"]["code"])

    def is_signed_with(self, secret: str) -> bool:
        """Whether the four headers are there and the signature is right."""
        lines = [
            f"Client-Id:{self.headers['Client-Id']}",
            f"Request-Id:{self.request_id}",
            f"Response-Timestamp:{self.headers['Response-Timestamp']}",
            f"Request-Target:{self.target}",
        ]
        body = None if self.method == "GET" else self.raw
        same_id = self.headers["Request-Id"] == self.request_id
        return same_id and self.headers["Signature"] == sign(secret, lines, body)


class Merchant:
    """Calls one sandbox as a merchant would."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox

    def call(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        request_id: str | None = None,
        timeout: float = 10,
        change: dict[str, str | None] | None = None,
    ) -> Reply:
        """Send one signed request; `change` replaces headers after signing, None leaves one out."""
        request_id = request_id or str(uuid.uuid4())
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = None if body is None else raw
        at = stamp()
        lines = [
            f"Client-Id:{self.sandbox.client_id}",
            f"Request-Id:{request_id}",
            f"Request-Timestamp:{at}",
            f"Request-Target:{target}",
        ]
        headers: dict[str, str | None] = {
            "Client-Id": self.sandbox.client_id,
            "Request-Id": request_id,
            "Request-Timestamp": at,
            "Signature": sign(self.sandbox.secret_key, lines, sent if method == "POST" else None),
            "Content-Type": "application/json",
        }
        headers |= change or {}
        kept = {name: value for name, value in headers.items() if value is not None}
        connection = http.client.HTTPConnection("127.0.0.1", self.sandbox.port, timeout=timeout)
        try:
            connection.request(method, target, sent, kept)
            response = connection.getresponse()
            return Reply(
                response.status, response.headers, response.read(), request_id, target, method
            )
        finally:
            connection.close()

    def post(self, target: str, body: object, **options: Any) -> Reply:
        """One POST."""
        return self.call("POST", target, body, **options)

    def status(self, identifier: str, **options: Any) -> Reply:
        """One status query."""
        return self.call("GET", STATUS + identifier, **options)

    def shown(self, identifier: str) -> str:
        """The transaction status that a query shows, or the error's code."""
        reply = self.status(identifier)
        return str(reply.json["transaction"]["status"]) if reply.status == 200 else reply.code

    def pay(self, customer: "Customer", amount: int, **options: Any) -> Reply:
        """One payment; `number`, `points` and `first` go into the body."""
        body = customer.payment(
            amount,
            number=options.pop("number", None),
            points=options.pop("points", False),
            first=options.pop("first", None),
        )
        return self.post(PAY, body, **options)

    def script(self, kind: str, call: str | None = None, **options: Any) -> None:
        """Add one scripted fault; `times`, `skip`, `customer_id` and `number` are its own words."""
        match = {
            name: value
            for name, value in {
                "call": call,
                "customer_id": options.pop("customer_id", None),
                "number": options.pop("number", None),
            }.items()
            if value is not None
        }
        own = {name: options.pop(name) for name in ("times", "skip") if name in options}
        action = {"kind": kind} | options
        self.sandbox.control("POST", "scripts", {"match": match, "action": action} | own)

    def linked(self, cash: int = 100_000, points: int = 0) -> "Customer":
        """A customer with a confirmed wallet."""
        customer = Customer(f"C-{uuid.uuid4().hex[:12]}")
        assert self.post(BIND, customer.binding()).status == 201
        self.sandbox.control("PUT", f"wallets/{customer.id}", {"cash": cash, "points": points})
        wallet = self.sandbox.control("POST", f"wallets/{customer.id}/confirm")
        customer.token_id = wallet["token_id"]
        return customer

    def ledger(self, **filters: object) -> list[Any]:
        """The rows of the ledger that match."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        rows = self.sandbox.control("GET", f"ledger?{query}")["rows"]
        assert isinstance(rows, list)
        return rows

    def balances(self, customer: "Customer") -> tuple[int, int]:
        """Cash and points, as the sandbox itself sees them."""
        wallet = self.sandbox.control("GET", f"wallets/{customer.id}")
        return wallet["cash"], wallet["points"]


@dataclass
class Customer:
    """A customer with an OVO account."""

    id: str
    token_id: str = ""

    @property
    def phone(self) -> str:
        """A number of their own, derived from the id."""
        return f"62{int(self.id[-10:], 16):012d}"

    def binding(self, phone: str | None = None) -> dict[str, Any]:
        """A request body for binding."""
        return {
            "customer": {"id": self.id, "name": "Budi"},
            "ovo_account": {
                "account_mobile_phone": phone or self.phone,
                "success_registration_url": "https://merchant.example/linked",
                "failed_registration_url": "https://merchant.example/failed",
            },
            "service_type": "RECURRING",
        }

    def payment(
        self, amount: int, number: str | None = None, *, points: bool, first: bool | None
    ) -> dict[str, Any]:
        """A request body for a payment."""
        return {
            "customer": {"id": self.id, "name": "Budi"},
            "order": {"invoice_number": number or f"INV-{uuid.uuid4().hex[:12]}", "amount": amount},
            "ovo_account": {"token_id": self.token_id, "payment_use_ovo_point": points}
            | ({} if first is None else {"first_payment": first}),
        }

    def refund(self, payment: Reply, amount: int, **changes: str) -> dict[str, Any]:
        """A request body for a refund of a payment."""
        number = payment.json["order"]["invoice_number"]
        return {
            "order": {"invoice_number": changes.get("number", number)},
            "payment": {"original_request_id": changes.get("original", payment.request_id)},
            "refund": {"amount": amount, "reason": "Cancel Order"},
        }

    def unbinding(self) -> dict[str, Any]:
        """A request body for unbinding."""
        return {
            "customer": {"id": self.id, "name": "Budi"},
            "ovo_account": {"token_id": self.token_id},
        }


# The request samples of the API page, unchanged.
PAGE_BINDING: dict[str, Any] = {
    "customer": {
        "id": "CUST_UAT_31",
        "name": "QA Shifter OVO Recurring",
        "phone": "087123123021",
        "email": "qa@example.com",
        "additional_info": "None",
    },
    "ovo_account": {
        "account_email": "qa@example.com",
        "account_mobile_phone": "6287123123021",
        "success_registration_url": "https://sandbox.doku.com/bo/login",
        "failed_registration_url": "https://www.seleniumeasy.com/test",
    },
    "service_type": "RECURRING",
}
PAGE_TOKENS: dict[str, Any] = {
    "customer": {"id": "CUST_UAT_31"},
    "token_data": {"type": "WALLET_RECURRING"},
}
PAGE_BALANCE: dict[str, Any] = {
    "customer": {"id": "1232131321"},
    "ovo_account": {"token_id": "fc72c4b0aedff916ab92e39cb80d3111"},
}
PAGE_PAYMENT: dict[str, Any] = {
    "customer": {
        "id": "CUST_UAT_31",
        "name": "QA Shifter OVO Recurring",
        "phone": "087123123021",
        "email": "qa@example.com",
        "additional_info": "None",
    },
    "additional_info": {},
    "order": {
        "invoice_number": "INVR_2021_7105",
        "line_items": [{"name": "Netflix", "price": 5000, "quantity": 1}],
        "amount": "100000",
    },
    "ovo_account": {
        "token_id": "c15d437b56b918abaa3951b0beb48a57",
        "payment_use_ovo_point": False,
        "first_payment": False,
    },
}
PAGE_REFUND: dict[str, Any] = {
    "order": {"invoice_number": "INV_NUMBER_D009"},
    "payment": {"original_request_id": "82014"},
    "refund": {"amount": 1000, "reason": "Cancel Order"},
}
PAGE_UNBINDING: dict[str, Any] = {
    "customer": {"id": "TEST-CIMBXDOKU-05", "name": " "},
    "ovo_account": {"token_id": "1614dc147e404f41f6d2de877fda1f94"},
}
