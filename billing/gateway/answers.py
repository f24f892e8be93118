"""Answers: convert DOKU's answers to outcomes; believe only signed ones about our own order.

Several spellings and shapes of an answer are accepted. Nothing is sent and no signature is checked
here: an `Answer` contains what its signature proves.
"""

import re
from collections.abc import Iterable

from billing.domain.outcomes import (
    Balance,
    BalanceOutcome,
    BindingStarted,
    BindOutcome,
    Declined,
    Fault,
    Outcome,
    Pending,
    RefundOrder,
    RefundOutcome,
    Succeeded,
    Token,
    Tokens,
    TokensOutcome,
    UnbindOutcome,
    Unknown,
    Waiting,
)
from billing.gateway.codec import TOKEN_MAX
from billing.gateway.envelopes import Block, block, fold, parse, scrub, text, whole
from billing.gateway.faults import Faults
from billing.gateway.refusals import Absent, Answer, judged, odd_status, refusal, unsettled
from billing.gateway.trust import NO_SUCH_CUSTOMER, NO_SUCH_TOKEN, Trust
from billing.gateway.urls import is_private_url

_TOKEN = re.compile(rf"[!-~]{{1,{TOKEN_MAX}}}")
_UNBOUND = frozenset({"success", "deleted", "deleted_token", "inactive"})


def payment(answer: Answer, number: str, amount: int, faults: Faults) -> Outcome:
    """
    Judge the answer to a charge of `amount` rupiah under our gateway `number`.

    The API page names SUCCESS, PENDING and TOKEN_EXPIRED. Any other status, including FAILED, is
    not final: a status query follows.
    """
    if not answer.carries_result:
        return refusal(answer, faults, ours=number)
    document = _believed(answer)
    if isinstance(document, Unknown):
        return document
    order = block(document, "order")
    if text(order, "invoice_number") != number:
        return _strange("other_number")
    if whole(order.get("amount")) != amount:
        return _strange("other_amount")
    match fold(text(block(document, "payment"), "status")):
        case "success":
            return Succeeded()
        case "pending":
            return Pending(Waiting.CUSTOMER)
        case "token_expired":
            return Pending(Waiting.TOKEN_EXPIRED)
        case other:
            return odd_status(other)


def refund(answer: Answer, ours: RefundOrder, faults: Faults) -> RefundOutcome:
    """Judge the answer to a refund. The API page names FAILED here, so FAILED is final."""
    if not answer.carries_result:
        return refusal(answer, faults, ours=ours.number)
    document = _believed(answer)
    if isinstance(document, Unknown):
        return document
    result = block(document, "refund")
    original = text(block(document, "payment"), "original_request_id")
    if text(block(document, "order"), "invoice_number") != ours.number:
        return _strange("other_number")
    if original and original != ours.charge_request_id:
        return _strange("other_request")
    if whole(result.get("amount")) != ours.amount:
        return _strange("other_amount")
    match fold(text(result, "status")):
        case "success":
            return Succeeded()
        case "failed":
            return Declined(Fault.OTHER, "refund_failed", scrub(text(result, "message")))
        case other:
            return odd_status(other)


def binding(answer: Answer, faults: Faults, plain_host: str = "") -> BindOutcome:
    """
    Read the URL that the customer must open; it must be private, with any host.

    The page's sample lacks the phone that the page calls mandatory, and is not valid JSON.
    """
    if not answer.carries_result:
        return refusal(answer, faults, moves_money=False)
    document = _believed(answer, trailing_commas=True)
    if isinstance(document, Unknown):
        return document
    account = block(document, "ovo_account")
    status = fold(text(account, "status"))
    if status not in {"", "pending"}:
        return odd_status(status)
    url = text(account, "registration_url")
    if not is_private_url(url, plain_host):
        return _strange("no_registration_url")
    return BindingStarted(url)


