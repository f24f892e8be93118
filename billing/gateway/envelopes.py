"""Envelopes: read DOKU's JSON, amounts and error messages, in all shapes that were seen.

`answers` decides what an error means for a payment. Text for a log or a row leaves this module
without phones, e-mail addresses and tokens.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from http import HTTPStatus
from typing import Never

from billing.gateway.codec import AMOUNT_MAX

Block = Mapping[str, object]

TEXT_MAX = 120
CODE_MAX = 64
WORDS_MAX = 2000

_NUMERIC = re.compile(r"([0-9]{1,12})(?:\.0{1,6})?")
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])')
_EMAIL = re.compile(r"\S+@\S+")
_LONG_WORD = re.compile(r"(?=[A-Za-z0-9+/=_-]*[0-9])[A-Za-z0-9+/=_-]{20,}")
_PHONE = re.compile(r"\+?[0-9*](?:[ .-]?[0-9*]){5,}")
# What web frameworks and proxies answer without a handler; not DOKU's business logic.
_UNROUTED = re.compile(r"no static resource|no route|no handler|cannot (get|post) /", re.IGNORECASE)
_PHRASES = frozenset(status.phrase.lower() for status in HTTPStatus)


class Envelope(StrEnum):
    """The shape of an error answer."""

    DOCUMENTED = "documented"  # an object `error` with code, message and type, all of them text
    OBJECT = "object"  # an object `error` that lacks one of these
    OTHER = "other"  # any other shape that was seen


@dataclass(frozen=True, slots=True)
class Complaint:
    """
    The gateway's reason, scrubbed. If the answer has no code, `code` is its folded message.

    `about` is the order or token that the answer names with it, if any.
    """

    code: str
    message: str
    unscrubbed: str = field(default="", repr=False, compare=False)
    envelope: Envelope = field(default=Envelope.OTHER, compare=False)
    about: str = field(default="", repr=False, compare=False)

    @property
    def words(self) -> str:
        """Code and message as one folded text, for a search of words; the text is never shown."""
        return fold(self.unscrubbed or f"{self.code} {self.message}")


def parse(
    body: bytes, *, trailing_commas: bool = False, unique_names: bool = False
) -> Block | None:
    """
    Read a JSON object; None for anything else: an empty body, HTML, a list, half a document.

    The API page's sample of a binding answer has a comma before a closing brace; `trailing_commas`
    accepts this for that one answer. `unique_names` refuses an object that has a name twice.
    """
    try:
        text = body.decode()
        if trailing_commas:
            text = _TRAILING_COMMA.sub(lambda match: match[1] or "", text)
        document = json.loads(
            text, parse_float=Decimal, parse_constant=_refuse,
            object_pairs_hook=_unique if unique_names else None,
        )  # fmt: skip
    except (ValueError, ArithmeticError, RecursionError):  # arithmetic: 1e999999999999999999999
        return None
    return document if isinstance(document, dict) else None


def block(parent: Block, name: str) -> Block:
    """Return the object called `name`, or an empty one when it is missing or not an object."""
    child = parent.get(name)
    return child if isinstance(child, dict) else {}


def text(parent: Block, name: str) -> str:
    """Return the string called `name`; a number as written, anything else as an empty string."""
    child = parent.get(name)
    if isinstance(child, str):
        return child.strip()
    return str(child) if isinstance(child, int) and not isinstance(child, bool) else ""


def fold(value: str) -> str:
    """Normalise a spelling: `CREDIT CARD`, `credit_card` and `Credit-Card` become equal."""
    return re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")


def whole(value: object) -> int | None:
    """Read whole rupiah from 100000, 100000.00 or "100000.00"; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        match = _NUMERIC.fullmatch(value.strip())
        value = int(match[1]) if match else None
    if not isinstance(value, int | Decimal) or not 0 <= value <= AMOUNT_MAX:
        return None
    return int(value) if value == int(value) else None


def complaint(body: bytes) -> Complaint | None:
    """
    Read a business error from any envelope observed from DOKU.

    None without an error, or when the error does not come from DOKU's business logic: a framework's
    error page and an unrouted path prove nothing about a payment.
    """
    document = parse(body)
    if document is None:
        return None
    error = document.get("error")
    if isinstance(error, dict):
        return _complaint(
            text(error, "code"), _joined(error.get("message")), _shape(document, error),
            text(block(document, "order"), "invoice_number")
            or text(block(document, "ovo_account"), "token_id"),
        )  # fmt: skip
    if isinstance(error, str) and "timestamp" in document and "path" in document:
        return None
    code = text(document, "code") or text(document, "response_code")
    if isinstance(error, str) and error.lower() not in _PHRASES:
        code = code or error.strip()
    message = _joined(document.get("error_messages")) or _joined(document.get("message"))
    return _complaint(code, message)


def scrub(value: str, limit: int = TEXT_MAX) -> str:
    """Return one short line without e-mail addresses, phones, and words that may be tokens."""
    start = value[: 4 * limit]
    if len(value) > len(start):
        start = start.rpartition(" ")[0]  # half a token would not be recognised
    line = " ".join(start.split())
    line = _LONG_WORD.sub("[…]", _EMAIL.sub("[…]", line))
    line = _PHONE.sub("[…]", line)
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line[:limit]


def _shape(document: Block, error: Block) -> Envelope:
    """Return the shape of an error; an error beside a result contradicts it and is not DOKU's."""
    is_whole = all(isinstance(error.get(name), str) for name in ("code", "message", "type"))
    has_result = any(block(document, name) for name in ("payment", "refund", "transaction"))
    documented = is_whole and text(error, "code") and text(error, "type") and not has_result
    return Envelope.DOCUMENTED if documented else Envelope.OBJECT


def _complaint(
    code: str, message: str, envelope: Envelope = Envelope.OTHER, about: str = ""
) -> Complaint | None:
    if not code and (_UNROUTED.search(message) or message.lower().rstrip(".") in {"", *_PHRASES}):
        return None
    # Codes are sometimes numbers; these are shorter than a phone number.
    clean = code if re.fullmatch(r"[A-Za-z_.-]{1,64}|[A-Za-z0-9_.-]{1,9}", code) else ""
    clean = clean or scrub(code, CODE_MAX) or fold(scrub(message, CODE_MAX)) or "unnamed"
    return Complaint(clean, scrub(message), f"{code} {message}"[:WORDS_MAX], envelope, about)


def _joined(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Sequence):
        return "; ".join(item.strip() for item in value if isinstance(item, str))
    return ""


def _unique(pairs: list[tuple[str, object]]) -> Block:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
