"""Bugs that let a person of the console do what another one must decide, or be another one."""

from tests.mutants.planting import bug

_INTEGRATION = "tests/integration/test_web_console_"

PEOPLE = (
    bug(
        "the_asker_approves", "billing/domain/approvals.py",
        "    is_own = person.id == request.asked_by\n",
        "    is_own = move is ApprovalMove.WITHDRAW\n",
        f"{_INTEGRATION}approvals.py::TestRefund::test_the_asker_cannot_approve",
    ),
    bug(
        "other_money_than_was_shown_is_approved", "billing/services/operating/approvals.py",
        "and approval_terms.is_same(terms, approval_terms.of(base, effect))",
        "",
        f"{_INTEGRATION}approvals_waiting.py::TestCancellation::test_a_renewal_outdates_it",
    ),
    bug(
        "parts_are_a_way_around_the_limit", "billing/services/operating/approvals.py",
        "if amount and amount + earlier > limit:", "if amount > limit:",
        f"{_INTEGRATION}approvals.py::TestRefund::test_up_to_the_limit_one_person_is_enough",
    ),
    bug(
        "a_lost_role_is_approved", "billing/domain/approvals.py",
        "if move is ApprovalMove.APPROVE and not may(asker, request.kind):", "if not asker.name:",
        f"{_INTEGRATION}approvals.py::TestRefund::"
        "test_a_request_of_who_lost_the_role_is_not_approved",
    ),
    bug(
        "the_header_of_anybody_is_believed", "billing/web/console/single_sign_on.py",
        "if not _is_trusted(peer, settings.sso_proxies):", "if peer is None:",
        f"{_INTEGRATION}sign_on.py::test_the_header_from_another_machine_is_refused",
    ),
    bug(
        "a_session_needs_no_header", "billing/web/console/visits.py",
        "person is None or person.name != claim", "person is None",
        f"{_INTEGRATION}sign_on.py::"
        "test_without_the_header_no_session_and_no_password_opens_a_page",
    ),
)  # fmt: skip
