"""Print one JSON document for programs, or short tables and lines for people.

Amounts, instants and statuses are formatted by key and type; there is no billing logic. Rich is
imported when something is printed for people. When stdout is not a terminal there is no colour, and
a table is as wide as the variable COLUMNS says; without it nothing is cut or wrapped.
"""

import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import typer

from billing.domain.documents import Row, document, ready, text
from billing.domain.escaping import escape
from billing.domain.instants import spoken, spoken_text
from billing.domain.money import rupiah
from billing.domain.short_ids import short

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from billing.domain.paging import Listed
    from billing.services.reading.results import Way

RowT = TypeVar("RowT", bound=Row)
MONEY = frozenset(
    {
        "amount", "amount_refunded", "amount_refunding", "amount_taken", "amount_kept",
        "amount_credited", "amount_from_charge", "amount_from_credit", "amount_remaining",
        "amount_paid_out", "shortfall", "cash", "points", "credit_balance", "credited", "remaining",
        "next_amount", "amount_yesterday", "amount_week_ago", "amount_waiting",
    }
)  # fmt: skip
STYLES = {
    "active": "green", "paid": "green", "succeeded": "green", "ok": "green",
    "pending": "yellow", "trialing": "cyan", "open": "cyan", "in_flight": "yellow",
    "requested": "yellow", "unlinking": "yellow", "paused": "yellow",
    "past_due": "red", "declined": "red", "unknown": "bold red", "uncollectible": "red",
    "warning": "yellow", "unpaid": "red", "failed": "red", "failing": "red", "expired": "red",
    "wrong": "bold red",
    "unreturned": "bold red", "returned_elsewhere": "green", "waived": "dim",
    "canceled": "dim", "completed": "dim", "void": "dim", "unlinked": "dim", "unsent": "dim",
}  # fmt: skip
INSTANT_ENDINGS = ("_at", "_to", "_until")
"""Keys of an event's data whose text is an instant."""
NOTHING = "–"
WIDE = 1000
"""Width without a terminal: more than any row needs."""


def answer(
    found: object, *, as_json: bool, people: Callable[[], None], done: object = None
) -> None:
    """Print what was found as one JSON document, or call `people` to print it as text.

    The document of a noun has the keys of the HTTP interface. What else a command did is in `done`.
    """
    if as_json:
        shown = ready(found)
        if isinstance(shown, dict) and done is not None:
            shown["done"] = ready(done)
        typer.echo(json.dumps(shown, default=text, indent=2))
    else:
        people()


def stream(rows: Iterable[Row]) -> None:
    """Print a JSON array row by row, in constant memory."""
    begun = False
    typer.echo("[", nl=False)
    for row in rows:
        shown = json.dumps(ready(row), default=text)
        typer.echo((",\n" if begun else "\n") + shown, nl=False)
        begun = True
    typer.echo("\n]")


def say(text: str) -> None:
    """Print one or more lines as text."""
    typer.echo(escape(text, keep="\n"))


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr if it is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def table(
    rows: Sequence[Row],
    columns: Sequence[str],
    *,
    empty: str,
    title: str = "",
    right: Collection[str] = MONEY,
) -> None:
    """Print rows as a table; a column is a key, its heading the key in words.

    If a row does not fit the terminal's width, each row becomes a block of lines: an id that is
    wrapped cannot be copied.
    """
    if not rows:
        say(empty)
        return
    if title:
        say(title)
    out, documents = console(), [document(row) for row in rows]
    if _width(documents, columns) > out.width:
        for number, row in enumerate(documents):
            say("" if number else "─" * 20)
            facts(row, columns)
        return
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for key in columns:
        drawn.add_column(_head(key), justify="right" if key in right else "left", no_wrap=True)
    for row in documents:
        drawn.add_row(*(_cell(key, row.get(key)) for key in columns))
    out.print(drawn)


