"""The bugs to plant: mistakes that were made, or nearly made, in systems like this one.

Each names the tests that must find it. The first seven passed the suite once; those that break one
of the four rules are in `rules`. An edit whose text no longer exists must be rewritten for the new
code, not removed.
"""

from tests.mutants.hints import NOTIFICATIONS
from tests.mutants.hooks import WEBHOOKS
from tests.mutants.orders import ORDERS
from tests.mutants.people import PEOPLE
from tests.mutants.personal import ERASURE
from tests.mutants.planting import Bug, Edit, bug
from tests.mutants.rules import RULES

INTEGRATION = "tests/integration/test_"
UNIT = "tests/unit/test_"

_QUERIES = "billing/store/queries"
_SERVICES = "billing/services"
_DOMAIN = "billing/domain"
_GATEWAY = "billing/gateway"

PASSED_ONCE = (
    bug(
        "refund_lease_never_ends", f"{_QUERIES}/refunds.py",
        "AND (leased_until IS NULL OR leased_until < clock_timestamp())",
        "AND leased_until IS NULL",
        f"{INTEGRATION}services_refund_resolution.py::test_a_refund_is_leased_until_its_lease_ends",
        f"{INTEGRATION}services_lease_ends.py",
    ),
    bug(
        "claimed_again_and_not_counted", f"{_QUERIES}/claims.py",
        'case((CHARGES.c.status == "unsent", 0), else_=1)',
        'case((CHARGES.c.status == "unsent", 0), else_=0)',
        f"{INTEGRATION}services_claiming.py::"
        "test_a_lost_charge_that_is_claimed_again_was_sent_twice",
    ),
    bug(
        "foreign_gateway_gets_refunds", f"{_SERVICES}/money/refunding.py",
        "        if not safety.is_ours(context, connection):\n            return None\n",
        "",
        f"{INTEGRATION}services_refund_sendings.py::"
        "test_a_refund_is_not_sent_to_a_gateway_that_is_not_the_databases",
    ),
    bug(
        "newer_invoice_before_an_older_one", f"{_QUERIES}/claims.py",
        "AND (o.period_index, o.change_index) < (i.period_index, i.change_index) OFFSET 0)",
        "AND false OFFSET 0)",
        f"{INTEGRATION}services_claiming.py::test_only_the_oldest_open_invoice_is_offered",
    ),
    bug(
        "late_answer_of_an_older_refund_sending", f"{_SERVICES}/money/refunding.py",
        "is_newest = row.attempts == sending.attempts and row.status is RefundStatus.IN_FLIGHT",
        "is_newest = row.status is RefundStatus.IN_FLIGHT",
        f"{INTEGRATION}services_refund_sendings.py::"
        "test_a_late_answer_of_an_older_sending_does_not_speak_for_the_newer_one",
    ),
    bug(
        "unresolved_charge_is_no_obstacle", f"{_QUERIES}/claims.py",
        'AND {listed("u.status", UNRESOLVED)} OFFSET 0)',
        "AND false OFFSET 0)",
        f"{INTEGRATION}services_claiming.py::"
        "test_an_invoice_with_an_unresolved_charge_is_not_offered",
    ),
    bug(
        "settlement_is_not_repeated", f"{_SERVICES}/collecting/settling.py",
        '        log.warning("settling.connection_lost", charges=len(news))\n',
        "        raise\n",
        f"{INTEGRATION}services_settling.py::"
        "test_an_answer_is_written_down_although_the_connection_breaks_once",
    ),
)  # fmt: skip

