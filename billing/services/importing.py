"""Importing: customers and running subscriptions of another system, from CSV.

A file is read row by row and written in batches; what is there already, by its id, is left as it
is, so that the same file twice is the same as once. A bad row is reported and passed over.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import wallet
from billing.domain.errors import BillingError, InvalidValue
from billing.domain.events import Actor, event
from billing.domain.identity import named
from billing.domain.money import checked_amount
from billing.domain.periods import calendar, zone
from billing.domain.subscription import SubscriptionStatus
from billing.domain.wallet import WalletStatus
from billing.services import isolating, subscribing
from billing.services.context import Context
from billing.services.linking import TOKEN_LIFE, UTC
from billing.store.queries import events
from billing.store.queries import importing as statements
from billing.store.vault import Vault
from schedules.durations import add
from schedules.walltime import ScheduleError, local_anchor, place

BATCH = 2_500
CUSTOMER_COLUMNS = ("id", "name", "phone", "email")
SUBSCRIPTION_COLUMNS = (
    "id", "customer", "plan", "anchor", "next_due_at", "quantity", "amount", "paid_before",
    "token", "masked_phone", "bound_at",
)  # fmt: skip
REQUIRED = {"customers": ("id", "name"), "subscriptions": ("id", "customer", "plan", "anchor",
                                                           "next_due_at")}  # fmt: skip
_NAMESPACE = UUID("c7bb7f4e-55a2-5b39-b3c4-5fd5d9f6a5d1")

Line = tuple[int, Mapping[str, str]]


@dataclass(slots=True)
class Report:
    """What came of a file: counts, and each bad row with its line number and the reason."""

    added: int = 0
    there: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)


def checked_header(kind: str, header: Sequence[str]) -> None:
    """Raise InvalidValue unless a file's first line names columns of this kind of file."""
    known = CUSTOMER_COLUMNS if kind == "customers" else SUBSCRIPTION_COLUMNS
    missing = [name for name in REQUIRED[kind] if name not in header]
    unknown = [name for name in header if name not in known]
    if missing or unknown or len(set(header)) != len(header):
        wrong = f"lacks {missing[0]!r}" if missing else f"has {(unknown or header)[0]!r}"
        raise InvalidValue(f"the first line {wrong}; the columns of {kind} are {', '.join(known)}")


def customers(
    context: Context, lines: Iterable[Line], by: Actor, *, dry_run: bool = False
) -> Iterator[Report]:
    """Add customers, and yield the report after each batch."""

    def prepare(_: Connection, row: Mapping[str, str], now: datetime) -> dict[str, Any]:
        values = {name: (row.get(name) or "").strip() for name in CUSTOMER_COLUMNS}
        subscribing.check_customer(values["id"], values["name"], values["phone"], values["email"])
        return values | {"created_at": now}

    def write(connection: Connection, rows: list[dict[str, Any]], now: datetime) -> int:
        new = statements.add_customers(connection, rows)
        events.record(
            connection,
            [event("customer.created", at=now, by=by, customer_id=added) for added in new],
        )
        return len(new)

    yield from _batches(context, lines, prepare, write, dry_run=dry_run)


