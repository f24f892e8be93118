"""Expressions: SQL text for members of an enum, instants and notices; it knows no table."""

from enum import StrEnum

from billing.domain.instants import HOME_TIMEZONE
from schedules.durations import LENGTHS, LIMITS, SPELLINGS


def listed(column: str, values: type[StrEnum] | tuple[str, ...]) -> str:
    """Write `column IN (…)` for an enum or some of its members."""
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def spoken(column: str) -> str:
    """Return SQL that formats an instant for people, as `billing.domain.instants.spoken` does.

    The engine's time zone has the same offset all year and lies east of UTC.
    """
    local = f"{column} AT TIME ZONE '{HOME_TIMEZONE}'"
    offset = f"to_char(({local}) - ({column} AT TIME ZONE 'UTC'), 'HH24:MI')"
    return f"to_char({local}, 'YYYY-MM-DD HH24:MI:SS') || '+' || {offset}"


def is_notice(column: str) -> str:
    """Write a condition: the text is a notice as `schedules.durations` stores it, never NULL.

    PostgreSQL reads exactly these texts as an interval of the same length.
    """
    word = f"substring({column} FROM '[a-z]+$')"
    number = f"CAST(substring({column} FROM '^[0-9]+') AS bigint)"
    units = " ".join(
        f"WHEN {word} IN ({', '.join(repr(each) for each in SPELLINGS if SPELLINGS[each] is unit)})"
        f" THEN {number} BETWEEN 1 AND {LIMITS[unit]}"
        for unit in LENGTHS
    )
    return (
        f"CASE WHEN {column} IS NULL OR {column} !~ '^[0-9]{{1,12}} ?[a-z]+$' THEN false"
        f" {units} ELSE false END"
    )
