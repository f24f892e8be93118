"""Rendering: Jinja2 templates with the catalogue of a language, and the formats of a viewer.

Every value is escaped, and a name that a template does not have is an error. The catalogue is read
from its .po file at the first use, so that nothing has to be compiled.
"""

import gettext
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from uuid import UUID

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from billing.domain.escaping import escape
from billing.domain.people import ALLOWED, Action, Role
from billing.domain.short_ids import short
from billing.web.console import event_details, labels
from billing.web.console.display import NAMES, TIMEZONES, Display, Language
from billing.web.console.event_words import EVENTS
from billing.web.console.static_files import NAMES as STATIC

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"


def catalogue_file(language: Language) -> Path:
    """Return the catalogue of a language; English is the language of the templates."""
    return FOLDER / "locale" / f"{language}.po"


@cache
def translations(language: Language) -> gettext.NullTranslations:
    """Read the catalogue of a language."""
    if language is Language.EN:
        return gettext.NullTranslations()
    compiled = BytesIO()
    with catalogue_file(language).open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def _environment(language: Language) -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True,
        auto_reload=False,
    )  # fmt: skip
    words = translations(language)
    made.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.globals.update(
        static=lambda name: f"/console/static/{STATIC[name]}", languages=NAMES,
        timezones=TIMEZONES,
    )  # fmt: skip
    made.filters["plain"] = plain
    made.filters["short"] = lambda row_id: short(UUID(str(row_id)))
    return made


def plain(value: object) -> str:
    """Write text from outside without characters that would change the text around it."""
    return escape(str(value))


def _roles_of(label: Callable[[object], str], action: str) -> str:
    """Name the roles that may do an action, in the order of the matrix."""
    return ", ".join(label(role) for role in Role if role in ALLOWED[Action(action)])


def render(template: str, display: Display, **values: object) -> str:
    """Render a template for a viewer."""
    words = translations(display.language)

    def instant(at: datetime | None) -> Markup | str:
        if at is None:
            return "–"
        return Markup('<time datetime="{}">{}</time>').format(
            at.isoformat(timespec="seconds"), display.instant(at)
        )

    def label(word: object) -> str:
        known = labels.LABELS.get(str(word))
        return words.gettext(known) if known else str(word).replace("_", " ")

    def awaited(what: str) -> str:
        return labels.awaited(what, words.gettext)

    def every(written: str) -> str:
        number, _blank, unit = written.partition(" ")
        unit = unit.removesuffix("s")
        if unit not in labels.UNITS:
            return written
        one, many = labels.UNITS[unit]
        chosen = one if number == "1" else many
        return words.gettext(chosen) % {"n": number}

    def happened(kind: str) -> str:
        known = EVENTS.get(kind)
        return words.gettext(known) if known else kind

    def who(actor: str) -> str:
        return label(actor) if actor in labels.MACHINES else escape(actor)

    def details(data: Mapping[str, object], *beside: str | None) -> list[tuple[str, str]]:
        return event_details.lines(data, display, words.gettext, label, beside)

    formats: dict[str, Callable[..., object]] = {
        "rupiah": display.rupiah, "count": display.number, "span": display.span,
        "instant": instant, "label": label, "said": words.gettext,
        "happened": happened, "who": who, "details": details,
        "awaited": awaited, "every": every, "roles_of": partial(_roles_of, label),
    }  # fmt: skip
    page = _environment(display.language).get_template(template)
    return page.render(display=display, **formats, **values)
