"""What the database refuses independently of the code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from billing.domain.charge import UNRESOLVED, ChargeStatus, Trigger
from billing.domain.events import OPERATOR, Actor
from billing.domain.invoice import Blocked, InvoiceStatus
from billing.domain.money import MAX_AMOUNT
from billing.domain.outcomes import Fault, Waiting
from billing.domain.refund import RefundPurpose, RefundStatus
from billing.domain.subscription import CatchUp, OnExhausted, RefundPolicy, SubscriptionStatus
from billing.domain.wallet import LIVE, WalletStatus
from billing.services.money import coupons, crediting
from tests.integration.engine import Engine


@pytest.fixture
def rows(engine: Engine) -> Mapping[str, Mapping[str, Any]]:
    """One row of everything: a declined charge of an open invoice, and a customer's wallet."""
    customer, _ = engine.begun()
    engine.script("decline", customer)
    engine.run()
    coupons.create(engine.context, "C", OPERATOR, percent=5, redeemed_max=1)
    crediting.grant(engine.context, customer, 5, Actor("operator", "a gift"))
    engine.execute(
        "INSERT INTO credit_uses SELECT c.id, i.id, 1 FROM credits c CROSS JOIN invoices i"
    )
    engine.audited = False  # these tests damage rows
    names = ("plans", "customers", "wallets", "subscriptions", "invoices", "charges")
    return {name: engine.rows(f"SELECT * FROM {name}")[0] for name in names}


@contextmanager
def refused_by(constraint: str) -> Iterator[None]:
    """Assert that this constraint refuses the statements of the block."""
    with pytest.raises(IntegrityError) as error:
        yield
    assert error.value.orig is not None
    assert error.value.orig.diag.constraint_name == constraint  # type: ignore[attr-defined]


def copied(engine: Engine, table: str, row: Mapping[str, Any], **changes: Any) -> None:
    """Insert a copy of a row, with changes."""
    values = {**row, **changes}
    names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    engine.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", **values)


Rows = Mapping[str, Mapping[str, Any]]


def test_a_subscription_has_at_most_one_unresolved_charge(
    engine: Engine, rows: Rows, subtests: pytest.Subtests
) -> None:
    """It holds for every pair of unresolved states, and for charges of different invoices."""
    invoice = {**rows["invoices"], "id": uuid4(), "period_index": 7, "next_attempt_at": None}
    copied(engine, "invoices", invoice)
    for first, second in product(UNRESOLVED, UNRESOLVED):
        engine.execute("UPDATE charges SET status = :status", status=first)
        with subtests.test(first=first, second=second), refused_by("charges_one_unresolved"):
            copied(
                engine, "charges", rows["charges"], id=uuid4(), invoice_id=invoice["id"],
                gateway_number="other", status=second,
            )  # fmt: skip


def test_an_invoice_has_one_paying_charge_and_any_number_of_surplus(
    engine: Engine, rows: Rows
) -> None:
    """A second success is possible as surplus only."""
    engine.execute("UPDATE charges SET status = 'succeeded', kept = amount")
    taken = {"status": "succeeded", "kept": rows["charges"]["amount"]}
    changes = {"id": uuid4(), "attempt": 2, "gateway_number": "abc-2", **taken}

    with refused_by("charges_one_succeeded"):
        copied(engine, "charges", rows["charges"], **changes)
    for attempt in (2, 3):
        mine = {
            "id": uuid4(),
            "surplus": True,
            "attempt": attempt,
            "gateway_number": f"x-{attempt}",
        }
        copied(engine, "charges", rows["charges"], **changes | mine)


def test_a_period_is_invoiced_once(engine: Engine, rows: Rows) -> None:
    """Identity is subscription and period index, never a time."""
    with refused_by("invoices_one_a_period"):
        copied(engine, "invoices", rows["invoices"], id=uuid4())


def test_an_attempt_and_a_gateway_number_are_used_once(engine: Engine, rows: Rows) -> None:
    """Derived numbers find the existing row instead of making a second one."""
    charge = rows["charges"]
    with refused_by("charges_one_per_attempt"):
        copied(engine, "charges", charge, id=uuid4(), gateway_number="other")
    with refused_by("charges_gateway_number_unique"):
        copied(engine, "charges", charge, id=uuid4(), attempt=2)


def test_a_token_has_at_most_one_live_wallet(engine: Engine, rows: Rows) -> None:
    """One token is charged for one customer; an ended wallet keeps its hash for comparison."""
    other, wallet = engine.customer(linked=False), rows["wallets"]
    assert wallet["token_hash"] is not None
    changes = {"id": uuid4(), "customer_id": other}

    copied(engine, "wallets", wallet, **changes, status="expired")
    with refused_by("wallets_one_live_a_token"):
        copied(engine, "wallets", wallet, **changes | {"id": uuid4()}, status="active")


def test_a_reference_is_imported_once(engine: Engine, rows: Rows) -> None:
    """The second insert conflicts with the first one."""
    row = {"reference": "R1", "subscription_id": rows["subscriptions"]["id"], "content": "{}"}
    copied(engine, "imports", row)
    with refused_by("imports_primary"):
        copied(engine, "imports", row)