def subscriptions(
    context: Context, lines: Iterable[Line], by: Actor, *, dry_run: bool = False
) -> Iterator[Report]:
    """Add running subscriptions with their anchor, next due date and token; yield reports.

    Their periods are counted from the next one that is due, which keeps the anchor's dates.
    """
    plans: dict[str, Mapping[Any, Any]] = {}

    def prepare(connection: Connection, row: Mapping[str, str], now: datetime) -> dict[str, Any]:
        code = (row.get("plan") or "").strip()
        if code not in plans:
            plans[code] = subscribing.known_plan(connection, code)
        return _subscription(row, plans[code], now)

    def write(connection: Connection, rows: list[dict[str, Any]], now: datetime) -> int:
        # A reference that comes twice in one batch is once, as it is in two.
        once = {row["reference"]: row for row in reversed(rows)}
        for reference, row in once.items():
            row["subscription"]["id"] = named(_NAMESPACE, reference)
        new = statements.add_subscriptions(connection, [r["subscription"] for r in once.values()])
        fresh = [row for row in once.values() if row["subscription"]["id"] in new]
        linked = [row for row in fresh if row["wallet"] is not None]
        statements.add_wallets(connection, _sealed(context.vault, linked))
        told = [
            event(
                "subscription.imported", at=now, by=by,
                customer_id=row["subscription"]["customer_id"],
                subscription_id=row["subscription"]["id"], reference=row["reference"],
                paid_before=row["subscription"]["first_paid_at"] is not None,
            )
            for row in fresh
        ]  # fmt: skip
        events.record(connection, told)
        return len(new)

    yield from _batches(context, lines, prepare, write, dry_run=dry_run)


Prepared = tuple[int, dict[str, Any]]
"""A row that can be written, with the number of its line."""
Prepare = Callable[[Connection, Mapping[str, str], datetime], dict[str, Any]]
Write = Callable[[Connection, list[dict[str, Any]], datetime], int]


def _batches(
    context: Context, lines: Iterable[Line], prepare: Prepare, write: Write, *, dry_run: bool
) -> Iterator[Report]:
    """Check a batch while the one before it is written; a row that cannot be is a bad one."""
    report = Report()
    written = None
    for batch in _parts(lines):
        now = context.clock.now()
        good, bad = _checked(context, batch, prepare, now)
        if written is not None:
            _count(report, written.result())
            yield report
        report.bad += bad
        if dry_run or not good:
            written = None
            report.added += len(good)
            yield report
        else:
            written = context.desk.submit(_written, context, write, good, now)
    if written is not None:
        _count(report, written.result())
    yield report


def _parts(lines: Iterable[Line]) -> Iterator[list[Line]]:
    rest = iter(lines)
    while part := list(islice(rest, BATCH)):
        yield part


def _checked(
    context: Context, batch: Sequence[Line], prepare: Prepare, now: datetime
) -> tuple[list[Prepared], list[tuple[int, str]]]:
    """The rows of a batch that can be written, and the others with the reason."""
    good: list[Prepared] = []
    bad: list[tuple[int, str]] = []
    with context.database.transaction() as connection:
        named = [row["customer"].strip() for _, row in batch if row.get("customer")]
        known = statements.known_customers(connection, [n for n in named if n.isprintable()])
        for number, row in batch:
            try:
                if "" in row:
                    raise InvalidValue("the row has more cells than there are columns")
                if not "".join(row.values()).isprintable():
                    raise InvalidValue("a cell has characters that cannot be printed")
                if "customer" in row and (row["customer"] or "").strip() not in known:
                    raise InvalidValue(f"no customer has the id {row['customer']!r}")
                good.append((number, prepare(connection, row, now)))
            except (BillingError, ScheduleError, ValueError, OverflowError) as wrong:
                bad.append((number, str(wrong)))
    return good, bad


def _written(context: Context, write: Write, rows: list[Prepared], now: datetime) -> Report:
    """Write a batch; where that fails, the rows that make it fail are bad ones, and left out."""
    report = Report()

    def work(part: Sequence[Prepared]) -> None:
        with context.database.transaction() as connection:
            added = write(connection, [row for _, row in part], now)
        report.added += added
        report.there += len(part) - added

    def reject(item: Prepared, error: Exception) -> None:
        report.bad.append((item[0], f"it cannot be written: {isolating.one_line(error)}"))

    isolating.isolate(rows, work, reject, held_max=len(rows))
    return report


def _count(report: Report, batch: Report) -> None:
    report.added += batch.added
    report.there += batch.there
    report.bad += sorted(batch.bad)


