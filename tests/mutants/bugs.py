"""The bugs to plant: mistakes that were made, or nearly made, in systems like this one.

Each names the tests that have to find it. The first seven passed the suite once. An edit whose
text is gone has to be written anew for the code that took its place, not removed.
"""

from tests.mutants.planting import SECONDS, Bug, Edit

INTEGRATION = "tests/integration/test_"
UNIT = "tests/unit/test_"


def bug(name: str, file: str, old: str, new: str, *tests: str, seconds: float = SECONDS) -> Bug:
    """A bug of one edit."""
    return Bug(name, [Edit(file, old, new)], tests, seconds)


_QUERIES = "billing/store/queries"
_SERVICES = "billing/services"
_DOMAIN = "billing/domain"
_GATEWAY = "billing/gateway"

PASSED_ONCE = (
    bug(
        "refund_lease_never_ends", f"{_QUERIES}/refunds.py",
        "AND (leased_until IS NULL OR leased_until < clock_timestamp())",
        "AND leased_until IS NULL",
        f"{INTEGRATION}services_leases.py",
    ),
    bug(
        "claimed_again_and_not_counted", f"{_QUERIES}/claims.py",
        'case((CHARGES.c.status == "unsent", 0), else_=1)',
        'case((CHARGES.c.status == "unsent", 0), else_=0)',
        f"{INTEGRATION}services_claiming.py",
    ),
    bug(
        "foreign_gateway_gets_refunds", f"{_SERVICES}/refunding.py",
        "        if not guarding.is_ours(context, connection):\n            return None\n",
        "",
        f"{INTEGRATION}services_refund_sendings.py",
    ),
    bug(
        "newer_invoice_before_an_older_one", f"{_QUERIES}/claims.py",
        "AND (o.period_index, o.change_index) < (i.period_index, i.change_index) OFFSET 0)",
        "AND false OFFSET 0)",
        f"{INTEGRATION}services_claiming.py",
    ),
    bug(
        "late_answer_of_an_older_refund_sending", f"{_SERVICES}/refunding.py",
        'is_newest = row["tries"] == sending.tries and row["status"] == RefundStatus.IN_FLIGHT',
        'is_newest = row["status"] == RefundStatus.IN_FLIGHT',
        f"{INTEGRATION}services_refund_sendings.py",
    ),
    bug(
        "unresolved_charge_is_no_obstacle", f"{_QUERIES}/claims.py",
        "AND u.status IN ('in_flight', 'pending', 'unknown') OFFSET 0)",
        "AND false OFFSET 0)",
        f"{INTEGRATION}services_claiming.py",
    ),
    bug(
        "settlement_is_not_repeated", f"{_SERVICES}/settling.py",
        '        log.warning("settling.connection_lost", charges=len(news))\n',
        "        raise\n",
        f"{INTEGRATION}services_settling.py",
    ),
)  # fmt: skip

