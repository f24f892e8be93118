"""Records: read CSV from a file or a pipe, one record a line.

A cell cannot contain a line break, so a quote must be closed on its own line: a line with an open
quote is one bad row, and the next lines are separate rows. This module knows no columns.
"""

import csv
import errno
import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from billing.domain.errors import InvalidValue
from billing.domain.formulas import original

if TYPE_CHECKING:
    from billing.services.operating.importing import Line

STDIN = Path("-")
ENCODING = "utf-8-sig"


def is_regular(file: Path) -> bool:
    """Whether this is a regular file, which can be read twice and has its own folder."""
    if file == STDIN or file.parts[:2] in {("/", "dev"), ("/", "proc")}:
        return False
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def checked(file: Path) -> int | None:
    """Check that a file is UTF-8, and return its approximate number of rows; None for a pipe.

    A pipe can be read only once, so each of its lines is checked separately.
    """
    try:
        if not is_regular(file):
            if file != STDIN and stat.S_ISDIR(file.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            return None
        with file.open(encoding=ENCODING) as text:
            return max(sum(1 for _ in text) - 1, 0)
    except UnicodeDecodeError:
        raise InvalidValue(f"{file} is not UTF-8; save it as CSV UTF-8") from None
    except OSError as failed:
        raise InvalidValue(f"cannot read {file}: {failed.strerror}") from None


@contextmanager
def opened(file: Path) -> Iterator[TextIO]:
    """Open a file, a pipe, or standard input for "-". Invalid UTF-8 bytes become surrogates."""
    try:
        raw = os.dup(sys.stdin.fileno()) if file == STDIN else file
        text = open(raw, encoding=ENCODING, errors="surrogateescape")  # noqa: PTH123, SIM115 - a descriptor
    except (OSError, io.UnsupportedOperation) as failed:
        why = failed.strerror or "it is not open"
        raise InvalidValue(f"cannot read {file}: {why}") from None
    with text:
        yield text


class Memory:
    """Keep the lines read last, so that a bad line can be reported as it was written."""

    def __init__(self, numbered: Iterator[tuple[int, str]], most: int) -> None:
        self._numbered, self._most = numbered, most
        self._last: dict[int, str] = {}
        self._kept: dict[int, str] = {}
        self._seen = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for number, line in self._numbered:
            self._last[number] = line
            if len(self._last) > self._most:
                del self._last[next(iter(self._last))]
            yield number, line

    def keep(self, bad: Sequence[tuple[int, str]]) -> None:
        """Keep the text of newly rejected lines."""
        new, self._seen = bad[self._seen :], len(bad)
        self._kept |= {number: self._last[number] for number, _ in new if number in self._last}

    def cells(self, passed_over: int = 0) -> dict[int, list[str]]:
        """Return the cells of the bad lines; an unparsable line is one cell."""
        found = {}
        for number, line in self._kept.items():
            values = _cells(line)
            if isinstance(values, InvalidValue):
                cells = [line.rstrip("\r\n")]
            else:
                cells = [original(each) for each in values[passed_over:]] if passed_over else values
            # Invalid UTF-8 bytes were read as surrogates, which cannot be written to a file.
            found[number] = [cell.encode(errors="replace").decode() for cell in cells]
        return found


def header(numbered: Iterator[tuple[int, str]]) -> list[str]:
    """Return the column names in the first line that is not empty."""
    for _, line in numbered:
        if line.strip():
            cells = _cells(line)
            if isinstance(cells, InvalidValue):
                raise InvalidValue(f"the first line cannot be read: {cells}")
            return [name.strip() for name in cells]
    return []


def rows(
    numbered: Iterable[tuple[int, str]], names: list[str], passed_over: int = 0
) -> Iterator["Line"]:
    """Yield each row with its line number; cells without a column are under the name "".

    In a reject file the first cells are skipped, and the others are unescaped.
    """
    for number, line in numbered:
        if line == "\n" or not line:
            continue
        cells = _cells(line)
        if isinstance(cells, InvalidValue):
            yield number, cells
            continue
        if passed_over:
            cells = [original(cell) for cell in cells[passed_over:]]
        row = dict(zip(names, cells, strict=False))
        for name in names[len(cells) :]:
            row[name] = ""
        if len(cells) > len(names):
            row[""] = ",".join(cells[len(names) :])
        yield number, row


def _cells(line: str) -> list[str] | InvalidValue:
    line = line.removesuffix("\n")
    quotes = line.count('"')
    if not quotes:
        return line.split(",")
    if quotes % 2:
        return InvalidValue("a quote is opened and not closed on this line; a cell has one line")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as wrong:
        return InvalidValue(f"the quotes of this line are wrong: {wrong}")
