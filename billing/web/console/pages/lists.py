"""*Lists*: customers, subscriptions, invoices, charges and refunds by filters, and as files."""

import csv
import io
from collections.abc import Iterator

from starlette.responses import Response, StreamingResponse

from billing.domain.errors import BillingError
from billing.domain.filters import Counted
from billing.domain.paging import Listed, Page
from billing.domain.people import Action
from billing.services.reading import filtered
from billing.web.console.filtering import (
    COUNTED,
    HIDDEN,
    NAMES,
    ROWS,
    STATUSES,
    Asked,
    Kind,
    address,
    asked,
    counted_address,
)
from billing.web.console.labels import N_, tone
from billing.web.console.visits import PREFIX, Visit

PAGE = 50
EXPORT = f"{PREFIX}/export"
SEPARATOR = "separator"
FIELDS = frozenset({*NAMES, "after"})
_NOTHING: Listed[filtered.Row] = Listed([], None)

QUESTIONS = {
    Kind.CUSTOMERS: N_("Who are the customers?"),
    Kind.SUBSCRIPTIONS: N_("Which subscriptions are there, and in which state?"),
    Kind.INVOICES: N_("What is owed, and what was paid?"),
    Kind.CHARGES: N_("What was charged, and what became of it?"),
    Kind.REFUNDS: N_("What was given back?"),
}
COUNTED_WORDS = {
    Counted.DUE: N_("Only those that were due and uncharged at %(at)s."),
    Counted.TO_OPEN: N_("Only those with a period to open at %(at)s."),
    Counted.RUNNING: N_("Only those that have not ended."),
    Counted.UNRESOLVED: N_("Only those that are unresolved."),
    Counted.UNSETTLED: N_("Only those that are unsettled."),
    Counted.SUCCEEDED: N_("Only those that succeeded since %(at)s."),
    Counted.DECLINED: N_("Only those that were declined since %(at)s."),
    Counted.UNSENT: N_("Only those that were unsent since %(at)s."),
    Counted.FAILED: N_("Only those that were declined in the chosen time, of the chosen cause."),
    Counted.GIVEN_UP: N_("Only those that became uncollectible in the chosen time."),
    Counted.PERIODS_AHEAD: N_(
        "Only those whose next period is due on the chosen days, with a wallet."
    ),
    Counted.PERIODS_WAITING: N_(
        "Only those whose next period is due on the chosen days, without a wallet by then."
    ),
    Counted.INVOICES_AHEAD: N_(
        "Only those that will be charged on the chosen days, with a wallet."
    ),
    Counted.INVOICES_WAITING: N_(
        "Only those that will be due on the chosen days, without a wallet by then."
    ),
    Counted.REFUNDED: N_("Only those that were returned since %(at)s."),
}

IN_A_SPAN = {
    Counted.SUCCEEDED: N_("Only those that succeeded from %(at)s, before %(before)s."),
    Counted.DECLINED: N_("Only those that were declined from %(at)s, before %(before)s."),
    Counted.REFUNDED: N_("Only those that were returned from %(at)s, before %(before)s."),
}

OF_ROWS = {
    "subscription": N_("Only those of one subscription."),
    "invoice": N_("Only those of one invoice."),
}


def show(kind: Kind, visit: Visit) -> Response:
    """Show one page of a list; what is wrong with a filter is said at its field."""
    wanted = asked(kind, visit.query, visit.display.timezone)
    found, wrong = _NOTHING, dict(wanted.wrong)
    if wanted.wanted is not None:
        try:
            found = filtered.read(visit.context.database, wanted.wanted, _page(visit))
        except BillingError as refused:
            wrong |= _at_fields(refused)
    return visit.page("list.html", 422 if wrong else 200, **_values(kind, visit, wanted),
                      found=found, wrong=wrong)  # fmt: skip


def _values(kind: Kind, visit: Visit, wanted: Asked) -> dict[str, object]:
    path, typed = f"{PREFIX}/{kind}", wanted.typed
    assert visit.person is not None  # noqa: S101 - the route needs an action

    def after(cursor: str) -> str:
        return address(path, {**typed, "after": cursor})

    def running_of(customer: str) -> str:
        counted_at = visit.context.clock.now()
        return counted_address(PREFIX, Counted.RUNNING, counted_at, customer=customer)

    counted = getattr(wanted.wanted, "counted", None)
    before = getattr(wanted.wanted, "before", None)
    words = IN_A_SPAN if before and counted in IN_A_SPAN else COUNTED_WORDS
    return {
        "kind": kind.value, "question": QUESTIONS[kind], "typed": typed, "path": path,
        "hidden": HIDDEN,
        "statuses": list(STATUSES.get(kind, ())), "after": after, "tone": tone,
        "first": address(path, typed) if "after" in visit.query else "",
        "file": address(f"{EXPORT}/{kind}", typed),
        "file_with_semicolons": address(f"{EXPORT}/{kind}", {**typed, SEPARATOR: "semicolon"}),
        "may_export": visit.person.may(Action.EXPORT_LISTS),
        "rows_max": filtered.FILE_ROWS_MAX,
        "counted": words[counted] if counted else "", "counted_before": before,
        "counted_at": getattr(wanted.wanted, "at", None),
        "without_counted": address(path, {**typed, **dict.fromkeys(HIDDEN, "")}),
        "only_of": next((OF_ROWS[name] for name in ROWS if typed[name]), ""),
        "without_row": address(path, {**typed, **dict.fromkeys(ROWS, "")}),
        "rows": ROWS, "running_of": running_of,
        "is_filtered": any(typed.values()), "has_plan": kind in COUNTED,
    }  # fmt: skip


def _at_fields(refused: BillingError) -> dict[str, str]:
    """Return what is wrong by field; raise what no field of the form caused."""
    found = {each.field: each.said for each in refused.faults if each.field in FIELDS}
    if not found:
        raise refused
    return found


def _page(visit: Visit) -> Page:
    return Page(PAGE, visit.query.get("after") or None)


def export(kind: Kind, visit: Visit) -> Response:
    """Send exactly the rows of a filter as a CSV file; a wrong filter shows the list's page."""
    wanted = asked(kind, visit.query, visit.display.timezone)
    if wanted.wanted is None:
        return show(kind, visit)
    try:
        cells = filtered.file_of(visit.context.database, wanted.wanted)
    except BillingError as refused:
        _at_fields(refused)
        return show(kind, visit)
    separator = ";" if visit.query.get(SEPARATOR) == "semicolon" else ","
    return StreamingResponse(
        _lines(cells, separator), media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{kind}.csv"'},
    )  # fmt: skip


def _lines(cells: Iterator[list[str]], separator: str) -> Iterator[str]:
    """Write lines in larger parts: each part is a step through the server's threads."""
    part = io.StringIO()
    writer = csv.writer(part, delimiter=separator)
    for row in cells:
        writer.writerow(row)
        if part.tell() > 65_536:
            yield part.getvalue()
            part.seek(0)
            part.truncate()
    yield part.getvalue()
