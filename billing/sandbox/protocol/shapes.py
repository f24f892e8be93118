"""The fields of each call's body, as strict as the API page.

Where the page contradicts itself the smallest length counts, and amounts are whole JSON numbers.
It checks the form only: it knows no customer, no wallet and no earlier payment.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from billing.sandbox.protocol.answers import Json

AMOUNT_MAX = 9_999_999_999
"""`number (10)` on the API page."""

_NUMBER = re.compile(r"[A-Za-z0-9_-]{3,32}")
# Indonesian numbers only, in either form that the API page itself uses.
_PHONE = re.compile(r"(?:62|0)[0-9]{7,17}")
_URL = re.compile(r"https?://[^\s/]+\S*")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class Form(NamedTuple):
    """A check of one value, and a description of a valid one."""

    accepts: Callable[[object], bool]
    wants: str


class Field(NamedTuple):
    """One parameter of a body; `section` is the object it stands in, empty for the body itself."""

    section: str
    name: str
    form: Form
    mandatory: bool = False


def _text(longest: int, shortest: int = 0) -> Form:
    return Form(
        lambda value: isinstance(value, str) and shortest <= len(value) <= longest,
        f"a text of {shortest} to {longest} characters",
    )


def _pattern(pattern: re.Pattern[str], longest: int, wants: str) -> Form:
    return Form(
        lambda value: (
            isinstance(value, str) and len(value) <= longest and bool(pattern.fullmatch(value))
        ),
        wants,
    )


def _is_whole(value: object, lowest: int) -> bool:
    # A JSON true is also a Python int: only the exact type is accepted.
    return type(value) is int and lowest <= value <= AMOUNT_MAX


def _is_line_item(item: object) -> bool:
    if not isinstance(item, dict) or not _is_whole(item.get("quantity"), 1):
        return False
    name, price = item.get("name"), item.get("price")
    return (name is None or isinstance(name, str)) and (price is None or _is_whole(price, 0))


_ID = _text(50, 1)
_TOKEN = _text(128, 1)
_FLAG = Form(lambda value: isinstance(value, bool), "true or false")
_OBJECT = Form(lambda value: isinstance(value, dict), "an object")
_AMOUNT = Form(lambda value: _is_whole(value, 1), f"a whole number from 1 to {AMOUNT_MAX}")
_INVOICE = _pattern(_NUMBER, 32, "3 to 32 characters of A-Z, a-z, 0-9, _ and -")
_LINK = _pattern(_URL, 2048, "a URL of at most 2048 characters")
_ITEMS = Form(
    lambda value: isinstance(value, list) and all(map(_is_line_item, value)),
    "a list of items with a whole quantity, and a name and a whole price if any",
)
_RECURRING = Form(lambda value: value == "RECURRING", "RECURRING")
_TOKEN_TYPES = frozenset({"DIRECT_DEBIT", "CREDIT_CARD", "WALLET", "WALLET_RECURRING"})
_TOKEN_TYPE = Form(
    lambda value: isinstance(value, str) and value in _TOKEN_TYPES,
    "one of " + ", ".join(sorted(_TOKEN_TYPES)),
)

_CUSTOMER = (
    Field("customer", "id", _ID, mandatory=True),
    Field("customer", "name", _text(50)),
    Field("customer", "email", _pattern(_EMAIL, 255, "an e-mail address")),
    Field("customer", "phone", _text(20)),
    Field("customer", "additional_info", _text(20)),
)

FIELDS: dict[str, tuple[Field, ...]] = {
    "bind": (
        *_CUSTOMER,
        Field(
            "ovo_account",
            "account_mobile_phone",
            _pattern(_PHONE, 20, "a phone number, 62… or 0…"),
            mandatory=True,
        ),
        Field("ovo_account", "account_email", _text(255)),
        Field("ovo_account", "success_registration_url", _LINK, mandatory=True),
        Field("ovo_account", "failed_registration_url", _LINK, mandatory=True),
        Field("", "service_type", _RECURRING, mandatory=True),
    ),
    "tokens": (
        Field("customer", "id", _ID, mandatory=True),
        Field("token_data", "type", _TOKEN_TYPE),
    ),
    "balance": (
        Field("customer", "id", _ID, mandatory=True),
        Field("ovo_account", "token_id", _TOKEN, mandatory=True),
    ),
    "pay": (
        *_CUSTOMER,
        Field("", "additional_info", _OBJECT),
        Field("order", "invoice_number", _INVOICE, mandatory=True),
        Field("order", "line_items", _ITEMS),
        Field("order", "amount", _AMOUNT, mandatory=True),
        Field("ovo_account", "token_id", _TOKEN, mandatory=True),
        Field("ovo_account", "payment_use_ovo_point", _FLAG),
        Field("ovo_account", "first_payment", _FLAG),
    ),
    "refund": (
        Field("order", "invoice_number", _INVOICE, mandatory=True),
        Field("payment", "original_request_id", _TOKEN, mandatory=True),
        Field("refund", "amount", _AMOUNT, mandatory=True),
        Field("refund", "reason", _text(255)),
    ),
    "unbind": (
        Field("customer", "id", _ID, mandatory=True),
        Field("customer", "name", _text(50, 1), mandatory=True),
        Field("ovo_account", "token_id", _TOKEN, mandatory=True),
    ),
}


def fault(call: str, body: Json) -> str | None:
    """Say in one sentence what is wrong with a body, or return None."""
    for section, name, form, mandatory in FIELDS[call]:
        holder = body.get(section) if section else body
        path = f"{section}.{name}" if section else name
        if holder is None:
            value = None
        elif isinstance(holder, dict):
            value = holder.get(name)
        else:
            return f"{section} must be an object"
        if value is None:
            if mandatory:
                return f"{path} is mandatory"
        elif not form.accepts(value):
            return f"{path} must be {form.wants}"
    return None
