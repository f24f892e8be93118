"""Text that people typed: which characters a name, a title or an id may have.

This module does not know the purpose of a text. A line is shown on terminals and sent to the
gateway, so it must have no control characters, no line breaks and nothing that changes its
direction.
"""

import re
from collections.abc import Sequence

from billing.domain.errors import InvalidValue

ZERO_WIDTH_NON_JOINER, ZERO_WIDTH_JOINER = "\u200c", "\u200d"
_JOINERS = {ord(ZERO_WIDTH_NON_JOINER): None, ord(ZERO_WIDTH_JOINER): None}
"""Persian names and emoji need them; `str.isprintable` refuses every format character, including
those that change the direction of text."""


_SEPARATORS = re.compile(r"(?<=[0-9])[ .-](?=[0-9])")


def is_line(value: str) -> bool:
    """Whether a text is printable on one line; joiners between letters are allowed."""
    return value.isprintable() or _without_joiners(value).isprintable()


def checked_name(what: str, value: str, longest: int, *, field: str = "") -> str:
    """Return a name or a title, or raise InvalidValue."""
    _check_length(what, value, longest, field)
    if not is_line(value):
        raise InvalidValue(f"{what} must be printable text on one line", field=field)
    return value


def checked_id(what: str, value: str, longest: int, *, field: str = "") -> str:
    """Return an id or a code, or raise InvalidValue.

    An id has no joiners: two ids that look the same would be two customers.
    """
    _check_length(what, value, longest, field)
    if not value.isprintable():
        raise InvalidValue(f"{what} must be printable text on one line", field=field)
    return value


def indonesian_phone(written: str) -> str:
    """Return a phone number in the form `62…`; `08…` and `+62…` are accepted, with separators.

    Other texts are returned unchanged: whether they are acceptable is the caller's decision.
    """
    digits = _SEPARATORS.sub("", written)
    if digits.startswith("+62"):
        return digits[1:]
    return f"62{digits[1:]}" if digits.startswith("08") else digits


def one_of(what: str, choices: Sequence[str], given: str) -> str:
    """Return a message that lists the accepted words: `--as must be succeeded or declined, …`."""
    *most, last = choices
    accepted = f"{', '.join(most)} or {last}" if most else last
    return f"{what} must be {accepted}, not {given!r}"


def _check_length(what: str, value: str, longest: int, field: str) -> None:
    if not _without_joiners(value).strip():
        raise InvalidValue(f"{what} must not be empty", field=field)
    if len(value) > longest:
        said = f"{what} must have at most {longest} characters, not {len(value)}"
        raise InvalidValue(said, field=field)


def _without_joiners(value: str) -> str:
    return value.translate(_JOINERS)
