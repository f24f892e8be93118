"""Bugs that remove one of the four rules at one place, or reopen a closed security hole.

A rule that is guarded twice, by code and by a constraint or a second look, has a bug that removes
both. The tests beside each are the quickest that must find it.
"""

from tests.mutants.planting import Bug, Edit, bug

_INTEGRATION = "tests/integration/test_"
_UNIT = "tests/unit/test_"
_INTENTS = f"{_INTEGRATION}services_intents.py::test_"
_ISOLATING = f"{_INTEGRATION}services_held_rows.py::test_"
_QUERIES = "billing/store/queries"
_SERVICES = "billing/services"
_DOMAIN = "billing/domain"
_GATEWAY = "billing/gateway"

CONSERVATION = (
    bug(
        "a_move_changes_one_part_only", f"{_DOMAIN}/conservation.py",
        "{source.value: left, target.value: self.of(target) + amount}", "{source.value: left}",
        f"{_UNIT}conservation.py",
    ),
    bug(
        "the_check_on_a_charge_is_gone",
        "billing/store/migrations/versions/0005_conservation_of_money.py",
        "    ' AND amount = kept + refunded + credited'\n", "",
        f"{_INTEGRATION}store_constraints.py::test_a_check_refuses_what_makes_no_sense",
    ),
    bug(
        "a_gift_is_paid_out", f"{_SERVICES}/money/charge_money.py",
        "    money, rest = from_charge_first(amount, kept)\n    if paid is not None and money:\n"
        "        taken",
        "    money, rest = amount, 0\n    if paid is not None and money:\n        taken",
        f"{_INTEGRATION}services_charge_money.py::test_a_gift_never_becomes_money",
    ),
    bug(
        "more_is_credited_than_is_kept", f"{_SERVICES}/subscriptions/proration.py",
        "            each.kept,\n", "            each.invoice.amount,\n",
        f"{_INTEGRATION}services_paid_days.py::test_an_upgrade_that_was_not_paid_is_worth_nothing",
    ),
    bug(
        "money_that_must_go_back_is_kept_in_silence", f"{_DOMAIN}/refund.py",
        "return RefundMove.LEAVE_UNRETURNED if purpose in MUST_RETURN else RefundMove.DECLINE",
        "return RefundMove.DECLINE",
        f"{_INTEGRATION}services_attention.py::"
        "test_a_surplus_payment_that_cannot_be_given_back_is_a_dead_end",
    ),
    bug(
        "money_that_went_back_elsewhere_is_not_counted", f"{_SERVICES}/money/refund_resolution.py",
        "        charge_money.take_out_again(connection, row, by, now)\n        _count_returned",
        "        _count_returned",
        f"{_INTEGRATION}services_charge_money.py::TestMoneyThatMustGoBack::test_a_person_decides",
    ),
)  # fmt: skip

