"""Attention: list everything that needs an operator, or is late.

Each item has its cause and the command that resolves it. An alarm needs an operator; other items
are for information, and end automatically or by a decision that can wait. Nothing is written, and
the gateway is not called.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from billing.domain.instants import at_home, spoken
from billing.domain.wallet import WalletStatus
from billing.store.queries import attention, prospects
from billing.store.queries.attention import EVERYTHING, Ages, Count, Item, Wanted
from billing.store.queries.prospects import Chargeable
from billing.store.session import Database

LATE_MIN = timedelta(seconds=5)
"""Work is not late before this, even with a shorter tick interval."""
QUARTER_HOUR, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)

START_A_WORKER = "celery -A workers.app worker"
_LINK_WALLET = "billing wallet link {customer} --phone 62…"
_REFRESH = "billing wallet refresh {customer}"
_RETRY = "billing invoice retry {id}"
_SEE = "billing invoice show {id}"
_COMMANDS = {
    ("charge", "parked"): 'billing charge resolve {id} --as declined --reason "…"',
    ("charge", "other amount"): 'billing charge resolve {id} --as succeeded --reason "…"',
    ("charge", "contradicted"): 'billing release charge {id} --reason "…"',
    ("charge", "late"): START_A_WORKER,
    ("charge", "breach"): 'billing charge acknowledge {id} --reason "…"',
    ("refund", "parked"): "billing refunds retry {id}",
    ("refund", "unreturned"): "billing refunds retry {id}",
    ("refund", "contradicted"): 'billing refunds acknowledge {id} --reason "…"',
    ("wallet", "link open"): _REFRESH,
    ("wallet", "unlinking"): "billing wallet unlink {customer}",
    ("wallet", "unlink stuck"): "billing wallet unlink {customer}",
    ("invoice", "waits for wallet"): _LINK_WALLET,
    ("invoice", "postponed"): 'billing invoice void {id} --reason "…"',
    ("subscription", "unpaid"): "billing subscription resume {id}",
    ("webhook", "disabled"): "billing webhook update {id} --enable",
    ("webhook", "failing"): "billing webhook test {id}",
    ("webhook", "deliveries failed"): "billing webhook deliveries --endpoint {id} --status failed",
    ("approval", "waits for approval"): "in the console: /console/approvals/{id}",
    ("approval", "not finished"): "in the console: /console/approvals/{id}",
    ("engine", "stopped"): 'billing start-charging --reason "…"',
}
"""The command for each kind and cause; other items are shown with `show`, or retried."""
_LOOK = {
    "charge": "billing charge show {id}",
    "refund": "billing refunds show {id}",
    "invoice": _RETRY,
    "wallet": _REFRESH,
    "subscription": "billing subscription show {id}",
}


_LINK: dict[str | None, str] = {
    None: _LINK_WALLET,
    WalletStatus.PENDING: _REFRESH,
    WalletStatus.UNLINKING: "billing wallet unlink {customer}",
}
"""The command that leads to a wallet with a usable token, by the status of the live wallet."""


class Attention(NamedTuple):
    """An item, its age in whole seconds, and the command that resolves it."""

    item: Item
    age_seconds: int
    command: str


def ages(now: datetime, tick_seconds: Decimal) -> Ages:
    """Return the instants before which rows are too old; work is late after two ticks."""
    two_ticks = timedelta(milliseconds=int(2000 * tick_seconds))
    late = now - max(two_ticks, LATE_MIN)
    return Ages(late, now - QUARTER_HOUR, now - HOUR, now - DAY, now)


def listed(
    database: Database,
    now: datetime,
    tick_seconds: Decimal,
    limit: int,
    after: Item | None = None,
    *,
    horizon: timedelta | None = None,
    wanted: Wanted = EVERYTHING,
) -> list[Attention]:
    """Return a page of what needs attention: alarms first, oldest first.

    `horizon` is the age from which an operator may resolve a charge.
    """
    with database.transaction() as connection:
        found = attention.items(
            connection, ages(now, tick_seconds), limit=limit, after=after, wanted=wanted
        )
        return _with_commands(connection, found, now, horizon)


def page(
    connection: Connection,
    now: datetime,
    tick_seconds: Decimal,
    limit: int,
    after: Item | None,
    *,
    horizon: timedelta,
    wanted: Wanted,
) -> tuple[list[Attention], list[Count]]:
    """Return the same with the counts of everything by kind and cause."""
    found, counts = attention.items_and_counts(
        connection, ages(now, tick_seconds), limit=limit, after=after, wanted=wanted
    )
    return _with_commands(connection, found, now, horizon), counts


def _with_commands(
    connection: Connection, items: Sequence[Item], now: datetime, horizon: timedelta | None
) -> list[Attention]:
    commands = commands_of(connection, items, horizon)
    found = [
        (_after_older(_with_local_times(item), line), line)
        for item, line in zip(items, commands, strict=True)
    ]
    return [Attention(item, _age(item.since_at, now), line) for item, line in found]


def _with_local_times(item: Item) -> Item:
    moves = None if item.moves_at is None else at_home(item.moves_at)
    return item._replace(since_at=at_home(item.since_at), moves_at=moves)


def _after_older(item: Item, line: str) -> Item:
    """Say why the command of an invoice retries another one."""
    retry = "billing invoice retry "
    if item.kind != "invoice" or not line.startswith(retry) or line == f"{retry}{item.id}":
        return item
    first = "the older one first"
    return item._replace(why=f"{item.why}; {first}" if item.why else first)


def commands_of(
    connection: Connection, items: Sequence[Item], horizon: timedelta | None
) -> list[str]:
    """Return the command that resolves each item, if it is accepted now."""
    owed = prospects.chargeable(connection, _ids(items, "invoice"))
    charges = prospects.charges(connection, _ids(items, "charge"))
    refunds = prospects.refunds(connection, _ids(items, "refund"))

    def of(item: Item) -> str:
        command_line = command(item)
        if item.kind == "invoice" and (debt := owed.get(UUID(item.id))) is not None:
            return _of_debt(item, command_line, debt)
        if item.kind == "charge" and " resolve " in command_line:
            at = charges[UUID(item.id)].decidable(horizon)
            if isinstance(at, datetime):
                return f"from {spoken(at)}: {command_line}"
            return command_line if at else f"billing charge show {item.id}"
        is_spent = (
            item.kind == "refund" and " retry " in command_line and not refunds[UUID(item.id)].waits
        )
        return (
            f'billing refunds resolve {item.id} --as kept --reason "…"'
            if is_spent
            else command_line
        )

    return [of(item) for item in items]


def _ids(items: Sequence[Item], kind: str) -> list[UUID]:
    return [UUID(item.id) for item in items if item.kind == kind]


def _of_debt(item: Item, command_line: str, debt: Chargeable) -> str:
    """Return the command for an unpaid invoice: only the oldest with a wallet can be retried."""
    plain = _LINK_WALLET.format(**item._asdict())
    if command_line != plain and not command_line.startswith("billing invoice retry"):
        return command_line
    if debt.unresolved:
        return _SEE.format(**item._asdict())
    if debt.wallet_good:
        return f"billing invoice retry {debt.first}"
    return _LINK.get(debt.wallet, _SEE).format(**item._asdict())


def counted(database: Database, now: datetime, tick_seconds: Decimal) -> list[Count]:
    """Count the items of each kind and cause."""
    with database.transaction() as connection:
        return attention.counts(connection, ages(now, tick_seconds))


def _age(since: datetime, now: datetime) -> int:
    return max(int((now - since).total_seconds()), 0)


def command(item: Item) -> str:
    """Return the command that resolves an item, or that shows why it is blocked."""
    if item.cause == "held":
        return f'billing release {item.kind} {item.id} --reason "…"'
    if item.cause == "late":
        return START_A_WORKER
    text = _COMMANDS.get((item.kind, item.cause), _LOOK.get(item.kind, "billing doctor"))
    if item.cause == "unsendable" and "BILLING_TOKEN_KEY" in (item.why or ""):
        text = f"{_LINK_WALLET} --replace"
    return text.format(**item._asdict())


def in_words(counts: Sequence[Count], now: datetime) -> str:
    """Format counts as one line: `2 charges held (for 3 min), 1 refund unknown (for 20 s)`."""
    return ", ".join(
        f"{each.rows} {each.kind}{'s' if each.rows > 1 else ''} {_plural(each)}"
        f" (for {span(_age(each.since_at, now))})"
        for each in counts
    )


def _plural(each: Count) -> str:
    """Format the cause as it is written after a number."""
    return each.cause.replace("waits for", "wait for") if each.rows > 1 else each.cause


def span(seconds: int) -> str:
    """Format seconds in the largest unit of which there are at least two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