def test_a_customer_has_at_most_one_live_wallet(
    engine: Engine, rows: Rows, subtests: pytest.Subtests
) -> None:
    """Pending, active and unlinking exclude each other."""
    for first, second in product(LIVE, LIVE):
        engine.execute("UPDATE wallets SET status = :status", status=first)
        with subtests.test(first=first, second=second), refused_by("wallets_one_live_a_customer"):
            copied(engine, "wallets", rows["wallets"], id=uuid4(), status=second)


OF_A_CHARGE = "from_charge = 2, charge_id = (SELECT min(id::text)::uuid FROM charges)"
CHECKS = [
    ("plans", "plans_amount_check", "amount = 0"),
    ("plans", "plans_amount_check", "amount = -5"),
    ("plans", "plans_amount_check", f"amount = {MAX_AMOUNT + 1}"),
    ("plans", "plans_schedule_check", "every = NULL"),
    ("plans", "plans_schedule_check", "cron = '0 9 1 * *'"),
    ("plans", "plans_cycles_check", "cycles = 0"),
    ("subscriptions", "subscriptions_amount_check", "amount = 0"),
    ("subscriptions", "subscriptions_quantity_check", "quantity = 0"),
    ("subscriptions", "subscriptions_ended_check", "status = 'canceled'"),
    ("subscriptions", "subscriptions_ended_check",
     "status = 'completed', next_due_at = now(), ended_at = now()"),
    ("invoices", "invoices_amount_check", f"amount = {MAX_AMOUNT + 1}"),
    ("invoices", "invoices_amount_refunded_check", "amount_refunded = amount + 1"),
    ("invoices", "invoices_amount_refunded_check", "amount_refunded = -1"),
    ("invoices", "invoices_period_check", "period_end = period_start"),
    ("invoices", "invoices_period_check", "period_index = -1"),
    ("invoices", "invoices_amount_check", "amount = -1, credited = 0"),
    ("invoices", "invoices_credited_check", "credited = -1"),
    ("invoices", "invoices_nothing_owed_check", "credited = amount"),
    ("invoices", "invoices_amount_refunded_check", "credited = 1, amount_refunded = amount"),
    ("invoices", "invoices_change_index_check", "change_index = -1"),
    ("subscriptions", "subscriptions_change_check", "change_at = now()"),
    ("subscriptions", "subscriptions_change_check",
     "next_plan_code = plan_code, next_quantity = 1, next_amount = 5"),
    ("subscriptions", "subscriptions_next_quantity_check",
     "change_at = now(), next_plan_code = plan_code, next_quantity = 0, next_amount = 5"),
    ("subscriptions", "subscriptions_next_amount_check",
     "change_at = now(), next_plan_code = plan_code, next_quantity = 1, next_amount = 0"),
    ("subscriptions", "subscriptions_coupon_check", "coupon_left = 1"),
    *(
        ("subscriptions", "subscriptions_ended_plans_nothing_check",
         f"status = 'canceled', next_due_at = NULL, ended_at = now(), {planned} = now()")
        for planned in ("cancel_at", "pause_at", "resume_at")
    ),
    ("subscriptions", "subscriptions_planned_for_check", "cancel_at = NULL, cancel_period = 3"),
    ("subscriptions", "subscriptions_planned_for_check", "pause_at = NULL, pause_period = 3"),
    ("subscriptions", "subscriptions_planned_for_check", "change_period = 3"),
    ("subscriptions", "subscriptions_trial_left_check",
     "status = 'trialing', trial_left_seconds = 5"),
    ("subscriptions", "subscriptions_trial_left_check",
     "status = 'paused', trial_left_seconds = -5"),
    ("subscriptions", "subscriptions_extras_check", "extras = '{}'"),
    ("coupons", "coupons_kind_check", "rupiah = 5"),
    ("coupons", "coupons_percent_check", "percent = 101"),
    ("coupons", "coupons_rupiah_check", "percent = NULL, rupiah = 0"),
    ("coupons", "coupons_cycles_check", "cycles = 0"),
    ("coupons", "coupons_redeemed_check", "redeemed = 2"),
    ("credits", "credits_amount_check", "amount = 0, remaining = 0"),
    ("credits", "credits_remaining_check", "remaining = -1"),
    ("credits", "credits_remaining_check",
     f"remaining = amount, paid_out = 1, {OF_A_CHARGE}"),
    ("credits", "credits_paid_out_check", "paid_out = -1, remaining = 0"),
    ("credits", "credits_paid_out_check", "paid_out = 1, remaining = 0"),
    ("credits", "credits_from_charge_check", "from_charge = amount"),
    ("credits", "credits_from_charge_check", f"{OF_A_CHARGE}, amount = 1, remaining = 1"),
    ("credit_uses", "credit_uses_amount_check", "amount = 0"),
    ("credit_uses", "credit_uses_returned_check", "returned = amount + 1"),
    ("credit_uses", "credit_uses_returned_check", "returned = -1"),
    ("invoices", "invoices_paid_check", "status = 'paid', next_attempt_at = NULL"),
    ("invoices", "invoices_paid_check", "paid_at = now()"),
    ("invoices", "invoices_closed_check", "status = 'void', next_attempt_at = now()"),
    ("invoices", "invoices_closed_check",
     "status = 'paid', paid_at = now(), next_attempt_at = now()"),
    ("charges", "charges_amount_check", "amount = 0"),
    ("charges", "charges_conserved_check", "status = 'succeeded'"),
    ("charges", "charges_conserved_check", "status = 'succeeded', kept = amount - 1"),
    ("charges", "charges_conserved_check", "status = 'succeeded', kept = amount, refunded = 1"),
    ("charges", "charges_conserved_check", "status = 'succeeded', kept = amount, credited = 1"),
    ("charges", "charges_conserved_check",
     "status = 'succeeded', kept = amount + 1, refunded = -1"),
    ("charges", "charges_conserved_check",
     "status = 'succeeded', kept = -1, refunded = amount + 1"),
    ("charges", "charges_conserved_check",
     "status = 'succeeded', kept = amount + 1, credited = -1"),
    ("charges", "charges_conserved_check", "kept = 1"),
    ("charges", "charges_conserved_check", "refunded = 1"),
    ("charges", "charges_conserved_check", "credited = 1"),
    ("charges", "charges_surplus_check", "surplus = true"),
    ("charges", "charges_gateway_number_check", "gateway_number = 'a b c'"),
    ("charges", "charges_gateway_number_check", "gateway_number = repeat('x', 33)"),
    ("charges", "charges_gateway_number_check", "gateway_number = 'ab'"),
    ("wallets", "wallets_token_check", "token_sealed = NULL"),
    ("engine", "engine_one_row_check", "id = 2"),
]  # fmt: skip


