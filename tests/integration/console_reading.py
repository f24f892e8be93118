"""What a page of the console says, read as a browser reads it: figures, tables and links."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import NamedTuple


class Cell(NamedTuple):
    """A cell of a table: its words, and where its links lead."""

    text: str
    links: Sequence[str]

    @property
    def number(self) -> int:
        """The number that it begins with, also one in rupiah."""
        return number(self.text)


class Row(NamedTuple):
    """A row of a table, with its id."""

    id: str
    cells: Sequence[Cell]


class Table(NamedTuple):
    """A table; each row can be asked for a cell by the head of its column."""

    heads: Sequence[str]
    rows: Sequence[Row]

    def column(self, head: str) -> list[Cell]:
        """The cells of a column."""
        place = self.heads.index(head)
        return [row.cells[place] for row in self.rows]

    def numbers(self, head: str) -> list[int]:
        """The numbers of a column."""
        return [cell.number for cell in self.column(head)]


class Figure(NamedTuple):
    """A large number of a page: its value, what stands below it, and where it leads."""

    value: str
    note: str
    link: str


class Reading(HTMLParser):
    """Reads one page, and keeps what a test may ask for."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.figures: dict[str, Figure] = {}
        self.tables: dict[str, Table] = {}
        self.links: list[tuple[str, str]] = []
        self._of, self._heads = "", list[str]()
        self._rows, self._row = list[Row](), Row("", [])
        self._texts: list[list[str]] = []
        self._into: list[str] = []
        self._cell_links: list[str] = []
        self._name, self._values = "", list[tuple[str, str]]()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and begin what it begins."""
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag == "div" and found.get("role") == "region":
            self._of = found.get("aria-labelledby") or found.get("aria-label", "")
        elif tag == "table":
            self._heads, self._rows = [], []
        elif tag == "tr":
            self._row = Row(found.get("id", ""), [])
        elif tag == "div" and found.get("class", "").startswith("figure"):
            self._name, self._values = "", []
        if tag in {"td", "th", "dt", "dd", "a"}:
            self._texts.append([])
            self._into.append(found.get("href", ""))
            if tag != "a":
                self._cell_links = []
            else:
                self._cell_links.append(found.get("href", ""))

    def handle_endtag(self, tag: str) -> None:
        """End what the tag ends."""
        if tag in {"td", "th", "dt", "dd", "a"} and self._texts:
            said, href = " ".join("".join(self._texts.pop()).split()), self._into.pop()
            self._end(tag, said, href)
        elif tag == "tr" and self._row.cells:
            self._rows.append(self._row)
        elif tag == "table":
            self.tables[self._of] = Table(self._heads, self._rows)

    def _end(self, tag: str, said: str, href: str) -> None:
        match tag:
            case "a":
                self.links.append((said, href))
                if self._texts:
                    self._texts[-1].append(said)
            case "th":
                self._heads.append(said)
            case "td":
                self._row = self._row._replace(
                    cells=[*self._row.cells, Cell(said, self._cell_links)]
                )
            case "dt":
                self._name, self._values = said, []
            case _:
                self._values.append((said, next(iter(self._cell_links), "")))
                value, link = self._values[0]
                note = self._values[1][0] if len(self._values) > 1 else ""
                self.figures[self._name] = Figure(value, note, link)

    def handle_data(self, data: str) -> None:
        """Keep words, for each element that they are in."""
        if self._texts:
            self._texts[-1].append(data)


def number(text: str) -> int:
    """The first number of a text; rupiah as `Rp 1,234`, and `-Rp 5` below zero."""
    found = re.search(r"(-?)\s*(?:Rp\s?)?(-?)([\d,]+)", text)
    assert found, text
    sign = -1 if found[1] or found[2] else 1
    return sign * int(found[3].replace(",", ""))
