"""The effect of a wire fault on one exchange, before, after, or instead of its work.

It decides nothing about money: `work` does that, and is called here once or not at all.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import orjson

from billing.sandbox.faults.kinds import Action
from billing.sandbox.protocol import checks
from billing.sandbox.protocol.answers import Answer, error, page, unhandled
from billing.sandbox.state.clock import real_now, stamp

_FORGED_SECRET = b"a secret that is never used"


class Exchange(Protocol):
    """One request that has no answer yet."""

    @property
    def path(self) -> str:
        """The path that was called."""

    def send(self, answer: Answer, secret: bytes | None = None) -> None:
        """Send an answer, signed if it is to be signed, with another secret if one is given."""

    def drop(self) -> None:
        """Close without an answer."""

    def abort(self) -> None:
        """Reset without an answer."""

    def hold(self, seconds: float, then: Callable[[], None], *, busy: bool) -> None:
        """Continue after some seconds of real time; `busy` marks the Request-Id as in progress."""


def play(wire_fault: Action | None, work: Callable[[], Answer], exchange: Exchange) -> None:
    """Answer one exchange, or apply its fault."""
    if wire_fault is None:
        exchange.send(work())
        return
    match wire_fault.kind:
        case "refuse":
            exchange.abort()
        case "drop_before":
            exchange.drop()
        case "drop_after":
            work()
            exchange.drop()
        case "wrong_signature":
            exchange.send(work(), _FORGED_SECRET)
        case "hold" if wire_fault.work == "done":
            answer = work()
            exchange.hold(wire_fault.seconds, lambda: exchange.send(answer), busy=False)
        case "hold":
            exchange.hold(wire_fault.seconds, lambda: exchange.send(work()), busy=True)
        case "turn_away":
            exchange.send(checks.turned_away(wire_fault.code))
        case _:
            exchange.send(_changed(wire_fault, work, exchange.path))


def _changed(wire_fault: Action, work: Callable[[], Answer], path: str) -> Answer:
    """Return the answer that replaces the true one; the fault says whether the work is done."""
    true = work() if wire_fault.work == "done" else Answer(201, b"{}")
    match wire_fault.kind:
        case "http_500":
            return unhandled(500, "Internal Server Error", path, stamp(real_now()))
        case "html":
            return page(200, "<h1>Scheduled maintenance</h1>")
        case "garbage":
            return replace(true, body=b'{"order":{"invoice_number":"INV')
        case "empty":
            return replace(true, body=b"")
        case "no_signature":
            return replace(true, signed=False)
        case "wrong_amount":
            return _overstated(true)
        case "rate_limited":
            wait = str(wire_fault.retry_after)
            return error(429, "too_many_requests", "Too many requests", Retry_After=wait)
        case "conflict" if wire_fault.code == "invoice_already_used":
            return error(400, wire_fault.code, "INVOICE ALREADY USED")
        case _:
            return error(409, wire_fault.code, "Request-Id has been used already")


def _overstated(answer: Answer) -> Answer:
    """Return the answer with one rupiah more; an error has no amount and stays unchanged."""
    body = orjson.loads(answer.body)
    part = body.get("refund") or body.get("order") or {}
    if "amount" in part:
        part["amount"] += 1
    return replace(answer, body=orjson.dumps(body))
