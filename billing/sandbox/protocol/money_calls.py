"""Money calls of the sandbox: pay, refund, status, and the ends of open payments.

It decides and records; it knows neither signatures nor connections, and every body has passed
`shapes`. A payment's status becomes REFUNDED only when all of it was refunded; a partial refund
leaves SUCCESS.
"""

from datetime import timedelta
from typing import NamedTuple

from billing.sandbox.faults.kinds import Action
from billing.sandbox.protocol.answers import Answer, Json, declined, error, success
from billing.sandbox.state.book import Book
from billing.sandbox.state.clock import later
from billing.sandbox.state.events import PaymentEnded, PaymentMade, RefundMade, TokenExpired
from billing.sandbox.state.records import Row, Wallet


class _Verdict(NamedTuple):
    status: str
    refusal: Answer | None = None
    code: str | None = None


def pay(book: Book, request_id: str, body: Json, scripted: Action | None) -> Answer:
    """Charge a token once; every payment that is decided uses up its invoice number."""
    order, account, customer_id = body["order"], body["ovo_account"], body["customer"]["id"]
    if order["invoice_number"] in book.payments:
        return error(400, "invoice_already_used", "INVOICE ALREADY USED")
    now = book.clock.now()
    payment = PaymentMade(
        at=now,
        request_id=request_id,
        number=order["invoice_number"],
        customer_id=customer_id,
        amount=order["amount"],
        use_points=account.get("payment_use_ovo_point") or False,
        first_payment=account.get("first_payment"),
        status="",
    )
    wallet = book.wallets.get(customer_id)
    if wallet is None or not wallet.holds(account["token_id"]):
        verdict = _declined(payment, 400, "invalid_token", "Token is not known for this customer")
    elif wallet.status(now) == "expired":
        verdict = _Verdict("TOKEN_EXPIRED")
    elif scripted is not None:
        verdict = _scripted_verdict(book, payment, wallet, scripted)
    elif not wallet.affords(payment.amount, use_points=payment.use_points):
        verdict = _declined(payment, 400, "insufficient_funds", "Insufficient OVO balance")
    else:
        verdict = _Verdict("SUCCESS")
    payment.status, payment.code = verdict.status, verdict.code
    book.record(payment)
    if verdict.refusal is not None:
        return verdict.refusal
    return success(201, _receipt(body, verdict.status))


def refund(book: Book, request_id: str, body: Json, scripted: Action | None) -> Answer:
    """Refund all or part of a succeeded payment, points first; also after its token was deleted."""
    number, original = body["order"]["invoice_number"], body["payment"]["original_request_id"]
    payment = book.payments.get(number)
    if payment is None or payment.request_id != original:
        return error(404, "not_found", "Original transaction not found")
    amount, status, message = body["refund"]["amount"], "SUCCESS", "SUCCESS"
    refusal: Answer | None = None
    if payment.status not in {"SUCCESS", "REFUNDED"}:
        status, message = "FAILED", "NOT_PAID"
    elif amount > payment.amount - payment.refunded:
        status, message = "FAILED", "EXCEEDED"
    elif scripted is not None:
        status, message = "FAILED", scripted.message
        if scripted.kind == "decline":
            message = scripted.code
            refusal = declined(scripted.http_status, scripted.code, scripted.message, number)
    code = message if status == "FAILED" else None
    book.record(RefundMade(book.clock.now(), request_id, number, amount, status, code))
    if refusal is not None:
        return refusal
    given_back = body["refund"] | {"status": status, "message": message}
    return success(201, {"order": body["order"], "payment": body["payment"], "refund": given_back})


def status(book: Book, identifier: str, scripted: Action | None) -> Answer:
    """
    Return a payment by number or Request-Id, or a refund by its own Request-Id.

    A refund's answer has the refund's amount and type REFUND; its `original_request_id` is the
    payment's, as in all answers. A payment that got TOKEN_EXPIRED is not found.
    """
    row = find(book, identifier)
    if row is not None and row.number in book.open:
        _count_query(book, row.number)
    if scripted is not None and scripted.kind == "decline":
        return error(scripted.http_status, scripted.code, scripted.message)
    shown = None if row is None or row.status == "TOKEN_EXPIRED" else row.status
    if scripted is not None:
        shown = None if scripted.status == "NOT_FOUND" else scripted.status
    if shown is None:
        return error(404, "not_found", "Order not found")
    order: Json = {"invoice_number": identifier}
    transaction: Json = {"status": shown, "type": "SALE"}
    if row is not None:
        paid = book.payments[row.number or ""]
        order = {"invoice_number": row.number, "amount": row.amount}
        transaction["type"] = "REFUND" if row.kind == "refund" else "SALE"
        transaction |= {"date": row.at, "original_request_id": paid.request_id}
    return success(
        200,
        {
            "order": order,
            "transaction": transaction,
            "service": {"id": "EMONEY"},
            "acquirer": {"id": "OVO", "name": "OVO"},
            "channel": {"id": "EMONEY_OVO"},
        },
    )


def find(book: Book, identifier: str) -> Row | None:
    """Return the row that a status query asks for."""
    return (
        book.payments.get(identifier)
        or book.payments_by_request.get(identifier)
        or book.refunds.get(identifier)
    )


def end_payment(book: Book, number: str) -> None:
    """End an open payment as it was scripted; SUCCESS without enough money becomes FAILED."""
    waiting = book.open[number]
    end = waiting.end
    wallet = book.wallets[waiting.row.customer_id]
    if end == "SUCCESS" and not wallet.affords(waiting.row.amount, use_points=waiting.use_points):
        end = "FAILED"
    book.record(PaymentEnded(book.clock.now(), number, end))


def _count_query(book: Book, number: str) -> None:
    waiting = book.open[number]
    if waiting.queries_left is None:
        return
    if waiting.queries_left == 0:
        end_payment(book, number)
    else:
        waiting.queries_left -= 1


def _declined(payment: PaymentMade, http_status: int, code: str, message: str) -> _Verdict:
    return _Verdict("FAILED", declined(http_status, code, message, payment.number), code)


def _scripted_verdict(
    book: Book, payment: PaymentMade, wallet: Wallet, scripted: Action
) -> _Verdict:
    if scripted.kind == "decline":
        return _declined(payment, scripted.http_status, scripted.code, scripted.message)
    if scripted.kind == "failed":
        return _Verdict("FAILED", code=scripted.message)
    payment.end, payment.end_after_queries = scripted.end, scripted.after_queries
    if scripted.after_seconds is not None:
        payment.end_at = later(payment.at, timedelta(seconds=scripted.after_seconds))
    if scripted.kind == "pending":
        return _Verdict("PENDING")
    if scripted.end is None:
        # Without a later end the customer has to link the wallet again, so it must be possible.
        book.record(TokenExpired(payment.at, wallet.customer_id))
    return _Verdict("TOKEN_EXPIRED")


def _receipt(body: Json, shown: str) -> Json:
    return {
        "customer": body["customer"],
        "additional_info": body.get("additional_info") or {},
        "order": body["order"],
        "payment": {"status": shown},
    }
