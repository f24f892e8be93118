"""Codec: write the JSON of every request to DOKU, after checking values against DOKU's limits.

Amounts are whole, booleans are JSON booleans, and empty fields are left out. The same value always
gives the same bytes. This module does not know signatures, HTTP or answers.
"""

import re

import orjson

from billing.domain.errors import InvalidValue
from billing.domain.outcomes import Binding, Payer, Payment, RefundOrder
from billing.gateway.urls import URL_MAX, is_url

# Where the API page names two limits for one field, the smaller one counts.
CUSTOMER_ID_MAX = 50
NAME_MAX = 50
PHONE_MAX = 20
EMAIL_MAX = 255
TOKEN_MAX = 128
REASON_MAX = 255
AMOUNT_MAX = 9_999_999_999
# The page sets no limit for an item's name; this is its usual limit for free text.
ITEM_NAME_MAX = 255

NUMBER = re.compile(r"[A-Za-z0-9_-]{3,32}")
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_PATH_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,128}")
_DIGITS = re.compile(r"[0-9]{1,20}")

Block = dict[str, object]


def payment(value: Payment) -> bytes:
    """Write the body of `payment-recurring`; raises `InvalidValue` when a value exceeds a limit."""
    number, amount = checked_number(value.number), checked_amount("order.amount", value.amount)
    order: Block = {"invoice_number": number}
    if value.description.strip():
        item = {"name": value.description[:ITEM_NAME_MAX], "price": amount, "quantity": 1}
        order["line_items"] = [item]
    order["amount"] = amount
    account: Block = {
        "token_id": _token(value.token),
        "payment_use_ovo_point": value.use_points,
        "first_payment": value.first_payment,
    }
    return _json({"customer": _customer(value.payer), "order": order, "ovo_account": account})


def binding(value: Binding) -> bytes:
    """Write the body of a binding request; raises `InvalidValue`."""
    if not _DIGITS.fullmatch(value.wallet_phone):
        raise InvalidValue("the wallet's phone must be 1 to 20 digits in the form 62…")
    account: Block = {}
    if value.payer.email.strip():
        account["account_email"] = value.payer.email
    account["account_mobile_phone"] = value.wallet_phone
    account["success_registration_url"] = _return_url("success", value.success_url)
    account["failed_registration_url"] = _return_url("failure", value.failure_url)
    return _json(
        {
            "customer": _customer(value.payer),
            "ovo_account": account,
            "service_type": "RECURRING",
        }
    )


def token_list(customer_id: str) -> bytes:
    """Write the body of `Get List Token`, for recurring wallets only."""
    return _json(
        {
            "customer": {"id": _required("customer.id", customer_id, CUSTOMER_ID_MAX)},
            "token_data": {"type": "WALLET_RECURRING"},
        }
    )


def balance(customer_id: str, token: str) -> bytes:
    """Write the body of a balance request."""
    return _json(
        {
            "customer": {"id": _required("customer.id", customer_id, CUSTOMER_ID_MAX)},
            "ovo_account": {"token_id": _token(token)},
        }
    )


def refund(value: RefundOrder) -> bytes:
    """Write the body of a refund; raises `InvalidValue`."""
    body: Block = {"amount": checked_amount("refund.amount", value.amount)}
    if value.reason.strip():
        body["reason"] = _limited("refund.reason", value.reason, REASON_MAX)
    return _json(
        {
            "order": {"invoice_number": checked_number(value.number)},
            "payment": {"original_request_id": checked_request_id(value.charge_request_id)},
            "refund": body,
        }
    )


def unbinding(payer: Payer, token: str) -> bytes:
    """Write the body of `token-delete`. The customer's name is mandatory; its default is the id."""
    name = payer.name if payer.name.strip() else payer.id
    return _json(
        {
            "customer": {
                "id": _required("customer.id", payer.id, CUSTOMER_ID_MAX),
                "name": _limited("customer.name", name, NAME_MAX),
            },
            "ovo_account": {"token_id": _token(token)},
        }
    )


def checked_request_id(value: str) -> str:
    """Return a Request-Id that is valid in a header: 1 to 128 visible ASCII characters."""
    if not _REQUEST_ID.fullmatch(value):
        raise InvalidValue("a Request-Id must be 1 to 128 visible ASCII characters")
    return value


def is_path_segment(value: str) -> bool:
    """Whether a number or Request-Id has the same form in a path as in its signature."""
    return _PATH_SEGMENT.fullmatch(value) is not None


def checked_number(value: str) -> str:
    """Return a gateway number of 3 to 32 letters, digits, `_` and `-`."""
    if not NUMBER.fullmatch(value):
        raise InvalidValue("a gateway number must be 3 to 32 letters, digits, _ or -")
    return value


def checked_amount(field: str, value: int) -> int:
    """Return an amount of whole rupiah within the gateway's ten digits."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= AMOUNT_MAX:
        raise InvalidValue(f"{field} must be whole rupiah from 1 to {AMOUNT_MAX}")
    return value


def _customer(payer: Payer) -> Block:
    block: Block = {"id": _required("customer.id", payer.id, CUSTOMER_ID_MAX)}
    for field, value, limit in (
        ("name", payer.name, NAME_MAX),
        ("phone", payer.phone, PHONE_MAX),
        ("email", payer.email, EMAIL_MAX),
    ):
        if value.strip():
            block[field] = _limited(f"customer.{field}", value, limit)
    return block


def _return_url(which: str, url: str) -> str:
    if not is_url(url):
        raise InvalidValue(f"the {which} URL must be http(s), without blanks, up to {URL_MAX}")
    return url


def _token(value: str) -> str:
    return _required("ovo_account.token_id", value, TOKEN_MAX)


def _required(field: str, value: str, limit: int) -> str:
    if not value.strip():
        raise InvalidValue(f"{field} must not be empty")
    return _limited(field, value, limit)


def _limited(field: str, value: str, limit: int) -> str:
    if len(value) > limit:
        raise InvalidValue(f"{field} has {len(value)} characters, the gateway takes {limit}")
    return value


def _json(body: Block) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise InvalidValue("a text cannot be written as UTF-8") from error
