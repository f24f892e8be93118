"""Bugs that would let a notification do more than make a status query due."""

from tests.mutants.planting import bug

_INTEGRATION = "tests/integration/test_"
_UNIT = "tests/unit/test_"
_QUERIES = "billing/store/queries"
_DOMAIN = "billing/domain"
_GATEWAY = "billing/gateway"

NOTIFICATIONS = (
    bug(
        "a_notification_shortens_the_breakers_window",
        f"{_DOMAIN}/notifications.py",
        "    if known.suspected:\n",
        "    if False:\n",
        f"{_UNIT}notifications.py",
        f"{_INTEGRATION}services_notifications.py::"
        "test_a_suspected_decline_waits_for_the_breakers_window",
    ),
    bug(
        "repeated_notifications_park_a_charge",
        f"{_QUERIES}/notifications.py",
        "greatest(status_queries - 1, 0)",
        "status_queries",
        f"{_INTEGRATION}services_notifications.py::"
        "test_repeated_notifications_cause_one_query_a_minute_and_never_park",
    ),
    bug(
        "a_recheck_after_a_notification_has_no_end",
        f"{_DOMAIN}/settlement.py",
        "if facts.resolved_at is not None or facts.notified:",
        "if facts.resolved_at is not None:",
        f"{_UNIT}settlement_trust.py",
        f"{_INTEGRATION}services_notifications.py::"
        "test_false_success_of_a_declined_charge_costs_one_query",
    ),
    bug(
        "a_notification_for_another_path_is_accepted",
        f"{_GATEWAY}/notifications.py",
        "    return signing.verify(secret, component, signature.encode())",
        "    return bool(component and signature)",
        f"{_UNIT}notification_bodies.py",
    ),
)
