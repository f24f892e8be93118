"""Trust: which answers without a result settle something; one table for every call.

DOKU is not the only sender of answers: proxies, firewalls and load balancers send their own pages
with the same HTTP statuses. So an answer settles something only in the gateway's documented error
envelope, and only by its code, never by its message. This module does not know payments or rows.

DOKU does not document whether it signs its answers to Check Status. `statuses` accepts an unsigned
one that names our number and our amount: its FAILED, read twice, settles a charge if only another
attempt follows from it. It never causes a permanent effect (a cancellation, an expired wallet, an
uncollectible invoice, the release of a refund's money): an operator decides that.
"""

import re
from collections.abc import Collection
from enum import StrEnum

from billing.gateway.envelopes import Complaint, Envelope, fold


class Trust(StrEnum):
    """What an answer's signature proves."""

    VERIFIED = "verified"
    MISSING = "no_signature"
    WRONG = "wrong_signature"


class Ending(StrEnum):
    """What an answer without a result settles."""

    DECLINED = "declined"  # refused permanently
    UNSENT = "unsent"  # this sending was stopped before its body was read
    ABSENT = "absent"  # the order or token does not exist
    OPEN = "open"  # nothing: the gateway does not know, or received the request before
    FOREIGN = "foreign"  # nothing: not a form that the gateway is known to use


# Checked before the body, in this order: headers, time, Client-Id, signature (seen in DOKU's
# sandbox). A request that is rejected with one of these codes has charged nothing.
TURNED_AWAY = frozenset(
    {
        "invalid_header_request",
        "request_time_out_of_range",
        "invalid_client_id",
        "invalid_signature",
    }
)
# Listed for DOKU's OVO Open API by a third party, and in the glossary of DOKU's newer reference.
NO_SUCH_ORDER = frozenset({"not_found", "transaction_not_found"})
NO_SUCH_CUSTOMER = frozenset({"not_found"})
# The last two are SNAP's case 401xx04 and the API page's own status, as codes.
NO_SUCH_TOKEN = frozenset({"not_found", "invalid_token", "token_not_found", "token_expired"})

# Codes for a request that was received before, so an earlier copy may have succeeded. These words,
# and the words below, leave an outcome unknown; none of them settles an outcome.
_SEEN_BEFORE = re.compile(
    r"duplicat|idempoten|conflict|unique|(number|invoice|order|request_id)_exist"
    r"|(already|has_been|have_been)_(been_)?(used|exist|paid|process|submitted|refunded|complet)"
    r"|(sudah|telah)_(digunakan|dipakai|dibayar|diproses|ada)"
)
# Sent with a 4xx, but not a refusal: the gateway does not know, or contradicts itself.
_UNDECIDED = re.compile(
    r"timed?_?out|in_progress|in_process|(still|being|is)_process|pending"
    r"|server_error|(^|_)success"
)


def ending(
    http_status: int,
    trust: Trust,
    said: Complaint | None,
    *,
    is_known: bool,
    is_about_us: bool = False,
    absent: Collection[str] = (),
    moves_money: bool = True,
) -> Ending:
    """
    Return what an answer without a result settles, by the first rule that matches.

    `is_known`: the fault table has its code. `is_about_us`: its body names our own order or token.
    `absent` are the codes that mean "does not exist" for this call.
    """
    code = "" if said is None else fold(said.code)
    documented = said is not None and said.envelope is Envelope.DOCUMENTED
    if http_status == 429 and trust is not Trust.WRONG:
        # A rate limit acts before the body is read; the same Request-Id is sent again.
        return Ending.UNSENT
    if http_status >= 500 or http_status == 408:
        return Ending.OPEN
    if said is None or not documented or http_status < 400:
        return Ending.FOREIGN
    if code in TURNED_AWAY and http_status != 409:
        # An answer that rejects our signature was signed with a different key, so its own signature
        # cannot be valid.
        believed = trust is not Trust.WRONG or code == "invalid_signature"
        return Ending.UNSENT if believed else Ending.FOREIGN
    if trust is Trust.WRONG:
        return Ending.FOREIGN
    if http_status == 409:
        return Ending.OPEN
    if code in absent:
        return Ending.ABSENT
    if _UNDECIDED.search(said.words) or (moves_money and _SEEN_BEFORE.search(said.words)):
        return Ending.OPEN
    if is_known or is_about_us or trust is Trust.VERIFIED:
        return Ending.DECLINED
    return Ending.FOREIGN
