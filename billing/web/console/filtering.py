"""Filtering: what a viewer asks a list for, from the address of the page.

A date is one in the viewer's time zone; an instant with an offset is the same for everyone. What is
refused is said at its field. This module reads nothing from the database.
"""

from collections.abc import Mapping
from datetime import datetime, time
from enum import StrEnum
from typing import NamedTuple, TypeVar
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.domain.charge import ChargeStatus
from billing.domain.filters import (
    OF_INVOICES_AHEAD,
    OF_PERIODS_AHEAD,
    ChargeFilter,
    Counted,
    CustomerFilter,
    InvoiceFilter,
    RefundFilter,
    SubscriptionFilter,
)
from billing.domain.invoice import InvoiceStatus
from billing.domain.refund import RefundStatus
from billing.domain.subscription import SubscriptionStatus
from billing.services.reading.filtered import Filter
from billing.web.console.labels import N_

S = TypeVar("S", bound=StrEnum)
NAME_MAX = 50
HIDDEN = ("of", "at", "before", "fault", "code")
"""The parameters of the rows of a number, which no field of the form shows."""
ROWS = ("subscription", "invoice")
"""Rows that a link limits a list to."""
NAMES = ("customer", "plan", "status", "from", "to", *ROWS, *HIDDEN)
"""The parameters of a filter, in the order in which links have them."""
NO_CODE = "–"
YEARS = range(2000, 2101)
DAMAGED = N_("This link is damaged: it names no set of rows of this list.")


class Kind(StrEnum):
    """The lists."""

    CUSTOMERS = "customers"
    SUBSCRIPTIONS = "subscriptions"
    INVOICES = "invoices"
    CHARGES = "charges"
    REFUNDS = "refunds"


STATUSES: dict[Kind, type[StrEnum]] = {
    Kind.SUBSCRIPTIONS: SubscriptionStatus,
    Kind.INVOICES: InvoiceStatus,
    Kind.CHARGES: ChargeStatus,
    Kind.REFUNDS: RefundStatus,
}
"""The statuses by which a list can be limited; customers have none."""
COUNTED: dict[Kind, frozenset[Counted]] = {
    Kind.SUBSCRIPTIONS: frozenset({Counted.TO_OPEN, Counted.RUNNING}) | OF_PERIODS_AHEAD,
    Kind.INVOICES: frozenset({Counted.DUE, Counted.GIVEN_UP}) | OF_INVOICES_AHEAD,
    Kind.CHARGES: frozenset(
        {Counted.UNRESOLVED, Counted.SUCCEEDED, Counted.DECLINED, Counted.UNSENT, Counted.FAILED}
    ),
    Kind.REFUNDS: frozenset({Counted.UNSETTLED, Counted.REFUNDED}),
}
SPANS = frozenset({Counted.FAILED, Counted.GIVEN_UP}) | OF_PERIODS_AHEAD | OF_INVOICES_AHEAD
"""Numbers of a span, which ends before an instant; others may have such an end."""
LIST_OF = {name: kind for kind, names in COUNTED.items() for name in names}
"""The list that has the rows of a number."""


class Asked(NamedTuple):
    """A filter as it was typed, the one that was understood, and what is wrong by field."""

    typed: dict[str, str]
    wanted: Filter | None
    wrong: dict[str, str]


