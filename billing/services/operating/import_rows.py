"""Import rows: check each row and convert it to the values that are written.

A row is converted to values for its tables, or rejected with the reason. This module does not know
the database or the rows that exist already.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from billing.domain import backdating, wallet
from billing.domain.backdating import AtOnce
from billing.domain.errors import InvalidValue
from billing.domain.imports import Incoming
from billing.domain.money import checked_amount
from billing.domain.periods import calendar, zone
from billing.domain.subscription import SubscriptionStatus
from billing.domain.text import checked_id, indonesian_phone, one_of
from billing.domain.wallet import WalletStatus
from billing.services.subscriptions import subscribing
from billing.services.wallets.linking import TOKEN_LIFE
from billing.services.wallets.linking import UTC as UTC_ZONE
from billing.store.queries.catalog import NewCustomer, Plan
from billing.store.queries.importing import Linked, Running
from billing.store.vault import Vault
from schedules.durations import add
from schedules.walltime import ScheduleError, asked_wall, place

CUSTOMER_COLUMNS = ("id", "name", "phone", "email")
SUBSCRIPTION_COLUMNS = (
    "id", "customer", "plan", "anchor", "next_due_at", "quantity", "amount", "paid_before",
    "token", "masked_phone", "linked_at",
)  # fmt: skip
REQUIRED = {"customers": ("id", "name"), "subscriptions": ("id", "customer", "plan", "anchor",
                                                           "next_due_at")}  # fmt: skip
COLUMNS = {"customers": CUSTOMER_COLUMNS, "subscriptions": SUBSCRIPTION_COLUMNS}
REFERENCE_MAX = 255
YES_OR_NO = ("yes", "no")

Cells = Mapping[str, str]


V = TypeVar("V", NewCustomer, Running)


class Row(NamedTuple, Generic[V]):
    """A valid row: the content that later imports compare, and the values of its tables."""

    incoming: Incoming
    values: V
    wallet: Linked | None = None
    token: str = ""
    charged_now: AtOnce = backdating.NOTHING


def checked_header(kind: str, header: list[str]) -> None:
    """Raise InvalidValue unless the first line names the columns of this kind of file."""
    known = COLUMNS[kind]
    missing = [name for name in REQUIRED[kind] if name not in header]
    unknown = [name for name in header if name not in known]
    if missing or unknown or len(set(header)) != len(header):
        wrong = f"lacks {missing[0]!r}" if missing else f"has {(unknown or header)[0]!r}"
        raise InvalidValue(f"the first line {wrong}; {expected(kind)}")


def expected(kind: str) -> str:
    """Name the columns of a kind of file, required ones first."""
    needed, known = REQUIRED[kind], COLUMNS[kind]
    optional = [name for name in known if name not in needed]
    return f"the columns of {kind} are {', '.join(needed)}; optional: {', '.join(optional)}"


def customer(line: int, cells: Cells, now: datetime) -> Row[NewCustomer]:
    """Parse a customer's row. Raises InvalidValue."""
    identity, name, phone, email = ((cells.get(each) or "").strip() for each in CUSTOMER_COLUMNS)
    phone = indonesian_phone(phone)
    subscribing.check_customer(identity, name, phone, email)
    content = {"name": name, "phone": phone, "email": email}
    new = NewCustomer(identity, name, phone, email, now)
    return Row(Incoming(line, identity, content), new)


