"""Convert command-line words to values, or raise one line that says what is valid.

Numbers are read here and not by Typer: a wrong value is a refusal (exit 1), and only a wrong
usage is Typer's (exit 2).
"""

import getpass
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.cli import engine
from billing.domain.errors import InvalidValue, NotKnown
from billing.domain.events import OPERATOR, Actor
from billing.domain.instants import HOME_TIMEZONE
from billing.domain.money import checked_amount
from billing.domain.short_ids import part_of
from billing.domain.text import checked_id, checked_name
from schedules.durations import add, parse_duration
from schedules.walltime import ScheduleError, place, quoted

if TYPE_CHECKING:
    from billing.services.context import Request

NAME_MAX = 50
KEY_MAX = 200
REASON_MAX = 255
"""The gateway's limit for a refund's reason."""
PAGE_MAX = 10_000
WHO = "Customer id; or what leads to one customer: a phone's last four digits, a name, a row's id."
MANY = 1_000_000


def operator(reason: str | None, who: str | None = None) -> Actor:
    """Return the person who gives this command, with the reason."""
    if reason is not None and len(reason) > REASON_MAX:
        raise InvalidValue(f"--reason must have at most {REASON_MAX} characters, not {len(reason)}")
    name = _user() if who is None else checked_name("--by", who, NAME_MAX)
    return Actor(name, reason)


def request(
    key: str | None, command: str, by: Actor, **given: str | int | None
) -> "Request | None":
    """Return a command that acts once with its idempotency key; None without one."""
    if key is None:
        return None
    from billing.services.context import Request

    checked_id("--idempotency-key", key, KEY_MAX)
    said = {**given, "reason": by.reason}
    kept = {name: value for name, value in said.items() if value is not None}
    return Request(f"cli:{key}", command, kept)


def _user() -> str:
    """Return the name of the system's user; a container may have a user without one."""
    try:
        return checked_name("the user name", getpass.getuser(), NAME_MAX)
    except (KeyError, OSError, InvalidValue):
        return OPERATOR.name


def identity(text: str, what: str) -> UUID:
    """Parse an id, or find the one row of a kind that a short id names.

    Raises NotKnown when there is none, InvalidValue when there are several.
    """
    try:
        return UUID(text)
    except ValueError:
        part = part_of(text)
    if part is None:
        raise NotKnown(f"{quoted(text)} is not the id of any {what}; see: billing {what} list")
    with engine.rows() as database:
        from billing.services.reading import short_ids

        return short_ids.whole(database, what, text, part)


def charge_name(text: str) -> str:
    """Return a charge's id for a short one; a gateway number stays as it is."""
    try:
        return str(identity(text, "charge"))
    except NotKnown:
        return text


def amount(text: str) -> int:
    """Parse whole rupiah, digits only."""
    if not _is_digits(text):
        raise InvalidValue(f"amount must be whole rupiah, digits only, not {quoted(text)}")
    return checked_amount(int(text))


def whole(text: str, what: str, most: int = MANY) -> int:
    """Parse a whole number from 1 to `most`."""
    if not _is_digits(text) or not 1 <= int(text) <= most:
        raise InvalidValue(f"{what} must be a whole number from 1 to {most}, not {quoted(text)}")
    return int(text)


def pairs(texts: Sequence[str], option: str, form: str) -> dict[str, str]:
    """Parse options in the form NAME=VALUE; each name may appear once."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign):
            raise InvalidValue(f"{option} must be {form}, not {quoted(text)}")
        if name in found:
            raise InvalidValue(f"{option} is given twice for {quoted(name)}")
        found[name] = value
    return found


def not_both(option: str, **others: object) -> None:
    """Refuse options that cannot be combined with `option`; unset ones are None or False.

    Silently ignoring an option would be worse than a refusal: the operator set it on purpose.
    """
    given = [name for name, value in others.items() if value not in {None, False}]
    if given:
        raise InvalidValue(f"{option} or --{given[0].replace('_', '-')}, not both")


def page(text: str) -> int:
    """Parse the maximum number of rows of a list."""
    return whole(text, "--limit", PAGE_MAX)


def span(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Parse the instants between which rows were created; a date is its midnight at home."""
    begin = None if since is None else instant(since, what="an ISO 8601 date or instant")
    end = None if until is None else instant(until, what="an ISO 8601 date or instant")
    if begin is not None and end is not None and begin >= end:
        raise InvalidValue("--from must be before --to")
    return begin, end


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def instant(
    text: str, timezone: str = HOME_TIMEZONE, what: str = "an ISO 8601 instant"
) -> datetime:
    """Parse an ISO 8601 instant; without an offset it is local time in `timezone`."""
    zone = ZoneInfo(timezone)
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = place(moment, zone)
        return moment.astimezone(zone)
    except (ValueError, OverflowError):
        raise InvalidValue(
            f"{quoted(text)} is not {what}; write 2026-01-31T09:00:00+07:00,"
            f" or 2026-01-31T09:00 for local time in {timezone}"
        ) from None


def moment(text: str, timezone: str = HOME_TIMEZONE) -> datetime:
    """Parse a start: an instant, or a local time without an offset, which stays naive.

    The engine places it in the plan's timezone; inside a spring gap only this form keeps the hour.
    """
    at = instant(text, timezone)
    written = datetime.fromisoformat(text.strip())
    return written if written.tzinfo is None else at


def later(now: datetime, duration: str) -> datetime:
    """Return the instant after a duration such as "30d", counted in local days."""
    zone = ZoneInfo(HOME_TIMEZONE)
    try:
        return add(parse_duration(duration), now, zone).astimezone(zone)
    except ScheduleError as error:
        raise InvalidValue(str(error)) from None
