"""Cron expressions as text: refuse what parsers misread, before anything reads a schedule.

This module knows the fields, how people write them, and what parsers misread. It knows no dates:
the calendar decides whether an expression ever fires.
"""

import re
from collections.abc import Iterator

from schedules.walltime import ScheduleError, quoted

FIELDS = (
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day", "1-31 or L"),
    ("month", "1-12"),
    ("weekday", "0-7 or SUN-SAT, n#k for the k-th, Ln for the last"),
    ("second", "0-59"),
)
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def tidy(expression: str) -> str:
    """
    Put one space between the fields of a cron expression, and refuse what is misread.

    Five fields, or six with the seconds last. Random and hashed forms would change a due date at
    every reading, and croniter reads "5-5" as every value.
    """
    fields = expression.split()
    alias = ALIASES.get(" ".join(fields).lower())
    if alias:
        raise ScheduleError(f'write "{alias}" instead of {quoted(expression)}')
    if len(fields) not in {5, 6}:
        raise ScheduleError(
            f"{quoted(expression)} has {len(fields)} fields: write 5 (minute hour day month "
            "weekday), or 6 with the seconds last"
        )
    for (name, _), field in zip(FIELDS, fields, strict=False):
        where = f"the {name} {quoted(field)}"
        if re.match(r"[hr]($|[(/])", field, re.IGNORECASE):
            raise ScheduleError(f"{where} is random, and a due date is not: write a number")
        equal = re.search(r"(?:^|,)(\w+)-\1(?=$|[,/])", field, re.IGNORECASE)
        if equal:
            raise ScheduleError(f"{where} is a range of one: write {quoted(equal[1])}")
    return " ".join(fields)


def each_alone(tidied: str) -> Iterator[tuple[str, str]]:
    """Yield each field with all others open, and the refusal for an invalid field."""
    fields = tidied.split()
    for position, (field, (name, values)) in enumerate(zip(fields, FIELDS, strict=False)):
        alone = ["*"] * len(fields)
        alone[position] = field
        refusal = f"the {name} {quoted(field)} is invalid: write {values}, a list or a range"
        yield " ".join(alone), refusal