MONEY = (
    bug(
        "refund_lease_lasts_for_hours", f"{_QUERIES}/refunds.py",
        "make_interval(secs => :lease)", "make_interval(secs => 400 * :lease)",
        f"{INTEGRATION}services_leases.py",
    ),
    bug(
        "more_refunded_than_was_taken", f"{_DOMAIN}/conservation.py",
        "        if left < 0:\n", "        if left < -amount:\n",
        f"{UNIT}conservation.py", f"{INTEGRATION}services_refunds.py",
    ),
    bug(
        "declined_refund_keeps_its_money", f"{_SERVICES}/returns.py",
        '    move(connection, refund["charge_id"], refund["amount"], Part.REFUNDED, source)\n', "",
        f"{INTEGRATION}services_refunds.py", f"{INTEGRATION}services_returns.py",
    ),
    bug(
        "declined_payout_loses_the_balance", f"{_SERVICES}/returns.py",
        '        conservation.undo_pay_out(connection, refund["credit_id"], refund["amount"])\n',
        "        pass\n",
        f"{INTEGRATION}services_returns.py", f"{INTEGRATION}services_balance.py",
    ),
    bug(
        "decline_of_a_second_sending_is_believed", f"{_DOMAIN}/refund_settlement.py",
        "case Declined(code=code, message=message) if facts.is_only_sending:",
        "case Declined(code=code, message=message) if facts:",
        f"{UNIT}refund_settlement.py",
    ),
    bug(
        "refund_is_sent_under_a_new_id", f"{_SERVICES}/refunding.py",
        'request_id=str(row["id"]),', "request_id=str(row['id'])[:-4] + f\"{tries:04d}\",",
        f"{INTEGRATION}services_refunds.py",
    ),
    bug(
        "credit_for_more_than_was_paid", f"{_DOMAIN}/pricing.py",
        "Change(min(prorate(before, unused, whole), charge + paid), charge, before, after)",
        "Change(prorate(before, unused, whole), charge, before, after)",
        f"{UNIT}pricing.py", "tests/property/test_pricing.py",
    ),
    bug(
        "credit_is_used_twice", f"{_SERVICES}/opening.py",
        'credit["remaining"] -= taken.get(credit["id"], 0)', 'taken.get(credit["id"], 0)',
        f"{INTEGRATION}services_balance.py",
    ),
    bug(
        "surplus_is_kept", f"{_SERVICES}/settling.py",
        "    if decision.give_back is not None:\n", "    if decision.give_back == row:\n",
        f"{INTEGRATION}services_refunds.py",
    ),
    bug(
        "canceled_invoice_stays_open", f"{_SERVICES}/ending.py",
        "    owed = invoices.open_of(connection, row[\"id\"])\n", "    owed = []\n",
        f"{INTEGRATION}services_ending.py",
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
        "late_tick_shortens_what_is_given_back", f"{_SERVICES}/ending.py",
        "cutting.unused(connection, fresh, current, used_until)",
        "cutting.unused(connection, fresh, current, now)",
        f"{INTEGRATION}services_ending.py",
    ),
    Bug(
        "catch_up_latest_bills_everything",
        [
            Edit(
                f"{_SERVICES}/opening.py",
                'return row["catch_up"] == CatchUp.LATEST and end <= now and not changes',
                "return False",
            ),
            Edit(
                f"{_SERVICES}/opening.py",
                'not (row["catch_up"] == CatchUp.LATEST and end <= now)', "start",
            ),
        ],
        [f"{INTEGRATION}services_charging.py"],
    ),
    bug(
        "all_missed_periods_are_charged_at_once", f"{_SERVICES}/opening.py",
        '"next_attempt_at": None if owes or free else now,',
        '"next_attempt_at": None if free else now,',
        f"{INTEGRATION}services_opening.py", f"{INTEGRATION}services_charging.py",
        f"{INTEGRATION}services_claiming.py",
    ),
    bug(
        "the_31st_drifts_to_the_28th", "schedules/intervals.py",
        'return "31 1,3,5,7,8,10,12 *", "L 2,4,6,9,11 *"', 'return ("28 *", )',
        f"{UNIT}calendar.py",
    ),
)  # fmt: skip

TRUST = (
    bug(
        "unsigned_answer_is_believed", f"{_GATEWAY}/answers.py",
        "    if answer.trust is not Trust.VERIFIED:\n        return Unknown(answer.trust)\n",
        "    if answer.trust is Trust.WRONG:\n        return Unknown(answer.trust)\n",
        f"{UNIT}answers.py",
    ),
    bug(
        "any_signature_fits", f"{_GATEWAY}/signing.py",
        "return hmac.compare_digest(claimed, _mac(secret, component))", "return bool(claimed)",
        f"{UNIT}signing.py",
    ),
    bug(
        "server_error_is_a_decline", f"{_GATEWAY}/refusals.py",
        "if not 400 <= answer.status < 500 or", "if",
        f"{UNIT}answers_envelopes.py", f"{UNIT}answers.py",
    ),
    bug(
        "repeated_request_is_a_decline", f"{_GATEWAY}/refusals.py",
        "if moves_money and said is not None and _SEEN_BEFORE.search(said.words):",
        "if False and said is not None:",
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
        "if source is Source.STATUS and not _confirmed(facts, now):", "if False:",
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
        f"{UNIT}settlement.py", f"{INTEGRATION}services_claiming.py",
    ),
    bug(
        "late_success_is_dropped", f"{_DOMAIN}/settlement.py",
        "if facts.charge_status not in charge.UNRESOLVED and not isinstance(outcome, Succeeded):",
        "if facts.charge_status not in charge.UNRESOLVED:",
        f"{UNIT}settlement.py", "tests/property/test_settlement.py",
    ),
    bug(
        "charge_before_is_not_asked_about", f"{_SERVICES}/looking.py",
        "        case Succeeded():\n            return Sight(row, paid=True)\n",
        "        case Succeeded():\n            return Sight(row)\n",
        f"{INTEGRATION}services_lost_answers.py",
    ),
)  # fmt: skip