def compared(customers: Mapping[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return stored customers as rows are compared with them.

    Earlier versions stored the phone of a file as it was written.
    """
    return {
        identity: {**stored, "phone": indonesian_phone(stored["phone"])}
        for identity, stored in customers.items()
    }


def subscription(line: int, cells: Cells, plan: Plan, vault: Vault, now: datetime) -> Row[Running]:
    """Parse a running subscription's row. Raises InvalidValue with all its errors."""
    try:
        return _subscription(line, cells, plan, vault, now)
    except (InvalidValue, ScheduleError, ValueError, OverflowError) as wrong:
        raise InvalidValue("; ".join(_faults(cells, plan, str(wrong)))) from None


def _faults(cells: Cells, plan: Plan, first: str) -> list[str]:
    """Return the errors of cells that can be checked alone; `first` is an error found before."""
    checks: Sequence[Callable[[], object]] = (
        lambda: checked_id("id", _cell(cells, "id"), REFERENCE_MAX),
        lambda: _anchor(cells, plan),
        lambda: _instant(cells, "next_due_at", plan),
        lambda: _quantity(cells),
        lambda: checked_amount(_whole(_cell(cells, "amount") or "1", "amount")),
        lambda: _paid_before(cells),
        lambda: _instant(cells, "linked_at", plan) if _cell(cells, "linked_at") else None,
    )
    found = [first]
    for check in checks:
        try:
            check()
        except (InvalidValue, ValueError, OverflowError) as wrong:
            found.append(str(wrong))
    return list(dict.fromkeys(found))


def _subscription(line: int, cells: Cells, plan: Plan, vault: Vault, now: datetime) -> Row[Running]:
    """Build the subscription's values; periods are counted from the next due date."""
    reference = checked_id("id", _cell(cells, "id"), REFERENCE_MAX)
    anchor = _anchor(cells, plan)
    due = _instant(cells, "next_due_at", plan)
    index = calendar(plan, anchor).index_of(due)
    if index is None:
        raise InvalidValue(f"next_due_at {cells['next_due_at']} is no due date of that anchor")
    quantity = _quantity(cells)
    amount = _whole(_cell(cells, "amount") or str(plan.amount * quantity), "amount")
    payer, token = _cell(cells, "customer"), _cell(cells, "token")
    paid = _paid_before(cells)
    values = Running(
        customer_id=payer,
        plan_code=plan.code,
        # Without a token its first charge waits for a wallet, like any other charge.
        status=SubscriptionStatus.ACTIVE,
        quantity=quantity,
        amount=checked_amount(amount),
        start_at=due,
        anchor_local=anchor,
        anchor_index=-index,
        next_period_index=0,
        next_due_at=due,
        notice_for=plan.notice_for,
        first_paid_at=now if paid == "yes" else None,
        created_at=now,
    )
    linked = _wallet(cells, plan, now) if token else None
    expired = linked is not None and linked.expires_at <= now
    content = {
        "customer": payer,
        "plan": plan.code,
        "anchor": anchor.isoformat(),
        "next_due_at": _written(due),
        "quantity": str(quantity),
        "amount": str(amount),
        "paid_before": paid,
        "token": "yes" if token else "no",
        "masked_phone": linked.masked_phone if linked else "",
        "linked_at": _written(linked.linked_at) if linked and _cell(cells, "linked_at") else "",
    }
    hashes = vault.hashes(token.encode()) if token else ()
    objection = f"the token of {cells['linked_at']} has expired; leave it out" if expired else ""
    incoming = Incoming(line, reference, content, payer, hashes, objection)
    charged_now = backdating.at_once(
        backdating.imported(plan.terms, anchor, due, index, amount), now
    )
    return Row(incoming, values, linked, token, charged_now)


def not_too_old(row: Row[Running], now: datetime, days_max: int) -> Row[Running]:
    """Return the row, with an objection if it is due more than `days_max` days ago."""
    if row.incoming.objection:
        return row
    due = row.values.next_due_at
    why = backdating.refusal("next_due_at", due, now, days_max, row.charged_now)
    return row if why is None else row._replace(incoming=row.incoming._replace(objection=str(why)))


def _wallet(cells: Cells, plan: Plan, now: datetime) -> Linked:
    digits = indonesian_phone(_cell(cells, "masked_phone"))
    bound = _instant(cells, "linked_at", plan) if _cell(cells, "linked_at") else now
    if bound > now:
        raise InvalidValue(f"linked_at {cells['linked_at']} is in the future")
    expires = _token_ends(bound)
    return Linked(
        customer_id=_cell(cells, "customer"),
        status=WalletStatus.ACTIVE,
        masked_phone=f"****{digits[-4:]}" if digits else "",
        created_at=now,
        linked_at=bound,
        expires_at=expires,
        next_notice_at=_next_notice(expires, now),
    )


def _quantity(cells: Cells) -> int:
    quantity = _whole(_cell(cells, "quantity") or "1", "quantity")
    if quantity > subscribing.COUNT_MAX:
        raise InvalidValue(f"quantity must be 1 to {subscribing.COUNT_MAX:,}, not {quantity:,}")
    return quantity


def _paid_before(cells: Cells) -> str:
    paid = (_cell(cells, "paid_before") or "yes").lower()
    if paid not in YES_OR_NO:
        raise InvalidValue(one_of("paid_before", YES_OR_NO, paid))
    return paid


def _cell(cells: Cells, column: str) -> str:
    return (cells.get(column) or "").strip()


def _written(moment: datetime) -> str:
    """Format an instant for comparison, independent of its time zone."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


@lru_cache(maxsize=1_024)
def _token_ends(bound: datetime) -> datetime:
    return add(TOKEN_LIFE, bound, UTC_ZONE)


_next_notice = lru_cache(maxsize=1_024)(wallet.next_notice)


def _instant(cells: Cells, column: str, plan: Plan) -> datetime:
    written = _cell(cells, column)
    try:
        moment = datetime.fromisoformat(written)
        return moment if moment.tzinfo is not None else place(moment, zone(plan.timezone))
    except (ValueError, OverflowError):
        raise InvalidValue(f"{column} must be an ISO 8601 instant, not {written!r}") from None


def _anchor(cells: Cells, plan: Plan) -> datetime:
    """Return the local time as written: inside a spring gap the instant does not show it."""
    at = _instant(cells, "anchor", plan)
    written = datetime.fromisoformat(_cell(cells, "anchor"))
    return asked_wall(at if written.tzinfo else written, zone(plan.timezone))


def _whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise InvalidValue(f"{what} must be a whole number above 0, not {text!r}")
    return int(text)