PAID_TIME = (
    bug(
        "another_interval_beside_a_planned_end", f"{_DOMAIN}/intents.py",
        "cancel=_REFUSE_CANCEL, cancel_on_date=_REFUSE_CANCEL, pause=_REFUSE_PAUSE,",
        "pause=_REFUSE_PAUSE,",
        f"{_UNIT}intents.py", f"{_INTENTS}another_interval_is_refused_while_an_end_is_planned",
    ),
    bug(
        "a_planned_change_is_lost", f"{_SERVICES}/subscriptions/changing.py",
        "        carried=lambda: _carried(connection, row, wanted),\n",
        "        carried=lambda: None,\n",
        f"{_INTENTS}a_planned_change_survives_a_change_of_quantity",
    ),
    bug(
        "a_resumption_throws_paid_days_away", f"{_SERVICES}/subscriptions/pausing.py",
        '        proration.cut(connection, row, now, by, "resumed with a new period")\n', "",
        f"{_INTENTS}a_resumption_from_now_gives_the_paid_days_back_and_moves_the_end",
    ),
    bug(
        "another_interval_throws_paid_days_away", f"{_SERVICES}/subscriptions/changing.py",
        'pricing.Change(proration.cut(connection, row, now, by, "change of plan"), 0)',
        "pricing.Change(0, 0)",
        f"{_INTEGRATION}services_changing.py::"
        "test_another_interval_begins_a_new_period_at_once",
    ),
    bug(
        "a_late_tick_resumes_at_its_own_time", f"{_SERVICES}/subscriptions/pausing.py",
        "ANCHOR, as_of=row.resume_at)", "ANCHOR, as_of=now)",
        f"{_INTENTS}a_pause_that_ends_on_a_due_date_skips_nothing",
        f"{_INTENTS}plans_that_a_late_tick_works_off_take_effect_as_of_their_dates",
    ),
    bug(
        "a_late_tick_pauses_at_its_own_time", f"{_SERVICES}/subscriptions/pausing.py",
        "begun = row.pause_at", "begun = now",
        f"{_INTENTS}plans_that_a_late_tick_works_off_take_effect_as_of_their_dates",
    ),
    bug(
        "a_pause_that_ends_on_a_due_date_skips_it", f"{_DOMAIN}/periods.py",
        "if ahead < 0 or dates.due(ahead) < at:", "if ahead < 0 or dates.due(ahead) <= at:",
        f"{_INTENTS}a_pause_that_ends_on_a_due_date_skips_nothing",
    ),
    bug(
        "a_downgrade_after_a_refund_charges", f"{_DOMAIN}/pricing.py",
        "Change(min(prorate(before, unused, whole), charge + paid), charge",
        "Change(min(prorate(before, unused, whole), paid), charge",
        f"{_UNIT}pricing.py", f"{_INTENTS}a_downgrade_after_a_goodwill_refund_charges_nothing",
    ),
    bug(
        "a_pause_in_a_trial_loses_its_days", f"{_DOMAIN}/periods.py",
        "if row.trial_left_seconds is not None:\n        anchor", "if False:\n        anchor",
        f"{_INTENTS}a_pause_in_a_trial_keeps_its_days",
    ),
    bug(
        "a_planned_change_outlasts_the_term", f"{_SERVICES}/subscriptions/changing.py",
        "    if is_last_cycle(row.cycles, place.period):\n", "    if False:\n",
        f"{_INTEGRATION}services_changing.py::"
        "test_nothing_is_planned_for_after_the_last_period",
    ),
    bug(
        "skipped_periods_are_not_recorded", f"{_SERVICES}/subscriptions/transitions.py",
        '    intents.tell(connection, row, now, by, [("period.skipped", data)])\n',
        "    data.clear()\n",
        f"{_INTENTS}an_end_before_the_tick_records_the_period_that_nobody_owes",
        f"{_INTENTS}an_unpaid_subscription_resumes_and_says_what_it_left_out",
    ),
)  # fmt: skip

