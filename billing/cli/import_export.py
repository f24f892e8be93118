"""`billing import` and `billing export`: CSV in and out."""

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from billing.cli import arguments, engine, options, output, records, refusals, rejects
from billing.domain.errors import BrokenOff, InvalidValue
from billing.domain.formulas import safe
from billing.domain.text import one_of

if TYPE_CHECKING:
    from billing.services.operating.importing import Report

LINES_KEPT = 4
"""Batches whose lines are kept: a bad row is detected at most two batches after it was read."""
KINDS = ("customers", "subscriptions")
COLUMNS = (
    "Columns of customers: id (the gateway's customer.id) and name; optional: phone (62… or 08…),"
    " email.\n\n"
    "Columns of subscriptions: id (your reference: a repeated one is added once, and billing"
    " subscription show finds it), customer, plan (its code), anchor (the first start, from which"
    " due dates are computed) and next_due_at (the first date that is charged here; it must be a"
    " due date of the anchor).\n\n"
    "Optional columns, with the default of an empty cell: quantity (1), amount (rupiah per period;"
    " the plan's price times quantity), paid_before (yes or no: with no, the next charge is a first"
    " payment; yes), token (of OVO; the first charge waits for a wallet), masked_phone (only its"
    " last four digits are shown; none), linked_at (when the token was linked, it expires one year"
    " later; now).\n\n"
    "Instants are ISO 8601; without an offset they are in the plan's time zone.\n\n"
)
SPAN = (
    "Rows are selected by created_at. With --by paid: invoices by paid_at; succeeded charges and"
    " refunds by settled_at, the instant at which the engine recorded it.\n\n"
    "A --from or --to without an offset is local time (Asia/Jakarta). Instants are printed in that"
    " time zone with their offset: 2026-12-01T03:00:00+07:00.\n\n"
    "Cells are separated by commas. A spreadsheet with Indonesian settings reads semicolons:"
    " --separator semicolon.\n\n"
    "Amounts are whole rupiah. Of a charge that succeeded, amount = kept + refunded + credited:"
    " refunded includes refunds in progress, credited was added to the customer's credit. Of an"
    " invoice, kept and refunded are the sums over its charges, credited is what credit paid, and"
    " amount_refunded is what was returned to the customer.\n\n"
)
IMPORT = COLUMNS + options.example("billing import customers customers.csv --dry-run")
EXPORT = SPAN + options.example(
    "billing export charges --from 2026-11-01 --to 2026-12-01 > november.csv"
)


class Separator(StrEnum):
    """What separates the cells of an export."""

    COMMA = "comma"
    SEMICOLON = "semicolon"

    @property
    def character(self) -> str:
        """Return the character."""
        return ";" if self is Separator.SEMICOLON else ","


