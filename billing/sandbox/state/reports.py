"""Views of the sandbox's book: ledger pages, totals, one wallet.

It changes nothing, and knows no HTTP except the names and texts of a query.
"""

from collections import Counter

from billing.sandbox.protocol.answers import Json
from billing.sandbox.protocol.wallet_calls import masked
from billing.sandbox.state.book import Book
from billing.sandbox.state.records import Row, Wallet

PAGE_MAX = 10_000
FILTERS = {"customer": "customer_id", "kind": "kind", "number": "number", "status": "status"}


class BadQuery(ValueError):
    """A ledger query has a parameter that does not exist, or is not a number where it must be."""


def ledger(book: Book, query: dict[str, str]) -> Json:
    """
    Return one page of the ledger: at most `limit` rows after a `seq` that match all filters.

    `next` is the `after` of the following page, or null. A page costs only the rows that it reads,
    so 100,000 rows are read in ten quick pages.
    """
    unknown = sorted(query.keys() - FILTERS.keys() - {"after", "limit"})
    if unknown:
        raise BadQuery(f"the ledger has no filter {unknown[0]}")
    try:
        after, limit = int(query.get("after", "0")), int(query.get("limit", "1000"))
    except ValueError:
        raise BadQuery("after and limit must be whole numbers") from None
    if after < 0 or not 1 <= limit <= PAGE_MAX:
        raise BadQuery(f"after must be 0 or more, limit 1 to {PAGE_MAX}")
    wanted = [(FILTERS[name], value) for name, value in query.items() if name in FILTERS]
    rows: list[Row] = []
    position = after
    while position < len(book.rows) and len(rows) < limit:
        row = book.rows[position]
        position += 1
        if all(getattr(row, name) == value for name, value in wanted):
            rows.append(row)
    return {"rows": rows, "next": position if position < len(book.rows) else None}


def totals(book: Book) -> Json:
    """Return counts and totals of the whole ledger, and the current balances of the wallets."""
    counted: Counter[tuple[str, str]] = Counter()
    summed: Counter[tuple[str, str]] = Counter()
    moves: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for row in book.rows:
        counted[row.kind, row.status] += 1
        summed[row.kind, row.status] += row.amount
        moves[row.kind] += row.moves
        moved[row.kind] += (row.points + row.cash) * row.moves
    return {
        "rows": len(book.rows),
        "by_kind": {
            kind: {
                status: {"count": count, "amount": summed[key, status]}
                for (key, status), count in counted.items()
                if key == kind
            }
            for kind in {kind for kind, _ in counted}
        },
        "debits": {"count": moves["payment"], "amount": moved["payment"]},
        "credits": {"count": moves["refund"], "amount": moved["refund"]},
        "wallets": {
            "count": len(book.wallets),
            "bound": sum(wallet.token_id is not None for wallet in book.wallets.values()),
            "cash": sum(wallet.cash for wallet in book.wallets.values()),
            "points": sum(wallet.points for wallet in book.wallets.values()),
        },
    }


def wallet(book: Book, shown: Wallet) -> Json:
    """Return one wallet with its token, for a test to compare with the engine's rows."""
    binding = shown.binding
    return {
        "customer_id": shown.customer_id,
        "status": shown.status(book.clock.now()),
        "cash": shown.cash,
        "points": shown.points,
        "masked_phone_number": masked(shown),
        "token_id": shown.token_id,
        "token_expires_at": shown.token_expires_at if shown.token_id else None,
        "registration": None if binding is None else binding.state,
    }
