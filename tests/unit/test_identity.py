"""Derived ids and gateway numbers: the same inputs give the same names, today and in ten years."""

import re
import string
from uuid import RFC_4122, UUID

import pytest

from billing.domain import charge
from billing.domain.identity import from_outside
from billing.services.context import Request, order_name

SUBSCRIPTION = UUID("0b9f4c52-6f0e-4c19-9a55-3d1f6a2b7c80")
DATED = UUID("019ac6a1-3c40-7b52-8e1d-5f0a9b3c7d42")


def test_derivations_are_pinned() -> None:
    """
    These literals may never change.

    A database restored from a backup finds its own charges at the gateway by them; a new
    derivation would charge again what was charged.
    """
    invoice = charge.invoice_id(SUBSCRIPTION, 7)
    identity = charge.charge_id(invoice, 2)

    assert str(invoice) == "513bc7c9-d161-5fe6-a0e8-dd9526737ca2"
    assert str(identity) == "c06208db-6963-525f-82e8-2fa796530a11"
    assert str(charge.refund_id(identity, "1")) == "2538b0cd-2d9d-5ef8-982a-78f019f5cdd7"
    assert charge.gateway_number(SUBSCRIPTION, 7, 2) == "0LviKdjByrYF9t691Kt7iK-7-2"


def test_derivations_beneath_a_dated_id_are_pinned() -> None:
    """These literals may not change either: a subscription's own id begins with a time."""
    invoice = charge.invoice_id(DATED, 7)
    identity = charge.charge_id(invoice, 2)

    assert str(invoice) == "019ac6a1-3c40-8648-8eeb-0294bc8a0df7"
    assert str(charge.invoice_id(DATED, 7, 1)) == "019ac6a1-3c40-8fe6-9459-dcc51323cf7e"
    assert str(identity) == "019ac6a1-3c40-8df9-b54c-a7955c3eebc6"
    assert str(charge.refund_id(identity, "1")) == "019ac6a1-3c40-83e8-a307-5ed017734da1"
    assert charge.gateway_number(DATED, 7, 2) == "031ixK0KqDVdccROCv1AEk-7-2"


def test_derivations_from_outside_input_are_pinned() -> None:
    """Nor may these: an order that is sent again after a restore must be the same one."""
    installation = UUID("2f1d8f0e-0d3c-4a57-9c52-6f3a1b7d9e10")

    made = from_outside(installation, "admin.subscribe", "order-4711")

    assert str(made) == "fa304770-f5bf-567b-9de5-503a7866891f"
    assert from_outside(installation, "import", "order-4711") != made
    assert from_outside(DATED, "admin.subscribe", "order-4711") != made


def test_the_mark_of_a_command_is_pinned() -> None:
    """The ids of ordered subscriptions and links depend on it, and those of refunds on the key."""
    one = Request("ticket-1", "admin.refund_invoice", {"invoice": "I", "amount": 10_000})
    same = Request("ticket-1", "admin.refund_invoice", {"amount": 10_000, "invoice": "I"})
    other = Request("ticket-1", "admin.refund_invoice", {"invoice": "I", "amount": 10_001})

    assert one.mark == same.mark == "ticket-1/e376bd90d4267402f7d8a4462a00b203"
    assert order_name(one) == order_name(other) == "order/admin.refund_invoice/ticket-1"
    assert other.mark != one.mark
    assert order_name(None) != order_name(None)


def test_ids_derived_from_a_dated_id_begin_like_it() -> None:
    """Invoices, charges and refunds sort like their subscriptions; the rest of the id differs."""
    invoices = [charge.invoice_id(DATED, period) for period in range(200)]
    charges = [charge.charge_id(invoice, attempt) for invoice in invoices for attempt in (1, 2)]
    ids = [*invoices, *charges, *(charge.refund_id(one, "1") for one in charges)]

    assert {one.bytes[:6] for one in ids} == {DATED.bytes[:6]}
    assert {(one.version, one.variant) for one in ids} == {(8, RFC_4122)}
    assert len({one.bytes[6:] for one in ids}) == 1_000


@pytest.mark.parametrize(
    ("subscription", "period", "attempt", "number"),
    [
        (0, 0, 1, "0000000000000000000000-0-1"),
        (61, 61, 61, "000000000000000000000z-z-z"),
        (62, 62, 62, "0000000000000000000010-10-10"),
        (2**128 - 1, 10_000_000, 238_327, "7n42DGM5Tflk9n8mt7Fhc7-fxSK-zzz"),
    ],
)
def test_numbers_are_subscription_period_and_attempt_in_base_62(
    subscription: int, period: int, attempt: int, number: str
) -> None:
    """A number can be read back by hand: 22 digits of subscription, then period, then attempt."""
    assert charge.gateway_number(UUID(int=subscription), period, attempt) == number


@pytest.mark.parametrize(
    "period", [*range(200), *(62**n + e for n in (2, 3, 4) for e in (-1, 0, 1))]
)
def test_a_number_is_read_back_digit_by_digit(period: int) -> None:
    """Numbers are made of pairs of digits, and none of them is lost, added or out of place."""
    attempt = period % 62**3 + 1
    head, tail, last = charge.gateway_number(SUBSCRIPTION, period, attempt).split("-")

    assert [_read(part) for part in (head, tail, last)] == [SUBSCRIPTION.int, period, attempt]
    assert [part for part in (tail, last) if part[0] == "0" and part != "0"] == []


def _read(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 62 + (string.digits + string.ascii_letters.swapcase()).index(digit)
    return value


def test_numbers_of_the_longest_plans_fit_the_gateway() -> None:
    """The last period a calendar knows and a thousand tries still make 32 characters at most."""
    number = charge.gateway_number(UUID(int=2**128 - 1), 10_000_000, 1_000)

    assert re.fullmatch(r"[A-Za-z0-9_-]{3,32}", number)


@pytest.mark.parametrize(("period", "attempt"), [(62**4, 62**4), (0, 62**8), (62**8, 1)])
def test_numbers_that_would_not_fit_are_refused(period: int, attempt: int) -> None:
    """A number that the gateway would cut could equal another charge's: it is refused."""
    with pytest.raises(ValueError, match="no such number"):
        charge.gateway_number(SUBSCRIPTION, period, attempt)


@pytest.mark.parametrize(("period", "attempt"), [(-1, 1), (0, -1), (-(10**9), -5)])
def test_numbers_of_periods_that_cannot_be_are_refused(period: int, attempt: int) -> None:
    """There is no number below zero, and the search for one must end."""
    with pytest.raises(ValueError, match="no such number"):
        charge.gateway_number(SUBSCRIPTION, period, attempt)


def test_ids_of_different_kinds_never_meet() -> None:
    """An invoice, its first charge and that charge's first refund are three ids."""
    invoice = charge.invoice_id(SUBSCRIPTION, 1)
    identity = charge.charge_id(invoice, 1)
    ids = {SUBSCRIPTION, invoice, identity, charge.refund_id(identity, "1")}
    ids |= {charge.charge_id(identity, 1), charge.refund_id(invoice, "1")}

    assert len(ids) == 6
    assert {one.version for one in ids - {SUBSCRIPTION}} == {5}
