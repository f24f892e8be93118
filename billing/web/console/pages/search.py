"""*Search*: one box for everything that leads to a customer."""

from urllib.parse import quote

from starlette.responses import Response

from billing.services.reading import search
from billing.web.console.visits import PREFIX, SEARCH_NAME, Visit, redirect

PAGES = {
    "subscription": "subscriptions", "invoice": "invoices", "charge": "charges",
    "refund": "refunds",
}  # fmt: skip
"""Rows that have a page of their own."""


def show(visit: Visit) -> Response:
    """Show what a text leads to; a single customer is opened at once."""
    wanted = visit.query.get(SEARCH_NAME, "").strip()
    found = search.search(visit.context.database, wanted)
    if len(found.hits) == 1:
        return redirect(address(found.hits[0]))
    return visit.page(
        "search.html", wanted=wanted, found=found, address=address,
        is_long=len(wanted) > search.TEXT_MAX, longest=search.TEXT_MAX,
    )  # fmt: skip


def address(hit: search.Hit) -> str:
    """Return the page of a row that was searched for, or of a customer."""
    if hit.row_id and hit.because in PAGES:
        return f"{PREFIX}/{PAGES[hit.because]}/{hit.row_id}"
    place = f"#row-{hit.row_id}" if hit.row_id else ""
    return f"{PREFIX}/customers/{quote(hit.customer)}{place}"
