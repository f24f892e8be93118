"""What a misfortune does to one exchange on the wire, before, after, or instead of its work.

It decides nothing about money: `work` does that, once, and is only called or not called here.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import orjson

from billing.sandbox.faults.kinds import Action
from billing.sandbox.protocol import checks
from billing.sandbox.protocol.answers import Answer, error, page, unhandled
from billing.sandbox.state.clock import real_now, stamp

_FORGED_SECRET = b"not the secret of anybody"


class Exchange(Protocol):
    """One request of which the answer is still open."""

    @property
    def path(self) -> str:
        """The path that was called."""

    def send(self, answer: Answer, secret: bytes | None = None) -> None:
        """Answer, signed if the answer is, with another secret if one is given."""

    def drop(self) -> None:
        """Close without an answer."""

    def abort(self) -> None:
        """Reset without an answer."""

    def hold(self, seconds: float, then: Callable[[], None], *, busy: bool) -> None:
        """Go on after a while of real time; `busy` marks the Request-Id as being worked on."""


def play(mishap: Action | None, work: Callable[[], Answer], exchange: Exchange) -> None:
    """Answer one exchange, or fail to."""
    if mishap is None:
        exchange.send(work())
        return
    match mishap.kind:
        case "refuse":
            exchange.abort()
        case "drop_before":
            exchange.drop()
        case "drop_after":
            work()
            exchange.drop()
        case "wrong_signature":
            exchange.send(work(), _FORGED_SECRET)
        case "hold" if mishap.work == "done":
            answer = work()
            exchange.hold(mishap.seconds, lambda: exchange.send(answer), busy=False)
        case "hold":
            exchange.hold(mishap.seconds, lambda: exchange.send(work()), busy=True)
        case "turn_away":
            exchange.send(checks.turned_away(mishap.code))
        case _:
            exchange.send(_changed(mishap, work, exchange.path))


def _changed(mishap: Action, work: Callable[[], Answer], path: str) -> Answer:
    """The answer that goes out in place of the true one; the work is done or not, as told."""
    true = work() if mishap.work == "done" else Answer(201, b"{}")
    match mishap.kind:
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
            wait = str(mishap.retry_after)
            return error(429, "too_many_requests", "Too many requests", Retry_After=wait)
        case "conflict" if mishap.code == "invoice_already_used":
            return error(400, mishap.code, "INVOICE ALREADY USED")
        case _:
            return error(409, mishap.code, "Request-Id has been used already")


def _overstated(answer: Answer) -> Answer:
    """The same answer with one rupiah more in it; an error has no amount and stays as it is."""
    body = orjson.loads(answer.body)
    part = body.get("refund") or body.get("order") or {}
    if "amount" in part:
        part["amount"] += 1
    return replace(answer, body=orjson.dumps(body))