def test_a_check_refuses_what_makes_no_sense(
    engine: Engine, rows: Rows, subtests: pytest.Subtests
) -> None:
    """Impossible amounts, dates and states are not stored by any code."""
    for table, constraint, change in CHECKS:
        with subtests.test(constraint, change=change), refused_by(constraint):
            engine.execute(f"UPDATE {table} SET {change}")


ENUMS: list[tuple[str, str, type[StrEnum]]] = [
    ("plans", "on_exhausted", OnExhausted),
    ("plans", "catch_up", CatchUp),
    ("wallets", "status", WalletStatus),
    ("subscriptions", "status", SubscriptionStatus),
    ("subscriptions", "cancel_refund", RefundPolicy),
    ("invoices", "status", InvoiceStatus),
    ("invoices", "blocked_on", Blocked),
    ("charges", "status", ChargeStatus),
    ("charges", "fault", Fault),
    ("charges", "waiting", Waiting),
    ("charges", "trigger", Trigger),
    ("refunds", "status", RefundStatus),
    ("refunds", "purpose", RefundPurpose),
]


def test_an_enum_in_the_database_is_the_one_in_the_code(
    engine: Engine, subtests: pytest.Subtests
) -> None:
    """Their CHECK lists exactly the values of the enum, by value and not by name."""
    for table, column, enum in ENUMS:
        with subtests.test(table=table, column=column):
            definition: str = engine.one(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name",
                name=f"{table}_{column}_check",
            )
            assert set(definition.split("'")[1::2]) == {value.value for value in enum}


def test_money_is_64_bits_wide(engine: Engine) -> None:
    """SQLModel's own `int` would be 32 bits, and ten digits do not fit in those."""
    kinds = engine.rows(
        "SELECT table_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        " AND (column_name LIKE 'amount%' OR column_name IN ('shortfall', 'kept', 'refunded',"
        " 'credited', 'from_charge', 'paid_out', 'returned'))"
    )
    tables = {row["table_name"] for row in kinds}
    assert {"plans", "subscriptions", "invoices", "charges", "refunds"} <= tables
    assert {row["data_type"] for row in kinds} == {"bigint"}


def test_instants_have_a_zone_and_only_wall_times_have_none(engine: Engine) -> None:
    """An anchor and a wished start are wall times of the plan's zone; all else are instants."""
    naive = engine.rows(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'timestamp without time zone'"
        " ORDER BY 1"
    )
    assert [row["column_name"] for row in naive] == ["anchor_local", "start_local"]


def test_no_row_refers_to_nothing(engine: Engine, rows: Rows) -> None:
    """A charge of no invoice, and an invoice of no subscription, are refused."""
    with pytest.raises(IntegrityError):
        copied(engine, "charges", rows["charges"], id=uuid4(), attempt=9, gateway_number="zzz",
               invoice_id=uuid4())  # fmt: skip
    with pytest.raises(IntegrityError):
        copied(engine, "invoices", rows["invoices"], id=uuid4(), subscription_id=uuid4())
    with pytest.raises(IntegrityError):
        engine.execute("DELETE FROM subscriptions")
