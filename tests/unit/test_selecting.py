"""Rows as types: the select list, the conversion of values, and the types of columns."""

from enum import StrEnum
from types import UnionType
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest
from sqlalchemy import Table

from billing.domain.forecast import Upcoming
from billing.domain.pricing import CreditLeft
from billing.domain.terms import PlanTerms
from billing.store.queries import importing, listing_rows, overview, subscription_rows
from billing.store.queries.balances import Credit
from billing.store.queries.catalog import NewCustomer, Plan
from billing.store.queries.charges import (
    Compared,
    Doubted,
    Money,
    OperatorsCharge,
    Question,
)
from billing.store.queries.claims import Candidate, NewCharge
from billing.store.queries.conservation import CreditUse, NewRefund
from billing.store.queries.coupons import Coupon
from billing.store.queries.engine import ChargingState, EngineState
from billing.store.queries.invoice_rows import BilledDays, GivenUp, Invoice, NewInvoice, Standing
from billing.store.queries.invoices import AttemptPlan
from billing.store.queries.refunds import Changes, LockedRefund, Progress
from billing.store.queries.settlements import ChargeState, Circumstances
from billing.store.queries.subscription_rows import (
    DueSubscription,
    End,
    NewSubscription,
    Subscription,
)
from billing.store.selecting import columns, of_values
from billing.store.tables import (
    CHARGES,
    COUPONS,
    CREDIT_USES,
    CREDITS,
    CUSTOMERS,
    ENGINE,
    EVENTS,
    INVOICES,
    PLANS,
    REFUNDS,
    SUBSCRIPTIONS,
    WALLETS,
)

OF_PLAN = ("every", "cron", "timezone", "cycles", "catch_up")
OF_COUPON = ("coupon_percent", "coupon_rupiah")
BEGUN = ("anchor_local",)
"""Columns that can be NULL, and are not in the rows that a statement selects."""
RETRYING = "declines_max attempts_max days_max retries"
OF_EVENT = {"type", "timestamp", "details"}
SAID = {
    "customer", "subscription", "invoice", "charge", "credit", "plan", "coupon", "next_plan",
    "anchor", "timezone", "retries_for", "invoice_status",
}  # fmt: skip
"""Columns with a shorter name on pages, and those of other tables."""
SPLIT = {f"amount_{part}" for part in ("taken", "refunded", "refunding", "credited", "kept")}
COUNTED = {f"{what}_count" for what in ("payments", "surplus", "unresolved", "unresolved_refunds")}
OF_CUSTOMER = {"credit_balance", "subscriptions_count"}
RENAMED = {
    "customer",
    "cause",
    "held_cause",
    "attempts_count",
    "coupon_left_count",
    "period_start_at",
    "period_end_at",
    "amount_from_credit",
    "amount_refunding",
    "sends_count",
    "status_queries_count",
}
"""Columns with another name on pages, and what is computed."""


class Colour(StrEnum):
    """An enum of two."""

    RED = "red"
    BLUE = "blue"


class Ball(NamedTuple):
    """A row."""

    id: int
    colour: Colour
    inside: Colour | None


def test_a_select_list_is_the_fields_in_their_order() -> None:
    """Each is a column of the table that is named, or what is said for it."""
    assert columns(Ball) == "id, colour, inside"
    assert columns(Ball, "b", inside="c.colour") == "b.id, b.colour, c.colour AS inside"


def test_a_source_for_a_field_that_is_not_there_is_refused() -> None:
    """A typing error there is found when the module is imported."""
    with pytest.raises(ValueError, match="Ball has no field insied"):
        columns(Ball, insied="c.colour")


def test_a_text_of_an_enum_arrives_as_its_member() -> None:
    """So that a comparison with another enum's member is an error of mypy; None stays None."""
    [full, empty] = [of_values(Ball, (7, "red", inside)) for inside in ("blue", None)]

    assert full.colour is Colour.RED
    assert full.inside is Colour.BLUE
    assert empty == (7, Colour.RED, None)


def test_a_word_that_is_no_member_is_refused() -> None:
    """A row with an unknown value is refused."""
    with pytest.raises(ValueError, match="'green' is not a valid Colour"):
        of_values(Ball, (7, "green", None))


def kinds(hint: Any) -> set[Any]:
    """The types in an annotation, with texts for enums, as the database has them."""
    said = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return {str if isinstance(kind, type) and issubclass(kind, StrEnum) else kind for kind in said}


def held(table: Table, name: str) -> set[Any]:
    """The types of a column's values."""
    column = table.c[name]
    return {column.type.python_type} | ({type(None)} if column.nullable else set())


