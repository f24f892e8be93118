"""Bugs of the event feed and of webhooks."""

from tests.mutants.planting import bug

FEED = "tests/integration/test_services_event_feed.py"
HOOKS = "tests/integration/test_services_webhooks.py"
PAYLOADS = "tests/integration/test_services_webhook_payloads.py"
UPCOMING = "tests/integration/test_services_upcoming.py"
ENDPOINTS = "tests/integration/test_services_webhook_endpoints.py"

WEBHOOKS = (
    bug(
        "feed_does_not_wait_for_writers", "billing/domain/event_feed.py",
        "    if not writers:\n", "    if True:\n",
        f"{FEED}::test_an_event_that_is_committed_late_has_a_later_position",
    ),
    bug(
        "feed_reads_the_writers_before_the_ids", "billing/services/webhooks/event_feed.py",
        "    highest = rows.highest_id(connection)\n    writers = rows.writers(connection)\n"
        "    appended = rows.append(connection, state.settled_id, limit)\n",
        "    writers = rows.writers(connection)\n"
        "    appended = rows.append(connection, state.settled_id, limit)\n"
        "    highest = rows.highest_id(connection)\n",
        f"{FEED}::test_an_event_between_two_statements_of_the_sequencer_is_not_lost",
    ),
    bug(
        "feed_trusts_transaction_ids", "billing/store/queries/event_feed.py",
        "          AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()\n",
        "          AND mode = 'RowExclusiveLock' AND pid IN (SELECT pid FROM pg_stat_activity\n"
        "              WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid())\n",
        f"{FEED}::test_an_id_that_was_taken_before_a_transaction_id_is_waited_for",
    ),
    bug(
        "webhook_of_one_dead_endpoint_floods_it", "billing/services/webhooks/sending.py",
        "(AT_ONCE if endpoint.failing_since is None else 1)", "AT_ONCE",
        f"{HOOKS}::test_a_failing_endpoint_gets_one_attempt_at_a_time",
    ),
    bug(
        "webhook_id_changes_with_each_attempt", "billing/services/webhooks/sending.py",
        "name = group.bodies.get(delivery.id), payloads.webhook_id(delivery.id)",
        'name = group.bodies[delivery.id], f"msg_{delivery.id.hex}{delivery.attempts}"',
        f"{HOOKS}::test_a_failed_attempt_is_repeated_with_the_same_id_and_body",
    ),
    bug(
        "webhook_goes_to_one_good_address_among_bad_ones", "billing/outbound/posting.py",
        "not all(map(is_public, addresses))", "not any(map(is_public, addresses))",
        "tests/unit/test_posting.py::test_a_name_with_one_address_inside_is_refused",
    ),
    bug(
        "webhook_previous_secret_signs_for_ever", "billing/services/webhooks/payloads.py",
        "and until is not None and now < until:", "and until is not None:",
        f"{ENDPOINTS}::test_both_secrets_sign_for_a_day_after_a_rotation",
    ),
    bug(
        "webhook_lease_never_ends", "billing/store/queries/deliveries.py",
        "AND (leased_until IS NULL OR leased_until < clock_timestamp())",
        "AND leased_until IS NULL",
        f"{HOOKS}::test_a_killed_sender_repeats_the_delivery_with_its_id",
    ),
    bug(
        "webhook_body_is_not_kept", "billing/services/webhooks/sending.py",
        "None if is_settled or body is None else body.decode()", "None",
        f"{PAYLOADS}::test_a_retry_sends_what_the_first_attempt_sent",
    ),
    bug(
        "webhook_body_survives_an_erasure", "billing/store/queries/erasure.py",
        "SET body = NULL WHERE body IS NOT NULL AND", "SET body = NULL WHERE body = '' AND",
        f"{PAYLOADS}::test_an_erasure_removes_stored_bodies",
    ),
    bug(
        "webhook_body_is_stored_during_an_erasure", "billing/store/queries/deliveries.py",
        "if row.erase_requested_at is not None", "if row.erase_requested_at is None",
        f"{PAYLOADS}::test_an_erasure_during_an_attempt_leaves_no_body",
    ),
    bug(
        "notice_leaves_no_mark", "billing/store/queries/notices.py",
        "SET notice_for = next_period_index + 1", "SET notice_for = next_period_index",
        f"{UPCOMING}::test_a_row_that_fails_stops_no_other",
    ),
    bug(
        "notice_forgets_changed_plans", "billing/store/queries/subscriptions.py",
        'if "plan_code" in values:', "if False:",
        f"{UPCOMING}::test_a_change_that_took_effect_unannounced_is_announced_from_then_on",
    ),
)  # fmt: skip
