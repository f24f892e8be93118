"""Bugs that would leave personal data behind, or bring an erased customer back."""

from tests.mutants.planting import bug

_ERASING = "tests/integration/test_services_erasing.py::"
_REFUSALS = "tests/integration/test_services_erasing_refusals.py::"
_QUERIES = "billing/store/queries"
_SERVICES = "billing/services"

ERASURE = (
    bug(
        "an_erasure_forgets_the_texts_of_events", f"{_QUERIES}/erasure.py",
        "SET reason = NULL, data = {_EMPTIED_EVENT}\n", "SET reason = NULL\n",
        f"{_ERASING}test_nothing_personal_is_left_after_a_whole_life",
    ),
    bug(
        "an_erasure_does_not_wait_for_the_token", f"{_QUERIES}/erasure.py",
        'f"SELECT EXISTS (SELECT 1 FROM wallets WHERE customer_id = :id AND {_UNLINKS})"',
        'f"SELECT EXISTS (SELECT 1 FROM wallets WHERE customer_id = :id AND {_UNLINKS} AND false)"',
        f"{_ERASING}test_the_erasure_waits_until_the_token_is_deleted",
    ),
    bug(
        "a_crash_after_the_unlink_is_final", f"{_SERVICES}/wallets/erasing.py",
        "    for customer_id in due:\n", "    for customer_id in due[:0]:\n",
        f"{_ERASING}test_a_crash_between_unlink_and_emptying_only_delays_it",
    ),
    bug(
        "an_import_brings_an_erased_customer_back", "billing/domain/imports.py",
        "    if person in known.erased and (earlier is None or not row.customer):\n",
        "    if person in known.erased and earlier is None and not row.customer:\n",
        "tests/unit/test_imports.py",
        f"{_REFUSALS}test_an_import_brings_no_erased_customer_back",
    ),
    bug(
        "an_import_does_not_wait_for_an_erasure", f"{_SERVICES}/wallets/erasing.py",
        "        importing.be_alone(connection)\n", "",
        f"{_REFUSALS}TestRaces::test_an_import_waits_for_the_request",
    ),
    bug(
        "a_link_does_not_wait_for_an_erasure", f"{_QUERIES}/catalog.py",
        'text(f"{_ERASURE} FOR NO KEY UPDATE")', "text(_ERASURE)",
        f"{_REFUSALS}TestRaces::test_a_link_waits_for_the_request",
    ),
)  # fmt: skip
