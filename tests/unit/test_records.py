"""CSV lines as rows: a bad line is rejected alone, with its own line number."""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from billing.cli import records
from billing.domain.errors import InvalidValue


def read(text: Iterable[str]) -> list[tuple[int, object]]:
    """Every row below the header with its number; a reason for one that cannot be read."""
    numbered = enumerate(text, 1)
    names = records.header(numbered)
    return [
        (number, str(cells) if isinstance(cells, InvalidValue) else cells)
        for number, cells in records.rows(numbered, names)
    ]


def lines(text: str) -> list[str]:
    """A text as a file would be read."""
    return text.splitlines(keepends=True)


def test_rows_are_read_with_their_numbers() -> None:
    """Quoted commas and doubled quotes are cells; empty lines count and are no rows."""
    found = read(lines('id, name\nA,Ayu\n\nB,"Budi, ""Bud"""\nC\nD,x,y,z\n'))

    assert found == [
        (2, {"id": "A", "name": "Ayu"}),
        (4, {"id": "B", "name": 'Budi, "Bud"'}),
        (5, {"id": "C", "name": ""}),
        (6, {"id": "D", "name": "x", "": "y,z"}),
    ]


def test_an_open_quote_costs_its_own_line() -> None:
    """The line on which it begins is reported; the lines below are separate rows."""
    found = read(lines('id,name\nA,"Open quote\nB,Budi\nC,Citra\n'))

    assert found == [
        (2, "a quote is opened and not closed on this line; a cell has one line"),
        (3, {"id": "B", "name": "Budi"}),
        (4, {"id": "C", "name": "Citra"}),
    ]


def test_a_cell_over_two_lines_is_two_bad_lines() -> None:
    """The end of a cell that was cut is not taken for a row: its quote has no partner either."""
    found = read(lines('id,name\nA,"Jalan\nMerdeka 5",x\nC,Citra\n'))

    assert [number for number, cells in found if isinstance(cells, str)] == [2, 3]
    assert found[-1] == (4, {"id": "C", "name": "Citra"})


@pytest.mark.parametrize("line", ['a"b,"c', '"a"b,c', '"a" ,"b', '"' * 3])
def test_quotes_that_do_not_fit_are_a_reason(line: str) -> None:
    """Nothing is guessed about a quote in the wrong place."""
    [(number, reason)] = read(lines(f"id,name\n{line}\n"))

    assert number == 2
    assert "quote" in str(reason)


@pytest.mark.parametrize("header", ['id,"name', '"id,name'])
def test_a_header_with_an_open_quote_is_told(header: str) -> None:
    """Without a header no row has a meaning."""
    with pytest.raises(InvalidValue, match="the first line cannot be read"):
        read(lines(f"{header}\nA,Ayu\n"))


def test_a_file_without_a_line_has_no_header() -> None:
    """The caller tells which columns are missing."""
    assert records.header(enumerate([], 1)) == []


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read(tmp_path: Path, ending: str) -> None:
    """Of Windows and of old Macs as well; the numbers are those of an editor."""
    file = tmp_path / "c.csv"
    file.write_bytes("\ufeffid,name\nA,Ayu\nB,Budi\n".replace("\n", ending).encode())

    with records.opened(file) as text:
        assert [number for number, _ in read(text)] == [2, 3]
    assert records.checked(file) == 2


def test_a_pipe_is_read_once_and_from_its_beginning(tmp_path: Path) -> None:
    """It cannot be rewound, and its length is not known; bytes that are no UTF-8 stay visible."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"id,name\nA,Ayu\nB,\xc1yu\n",))
    writer.start()

    assert records.checked(pipe) is None
    with records.opened(pipe) as text:
        found = read(text)
    writer.join()

    assert found == [(2, {"id": "A", "name": "Ayu"}), (3, {"id": "B", "name": "\udcc1yu"})]


@pytest.mark.parametrize(("name", "why"), [("none.csv", "No such file"), (".", "Is a directory")])
def test_an_unreadable_file_is_refused_in_one_line(tmp_path: Path, name: str, why: str) -> None:
    """It is refused before anything is connected."""
    with pytest.raises(InvalidValue, match=why):
        records.checked(tmp_path / name)
