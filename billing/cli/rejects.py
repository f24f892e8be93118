"""Write the reject file: line number, reason and cells of each bad row, beside the source file.

The corrected file can be imported: its first two columns are skipped. It contains whole rows,
including tokens and phones; no other output of an import does. Each import rewrites the file, which
only its owner can read, and which replaces only an earlier reject file. This module does not know
what the columns mean.
"""

import csv
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from billing.cli import records
from billing.domain.errors import InvalidValue
from billing.domain.formulas import safe

HEADER = ("line", "reason")
SUFFIX = ".rejected.csv"


def place(file: Path, kind: str) -> Path:
    """Return the path of the reject file; for a pipe it is in the working folder.

    Raises InvalidValue when something else is there: a link, a folder, or another file.
    """
    regular = records.is_regular(file)
    path = file.with_name(f"{file.name}{SUFFIX}") if regular else Path(f"{kind}{SUFFIX}")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return path
    except OSError as failed:
        raise InvalidValue(_in_the_way(path)) from failed
    try:
        begins = os.read(descriptor, 64) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)
    if begins is None or not _is_ours(begins):
        raise InvalidValue(_in_the_way(path))
    return path


def _is_ours(begins: bytes) -> bool:
    first = begins.partition(b"\n")[0].strip()
    return not first or first.split(b",")[:2] == [name.encode() for name in HEADER]


def write(
    path: Path,
    bad: Iterable[tuple[int, str]],
    names: Sequence[str] = (),
    cells: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Write the whole reject file or nothing. Raises InvalidValue with the reason.

    `names` are the file's columns, and `cells` those of its bad lines.

    A temporary file is written first and then renamed: nothing is written through a link.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as failed:
        raise InvalidValue(f"cannot write {path}: {failed.strerror}") from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as text:  # noqa: PTH123 - a descriptor
            writer = csv.writer(text)
            writer.writerow((*HEADER, *names))
            writer.writerows(
                (line, safe(why), *map(safe, cells.get(line, ()))) for line, why in sorted(bad)
            )
        os.replace(name, path)  # noqa: PTH105 - by name
    except OSError as failed:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - by name
        raise InvalidValue(f"cannot write {path}: {failed.strerror}") from None


def _in_the_way(path: Path) -> str:
    return f"{path} exists and is not a reject file of an import; move it away"