MONEY = (
    bug(
        "refund_lease_lasts_for_hours", f"{_QUERIES}/refunds.py",
        "make_interval(secs => :lease)", "make_interval(secs => 400 * :lease)",
        f"{INTEGRATION}services_refund_resolution.py::test_a_refund_is_leased_until_its_lease_ends",
        f"{INTEGRATION}services_lease_ends.py",
    ),
    bug(
        "more_refunded_than_was_taken", f"{_DOMAIN}/conservation.py",
        "        if left < 0:\n", "        if left < -amount:\n",
        f"{UNIT}conservation.py",
    ),
    bug(
        "declined_refund_keeps_its_money", f"{_SERVICES}/money/charge_money.py",
        "    move(connection, refund.charge_id, refund.amount, Part.REFUNDED, refund.source)\n", "",
        f"{INTEGRATION}services_refunds.py::test_a_refused_refund_does_not_use_up_its_key",
    ),
    bug(
        "declined_payout_loses_the_balance", f"{_SERVICES}/money/charge_money.py",
        "        conservation.undo_pay_out(connection, refund.credit_id, refund.amount)\n",
        "        pass\n",
        f"{INTEGRATION}services_charge_money.py::test_a_declined_payout_goes_back_to_the_balance",
    ),
    bug(
        "decline_of_a_second_sending_is_believed", f"{_DOMAIN}/refund_settlement.py",
        "case Declined(code=code, message=message) if facts.is_first_to_arrive:",
        "case Declined(code=code, message=message) if facts:",
        f"{UNIT}refund_settlement.py",
    ),
    bug(
        "refund_is_sent_under_a_new_id", f"{_SERVICES}/money/refunding.py",
        "request_id=str(row.id),", "request_id=str(row.id)[:-4] + f\"{attempts:04d}\",",
        f"{INTEGRATION}services_refunds.py::test_all_of_it_goes_back_once",
    ),
    bug(
        "credit_for_more_than_was_paid", f"{_DOMAIN}/pricing.py",
        "Change(min(prorate(before, unused, whole), charge + paid), charge, before, after)",
        "Change(prorate(before, unused, whole), charge, before, after)",
        f"{UNIT}pricing.py", "tests/property/test_pricing.py",
    ),
    Bug(  # the database refuses it, and then one after the other is opened alone
        "credit_is_used_twice",
        [
            Edit(
                f"{_SERVICES}/collecting/opening.py",
                "credit.remaining - taken.get(credit.id, 0)", "credit.remaining",
            ),
            Edit(
                f"{_SERVICES}/operating/held_rows.py",
                "        if not ids or not may_be_a_row(error):\n            raise\n        log",
                "        if ids is not None:\n            raise\n        log",
            ),
        ],
        [f"{INTEGRATION}services_balance.py::test_two_subscriptions_share_one_balance"],
    ),
    bug(
        "surplus_is_kept", f"{_SERVICES}/collecting/settling.py",
        "    if decision.give_back is not None:\n", "    if decision.give_back == row:\n",
        f"{INTEGRATION}services_refunds.py::TestASurplusPayment::test_a_surplus_is_refunded_once",
    ),
    bug(
        "canceled_invoice_stays_open", f"{_SERVICES}/subscriptions/canceling.py",
        "    owed = invoices.open_of(connection, row.id)\n", "    owed = []\n",
        f"{INTEGRATION}services_canceling.py::test_open_invoices_are_void_and_dunning_stops",
    ),
)  # fmt: skip

PAID_TIME = (
    bug(
        "a_day_too_few_is_unused", f"{_DOMAIN}/periods.py",
        "used = min(max((now.astimezone(place).date() - first).days, 0), whole)",
        "used = min(max((now.astimezone(place).date() - first).days + 1, 0), whole)",
        f"{UNIT}periods.py",
    ),
    bug(
        "late_tick_shortens_what_is_given_back", f"{_SERVICES}/subscriptions/canceling.py",
        "proration.unused(connection, fresh, current, used_until)",
        "proration.unused(connection, fresh, current, now)",
        f"{INTEGRATION}services_canceling.py",
    ),
    bug(
        "catch_up_latest_bills_everything", f"{_SERVICES}/collecting/opening.py",
        "        row.catch_up is CatchUp.LATEST\n", "        False\n",
        f"{INTEGRATION}services_charging.py::test_catch_up_latest_skips_missed_periods_on_record",
    ),
    bug(
        "all_missed_periods_are_charged_at_once", f"{_QUERIES}/invoice_rows.py",
        "next_attempt_at=None if free or waits else now,", "next_attempt_at=None if free else now,",
        f"{INTEGRATION}services_charging.py::"
        "test_catch_up_all_sends_one_charge_of_a_subscription_at_a_time",
    ),
    bug(
        "the_31st_drifts_to_the_28th", "schedules/intervals.py",
        'return "31 1,3,5,7,8,10,12 *", "L 2,4,6,9,11 *"', 'return ("28 *", )',
        f"{UNIT}calendar.py",
    ),
)  # fmt: skip

