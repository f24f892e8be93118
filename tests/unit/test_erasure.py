"""What forbids the erasure of a customer, and how it is said."""

from datetime import UTC, datetime

import pytest

from billing.domain.erasure import Unfinished, obstacle, refusal

NOTHING = Unfinished(0, 0, 0, 0, 0)
NOW = datetime(2026, 1, 31, tzinfo=UTC)


def test_a_customer_with_nothing_unfinished_may_be_erased() -> None:
    """Zero of everything is no obstacle."""
    assert obstacle("c1", NOTHING) is None


@pytest.mark.parametrize(
    ("field", "number", "said"),
    [
        ("live_subscriptions", 1, "1 live subscription (cancel first)"),
        ("live_subscriptions", 2, "2 live subscriptions (cancel first)"),
        ("open_invoices", 1, "1 open invoice (void first)"),
        ("unresolved_charges", 3, "3 unresolved charges (wait or resolve)"),
        ("unsettled_refunds", 1, "1 unsettled refund (wait or resolve)"),
        ("payable_credit", 1, "Rp 1 of unused credit that a payment backs (refund it first)"),
    ],
)
def test_each_obstacle_forbids_it_alone(field: str, number: int, said: str) -> None:
    """One line, with what to do first."""
    found = obstacle("c1", NOTHING._replace(**{field: number}))
    assert found == f"customer 'c1' cannot be erased yet; it has {said}"


def test_all_obstacles_are_in_one_line() -> None:
    """Nobody has to try again to learn of the next one."""
    found = obstacle("c1", Unfinished(1, 1, 1, 1, 1))
    assert found is not None
    assert found.count("(") == 5
    assert "\n" not in found


def test_a_customer_is_refused_from_the_request_on() -> None:
    """With a word that says how far the erasure is."""
    assert refusal("c1", None, None) is None
    assert "is being erased" in str(refusal("c1", NOW, None))
    assert "was erased" in str(refusal("c1", NOW, NOW))