class _Fields:
    """The parameters of a filter, each read once; what is wrong is kept by field."""

    def __init__(self, query: Mapping[str, str], timezone: str) -> None:
        self.typed = {name: query.get(name, "").strip() for name in NAMES}
        self.wrong: dict[str, str] = {}
        self._timezone = timezone

    def instant(self, name: str) -> datetime | None:
        try:
            return read_instant(self.typed[name], self._timezone) if self.typed[name] else None
        except (ValueError, OverflowError):
            self.wrong[name] = N_("This is no date; write it as 2026-01-31.")
            return None

    def name(self, name: str) -> str | None:
        if len(self.typed[name]) > NAME_MAX:
            self.wrong[name] = N_("A customer’s id and a plan’s code have at most 50 characters.")
        return self.typed[name] or None

    def code(self) -> str | None:
        """Return the code of declines; NO_CODE stands for those without one."""
        written = self.typed["code"]
        return "" if written == NO_CODE else written or None

    def status(self, known: type[S]) -> S | None:
        if not self.typed["status"]:
            return None
        try:
            return known(self.typed["status"])
        except ValueError:
            self.wrong["status"] = N_("This status does not exist.")
            return None

    def row(self, name: str, *, is_known: bool = True) -> UUID | None:
        if not self.typed[name]:
            return None
        try:
            if is_known:
                return UUID(self.typed[name])
        except ValueError:
            pass
        self.wrong["of"] = DAMAGED
        return None

    def counted(
        self, kind: Kind, at: datetime | None, before: datetime | None
    ) -> Counted | None:  # fmt: skip
        if not self.typed["of"]:
            return None
        known = {each.value for each in COUNTED.get(kind, frozenset())}
        lacks = before is None and self.typed["of"] in SPANS
        if self.typed["of"] not in known or at is None or lacks:
            self.wrong["of"] = DAMAGED
            return None
        return Counted(self.typed["of"])


def asked(kind: Kind, query: Mapping[str, str], timezone: str) -> Asked:
    """Read the filter of a list from the parameters of an address."""
    fields = _Fields(query, timezone)
    since, until, at, before = (fields.instant(name) for name in ("from", "to", "at", "before"))
    customer, plan = fields.name("customer"), fields.name("plan")
    of_subscription = fields.row("subscription", is_known=kind in {Kind.INVOICES, Kind.CHARGES})
    of_invoice = fields.row("invoice", is_known=kind in {Kind.CHARGES, Kind.REFUNDS})
    counted = fields.counted(kind, at, before)
    found: Filter
    match kind:
        case Kind.CUSTOMERS:
            found = CustomerFilter(since, until)
        case Kind.SUBSCRIPTIONS:
            status = fields.status(SubscriptionStatus)
            found = SubscriptionFilter(customer, plan, status, since, until, counted, at, before)
        case Kind.INVOICES:
            owed = fields.status(InvoiceStatus)
            found = InvoiceFilter(
                customer, plan, of_subscription, owed, since, until, counted, at, before
            )
        case Kind.CHARGES:
            state = fields.status(ChargeStatus)
            found = ChargeFilter(
                customer, plan, of_invoice, state, since, until, of_subscription, counted, at,
                before, fields.typed["fault"] or None, fields.code(),
            )  # fmt: skip
        case Kind.REFUNDS:
            back = fields.status(RefundStatus)
            found = RefundFilter(
                customer, plan, back, since, until, of_invoice, counted, at, before
            )
    return Asked(fields.typed, None if fields.wrong else found, fields.wrong)


def read_instant(written: str, timezone: str) -> datetime:
    """Read a date as its first moment in a time zone, or an instant. Raises ValueError."""
    found = datetime.fromisoformat(written)
    if len(written) <= len("2026-01-31"):
        found = datetime.combine(found.date(), time())
    if found.tzinfo is None:
        found = found.replace(tzinfo=ZoneInfo(timezone))
    if found.year not in YEARS:
        raise ValueError(written)
    return found


def counted_address(prefix: str, name: Counted, at: datetime, **limits: str) -> str:
    """Return the address of the list that has the rows of a number, with limits to it."""
    given = {**limits, "of": name.value, "at": at.isoformat()}
    return address(f"{prefix}/{LIST_OF[name]}", given)


def address(path: str, parameters: Mapping[str, str]) -> str:
    """Return a path with the parameters that are set."""
    given = urlencode({name: value for name, value in parameters.items() if value})
    return f"{path}?{given}" if given else path
