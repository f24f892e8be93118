"""Expressions: SQL text for members of an enum and for instants; this module knows no table."""

from enum import StrEnum

from billing.domain.instants import HOME_TIMEZONE


def listed(column: str, values: type[StrEnum] | tuple[StrEnum, ...]) -> str:
    """Write `column IN (…)` for an enum or some of its members."""
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


def spoken(column: str) -> str:
    """Return SQL that formats an instant for people, as `billing.domain.instants.spoken` does.

    The engine's time zone has the same offset all year and lies east of UTC.
    """
    local = f"{column} AT TIME ZONE '{HOME_TIMEZONE}'"
    offset = f"to_char(({local}) - ({column} AT TIME ZONE 'UTC'), 'HH24:MI')"
    return f"to_char({local}, 'YYYY-MM-DD HH24:MI:SS') || '+' || {offset}"