TRUST = (
    bug(
        "a_proxys_page_is_a_decline", f"{_GATEWAY}/trust.py",
        "if said is None or not documented or http_status < 400:",
        "if said is None or http_status < 400:",
        f"{_UNIT}proxy_pages.py", f"{_UNIT}answers_envelopes.py",
    ),
    bug(
        "any_code_in_the_envelope_is_a_decline", f"{_GATEWAY}/trust.py",
        "if is_known or is_about_us or trust is Trust.VERIFIED:", "if is_known or code:",
        f"{_UNIT}answers_envelopes.py", f"{_UNIT}proxy_pages.py",
    ),
    bug(
        "a_blank_answer_is_not_found", f"{_GATEWAY}/statuses.py",
        "    if answer.trust is not Trust.VERIFIED:\n        return Unknown(answer.trust)\n"
        "    order",
        "    order",
        f"{_UNIT}answers_statuses.py",
    ),
    bug(
        "a_live_decline_cancels_at_once", f"{_DOMAIN}/settlement.py",
        "if source is Source.LIVE and (is_for_good or is_repeated):",
        "if source is Source.LIVE and is_repeated:",
        f"{_UNIT}settlement_trust.py",
    ),
    bug(
        "the_answer_to_a_second_sending_is_final", f"{_DOMAIN}/settlement.py",
        "if source is Source.LIVE and (is_for_good or is_repeated):",
        "if source is Source.LIVE and is_for_good:",
        f"{_UNIT}settlement_trust.py",
    ),
    bug(
        "a_429_is_certain", "billing/gateway/refusals.py",
        "by_answer=True", "by_answer=False",
        f"{_INTEGRATION}services_unsent_checks.py",
    ),
    bug(
        "nobody_asks_about_a_429_of_a_closed_invoice", f"{_SERVICES}/subscriptions/transitions.py",
        "    unsent_checks.ask_about(connection, ids, now)\n", "",
        f"{_INTEGRATION}services_unsent_checks.py",
    ),
    bug(
        "one_answer_to_a_question_ends_more_than_the_charge", f"{_DOMAIN}/settlement.py",
        "        and not doubts.is_suspected(facts)\n",
        "        and not facts.wallet_active\n",
        f"{_UNIT}settlement_trust.py", f"{_UNIT}settlement_not_found.py",
    ),
    bug(
        "an_expired_token_spends_a_step", f"{_DOMAIN}/settlement.py",
        "    if facts.waiting is Waiting.TOKEN_EXPIRED and not doubts.is_disbelieved(facts):\n",
        "    if False:\n",
        f"{_UNIT}settlement_trust.py",
    ),
    bug(
        "a_tripped_breaker_ends_customers", f"{_DOMAIN}/settlement.py",
        "    if facts.tripped:\n", "    if facts.tripped and not is_for_good:\n",
        f"{_UNIT}settlement_trust.py",
    ),
    bug(
        "the_breaker_never_trips", f"{_SERVICES}/collecting/breaker.py",
        "strange * 100 < share * came:", "strange < came + share:",
        f"{_INTEGRATION}services_breaker.py::test_pages_of_a_proxy_stop_charging",
    ),
    bug(
        "want_of_money_trips_the_breaker", f"{_SERVICES}/collecting/breaker.py",
        "return fault in {Fault.HARD, Fault.WALLET}", "return fault is not None",
        f"{_INTEGRATION}services_breaker.py::test_want_of_money_is_not_odd",
    ),
    Bug(
        "a_young_charge_is_resolved",
        [
            Edit(
                f"{_SERVICES}/operating/charge_resolution.py",
                "if row.parked_at is None and now < row.sent_at + horizon:",
                "if horizon is None:",
            ),
            Edit(
                f"{_DOMAIN}/settlement.py",
                "charge_status is not ChargeStatus.IN_FLIGHT and (facts.parked or is_old)",
                "charge_status is not ChargeStatus.IN_FLIGHT",
            ),
        ],
        [f"{_INTEGRATION}services_charge_resolution.py::test_a_young_charge_is_not_resolved"],
    ),
    bug(
        "a_charge_on_the_wire_is_resolved", f"{_DOMAIN}/settlement.py",
        "return facts.charge_status is not ChargeStatus.IN_FLIGHT and (facts.parked or is_old)",
        "return facts.parked or is_old",
        f"{_UNIT}settlement_exhaustive.py",
    ),
    bug(
        "nobody_asks_before_a_person_decides", f"{_SERVICES}/operating/charge_resolution.py",
        "    if isinstance(answer, Succeeded | Declined):\n", "    if answer is row:\n",
        f"{_INTEGRATION}services_charge_resolution.py::"
        "test_the_gateways_word_goes_before_a_persons",
    ),
    bug(
        "a_gateways_not_found_is_our_marker", f"{_SERVICES}/collecting/settling.py",
        "    if decision.never_received:\n",
        '    if decision.never_received or decision.code == "not_found":\n',
        f"{_INTEGRATION}services_trust.py::test_a_gateways_not_found_is_no_marker_of_ours",
    ),
    bug(
        "a_failed_refund_is_believed_once", f"{_DOMAIN}/refund_settlement.py",
        "            if now - seen >= CONFIRM_FAILED_AFTER:\n", "            if now >= seen:\n",
        f"{_UNIT}refund_settlement.py",
    ),
)  # fmt: skip

