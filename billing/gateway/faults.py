"""Faults: the one table from the gateway's codes to the fault classes of dunning.

DOKU publishes no list for OVO Recurring, so every entry is a guess with its source in a comment,
and settings can change and add entries. A code in no table is OTHER. This module does not know HTTP
or payments.
"""

import re
from collections.abc import Mapping

from billing.domain.outcomes import Fault
from billing.gateway.envelopes import Complaint, fold

# DOKU, SNAP error page: 403 or 401, two digits for the service, two for the case. These numbers are
# for a similar service of DOKU; case 14 is from another SNAP gateway.
_SNAP = re.compile(r"(40[13])[0-9]{2}([0-9]{2})")
_SNAP_CASES = {
    ("403", "02"): Fault.LIMIT,  # amount limit
    ("403", "03"): Fault.HARD,  # suspected fraud
    ("403", "04"): Fault.LIMIT,  # frequency limit
    ("403", "05"): Fault.OTHER,  # do not honour
    ("403", "06"): Fault.TECHNICAL,  # cut-off in progress
    ("403", "09"): Fault.WALLET,  # dormant account
    ("403", "14"): Fault.INSUFFICIENT_FUNDS,
    ("401", "02"): Fault.WALLET,  # customer token invalid
    ("401", "04"): Fault.WALLET,  # customer token not found
}

# DOKU's codes that were seen or are listed elsewhere, folded. A code is compared as a whole; the
# words of a message do not count. All entries are guesses for this API.
_CODES = {
    # From a third party's list for DOKU's OVO Open API.
    "invalid_parameter": Fault.OTHER,
    "account_error": Fault.OTHER,
    "not_found": Fault.OTHER,
    "invalid_access": Fault.TECHNICAL,
    # From the glossary of DOKU's newer reference. The merchant or DOKU must solve the technical
    # ones, not the customer.
    "invalid_token": Fault.WALLET,
    "transaction_not_found": Fault.OTHER,
    "validation_error": Fault.OTHER,
    "merchant_not_active": Fault.TECHNICAL,
    "too_many_requests": Fault.TECHNICAL,
    "maintenance_mode": Fault.TECHNICAL,
    # The API page's status of an expired token, in case it is sent as a code.
    "token_expired": Fault.WALLET,
    # The SNAP cases above, written as words.
    "insufficient_funds": Fault.INSUFFICIENT_FUNDS,
    "suspected_fraud": Fault.HARD,
    "do_not_honour": Fault.OTHER,
    "dormant_account": Fault.WALLET,
    "token_not_found": Fault.WALLET,
}


class Faults:
    """The table combined with the entries of the settings, by code in any spelling."""

    def __init__(self, overrides: Mapping[str, Fault]) -> None:
        self._overrides = {fold(code): fault for code, fault in overrides.items()}

    def known(self, code: str) -> Fault | None:
        """Look up a code: the settings first, then the numbers, then the list; None: unknown."""
        folded = fold(code)
        if folded in self._overrides:
            return self._overrides[folded]
        if match := _SNAP.fullmatch(folded):
            return _SNAP_CASES.get((match[1], match[2]))
        return _CODES.get(folded)

    def of(self, complaint: Complaint) -> Fault:
        """Classify an error by its code; a code in no table is OTHER."""
        return self.known(complaint.code) or Fault.OTHER
