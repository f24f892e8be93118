"""What the pretend gateway does wrong in a siege, drawn by a seed: a few per cent of its calls."""

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from billing.local.pretend import Pretend

TIMEOUT_SECONDS = 4
"""The engine's; a hold that is longer is an answer that comes too late."""
PAY: tuple[tuple[int, dict[str, Any]], ...] = (
    # How many of a thousand charges, and what happens to them.
    (6, {"kind": "drop_before"}),
    (8, {"kind": "drop_after"}),
    (4, {"kind": "hold", "seconds": 1.0, "work": "done"}),
    (2, {"kind": "hold", "seconds": TIMEOUT_SECONDS + 2.0, "work": "done"}),
    (2, {"kind": "hold", "seconds": TIMEOUT_SECONDS + 2.0, "work": "later"}),
    (4, {"kind": "http_500", "work": "none"}),
    (4, {"kind": "http_500", "work": "done"}),
    (4, {"kind": "html", "work": "none"}),
    (4, {"kind": "wrong_signature"}),
    (2, {"kind": "no_signature"}),
    (2, {"kind": "garbage"}),
    (1, {"kind": "empty"}),
    (2, {"kind": "wrong_amount"}),
    (2, {"kind": "conflict", "code": "invoice_already_used"}),
    (2, {"kind": "rate_limited"}),
    (2, {"kind": "refuse"}),
    (4, {"kind": "pending", "end": "SUCCESS", "after_queries": 1}),
    (3, {"kind": "pending", "end": "FAILED", "after_queries": 1}),
    (5, {"kind": "decline"}),
)
OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    # Each meets one in twenty-five of the questions and refunds that are to be expected.
    ("status", {"kind": "http_500"}),
    ("status", {"kind": "drop_after"}),
    ("status", {"kind": "html"}),
    ("status", {"kind": "wrong_signature"}),
    ("status", {"kind": "hold", "seconds": 1.0, "work": "done"}),
    ("refund", {"kind": "drop_after"}),
    ("refund", {"kind": "http_500", "work": "done"}),
    ("refund", {"kind": "wrong_signature"}),
    ("balance", {"kind": "http_500"}),
)
EXPECTED = {"status": 0.15, "refund": 0.006, "balance": 0.005}
"""Calls for each charge, roughly."""


def bring_about(pretend: Pretend, random: Random, charges: int) -> None:
    """Let all of them happen in time, each to a call that chance chooses."""
    pretend.call("POST", "scripts", list(_drawn(random, charges)))


def _drawn(random: Random, charges: int) -> Iterator[dict[str, Any]]:
    for per_mille, action in PAY:
        for _ in range(max(1, per_mille * charges // 1000)):
            yield _script("pay", action, random.randrange(charges))
    for call, action in OTHERS:
        expected = max(1, int(charges * EXPECTED[call]))
        for _ in range(max(1, expected // 25)):
            yield _script(call, action, random.randrange(expected))


def _script(call: str, action: dict[str, Any], skip: int) -> dict[str, Any]:
    return {"match": {"call": call}, "skip": skip, "action": action}


def _counted(scripts: Iterable[dict[str, Any]]) -> Counter[str]:
    """How often each kind has happened so far."""
    counted: Counter[str] = Counter()
    for script in scripts:
        counted[script["action"]["kind"]] += script["met"]
    return counted


def stop(pretend: Pretend) -> Counter[str]:
    """
    Let no more of them happen, and return what has.

    A decline that a customer is to meet is no misfortune of the gateway: a slow machine, on which
    it has not happened yet, gives it to the customer's next payment.
    """
    scripts = pretend.call("GET", "scripts")["scripts"]
    pretend.call("DELETE", "scripts")
    ahead = [script for script in scripts if "customer_id" in script["match"] and not script["met"]]
    pretend.call(
        "POST", "scripts", [{"match": one["match"], "action": one["action"]} for one in ahead]
    )
    return _counted(scripts)