TRUST = (
    bug(
        "a_mark_outlives_its_decline", f"{_QUERIES}/settlements.py",
        "never_received = c.never_received AND n.status = 'declined',",
        "never_received = c.never_received,",
        f"{INTEGRATION}services_trust.py::"
        "test_money_of_a_charge_that_was_believed_never_received_is_recorded",
    ),
    bug(
        "unsigned_answer_is_believed", f"{_GATEWAY}/answers.py",
        "    if answer.trust is not Trust.VERIFIED:\n        return _strange(answer.trust)\n",
        "    if answer.trust is Trust.WRONG:\n        return _strange(answer.trust)\n",
        f"{UNIT}answers.py",
    ),
    bug(
        "any_signature_fits", f"{_GATEWAY}/signing.py",
        "return hmac.compare_digest(claimed, _mac(secret, component))", "return bool(claimed)",
        f"{UNIT}signing.py",
    ),
    bug(
        "server_error_is_a_decline", f"{_GATEWAY}/trust.py",
        "    if http_status >= 500 or http_status == 408:\n", "    if http_status == 408:\n",
        f"{UNIT}answers_envelopes.py", f"{UNIT}answers.py",
    ),
    bug(
        "repeated_request_is_a_decline", f"{_GATEWAY}/trust.py",
        "if _UNDECIDED.search(said.words) or (moves_money and _SEEN_BEFORE.search(said.words)):",
        "if _UNDECIDED.search(said.words):",
        f"{UNIT}answers_envelopes.py", f"{UNIT}answers.py",
    ),
    bug(
        "payment_of_another_amount_is_ours", f"{_GATEWAY}/answers.py",
        '    if whole(order.get("amount")) != amount:\n', "    if False:\n",
        f"{UNIT}answers.py",
    ),
    bug(
        "status_of_another_amount_is_ours", f"{_GATEWAY}/statuses.py",
        "if stated_amount is not None and whole(stated_amount) != amount:", "if False:",
        f"{UNIT}answers_statuses.py",
    ),
    bug(
        "first_failed_is_final", f"{_DOMAIN}/settlement.py",
        "    if is_certain or doubts.seen_for(facts, charge.CONFIRM_FAILED_AFTER, now):\n",
        "    if source is not Source.LIVE:\n",
        f"{UNIT}settlement_asking.py",
    ),
    bug(
        "not_found_is_believed_at_once", f"{_DOMAIN}/settlement.py",
        "    if now < believed_at:\n", "    if False:\n",
        f"{UNIT}settlement_not_found.py",
    ),
    bug(
        "resent_and_turned_away_is_unsent", f"{_DOMAIN}/settlement.py",
        "    if facts.sends > 1:\n", "    if facts.sends > 99:\n",
        f"{UNIT}settlement.py",
        f"{INTEGRATION}services_claiming.py::"
        "test_a_lost_charge_that_is_claimed_again_was_sent_twice",
    ),
    bug(
        "late_success_is_dropped", f"{_DOMAIN}/settlement.py",
        "return _succeeded(facts, source) if isinstance(outcome, Succeeded) else None\n    if",
        "return None\n    if",
        f"{UNIT}settlement.py", "tests/property/test_settlement.py",
    ),
    bug(
        "charge_before_is_not_asked_about", f"{_SERVICES}/collecting/prechecks.py",
        "        case Succeeded():\n            return Sight(row, paid=True)\n",
        "        case Succeeded():\n            return Sight(row)\n",
        f"{INTEGRATION}services_lost_answers.py::"
        "test_a_retry_books_a_payment_that_was_declared_failed",
    ),
)  # fmt: skip

IDENTITY = (
    bug(
        "charge_ids_are_drawn", f"{_DOMAIN}/charge.py",
        "return beneath(invoice, _NAMESPACE, str(attempt))", "return __import__('uuid').uuid4()",
        "tests/property/test_identity.py",
    ),
    bug(
        "idempotency_key_is_ignored", f"{_SERVICES}/context.py",
        "        if request is None:\n", "        if request is None or request.key:\n",
        # A refund is named by its key as well, which would hide this.
        f"{INTEGRATION}web_refusals.py::TestIdempotencyKey::test_an_extra_line_is_added_once",
    ),
    bug(
        "key_with_other_arguments_is_a_repeat", f"{_SERVICES}/context.py",
        'if earlier.task != request.task or not is_same(earlier.arguments, request.arguments):',
        "if False:",
        f"{INTEGRATION}services_refunds.py::test_the_same_key_for_something_else_is_refused",
    ),
    bug(
        "first_payment_is_the_first_try", f"{_SERVICES}/collecting/claiming.py",
        'first_payment = row.first_paid_at is None', 'first_payment = not row.last_attempt',
        f"{INTEGRATION}services_charging.py::test_the_first_payment_is_the_first_one_that_succeeds",
    ),
    bug(
        "a_copy_charges_elsewhere", f"{_SERVICES}/operating/safety.py",
        "    if (row.gateway_host, row.gateway_client_id) == (host, client_id):\n",
        "    if row:\n",
        f"{INTEGRATION}services_dead_ends.py::test_a_message_left_over_asks_no_foreign_gateway",
    ),
)  # fmt: skip

