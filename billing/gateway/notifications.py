"""Notifications: check the signature of a message that DOKU sends to us, and read it.

Pure functions of headers and bytes; they do not know HTTP servers, rows or the clock. The age of a
message is not checked: DOKU repeats a notification for 12 hours, and it is only a hint.
"""

import hmac
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final
from uuid import UUID

from billing.domain.notifications import Notification, Said
from billing.gateway import codec, signing
from billing.gateway.envelopes import Block, fold, parse, text, whole

BODY_MAX = 65_536
"""Bytes; a notification has about one thousand."""
_HEADERS: Final = ("client-id", "request-id", "request-timestamp", "signature")
_VALUE = re.compile(r"[!-~]{1,512}")

# A refund that was executed is asked about by its own Request-Id. A PENDING says nothing new.
_OTHER_NEWS = frozenset(
    {"refunded", "refund", "voided", "void", "reversed", "reversal", "pending", "redirect"}
)
_SAID = {"success": Said.SUCCEEDED, "failed": Said.FAILED, "expired": Said.FAILED}


class Refusal(StrEnum):
    """Why a notification is refused."""

    NOT_SIGNED = "not signed by the gateway for this client and path"
    UNREADABLE = "not a notification"


class OtherNews:
    """A signed message about something else than the outcome of a payment."""


OTHER_NEWS: Final = OtherNews()


def judge(
    headers: Iterable[tuple[str, str]], body: bytes, *, client_id: str, secret: bytes, target: str
) -> Notification | OtherNews | Refusal:
    """Check the signature over exactly these bytes, then read them.

    `target` is the path of our own notification URL, which DOKU signs (DOKU, HTTP Notification
    best practice). Nothing of an unsigned body is read.
    """
    if not is_signed(headers, body, client_id=client_id, secret=secret, target=target):
        return Refusal.NOT_SIGNED
    document = parse(body, unique_names=True)
    return Refusal.UNREADABLE if document is None else _read(document)


def is_signed(
    headers: Iterable[tuple[str, str]], body: bytes, *, client_id: str, secret: bytes, target: str
) -> bool:
    """Whether the four headers, in any case, sign these bytes for our Client-Id and path.

    A header that occurs twice, or has a blank or another letter than ASCII inside, is refused.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        key, stripped = name.lower(), value.strip()
        if key in _HEADERS:
            if key in found or not _VALUE.fullmatch(stripped):
                return False
            found[key] = stripped
    if len(found) < len(_HEADERS) or not secret or not client_id:
        return False
    sender, request_id, timestamp, signature = (found[name] for name in _HEADERS)
    if not hmac.compare_digest(sender.encode(), client_id.encode()):
        return False
    component = signing.notification_component(
        client_id, request_id, timestamp, target, signing.digest(body)
    )
    return signing.verify(secret, component, signature.encode())


def _read(document: Block) -> Notification | OtherNews | Refusal:
    """Read the outcome of a payment; fields that are not needed are ignored, and may be missing."""
    order, transaction = document.get("order", {}), document.get("transaction", {})
    if not isinstance(order, dict) or not isinstance(transaction, dict):
        return Refusal.UNREADABLE
    said = fold(text(transaction, "status"))
    if said in _OTHER_NEWS or fold(text(transaction, "type")) in _OTHER_NEWS:
        return OTHER_NEWS
    if not transaction or document.get("refund"):
        return OTHER_NEWS
    number = text(order, "invoice_number")
    amount = whole(order.get("amount"))
    if amount is None and order.get("amount") is not None:
        return Refusal.UNREADABLE
    return Notification(
        said=_SAID.get(said, Said.OTHER),
        request_id=_uuid(text(transaction, "original_request_id")),
        number=number if codec.NUMBER.fullmatch(number) else None,
        amount=amount,
    )


def _uuid(value: str) -> UUID | None:
    """Read a Request-Id of ours, which is a UUID in its usual form."""
    try:
        found = UUID(value)
    except ValueError:
        return None
    return found if str(found) == value.lower() else None