def _subscription(row: Mapping[str, str], plan: Mapping[Any, Any], now: datetime) -> dict[str, Any]:
    reference = (row.get("id") or "").strip()
    if not reference:
        raise InvalidValue("id must not be empty")
    timezone = zone(plan["timezone"])
    anchor = local_anchor(_instant(row, "anchor", plan), timezone)
    due = _instant(row, "next_due_at", plan)
    index = calendar(plan, anchor).index_of(due)
    if index is None:
        raise InvalidValue(f"next_due_at {row['next_due_at']} is no due date of that anchor")
    quantity = _whole(row.get("quantity") or "1", "quantity")
    if quantity > subscribing.COUNT_MAX:
        raise InvalidValue(f"quantity must be 1 to {subscribing.COUNT_MAX:,}, not {quantity:,}")
    amount = _whole(row.get("amount") or str(plan["amount"] * quantity), "amount")
    customer = row["customer"].strip()
    token = (row.get("token") or "").strip()
    paid = (row.get("paid_before") or "yes").strip().lower()
    if paid not in {"yes", "no"}:
        raise InvalidValue(f"paid_before must be yes or no, not {paid!r}")
    subscription = {
        "customer_id": customer,
        "plan_code": plan["code"],
        # Without a token its first charge waits for a wallet, as any other does.
        "status": SubscriptionStatus.ACTIVE,
        "quantity": quantity,
        "amount": checked_amount(amount),
        "start_at": due,
        "anchor_local": anchor,
        "anchor_index": -index,
        "next_period_index": 0,
        "next_due_at": due,
        "first_paid_at": now if paid == "yes" else None,
        "created_at": now,
    }
    linked = _wallet(row, plan, now) if token else None
    return {
        "subscription": subscription, "wallet": linked, "reference": reference, "token": token
    }  # fmt: skip


def _wallet(row: Mapping[str, str], plan: Mapping[Any, Any], now: datetime) -> dict[str, Any]:
    digits = (row.get("masked_phone") or "").strip()
    bound = _instant(row, "bound_at", plan) if (row.get("bound_at") or "").strip() else now
    expires = _token_ends(bound)
    if expires <= now:
        raise InvalidValue(f"the token of {row['bound_at']} has expired; leave it out")
    if bound > now:
        raise InvalidValue(f"bound_at {row['bound_at']} is still to come")
    return {
        "customer_id": row["customer"].strip(),
        "status": WalletStatus.ACTIVE,
        "masked_phone": f"****{digits[-4:]}" if digits else "",
        "created_at": now,
        "bound_at": bound,
        "expires_at": expires,
        "next_notice_at": _next_notice(expires, now),
    }


def _sealed(vault: Vault, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The wallets of new subscriptions, with their ids and sealed tokens.

    One after another here takes half the time that it takes among a row's other checks.
    """
    no_phone = vault.seal(b"")
    tokens = [vault.seal(row["token"].encode()) for row in rows]
    ids = [named(row["subscription"]["id"], "wallet") for row in rows]
    return [
        row["wallet"] | {"id": identity, "token_sealed": token, "phone_sealed": no_phone}
        for row, identity, token in zip(rows, ids, tokens, strict=True)
    ]


@lru_cache(maxsize=1_024)
def _token_ends(bound: datetime) -> datetime:
    return add(TOKEN_LIFE, bound, UTC)


_next_notice = lru_cache(maxsize=1_024)(wallet.next_notice)


def _instant(row: Mapping[str, str], column: str, plan: Mapping[Any, Any]) -> datetime:
    written = (row.get(column) or "").strip()
    try:
        moment = datetime.fromisoformat(written)
        return moment if moment.tzinfo is not None else place(moment, zone(plan["timezone"]))
    except (ValueError, OverflowError):
        raise InvalidValue(f"{column} must be an ISO 8601 instant, not {written!r}") from None


def _whole(text: str, what: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit()) or int(text) < 1:
        raise InvalidValue(f"{what} must be a whole number above 0, not {text.strip()!r}")
    return int(text)
