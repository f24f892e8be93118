"""Wallet calls of the sandbox: bind, confirm, list tokens, balance, unbind.

It decides and records; it knows neither signatures nor connections, and every body has passed
`shapes`.
"""

import secrets
from datetime import timedelta

from billing.sandbox.faults.kinds import Action
from billing.sandbox.protocol.answers import Answer, Json, error, success
from billing.sandbox.state.book import Book, fold_phone
from billing.sandbox.state.clock import later
from billing.sandbox.state.events import BindingAsked, BindingConfirmed, Unbound
from billing.sandbox.state.records import Binding, Wallet

REGISTRATION_PATH = "/ovo-open-api/registration/sessionId/"

TOKEN_LIFE = timedelta(days=365)
"""Token is valid for 1 year (API page, Get List Token)."""


def bind(book: Book, request_id: str, body: Json, base_url: str) -> Answer:
    """Start linking a customer's wallet; it is linked when the customer has confirmed."""
    customer, account = body["customer"], body["ovo_account"]
    now, phone = book.clock.now(), account["account_mobile_phone"]
    wallet = book.wallet(customer["id"])
    if wallet.status(now) == "bound":
        return error(400, "account_error", "Customer already has an active OVO token")
    if _taken(book, phone, customer["id"]):
        return error(400, "account_error", "OVO account is already bound to another customer")
    wait = book.defaults.auto_confirm_seconds
    session_id = secrets.token_hex(20)
    book.record(
        BindingAsked(
            at=now,
            request_id=request_id,
            customer=customer,
            phone=phone,
            session_id=session_id,
            success_url=account["success_registration_url"],
            failed_url=account["failed_registration_url"],
            confirm_at=None if wait is None else later(now, timedelta(seconds=wait)),
        )
    )
    if wait == 0:
        confirm(book, book.bindings[session_id])
    link = {"registration_url": base_url + REGISTRATION_PATH + session_id, "status": "PENDING"}
    return success(201, {"customer": customer, "ovo_account": link})


def confirm(book: Book, binding: Binding) -> str | None:
    """Confirm with OTP and PIN; returns why it is refused, or None when the wallet is linked."""
    if binding.state == "void":
        return "a newer registration has replaced this one"
    if binding.state == "confirmed":
        return "this registration has been used already"
    if _taken(book, binding.phone, binding.customer_id):
        return "OVO account is already bound to another customer"
    now = book.clock.now()
    book.record(
        BindingConfirmed(now, binding.session_id, secrets.token_hex(16), later(now, TOKEN_LIFE))
    )
    return None


def list_tokens(book: Book, body: Json) -> Answer:
    """Return the customer's live token, or no `wallet` at all."""
    customer_id = body["customer"]["id"]
    wanted = (body.get("token_data") or {}).get("type")
    answer: Json = {
        "customer": {"id": customer_id},
        "token_data": {"type": wanted or "WALLET_RECURRING"},
    }
    wallet = book.wallets.get(customer_id)
    if wallet is not None and wallet.profile.get("name"):
        answer["customer"]["name"] = wallet.profile["name"]
    listed = wallet is not None and wallet.status(book.clock.now()) == "bound"
    if wallet is not None and listed and wanted in {None, "WALLET_RECURRING"}:
        answer["wallet"] = {
            "issuer": "OVO",
            "token_id": wallet.token_id,
            "masked_phone_number": masked(wallet),
        }
    return success(200, answer)


def balance(book: Book, body: Json) -> Answer:
    """Return cash and points of a linked wallet."""
    wallet = book.wallets.get(body["customer"]["id"])
    if wallet is None or not wallet.holds(body["ovo_account"]["token_id"]):
        return error(400, "invalid_token", "Token is not known for this customer")
    if wallet.status(book.clock.now()) == "expired":
        return error(400, "token_expired", "Token has expired")
    balances = {"ovo_cash_balance": wallet.cash, "ovo_point_balance": wallet.points}
    return success(201, {"customer": wallet.profile, "ovo_account": balances})


def unbind(book: Book, request_id: str, body: Json, scripted: Action | None) -> Answer:
    """Delete a token, expired or not; an unknown or deleted one is not found."""
    customer, token_id = body["customer"], body["ovo_account"]["token_id"]
    wallet = book.wallets.get(customer["id"])
    if wallet is None or not wallet.holds(token_id):
        return error(404, "not_found", "Token not found")
    account = {"token_id": token_id}
    if scripted is not None and scripted.kind == "failed":
        account |= {"status": "FAILED", "message": scripted.message}
    else:
        book.record(Unbound(book.clock.now(), request_id, customer["id"]))
        account |= {"status": "SUCCESS", "message": "Success Unbinding Ovo Account"}
    return success(201, {"customer": customer, "ovo_account": account})


def masked(wallet: Wallet) -> str | None:
    """`****3021`: eight characters, as on the API page."""
    return None if wallet.phone is None else "****" + wallet.phone[-4:]


def _taken(book: Book, phone: str, customer_id: str) -> bool:
    return book.phones.get(fold_phone(phone), customer_id) != customer_id