def listed(
    found: "Listed[RowT]",
    columns: Sequence[str],
    *,
    empty: str,
    as_json: bool,
    people: Callable[[], None] | None = None,
    narrow: Sequence[str] = (),
    narrowest: Sequence[str] = (),
    full: bool = False,
) -> None:
    """Print a page of a list as a JSON array or a table; stderr says how to see the next page.

    Unless it is `full`, a table has the `narrow` columns, with short ids; where they do not fit,
    the `narrowest` ones, with instants to the minute.
    """

    def shown() -> None:
        if full or not narrow:
            table(found.rows, columns, empty=empty)
        else:
            rows = [_with_short_ids(row) for row in found.rows]
            if not narrowest or not rows or _width(rows, narrow) <= console().width:
                table(rows, narrow, empty=empty)
            else:
                table([_to_the_minute(row) for row in rows], narrowest, empty=empty)

    show = people or shown
    answer(found.rows, as_json=as_json, people=show)
    if found.next_cursor is not None:
        sys.stdout.flush()
        sys.stderr.write(f"more: add --after {found.next_cursor}\n")


def _with_short_ids(row: Row) -> dict[str, object]:
    return {
        name: short(value) if isinstance(value, UUID) else value
        for name, value in document(row).items()
    }


def _to_the_minute(row: dict[str, object]) -> dict[str, object]:
    def short_of(at: datetime) -> str:
        whole = spoken(at)
        return f"{whole[:16]} {whole[19:]}"

    return {
        name: short_of(value) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def marked(lines: Iterable[tuple[str, str, str]]) -> None:
    """Print a mark, a name and a sentence on each line; a sentence is wrapped below itself."""
    from textwrap import wrap

    from rich.text import Text

    out, shown = console(), list(lines)
    marks = max((len(mark) for mark, _, _ in shown), default=0)
    names = max((len(name) for _, name, _ in shown), default=0)
    for mark, name, sentence in shown:
        before = Text.assemble(
            (f"{mark:{marks}}", STYLES.get(mark, "")), f"  {escape(name):{names}}  "
        )
        parts = wrap(
            escape(sentence), max(out.width - len(before), 20), break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        text_below = f"\n{' ' * len(before)}".join(parts)
        out.print(before.append(text_below), soft_wrap=True)


def _width(rows: Sequence[dict[str, object]], columns: Sequence[str]) -> int:
    between = 3
    widest = [
        max(len(_head(key)), *(len(written(key, row.get(key))) for row in rows)) for key in columns
    ]
    return sum(widest) + between * (len(columns) - 1)


def _head(key: str) -> str:
    return key.removesuffix("_at").removesuffix("_count").replace("_", " ")


def facts(row: Row, keys: Sequence[str]) -> None:
    """Print selected values of a row, one per line; empty values are left out."""
    from rich.text import Text

    values = document(row)
    filled = [key for key in keys if values.get(key) not in (None, "", [])]
    width = max((len(_head(key)) for key in filled), default=0)
    out = console()
    for key in filled:
        line = Text.assemble((f"{_head(key):{width}}  ", "dim"), _cell(key, values[key]))
        out.print(line, soft_wrap=True)


def ways(known: "Sequence[Way]") -> None:
    """Print the commands that an operator can use now, one per line."""
    if not known:
        return
    commands = [command(way) for way in known]
    width = max(map(len, commands))
    say("you can")
    for line, way in zip(commands, known, strict=True):
        say(f"  {line:{width}}  {way.does}")


def command(way: "Way") -> str:
    """Format an available command, and from when it is accepted if it is refused until then."""
    at = way.from_at
    return f"from {written('from_at', at)}: {way.command}" if at else way.command


def written(key: str, value: object) -> str:
    """Format a value for people."""
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int() if key in MONEY:
            return rupiah(value)
        case datetime():
            return spoken(value)
        case str() if key.endswith(INSTANT_ENDINGS):
            return escape(spoken_text(value))
        case list():
            return ", ".join(written(key, item) for item in value)
        case dict():
            return " ".join(f"{escape(name)}={written(name, item)}" for name, item in value.items())
        case _:
            return escape(str(value))


def _cell(key: str, value: object) -> "Text":
    from rich.text import Text

    return Text(written(key, value), style=STYLES.get(str(value), ""))


def console() -> "Console":
    """Return the console for text; without a terminal as wide as COLUMNS says, else very wide."""
    from rich.console import Console

    terminal, said = sys.stdout.isatty(), os.environ.get("COLUMNS", "")
    piped = int(said) if said.isascii() and said.isdigit() and int(said) else WIDE
    return Console(
        force_terminal=terminal, width=None if terminal else piped, highlight=False, markup=False
    )