def tokens(answer: Answer, customer_id: str, faults: Faults) -> TokensOutcome:
    """
    Read the customer's recurring OVO tokens from one `wallet`, a list, `wallets` or `tokens`.

    One unreadable entry makes the whole list unknown: otherwise a linked wallet could look
    unlinked.
    """
    if not answer.carries_result:
        absent = NO_SUCH_CUSTOMER if answer.status == 404 else ()
        outcome = judged(answer, faults, absent=absent, moves_money=False)
        return Tokens(()) if isinstance(outcome, Absent) else outcome
    document = _believed(answer)
    if isinstance(document, Unknown):
        return document
    if text(block(document, "customer"), "id") not in {"", customer_id}:
        return _strange("other_customer")
    kind = text(block(document, "token_data"), "type")
    found: dict[str, Token] = {}
    for entry in _entries(document):
        if not isinstance(entry, dict):
            return _strange("unreadable_token")
        if not entry or not _is_recurring_ovo(entry, kind):
            continue
        token = text(entry, "token_id")
        if not _TOKEN.fullmatch(token):
            return _strange("unreadable_token")
        found[token] = Token(token, text(entry, "masked_phone_number"))
    return Tokens(tuple(found.values()))


def balance(answer: Answer, faults: Faults) -> BalanceOutcome:
    """Read cash and points; without a points programme, points may be missing."""
    if not answer.carries_result:
        return refusal(answer, faults, moves_money=False)
    document = _believed(answer)
    if isinstance(document, Unknown):
        return document
    account = block(document, "ovo_account")
    cash, points = whole(account.get("ovo_cash_balance")), account.get("ovo_point_balance")
    whole_points = 0 if points is None else whole(points)
    if cash is None or whole_points is None:
        return _strange("unreadable_balance")
    return Balance(cash, whole_points)


def unbinding(answer: Answer, token: str, faults: Faults) -> UnbindOutcome:
    """Judge the answer to an unbinding; a token that is already deleted counts as deleted."""
    if not answer.carries_result:
        outcome = judged(answer, faults, ours=token, absent=NO_SUCH_TOKEN, moves_money=False)
        return Succeeded() if isinstance(outcome, Absent) else outcome
    document = _believed(answer)
    if isinstance(document, Unknown):
        return document
    account = block(document, "ovo_account")
    if text(account, "token_id") not in {"", token}:
        return _strange("other_token")
    status = fold(text(account, "status"))
    if status == "failed":
        return Declined(Fault.OTHER, "unbind_failed", scrub(text(account, "message")))
    return Succeeded() if status in _UNBOUND else odd_status(status)


def _strange(reason: str) -> Unknown:
    """Return unknown for an answer to another request, or from another sender than the gateway."""
    return Unknown(reason, unrecognised=True)


def _believed(answer: Answer, *, trailing_commas: bool = False) -> Block | Unknown:
    """Return the JSON of a signed answer; without a valid signature the outcome is unknown."""
    if answer.status == 409 and answer.trust is not Trust.VERIFIED:
        return unsettled(answer)
    if answer.trust is not Trust.VERIFIED:
        return _strange(answer.trust)
    document = parse(answer.body, trailing_commas=trailing_commas)
    return unsettled(answer) if document is None or document.get("error") else document


def _entries(document: Block) -> Iterable[object]:
    for name in ("wallet", "wallets", "tokens"):
        entries = document.get(name)
        if isinstance(entries, list):
            yield from entries
        elif entries is not None:
            yield entries


def _is_recurring_ovo(entry: Block, kind: str) -> bool:
    """Whether an entry is a live OVO token for recurring charges; missing fields are accepted."""
    issuer, own_kind = fold(text(entry, "issuer")), fold(text(entry, "type") or kind)
    is_ended = fold(text(entry, "status")) in {"inactive", "deleted", "expired"}
    return issuer in {"", "ovo"} and own_kind in {"", "wallet_recurring"} and not is_ended
