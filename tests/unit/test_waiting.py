"""Why an open invoice is not being charged: the first thing that has to happen, in words."""

from typing import Any

import pytest

from billing.domain.waiting import Brakes, Standing, waits_for

FREE = Brakes(stopped=False, stopped_reason=None, resting=False)
USUAL: dict[str, Any] = {
    "due": True, "leased": False, "blocked_on": None, "shortfall": None, "reason": None,
    "older_open": False, "unresolved": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("standing", "brakes", "told"),
    [
        ({}, FREE, "the next tick"),
        ({"due": False}, FREE, None),
        ({"leased": True}, FREE, "a worker, which has its message"),
        ({"unresolved": True, "older_open": True}, FREE, "the outcome of an unresolved charge"),
        ({"older_open": True, "blocked_on": "wallet"}, FREE, "an older invoice"),
        ({"blocked_on": "wallet", "due": False}, FREE, "a linked wallet"),
        (
            {"blocked_on": "balance", "due": False, "shortfall": 7_000},
            FREE,
            "money in the wallet: Rp 7,000 short",
        ),
        ({"reason": "no such phone", "due": False}, FREE, "its next date: no such phone"),
        (
            {"leased": True},
            Brakes(stopped=True, stopped_reason="audit", resting=True),
            "charging, which is stopped (audit)",
        ),
        ({}, Brakes(stopped=False, stopped_reason=None, resting=True), "the gateway, which is"),
        ({"due": False}, Brakes(stopped=True, stopped_reason=None, resting=False), None),
    ],
)
def test_an_open_invoice_says_what_it_waits_for(
    standing: dict[str, Any], brakes: Brakes, told: str | None
) -> None:
    """The nearest obstacle is named; one that is merely not due waits for its date alone."""
    found = waits_for(Standing(**USUAL | standing), brakes)

    assert found is None if told is None else (found or "").startswith(told)
