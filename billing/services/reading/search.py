"""Search: what one text of an operator could mean, and which customers it leads to.

A customer's id, name, e-mail address or phone (or its last four digits), the id of a subscription,
invoice, charge, refund or wallet, also its short form, a gateway number, a Request-Id. Nothing is
written.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.errors import InvalidValue
from billing.domain.short_ids import part_of
from billing.domain.text import indonesian_phone
from billing.store.queries import search as rows
from billing.store.queries.search import FoundCustomer, FoundRow
from billing.store.session import Database

TEXT_MAX = 200
FOUND_MAX = 20
WORDS_MAX = 5
NAMED_MAX = 5
"""Customers that a refusal names."""
MASKED = re.compile(r"[*•·xX]{2,}\s?(\d{4})", re.ASCII)
FOUR = re.compile(r"\d{4}", re.ASCII)
PHONE = re.compile(r"\+?\d[\d .-]{6,22}", re.ASCII)
WORD = re.compile(r"[^\W_]+")


class Hit(NamedTuple):
    """A customer that a text leads to, and why: `because` is a kind of row, or of a match."""

    customer: str
    name: str
    masked_phone: str
    because: str
    row_id: UUID | None


class Found(NamedTuple):
    """Hits, each customer once, the surest first; `is_cut` says that there may be more."""

    hits: list[Hit]
    is_cut: bool


def search(database: Database, given: str) -> Found:
    """Find what a text could mean; nothing is found for an empty text, and for a long one."""
    wanted = given.strip()
    if not wanted or len(wanted) > TEXT_MAX or not wanted.isprintable():
        return Found([], is_cut=False)
    found: dict[str, Hit] = {}
    with database.transaction() as connection:
        for hit in _hits(connection, wanted):
            found.setdefault(hit.customer, hit)
            if len(found) > FOUND_MAX:
                break
    return Found(list(found.values())[:FOUND_MAX], is_cut=len(found) > FOUND_MAX)


def only(database: Database, given: str) -> str:
    """Return the customer's id if a text leads to one customer; the text itself if to none.

    Raises InvalidValue when several customers fit, and names the first of them.
    """
    found = search(database, given)
    if not found.hits:
        return given
    if len(found.hits) == 1 or found.hits[0].because == "customer":
        return found.hits[0].customer
    named = ", ".join(_named(each) for each in found.hits[:NAMED_MAX])
    more = " and more" if found.is_cut or len(found.hits) > NAMED_MAX else ""
    raise InvalidValue(f"{given!r} fits several customers: {named}{more}; give the customer's id")


def _named(hit: Hit) -> str:
    phone = f" {hit.masked_phone}" if hit.masked_phone else ""
    return f"{hit.customer} (by {hit.because}{phone})"


def _hits(connection: Connection, wanted: str) -> Iterator[Hit]:
    """Yield everything that fits: what is unique first."""
    most = FOUND_MAX + 1
    yield from _because("customer", rows.customer(connection, wanted))
    yield from _rows(connection, _row_of(connection, wanted))
    if "@" in wanted:
        yield from _because("e-mail", rows.by_email(connection, wanted, most))
    if PHONE.fullmatch(wanted):
        phone = indonesian_phone(wanted).removeprefix("+")
        yield from _because("phone", rows.by_phone(connection, phone, most))
    if four := last_digits(wanted):
        yield from _because("phone", rows.by_last_digits(connection, four, most))
    yield from _because("name", rows.by_name(connection, wanted, most))
    words = WORD.findall(wanted)[:WORDS_MAX]
    if words and "@" not in wanted:
        yield from _because("name", rows.by_words(connection, words, most))


def last_digits(wanted: str) -> str | None:
    """Return the last four digits that a text asks for: `****1234`, or `1234` alone."""
    if masked := MASKED.fullmatch(wanted):
        return masked[1]
    return wanted if FOUR.fullmatch(wanted) else None


def _row_of(connection: Connection, wanted: str) -> list[FoundRow]:
    try:
        row_id = UUID(wanted)
    except ValueError:
        part = part_of(wanted)
        short = rows.by_part(connection, part, FOUND_MAX) if part is not None and part.end else []
        return short or rows.by_gateway_number(connection, wanted)
    return rows.by_id(connection, row_id) or rows.by_gateway_number(connection, wanted)


def _rows(connection: Connection, found: Sequence[FoundRow]) -> Iterator[Hit]:
    for row in found:
        for hit in _because(row.kind, rows.customer(connection, row.customer)):
            yield hit._replace(row_id=row.id)


def _because(reason: str, customers: Iterable[FoundCustomer]) -> Iterator[Hit]:
    for each in customers:
        masked = f"****{each.phone[-4:]}" if each.phone else each.wallet_phone or ""
        yield Hit(each.id, each.name, masked, reason, None)
