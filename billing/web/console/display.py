"""Display: a viewer's language and time zone, and numbers, rupiah and instants written for them.

The choice is in a cookie of its own, so that the page of the log-in has it too. It says nothing
about who the viewer is.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from billing.domain.instants import HOME_TIMEZONE

COOKIE = "billing_display"
COOKIE_SECONDS = 365 * 86_400
TIMEZONES = (
    "Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura", "Asia/Manila", "Asia/Singapore",
    "Asia/Kolkata", "Europe/Berlin", "UTC",
)  # fmt: skip


class Language(StrEnum):
    """The languages of the pages, by their codes."""

    EN = "en"
    ID = "id"


NAMES = {Language.EN: "English", Language.ID: "Bahasa Indonesia"}
_UNITS = {
    Language.EN: ("d", "h", "min", "s"),
    Language.ID: ("hari", "jam", "menit", "detik"),
}
_SIZES = (86_400, 3_600, 60, 1)


class Display(NamedTuple):
    """How a viewer wants to read."""

    language: Language = Language.EN
    timezone: str = HOME_TIMEZONE

    def number(self, number: int) -> str:
        """Write a whole number with the separators of the language."""
        written = f"{number:,}"
        return written if self.language is Language.EN else written.replace(",", ".")

    def rupiah(self, amount: int) -> str:
        """Write an amount: `Rp 1,234,567` or `Rp1.234.567`."""
        return f"Rp {amount:,}" if self.language is Language.EN else f"Rp{self.number(amount)}"

    def instant(self, at: datetime) -> str:
        """Write an instant in the viewer's zone, with the zone: `2026-01-31 09:00 WIB`."""
        local = at.astimezone(ZoneInfo(self.timezone)).replace(microsecond=0)
        seconds = "seconds" if local.second else "minutes"
        return f"{local.replace(tzinfo=None).isoformat(' ', seconds)} {local.tzname()}"

    def span(self, seconds: int) -> str:
        """Write a duration in the largest unit of which there are at least two."""
        for unit, size in zip(_UNITS[self.language], _SIZES, strict=True):
            if seconds >= 2 * size or size == 1:
                return f"{seconds // size} {unit}"
        raise AssertionError(seconds)

    def cookie(self) -> str:
        """Write the choice for the cookie."""
        return f"{self.language}:{self.timezone}"


def chosen(language: str, timezone: str) -> Display:
    """Read a choice; what is not on offer becomes the default."""
    known = [each.value for each in Language]
    return Display(
        Language(language) if language in known else Language.EN,
        timezone if timezone in TIMEZONES else HOME_TIMEZONE,
    )


def of_cookie(written: str | None, accepted: str) -> Display:
    """Read the cookie; without one the browser's first language decides."""
    if written is None:
        first = re.match(r"[A-Za-z]*", accepted)
        return chosen(first[0].lower() if first else "", HOME_TIMEZONE)
    language, _, timezone = written.partition(":")
    return chosen(language, timezone)