ISOLATION = (
    bug(
        "a_batch_is_not_halved", f"{_SERVICES}/operating/held_rows.py",
        "        if not ids or not may_be_a_row(error):\n            raise\n        log",
        "        if ids is not None:\n            raise\n        log",
        f"{_ISOLATING}what_only_the_database_refuses_is_found_by_halving",
    ),
    bug(
        "opening_does_not_isolate", f"{_SERVICES}/collecting/opening_batches.py",
        "    parts = held_rows.isolate(\n        ids,\n"
        "        lambda part: _open_together(context, part),\n"
        "        held_rows.holder(context, Kind.SUBSCRIPTION),\n    )\n",
        "    parts = [_open_together(context, ids)]\n",
        f"{_ISOLATING}a_price_that_overflows_holds_its_subscription_and_opens_the_others",
    ),
    bug(
        "claiming_does_not_isolate", f"{_SERVICES}/collecting/claiming.py",
        "held_rows.isolate(list(seen), work, held_rows.holder(context, Kind.INVOICE))",
        "[work(list(seen))]",
        f"{_ISOLATING}an_invoice_that_cannot_be_claimed_is_held_and_blocks_the_younger_ones",
    ),
    bug(
        "settling_does_not_isolate", f"{_SERVICES}/collecting/settling.py",
        "held_rows.isolate(news, work, hold, locked)", "[work(news)] if hold and locked else []",
        f"{_ISOLATING}a_sealed_body_that_does_not_open_stops_no_question_of_its_batch",
        f"{_ISOLATING}news_of_a_group_is_recorded_though_one_of_it_cannot_be",
    ),
    bug(
        "what_fails_alone_is_left_where_it_is", f"{_SERVICES}/operating/held_rows.py",
        "            (locked if is_locked(error) else hold)(part[0], error)\n", "",
        f"{_ISOLATING}a_price_that_overflows_holds_its_subscription_and_opens_the_others",
    ),
    bug(
        "a_locked_row_stops_everybody", f"{_SERVICES}/operating/held_rows.py",
        "return is_locked(error) or is_about_a_row(error)", "return is_about_a_row(error)",
        f"{_INTEGRATION}services_locked_rows.py",
    ),
    bug(
        "time_without_a_wallet_is_billed", f"{_SERVICES}/subscriptions/starting.py",
        "    if late is not None and not", "    if late is now and not",
        f"{_INTEGRATION}services_starting.py::test_time_without_a_wallet_is_not_billed",
    ),
    bug(
        "an_end_falls_inside_a_changed_period", f"{_SERVICES}/subscriptions/intents.py",
        "    if same_schedule(row, plan):\n        return\n    due", "    return\n    due",
        f"{_INTEGRATION}services_intent_pairs.py",
    ),
    bug(
        "an_overdue_end_is_replaced", f"{_SERVICES}/subscriptions/canceling.py",
        "if row.cancel_at is not None and row.cancel_at <= now:",
        "if row.cancel_at is not None and row.cancel_at is now:",
        f"{_INTEGRATION}services_overdue_ends.py",
    ),
    bug(
        "a_database_that_is_away_holds_rows", f"{_SERVICES}/operating/held_rows.py",
        "return isinstance(error, DataError | IntegrityError) and not error.connection_invalidated",
        "return True",
        f"{_ISOLATING}a_database_that_is_away_holds_nobody",
    ),
    bug(
        "a_bug_holds_everybody", f"{_SERVICES}/operating/held_rows.py",
        "if held >= held_max and held > good:", "if held > len(ids):",
        f"{_ISOLATING}a_bug_that_fails_for_all_holds_few_and_fails_the_tick",
    ),
    bug(
        "a_held_row_is_no_alarm", f"{_QUERIES}/attention.py",
        "held_why AS why, true AS alarm", "held_why AS why, false AS alarm",
        f"{_INTEGRATION}services_attention.py::test_a_held_row_of_any_kind_is_an_alarm",
    ),
    bug(
        "a_passed_over_row_keeps_its_lease", f"{_SERVICES}/collecting/claiming.py",
        "        invoices.pass_over(connection, list(seen), locked)\n", "        pass\n",
        f"{_INTEGRATION}services_leases.py", f"{_INTEGRATION}services_claiming.py",
    ),
    Bug(
        "a_held_charge_is_asked_about",
        [
            Edit(
                f"{_QUERIES}/charges.py",
                "            WHERE next_check_at <= :now AND held_at IS NULL\n",
                "            WHERE next_check_at <= :now\n",
            ),
            Edit(
                f"{_QUERIES}/charges.py",
                "id = ANY(:ids) AND next_check_at <= :now AND held_at IS NULL",
                "id = ANY(:ids) AND next_check_at <= :now",
            ),
        ],
        [f"{_ISOLATING}a_held_charge_is_asked_about_when_it_is_released"],
    ),
)  # fmt: skip

