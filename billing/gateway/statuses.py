"""Statuses: convert DOKU's answer to Check Status, about a payment or refund, to an outcome.

This call is separate because it is a GET: its signature, its 404 and its list of statuses follow
other rules. Nothing is sent here, and when to query again is decided elsewhere.
"""

from dataclasses import replace

from billing.domain.outcomes import (
    OTHER_AMOUNT,
    OTHER_AMOUNT_GONE,
    Declined,
    Fault,
    NotFound,
    Pending,
    StatusOutcome,
    Succeeded,
    Unknown,
    Waiting,
)
from billing.gateway.envelopes import Block, Envelope, block, complaint, fold, parse, text, whole
from billing.gateway.refusals import Answer, odd_status, unsettled
from billing.gateway.trust import NO_SUCH_ORDER, Ending, Trust, ending

# `REFUNDED`: the money had moved; the refund is recorded separately. `VOIDED`, `REVERSED`,
# `CANCELLED` and `TIMEOUT` are omitted on purpose: only an operator may settle a charge with one of
# these.
_OUTCOMES: dict[str, StatusOutcome] = {
    "success": Succeeded(),
    "refunded": Succeeded(is_refunded=True),
    "pending": Pending(Waiting.CUSTOMER),
    "redirect": Pending(Waiting.CUSTOMER),
    "failed": Declined(Fault.OTHER, "failed"),
    "expired": Declined(Fault.OTHER, "expired"),
}


def status(answer: Answer, identifier: str, number: str, amount: int) -> StatusOutcome:
    """
    Judge the answer about `identifier`, which is our gateway number or a Request-Id.

    DOKU does not document whether it signs this answer, and which text it signs. So an answer with
    a wrong signature is never believed, and one without a signature only when it names both our
    number and our amount: TLS proves the sender, and those two prove the payment. The outcome of a
    failure records whether it was signed: an unsigned failure ends nothing permanently.
    """
    if answer.status == 404:
        return _no_such_order(answer)
    if not 200 <= answer.status < 300:
        return unsettled(answer)
    if answer.trust is Trust.WRONG:
        return Unknown(answer.trust)
    document = parse(answer.body)
    if document is None:
        return unsettled(answer)
    if block(document, "transaction"):
        return _transaction(document, answer.trust, identifier, number, amount)
    return _without_transaction(document, answer, number)


def _no_such_order(answer: Answer) -> StatusOutcome:
    """
    Read a 404: "not found" only in the documented envelope, and with a code that says so.

    DOKU's own 404 is not known. A signed one, whose signature covers our request, may have no code
    or another one. A page of a proxy or firewall proves nothing.
    """
    said = complaint(answer.body)
    if answer.trust is Trust.WRONG:
        return Unknown(answer.trust)
    found = ending(404, answer.trust, said, is_known=False, absent=NO_SUCH_ORDER)
    if found is Ending.ABSENT:
        return NotFound()
    is_object = said is not None and said.envelope is not Envelope.OTHER
    is_signed = answer.trust is Trust.VERIFIED and found in {Ending.DECLINED, Ending.FOREIGN}
    return NotFound() if is_signed and is_object else unsettled(answer, said)


def _transaction(
    document: Block, trust: Trust, identifier: str, number: str, amount: int
) -> StatusOutcome:
    order, transaction = block(document, "order"), block(document, "transaction")
    by_request = identifier != number
    refund = block(document, "refund") if by_request else {}
    stated_number, stated_amount = text(order, "invoice_number"), order.get("amount")
    stated_amount = refund.get("amount", stated_amount)
    if stated_number and stated_number != number:
        return Unknown("other_number")
    said = fold(text(transaction, "status"))
    if stated_amount is not None and whole(stated_amount) != amount:
        ended = f"{OTHER_AMOUNT}_{said}"
        is_gone = ended in OTHER_AMOUNT_GONE and not by_request
        return Unknown(ended if is_gone else OTHER_AMOUNT, amount=whole(stated_amount))
    if trust is Trust.MISSING and (not stated_number or stated_amount is None):
        return Unknown(trust)
    if by_request and not _answers_request(transaction, identifier, said, has_block=bool(refund)):
        return Unknown("other_request")
    outcome = _OUTCOMES.get(said) or odd_status(said)
    if isinstance(outcome, Declined):
        return replace(outcome, is_signed=trust is Trust.VERIFIED)
    return outcome


def _answers_request(transaction: Block, identifier: str, said: str, *, has_block: bool) -> bool:
    """
    Whether a record is the refund that a query by its Request-Id asked for.

    The payment's record must not be taken for the refund's, even with the same amount: so the
    record must say that it is a refund, or name the Request-Id. A payment becomes REFUNDED by any
    of its refunds, so this status counts only with the Request-Id.
    """
    if text(transaction, "original_request_id") == identifier:
        return True
    kind = fold(text(transaction, "type"))
    is_refund = kind == "refund" or (has_block and not kind)
    return is_refund and said != "refunded"


def _without_transaction(document: Block, answer: Answer, number: str) -> StatusOutcome:
    """
    Read an answer without a transaction: not found, unless it names something of ours.

    One of DOKU's own shop plugins expects this answer for an unknown order. An unsigned `{}` may
    come from any server.
    """
    if answer.trust is not Trust.VERIFIED:
        return Unknown(answer.trust)
    order = block(document, "order")
    if text(order, "invoice_number") not in {"", number}:
        return Unknown("other_number")
    if text(order, "status"):
        return odd_status(fold(text(order, "status")))
    if document.get("transaction") or document.get("payment"):
        return unsettled(answer)
    said = complaint(answer.body)
    if said is not None and fold(said.code) not in NO_SUCH_ORDER:
        return unsettled(answer, said)
    return NotFound()
