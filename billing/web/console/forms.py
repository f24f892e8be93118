"""Forms: the fields of an action, and what a person wrote into them, read and checked.

A wrong value raises InvalidValue with the name of its field, so that the form is shown again with
one line there. This module knows no action.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from billing.domain.errors import InvalidValue
from billing.domain.money import checked_amount
from billing.domain.text import checked_name
from billing.web.console.display import Display

TEXT_MAX = 100
COUNT_MAX = 1_000_000
_GROUPED = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*|\d+", re.ASCII)
_WHEN = "%Y-%m-%dT%H:%M"


class Field(NamedTuple):
    """One field: a text, an amount, a count, a choice, a check or an instant."""

    name: str
    label: str
    kind: str = "text"
    options: tuple[tuple[str, str], ...] = ()
    hint: str = ""
    required: bool = False
    value: str = ""
    known: tuple[str, ...] = ()
    """Values that the browser offers."""
    length: int = TEXT_MAX


class Form(NamedTuple):
    """An action's form; its texts are marked for translation.

    `path` is its address below that of its subject, if it is not its name.
    """

    name: str
    title: str
    button: str
    explains: str
    fields: tuple[Field, ...] = ()
    danger: bool = False
    path: str = ""

    @property
    def place(self) -> str:
        """Return its address below that of its subject."""
        return self.path or self.name

    def with_field(self, name: str, **changes: object) -> "Form":
        """Return the form with one field changed."""
        fields = tuple(
            each._replace(**changes) if each.name == name else each  # type: ignore[arg-type]
            for each in self.fields
        )
        return self._replace(fields=fields)

    def without(self, name: str) -> "Form":
        """Return the form without a field."""
        return self._replace(fields=tuple(each for each in self.fields if each.name != name))


class Values:
    """What was written into a form."""

    def __init__(self, form: Mapping[str, str], display: Display) -> None:
        self._form, self._display = form, display

    def text(self, name: str, what: str) -> str:
        """Return a text that must be given."""
        return checked_name(what, self._form.get(name, "").strip(), TEXT_MAX, field=name)

    def optional(self, name: str, what: str) -> str | None:
        """Return a text, or None for an empty one."""
        return self.text(name, what) if self._form.get(name, "").strip() else None

    def amount(self, name: str) -> int | None:
        """Return whole rupiah, written with or without separators; None for an empty field."""
        written = self._form.get(name, "").strip()
        if not written:
            return None
        bare = written.removeprefix("Rp").strip()
        if len(bare) > 20 or not _GROUPED.fullmatch(bare):
            raise InvalidValue("write whole rupiah, such as 50000 or 50,000", field=name)
        return checked_amount(int(re.sub(r"[.,]", "", bare)))

    def count(self, name: str) -> int | None:
        """Return a whole number from 1; None for an empty field."""
        written = self._form.get(name, "").strip()
        if not written:
            return None
        if not re.fullmatch(r"\d{1,7}", written, re.ASCII) or not 1 <= int(written) <= COUNT_MAX:
            raise InvalidValue(f"write a whole number from 1 to {COUNT_MAX:,}", field=name)
        return int(written)

    def choice(self, form: Form, name: str) -> str:
        """Return the chosen option."""
        [field] = [each for each in form.fields if each.name == name]
        chosen = self._form.get(name, "") or field.value
        if chosen not in {value for value, _ in field.options}:
            raise InvalidValue("choose one of these", field=name)
        return chosen

    def is_checked(self, name: str) -> bool:
        """Whether a box is checked."""
        return self._form.get(name, "") == "yes"

    def instant(self, name: str) -> datetime | None:
        """Return an instant that was written in the viewer's zone; None for an empty field."""
        written = self._form.get(name, "").strip()
        if not written:
            return None
        try:
            local = datetime.strptime(written, _WHEN).replace(
                tzinfo=ZoneInfo(self._display.timezone)
            )
        except ValueError:
            raise InvalidValue(
                "write a date and a time, such as 2026-12-31T09:00", field=name
            ) from None
        if not 2000 <= local.year <= 2200:
            raise InvalidValue("write a year from 2000 to 2200", field=name)
        return local