def import_(
    kind: Annotated[str, typer.Argument(metavar="customers|subscriptions")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, UTF-8, with a header; - for a pipe.")
    ],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row without importing.")
    ] = False,
    backdate: Annotated[
        bool,
        typer.Option(
            "--backdate",
            help="Accept due dates further back than the limit; check with --dry-run first.",
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Import customers or running subscriptions of another system; repeating a file adds nothing.

    A bad row is written to FILE.rejected.csv (for a pipe: KIND.rejected.csv in the working folder)
    with its line number, the reason and its own cells; correct it there and import that file. It is
    readable by its owner only, because rows hold phones and tokens. Exit code 1 when there is one.
    """
    by = arguments.operator(reason, who)
    if kind not in KINDS:
        raise InvalidValue(one_of("the kind of an import", KINDS, kind))
    if kind == "customers" and backdate:
        raise InvalidValue("--backdate is for subscriptions; customers have no due dates")
    count = records.checked(file)
    rejected = rejects.place(file, kind)
    with engine.writing() as context, records.opened(file) as text:
        from billing.services.operating import importing

        numbered = enumerate(text, 1)
        names, passed_over = _columns(file, kind, numbered)
        memory = records.Memory(numbered, LINES_KEPT * importing.BATCH)
        rows, report = records.rows(memory, names, passed_over), importing.Report()
        if kind == "customers":
            reports = importing.customers(context, rows, by, dry_run=dry_run)
        else:
            reports = importing.subscriptions(context, rows, by, dry_run=dry_run, backdate=backdate)
        try:
            with output.progress("importing", count, quiet=as_json) as advance, closing(reports):
                for report in reports:
                    memory.keep(report.bad)
                    advance(report.added + report.there + len(report.bad))
        except (Exception, KeyboardInterrupt) as broken:
            raise _broken_off(broken, report, dry_run=dry_run) from broken
    found = _shown(kind, report, rejected, dry_run=dry_run)

    def people() -> None:
        _say(kind, report, rejected, dry_run=dry_run)

    if not report.bad:
        output.answer(found, as_json=as_json, people=people)
        return
    try:
        rejects.write(rejected, report.bad, names, memory.cells(passed_over))
    except InvalidValue as failed:
        raise InvalidValue(f"{failed}; {_counted(report, dry_run=dry_run)}") from None
    output.answer(found, as_json=as_json, people=people)
    raise typer.Exit(1)


def _shown(kind: str, report: "Report", rejected: Path, *, dry_run: bool) -> dict[str, object]:
    """Return the result of an import with the names that programs read."""
    found: dict[str, object] = {
        "added_count": report.added, "known_count": report.there,
        "rejected_count": len(report.bad), "rejects_file": str(rejected) if report.bad else None,
        "dry_run": dry_run,
    }  # fmt: skip
    if kind == "subscriptions":
        found["charged_now"] = report.charged_now.shown()
    return found


def _columns(file: Path, kind: str, numbered: Iterator[tuple[int, str]]) -> tuple[list[str], int]:
    """Return a file's column names, after the columns that only a reject file has."""
    from billing.services.operating import import_rows

    names = records.header(numbered)
    if not names:
        raise InvalidValue(f"{file} is empty; {import_rows.expected(kind)}")
    passed_over = len(rejects.HEADER) if tuple(names[:2]) == rejects.HEADER else 0
    import_rows.checked_header(kind, names[passed_over:])
    return names[passed_over:], passed_over


def _broken_off(broken: BaseException, report: "Report", *, dry_run: bool) -> BaseException:
    """Replace an error that interrupts the import by one that says how far it got."""
    interrupted = isinstance(broken, KeyboardInterrupt)
    why = refusals.one_line(broken) if isinstance(broken, Exception) else "interrupted"
    done = _counted(report, dry_run=dry_run)
    text = f"{why}; {done} before the import stopped; import the file again"
    if interrupted:
        sys.stderr.write(f"billing: {text}\n")
        return KeyboardInterrupt()
    return BrokenOff(text)


def _counted(report: "Report", *, dry_run: bool) -> str:
    would = "would be added" if dry_run else "added"
    return f"{report.added} {would}, {report.there} known already, {len(report.bad)} rejected"


def _say(kind: str, report: "Report", rejected: Path, *, dry_run: bool) -> None:
    """Print the result of an import."""
    would = "would be added" if dry_run else "added"
    output.say(f"{report.added} {would}, {report.there} known already")
    if kind == "subscriptions":
        output.say(
            f"{report.charged_now} {'would be' if dry_run else 'to be'} charged now, if their"
            " wallets are linked"
        )
    if report.bad:
        output.say(f"{len(report.bad)} rejected; see {rejected}")


def export(
    kind: Annotated[str, typer.Argument(metavar="invoices|charges|refunds")],
    since: Annotated[
        str, typer.Option("--from", metavar="ISO", help="Start of the span (inclusive).")
    ],
    until: Annotated[str, typer.Option("--to", metavar="ISO", help="End of the span (exclusive).")],
    by: Annotated[
        str,
        typer.Option("--by", metavar="created|paid", help="Which instant selects a row."),
    ] = "created",
    separator: Annotated[
        Separator, typer.Option("--separator", help="What separates the cells.")
    ] = Separator.COMMA,
    *,
    as_json: options.Json = False,
) -> None:
    """Export rows created, or paid, in a time span as CSV, oldest first."""
    begin, end = arguments.instant(since), arguments.instant(until)
    with engine.rows() as database:
        from billing.services.reading import exporting

        rows = exporting.export(database, kind, begin, end, by)
        if as_json:
            output.stream(rows)
        else:
            _write(rows, _utf8(sys.stdout), separator.character)


def _write(rows: Iterator[dict[str, object]], out: TextIO, separator: str) -> None:
    header: list[str] = []
    for row in rows:
        line = io.StringIO()
        writer = csv.writer(line, delimiter=separator)
        if not header:
            header = list(row)
            writer.writerow(header)
        writer.writerow(_cell(value) for value in row.values())
        out.write(line.getvalue())


def _utf8(out: TextIO) -> TextIO:
    """Write UTF-8 regardless of the terminal's encoding."""
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(encoding="utf-8", errors="strict", newline="")
    return out


def _text(value: object) -> str:
    """Write a value for people's spreadsheets: an instant in the engine's time zone."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else safe(_text(value))
