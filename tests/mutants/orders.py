"""Bugs that take one order for another: after a restore, under a used key, or a second time."""

from tests.mutants.planting import bug

_INTEGRATION = "tests/integration/test_"
_LOST = f"{_INTEGRATION}services_lost_refunds.py::test_"
_SERVICES = "billing/services"

ORDERS = (
    bug(
        "a_refund_is_named_by_its_number", f"{_SERVICES}/money/charge_money.py",
        "refund_id = charge.refund_id(taken.charge_id, order.name)",
        "refund_id = charge.refund_id(taken.charge_id, str(sequence))",
        f"{_LOST}another_order_of_the_lost_amount_moves_money",
    ),
    bug(
        "a_repeated_order_is_another_refund", f"{_SERVICES}/context.py",
        'return f"order/{uuid4()}" if request is None else f"order/{request.task}/{request.key}"',
        'return f"order/{uuid4()}"',
        f"{_LOST}a_repeated_order_does_not_move_money_twice",
    ),
    bug(
        "a_cancellation_is_named_by_its_amount", f"{_SERVICES}/money/charge_money.py",
        'order = Order("cancel", money,', 'order = Order(f"cancel/{money}", money,',
        f"{_LOST}a_lost_cancellation_with_another_amount_is_not_guessed_about",
    ),
    bug(
        "ids_depend_on_the_key_alone", f"{_SERVICES}/context.py",
        'return f"{self.key}/{sha256(content).hexdigest()[:32]}"', "return self.key",
        f"{_INTEGRATION}services_identity.py::test_a_lost_key_with_another_order_is_no_payment_of_it",
        f"{_LOST}another_order_of_the_lost_amount_moves_money",
    ),
    bug(
        "a_used_key_links_another_phone", "workers/admin.py",
        '{**request.arguments, "phone": hashed}', "{\"customer\": customer}",
        f"{_INTEGRATION}admin_tasks.py::test_a_used_key_with_other_arguments_is_refused",
    ),
    bug(
        "a_coupon_is_redeemed_twice", f"{_SERVICES}/money/coupons.py",
        "        if row.coupon_code == code:\n            return\n", "",
        f"{_INTEGRATION}services_coupons.py",
    ),
    bug(
        "a_repeat_after_an_erasure_is_refused", "billing/domain/erasure.py",
        "value in (given[name], ERASED)", "value == given[name]",
        f"{_INTEGRATION}services_erasing.py"
        "::test_a_request_from_before_the_erasure_is_answered_as_before",
    ),
    bug(
        "a_technical_decline_is_the_callers_problem", f"{_SERVICES}/wallets/refusals.py",
        " and outcome.fault is not Fault.TECHNICAL", "",
        f"{_INTEGRATION}web_story.py"
        "::test_a_link_that_failed_at_the_gateway_is_no_fault_of_the_caller",
    ),
    bug(
        "a_phone_of_a_file_stays_as_it_is", f"{_SERVICES}/operating/import_rows.py",
        "    phone = indonesian_phone(phone)\n", "",
        f"{_INTEGRATION}services_importing.py"
        "::test_a_phone_of_a_file_is_stored_like_every_other",
    ),
)  # fmt: skip
