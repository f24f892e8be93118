"""Text that people typed: which characters a name, a title or an id may have.

It knows characters and lengths, not what a text is for. A line is shown on terminals and sent to
the gateway, so it has no control characters, no line breaks and nothing that turns its direction.
"""

from collections.abc import Sequence

from billing.domain.errors import InvalidValue

ZERO_WIDTH_NON_JOINER, ZERO_WIDTH_JOINER = "\u200c", "\u200d"
_JOINERS = {ord(ZERO_WIDTH_NON_JOINER): None, ord(ZERO_WIDTH_JOINER): None}
"""Persian names and emoji are written with them; `str.isprintable` refuses every format character,
which includes the ones that turn the direction of text."""


def is_line(value: str) -> bool:
    """Tell whether a text is printable on one line; joiners between letters are allowed."""
    return value.isprintable() or _without_joiners(value).isprintable()


def checked_name(what: str, value: str, longest: int) -> str:
    """Return a name or a title, or raise InvalidValue."""
    _check_length(what, value, longest)
    if not is_line(value):
        raise InvalidValue(f"{what} must be printable text on one line")
    return value


def checked_id(what: str, value: str, longest: int) -> str:
    """Return an id or a code, or raise InvalidValue.

    It has no joiners: two ids that look the same would be two customers.
    """
    _check_length(what, value, longest)
    if not value.isprintable():
        raise InvalidValue(f"{what} must be printable text on one line")
    return value


def one_of(what: str, choices: Sequence[str], given: str) -> str:
    """Say which words are accepted: `--as must be succeeded or declined, not 'lost'`."""
    *most, last = choices
    accepted = f"{', '.join(most)} or {last}" if most else last
    return f"{what} must be {accepted}, not {given!r}"


def _check_length(what: str, value: str, longest: int) -> None:
    if not _without_joiners(value).strip():
        raise InvalidValue(f"{what} must not be empty")
    if len(value) > longest:
        raise InvalidValue(f"{what} must have at most {longest} characters, not {len(value)}")


def _without_joiners(value: str) -> str:
    return value.translate(_JOINERS)
