"""The text of an item: the command that moves it, and its age in words."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.services.reading import attention
from billing.store.queries.attention import Count, Item

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def item(kind: str, cause: str, why: str | None = None) -> Item:
    """An item of a customer C."""
    return Item(kind, "ID", "C", "INVOICE", NOW, 1, cause, why, alarm=True)


@pytest.mark.parametrize(
    ("kind", "cause", "why", "command"),
    [
        ("charge", "held", "x", 'billing release charge ID --reason "…"'),
        (
            "charge",
            "other amount",
            None,
            'billing charge resolve ID --as succeeded --reason "…"',
        ),
        ("invoice", "postponed", None, 'billing invoice void ID --reason "…"'),
        ("charge", "parked", None, 'billing charge resolve ID --as declined --reason "…"'),
        ("charge", "unknown", None, "billing charge show ID"),
        ("refund", "parked", None, "billing refunds retry ID"),
        ("refund", "unknown", None, "billing refunds show ID"),
        ("refund", "something new", None, "billing refunds show ID"),
        ("wallet", "unlink stuck", None, "billing wallet unlink C"),
        ("invoice", "late", None, attention.START_A_WORKER),
        ("invoice", "unsendable", "name is empty", "billing invoice retry ID"),
        ("invoice", "unsendable", "BILLING_TOKEN_KEY does not open", "billing wallet link C"),
        ("engine", "stopped", None, 'billing start-charging --reason "…"'),
    ],
)
def test_each_item_names_the_command_that_moves_it(
    kind: str, cause: str, why: str | None, command: str
) -> None:
    """A cause that is not known here is at least shown."""
    assert attention.command(item(kind, cause, why)).startswith(command)


def test_counts_read_as_a_sentence() -> None:
    """How many, of what, for how long."""
    counts = [
        Count("charge", "parked", True, 2, NOW - timedelta(days=3)),
        Count("refund", "unknown", False, 1, NOW - timedelta(seconds=20)),
    ]
    assert attention.in_words(counts, NOW) == (
        "2 charges parked (for 3 d), 1 refund unknown (for 20 s)"
    )


@pytest.mark.parametrize(("tick", "seconds"), [("10", 20), ("0.2", 5), ("60", 120)])
def test_work_is_late_after_two_ticks(tick: str, seconds: int) -> None:
    """With very short ticks, after some seconds."""
    late = attention.ages(NOW, Decimal(tick)).late
    assert late == NOW - timedelta(seconds=seconds)