@pytest.mark.parametrize(
    ("row", "table", "others"),
    [
        (LockedRefund, REFUNDS, {"subscription_id", "gateway_number", "surplus"}),
        (Progress, REFUNDS, set()),
        (Credit, CREDITS, set()),
        (CreditLeft, CREDITS, set()),
        (CreditUse, CREDIT_USES, set()),
        (Money, CHARGES, set()),
        (Coupon, COUPONS, {"amount", "redemptions_count", "redemptions_max"}),
        (Standing, INVOICES, set()),
        (BilledDays, INVOICES, {"lines"}),
        (GivenUp, INVOICES, {"closed_at"}),
        (Invoice, INVOICES, {"lines"}),
        (NewInvoice, INVOICES, {"lines"}),
        (End, SUBSCRIPTIONS, {"timezone"}),
        (Subscription, SUBSCRIPTIONS, {*OF_PLAN, "trial", "on_exhausted", "plan_amount", "extras"}),
        (DueSubscription, SUBSCRIPTIONS, {*OF_PLAN, *OF_COUPON, *BEGUN, "next_due_at", "extras"}),
        (Upcoming, SUBSCRIPTIONS, {*OF_PLAN, *OF_COUPON, *BEGUN, "extras"}),
        (NewSubscription, SUBSCRIPTIONS, {"extras"}),
        (subscription_rows.Standing, SUBSCRIPTIONS, {"key"}),
        (Plan, PLANS, {"retries_for"}),
        (PlanTerms, PLANS, set()),
        (Question, CHARGES, set()),
        (Doubted, CHARGES, set()),
        (OperatorsCharge, CHARGES, set()),
        (ChargingState, ENGINE, {"resting"}),
        (EngineState, ENGINE, set()),
        (Compared, CHARGES, set()),
        (overview.News, EVENTS, {"first_payment", "data"}),
        (overview.BookedCharge, CHARGES, set()),
        (overview.BookedRefund, REFUNDS, {"gateway_number"}),
        (listing_rows.Plan, PLANS, {"retries_for"}),
        (listing_rows.Customer, CUSTOMERS, {"wallet_status", *OF_CUSTOMER}),
        (listing_rows.Wallet, WALLETS, RENAMED),
        (listing_rows.Subscription, SUBSCRIPTIONS, {*SAID, *RENAMED, "extras", "wallet_status"}),
        (listing_rows.Invoice, INVOICES, {*SAID, *RENAMED, "lines", *RETRYING.split()}),
        (listing_rows.Charge, CHARGES, {*SAID, *RENAMED, *SPLIT, "request_id", "confirming"}),
        (listing_rows.Refund, REFUNDS, {*SAID, *RENAMED}),
        (listing_rows.Event, EVENTS, {*SAID, *OF_EVENT, "position"}),
        (listing_rows.LifeEvent, EVENTS, {*SAID, *OF_EVENT}),
        (listing_rows.Payment, INVOICES, {*SAID, *RENAMED, *SPLIT, *COUNTED}),
    ],
)
def test_a_field_has_the_type_of_its_column(row: Any, table: Table, others: set[str]) -> None:
    """What a row says is believed by mypy: it may not hide that a column can be NULL."""
    hints = {name: hint for name, hint in get_type_hints(row).items() if name not in others}

    assert {name: kinds(hint) for name, hint in hints.items()} == {
        name: held(table, name) for name in hints
    }


@pytest.mark.parametrize(
    ("row", "table", "names"),
    [
        (Candidate, INVOICES, "subscription_id customer_id period_index change_index amount"),
        (Candidate, INVOICES, "next_trigger first_failed_at blocked_on steps_short planned_at"),
        (Candidate, INVOICES, "step_deadline_at"),
        (Candidate, SUBSCRIPTIONS, "first_paid_at"),
        (Candidate, PLANS, f"{RETRYING} use_points timezone"),
        (Candidate, CUSTOMERS, "name phone email"),
        (Candidate, WALLETS, "token_sealed expires_at"),
        (ChargeState, CHARGES, "id invoice_id subscription_id customer_id status sent_at amount"),
        (ChargeState, CHARGES, "parked_at resolved_at"),
        (ChargeState, SUBSCRIPTIONS, "first_paid_at next_period_index"),
        (ChargeState, PLANS, "cycles timezone"),
        (
            Circumstances,
            CHARGES,
            "id gateway_number wallet_id trigger sends status_queries failed_seen_at",
        ),
        (Circumstances, CHARGES, "waiting fault code message unsent_by_answer"),
        (Circumstances, INVOICES, "first_failed_at steps_short planned_at step_deadline_at"),
        (Circumstances, PLANS, RETRYING),
        (Circumstances, WALLETS, "expires_at"),
        (listing_rows.Invoice, PLANS, f"{RETRYING} timezone"),
        (listing_rows.Subscription, PLANS, "timezone"),
    ],
)
def test_a_field_of_a_joined_row_has_the_type_of_its_column(
    row: Any, table: Table, names: str
) -> None:
    """Each of its tables says what its columns hold, also when they can be NULL."""
    hints = get_type_hints(row)

    assert {name: kinds(hints[name]) for name in names.split()} == {
        name: held(table, name) for name in names.split()
    }


@pytest.mark.parametrize(
    ("written", "table"),
    [
        (NewRefund, REFUNDS),
        (Changes, REFUNDS),
        (NewCharge, CHARGES),
        (AttemptPlan, INVOICES),
        (subscription_rows.Changes, SUBSCRIPTIONS),
        (NewCustomer, CUSTOMERS),
        (importing.Running, SUBSCRIPTIONS),
        (importing.Linked, WALLETS),
        (importing.Sealed, WALLETS),
    ],
)
def test_a_written_value_fits_its_column(written: Any, table: Table) -> None:
    """No value that the type allows is one that the column refuses."""
    for name, hint in get_type_hints(written).items():
        fits = kinds(hint) <= held(table, "id" if name == "key" else name)
        assert fits or name == "extras", name
