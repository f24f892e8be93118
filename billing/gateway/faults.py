"""The one table from the gateway's words to the classes of fault that dunning acts on.

DOKU publishes no list for OVO Recurring, so every entry is a guess with its source beside it, and
settings can overrule each. What is in no table is OTHER. It knows no HTTP and no payment.
"""

import re
from collections.abc import Mapping

from billing.domain.outcomes import Fault
from billing.gateway.envelopes import Complaint, fold

# DOKU, SNAP error page: 403 or 401, two digits of a service, two of the case. The neighbouring
# product's numbers; 14 is from another SNAP gateway.
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

# Looked for in code and message together, folded; the first that is found decides.
_WORDS = (
    # "PAYMENT CHANNEL IS INACTIVE" was seen in DOKU's sandbox; the others are in the glossary of
    # its newer reference. All are the merchant's or DOKU's to repair, not the customer's.
    (r"channel.*inactive|merchant.*(inactive|not_active)|maintenance", Fault.TECHNICAL),
    (r"invalid_access|unauthorized|too_many_requests|server_error", Fault.TECHNICAL),
    # The SNAP cases above, spelled out, in English and Indonesian.
    (r"insufficient|not_enough|saldo_(tidak|kurang)", Fault.INSUFFICIENT_FUNDS),
    (r"limit", Fault.LIMIT),
    (r"fraud|blacklist|blocked", Fault.HARD),
    (r"token|unlinked|not_linked|unbound|not_bound|dormant", Fault.WALLET),
    (r"(account|wallet|customer)_(is_)?(inactive|not_active|not_found|closed)", Fault.WALLET),
)
_PATTERNS = tuple((re.compile(words), fault) for words, fault in _WORDS)


class Faults:
    """The table together with what the settings overrule, by code in any spelling."""

    def __init__(self, overrides: Mapping[str, Fault]) -> None:
        self._overrides = {fold(code): fault for code, fault in overrides.items()}

    def of(self, complaint: Complaint) -> Fault:
        """Classify a complaint: the settings first, then numbers, then words, else OTHER."""
        code = fold(complaint.code)
        if code in self._overrides:
            return self._overrides[code]
        if match := _SNAP.fullmatch(code):
            return _SNAP_CASES.get((match[1], match[2]), Fault.OTHER)
        words = complaint.words
        return next((fault for pattern, fault in _PATTERNS if pattern.search(words)), Fault.OTHER)