IDENTITY = (
    bug(
        "two_databases_make_the_same_ids", f"{_DOMAIN}/identity.py",
        'return named(installation, f"{kind}/{name}")',
        'return named(UUID(int=0) if installation else installation, f"{kind}/{name}")',
        "tests/property/test_identity.py",
        f"{_INTEGRATION}services_identity.py::"
        "test_the_same_reference_in_two_databases_makes_two_gateway_numbers",
    ),
    bug(
        "a_reference_with_other_content_is_a_repeat", f"{_DOMAIN}/imports.py",
        "if earlier.get(name, value) != value]", "if name not in earlier and not value]",
        f"{_UNIT}imports.py", "tests/property/test_imports.py",
        f"{_INTEGRATION}services_importing.py::test_two_people_under_one_reference_are_not_one",
    ),
    bug(
        "a_known_token_is_linked_to_another_customer", f"{_DOMAIN}/imports.py",
        'customer != row.customer:\n        return _rejected(f"the token already belongs to',
        'customer == "":\n        return _rejected(f"the token already belongs to',
        f"{_UNIT}imports.py", "tests/property/test_imports.py",
    ),
    bug(
        "a_second_click_is_a_second_subscription", f"{_SERVICES}/subscriptions/subscribing.py",
        "        if again is False or (again is None and request is None):\n",
        "        if again is None and request is None and again:\n",
        f"{_INTEGRATION}services_starting.py::test_a_second_click_makes_no_second_subscription",
    ),
    bug(
        "a_mistyped_year_is_charged_at_once", f"{_DOMAIN}/backdating.py",
        "    if at >= now - timedelta(days=days_max):\n", "    if days_max >= 0:\n",
        f"{_UNIT}backdating.py", f"{_INTEGRATION}services_starting.py",
    ),
)  # fmt: skip

SERVERS_AND_DOORS = (
    bug(
        "a_read_only_server_keeps_its_connection", "billing/store/session.py",
        'frozenset({"25006", "57P01"', 'frozenset({"57P01"',
        f"{_INTEGRATION}store_session.py",
    ),
    bug(
        "a_demoted_server_is_used_again", "billing/store/session.py",
        '        raise InvalidatePoolError("the server has become read-only")\n',
        "        return\n",
        f"{_INTEGRATION}store_session.py::"
        "test_a_pooled_connection_whose_server_became_read_only_is_not_used",
    ),
    bug(
        "an_error_shows_a_rows_values", "billing/store/session.py",
        "hide_parameters=True", "hide_parameters=False",
        f"{_INTEGRATION}store_session.py::test_an_error_shows_no_value_of_a_statement",
    ),
    bug(
        "true_is_one", "workers/arguments.py",
        "if not isinstance(value, int) or isinstance(value, bool):",
        "if not isinstance(value, int):",
        f"{_UNIT}admin_arguments.py",
    ),
    bug(
        "nought_is_1970", "workers/arguments.py",
        "    if moment.year not in YEARS:\n", "    if moment.year < 0:\n",
        f"{_UNIT}admin_arguments.py",
    ),
    bug(
        "a_foreign_page_may_ask_flower", "workers/doors.py",
        "    if origin is not None and not _is_own(origin, request.host, hosts):\n",
        "    if origin is not None and not origin:\n",
        f"{_UNIT}doors.py",
    ),
)  # fmt: skip

RULES = (
    *CONSERVATION, *PAID_TIME, *TRUST, *ISOLATION, *IDENTITY, *SERVERS_AND_DOORS,
)  # fmt: skip