DUNNING_AND_PACE = (
    bug(
        "dunning_skips_a_step", f"{_DOMAIN}/dunning.py",
        "    index = max(spent - 1, 0)\n", "    index = spent\n",
        f"{UNIT}dunning.py",
    ),
    bug(
        "technical_declines_spend_steps", f"{_DOMAIN}/dunning.py",
        "technical = max(self.technical_declines - len(TECHNICAL_WAITS), 0)",
        "technical = self.technical_declines",
        f"{UNIT}dunning.py", f"{UNIT}settlement_dunning.py",
    ),
    bug(
        "dunning_has_no_last_day", f"{_DOMAIN}/dunning.py",
        "return Cap.DAYS if end is not None and due > end else due", "return due",
        f"{UNIT}dunning.py",
        f"{INTEGRATION}services_policies.py::test_a_cap_ends_dunning_and_is_named",
    ),
    bug(
        "a_short_wallet_is_charged", f"{_SERVICES}/collecting/prechecks.py",
        "return max(row.amount - held, 0)", "return 0",
        f"{INTEGRATION}services_dunning.py::"
        "TestAWalletThatIsShort::test_a_shortfall_is_charged_after_a_top_up",
    ),
    bug(
        "nobody_probes_after_a_rest", f"{_SERVICES}/collecting/backpressure.py",
        "return PROBES if row.troubles else None", "return None",
        f"{INTEGRATION}services_backpressure.py::"
        "test_a_gateway_that_refuses_is_left_alone_by_all_and_caught_up_with",
    ),
    bug(
        "no_limit_an_hour", f"{_SERVICES}/collecting/claiming.py",
        "    if total > limit:\n", "    if total > limit * 10**9:\n",
        f"{INTEGRATION}services_limits.py::test_an_hour_beyond_the_limit_stops_charging",
    ),
    bug(
        "kill_switch_is_ignored", f"{_SERVICES}/operating/safety.py",
        "    if row is None or row.stopped_at is not None:\n        return 0\n",
        "    if row is None:\n        return 0\n",
        f"{INTEGRATION}services_charging.py::test_the_kill_switch_stops_charges_and_nothing_else",
    ),
    bug(
        "token_goes_before_the_refund", f"{_SERVICES}/wallets/unlinking.py",
        'if wallets.has_obstacles(connection, row.customer_id):', "if False:",
        f"{INTEGRATION}services_unlinking.py::test_a_wish_to_unbind_outlives_the_tokens_year",
    ),
    bug(
        "expired_token_is_charged", f"{_SERVICES}/collecting/claiming.py",
        "if wallet is None or wallet.expires_at <= now:", "if wallet is None:",
        f"{INTEGRATION}services_wallets.py::"
        "TestWithoutAWallet::test_a_year_after_linking_the_token_is_expired_and_a_new_one_goes_on",
    ),
    bug(
        "a_lost_acknowledgement_keeps_its_place", "workers/broker.py",
        "            super().ack(delivery_tag)  # type: ignore[no-untyped-call]  # kombu has few\n"
        "        except self.channel.connection_errors:\n"
        "            self._quick_ack(delivery_tag)\n            raise\n",
        "            super().ack(delivery_tag)  # type: ignore[no-untyped-call]  # kombu has few\n"
        "        except self.channel.connection_errors:\n            raise\n",
        "tests/faults/test_redis.py::test_a_message_that_cannot_be_acknowledged_holds_no_place",
        seconds=120,
    ),
)  # fmt: skip

LISTS = (
    bug(
        "a_page_repeats_the_last_row", f"{_QUERIES}/paging.py",
        'sign = "<" if self._order.descending else ">"',
        'sign = "<=" if self._order.descending else ">="',
        f"{INTEGRATION}services_lists.py::"
        "test_pages_of_any_size_joined_are_the_whole_list_while_rows_are_added",
    ),
    bug(
        "a_cursor_forgets_its_filters", f"{_DOMAIN}/paging.py",
        "    if filters != of.filters:\n", "    if not of.filters:\n",
        f"{UNIT}paging.py::test_a_cursor_with_other_filters_is_refused",
    ),
    bug(
        "charges_of_other_customers_are_listed", f"{_QUERIES}/lists.py",
        '    search.where("c.customer_id = :customer", customer=wanted.customer)\n', "",
        f"{INTEGRATION}services_lists.py::test_a_filter_leaves_exactly_the_rows_that_it_wants",
    ),
    bug(
        "an_invoice_is_of_the_plan_before_its_change", f"{_SERVICES}/collecting/opening.py",
        "        plan_code=terms.plan_code,\n", "",
        f"{INTEGRATION}services_plan_of_money.py",
    ),
)  # fmt: skip

BUGS = (
    *PASSED_ONCE,
    *MONEY,
    *PAID_TIME,
    *TRUST,
    *IDENTITY,
    *DUNNING_AND_PACE,
    *NOTIFICATIONS,
    *ERASURE,
    *ORDERS,
    *LISTS,
    *PEOPLE,
    *WEBHOOKS,
    *RULES,
)
