"""`billing import` and `billing export`: CSV in and out."""

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.errors import InvalidValue

if TYPE_CHECKING:
    from billing.services.importing import Line

IMPORT = options.example("billing import customers customers.csv --dry-run")
EXPORT = options.example("billing export charges --from 2026-11-01 --to 2026-12-01 > november.csv")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet."""


def import_(
    kind: Annotated[str, typer.Argument(metavar="customers|subscriptions")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, UTF-8, with a header.")],
    reason: options.Reason = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, write nothing.")
    ] = False,
    backdate: Annotated[
        bool,
        typer.Option("--backdate", help="Accept due dates of long ago; see --dry-run first."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Add customers or running subscriptions of another system; the same file twice is once.

    A bad row is written to FILE.rejected.csv with its line number and the reason.
    """
    by = arguments.operator(reason)
    if kind not in {"customers", "subscriptions"}:
        raise InvalidValue(f"{kind!r} cannot be imported; choose customers or subscriptions")
    count = _checked(file)
    with engine.engine() as context, file.open(encoding="utf-8-sig", newline="") as text:
        from billing.services import importing

        rows = csv.DictReader(text, restkey="", restval="")
        rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
        importing.checked_header(kind, rows.fieldnames)
        lines, report = _lines(rows), importing.Report()
        if kind == "customers":
            reports = importing.customers(context, lines, by, dry_run=dry_run)
        else:
            reports = importing.subscriptions(
                context, lines, by, dry_run=dry_run, backdate=backdate
            )
        with output.progress("importing", count, quiet=as_json) as advance:
            for report in reports:
                advance(report.added + report.there + len(report.bad))
    rejected = _reject(file, report.bad)
    found: dict[str, Any] = {
        "added": report.added, "there": report.there, "rejected": len(report.bad),
        "rejects": str(rejected) if rejected else None, "dry_run": dry_run,
    }  # fmt: skip
    if kind == "subscriptions":
        found["charged_now"] = report.charged_now._asdict()

    def people() -> None:
        would = "would be added" if dry_run else "added"
        output.say(f"{report.added} {would}, {report.there} were there already")
        if kind == "subscriptions":
            output.say(
                f"{report.charged_now} {'would be' if dry_run else 'are'} charged now, as far as"
                " there are wallets"
            )
        if rejected:
            output.say(f"{len(report.bad)} rejected; see {rejected}")

    output.answer(found, as_json=as_json, people=people)
    if rejected:
        raise typer.Exit(1)


def _checked(file: Path) -> int:
    """Read the file once: it must be UTF-8 text; returns about how many rows it has."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            return max(sum(1 for _ in text) - 1, 0)
    except UnicodeDecodeError:
        raise InvalidValue(f"{file} is not UTF-8; save it as CSV UTF-8") from None
    except OSError as failed:
        raise InvalidValue(f"cannot read {file}: {failed.strerror}") from None


def _lines(rows: "csv.DictReader[str]") -> Iterator["Line"]:
    """Each row with its line number; cells that no column is for are under the name ""."""
    for row in rows:
        yield rows.line_num, row


def _reject(file: Path, bad: list[tuple[int, str]]) -> Path | None:
    if not bad:
        return None
    path = file.with_name(f"{file.name}.rejected.csv")
    with path.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(("line", "reason"))
        writer.writerows((line, safe(why)) for line, why in bad)
    return path


def export(
    kind: Annotated[str, typer.Argument(metavar="invoices|charges|refunds")],
    since: Annotated[str, typer.Option("--from", metavar="ISO", help="From this instant on.")],
    until: Annotated[str, typer.Option("--to", metavar="ISO", help="To before this instant.")],
    *,
    as_json: options.Json = False,
) -> None:
    """Print what was made in a span of time as CSV, oldest first."""
    begin, end = arguments.instant(since), arguments.instant(until)
    with engine.rows() as database:
        from billing.services import exporting

        rows = exporting.export(database, kind, begin, end)
        if as_json:
            output.stream(rows)
        else:
            _write(rows, sys.stdout)


def _write(rows: Iterator[dict[str, Any]], out: TextIO) -> None:
    header: list[str] = []
    for row in rows:
        line = io.StringIO()
        writer = csv.writer(line)
        if not header:
            header = list(row)
            writer.writerow(header)
        writer.writerow(_cell(value) for value in row.values())
        out.write(line.getvalue())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else safe(output.plain(value))


def safe(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