IDENTITY = (
    bug(
        "charge_ids_are_drawn", f"{_DOMAIN}/charge.py",
        "return beneath(invoice, _NAMESPACE, str(ordinal))", "return __import__('uuid').uuid4()",
        f"{INTEGRATION}services_restore.py", "tests/property/test_identity.py",
    ),
    bug(
        "idempotency_key_is_ignored", f"{_SERVICES}/context.py",
        "        if request is None:\n", "        if request is None or request.key:\n",
        f"{INTEGRATION}store_races.py", f"{INTEGRATION}services_refunds.py",
    ),
    bug(
        "key_with_other_arguments_is_a_repeat", f"{_SERVICES}/context.py",
        'if (earlier["task"], earlier["arguments"]) != (request.task, request.arguments):',
        "if False:",
        f"{INTEGRATION}services_refunds.py", f"{INTEGRATION}services_refusals.py",
    ),
    bug(
        "first_payment_is_the_first_try", f"{_SERVICES}/claiming.py",
        'first_payment = row["first_paid_at"] is None', 'first_payment = not row["last_ordinal"]',
        f"{INTEGRATION}services_charging.py",
    ),
    bug(
        "a_copy_charges_elsewhere", f"{_SERVICES}/guarding.py",
        '    if (row["gateway_host"], row["gateway_client_id"]) == (host, client_id):\n',
        "    if row:\n",
        f"{INTEGRATION}services_dead_ends.py", f"{INTEGRATION}services_refund_sendings.py",
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
        f"{UNIT}dunning.py", f"{INTEGRATION}services_policies.py",
    ),
    bug(
        "a_short_wallet_is_charged", f"{_SERVICES}/looking.py",
        'return max(int(row["amount"]) - held, 0)', "return 0",
        f"{INTEGRATION}services_dunning.py",
    ),
    bug(
        "nobody_probes_after_a_rest", f"{_SERVICES}/pacing.py",
        'return PROBES if row["troubles"] else None', "return None",
        f"{INTEGRATION}services_pacing.py::"
        "test_a_gateway_that_refuses_is_left_alone_by_all_and_caught_up_with",
    ),
    bug(
        "no_limit_an_hour", f"{_SERVICES}/claiming.py",
        "    if total > limit:\n", "    if total > limit * 10**9:\n",
        f"{INTEGRATION}services_limits.py",
    ),
    bug(
        "kill_switch_is_ignored", f"{_SERVICES}/guarding.py",
        '    if row is None or row["stopped_at"] is not None:\n        return 0\n',
        "    if row is None:\n        return 0\n",
        f"{INTEGRATION}services_charging.py",
    ),
    bug(
        "token_goes_before_the_refund", f"{_SERVICES}/unbinding.py",
        'if wallets.obstacles_to_unbind(connection, row["customer_id"]):', "if False:",
        f"{INTEGRATION}services_unbinding.py", f"{INTEGRATION}services_ending.py",
    ),
    bug(
        "expired_token_is_charged", f"{_SERVICES}/claiming.py",
        'if row["wallet_id"] is None or row["expires_at"] <= now:', 'if row["wallet_id"] is None:',
        f"{INTEGRATION}services_wallets.py", f"{INTEGRATION}services_claiming.py",
    ),
)  # fmt: skip

BUGS = (*PASSED_ONCE, *MONEY, *PAID_TIME, *TRUST, *IDENTITY, *DUNNING_AND_PACE)
