"""Importing: add customers and running subscriptions of another system, in batches of rows.

A repeated row changes nothing; a known id with other content is rejected, and so is a token of
another customer. A bad row is reported and does not affect others. This module does not know files.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Generic, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import Connection

from billing.domain import backdating
from billing.domain.backdating import AtOnce
from billing.domain.errors import BillingError, IllegalMove, InvalidValue, NotConfigured
from billing.domain.events import Actor, event
from billing.domain.identity import from_outside, named
from billing.domain.imports import Fate, Known, Verdict, sort_out
from billing.domain.text import is_line
from billing.domain.wallet import LIVE
from billing.services.context import Context
from billing.services.operating import held_rows, import_rows, token_keys
from billing.services.operating.import_rows import Row, V
from billing.services.subscriptions import subscribing
from billing.store.queries import engine, events
from billing.store.queries import importing as statements
from billing.store.queries.catalog import NewCustomer, Plan
from billing.store.queries.importing import Linked, Running
from billing.store.session import Database
from billing.store.vault import Vault
from schedules.walltime import ScheduleError

BATCH = 2_500
ATTEMPTS = 5
"""How often a batch is compared again because another session wrote the same rows."""

Line = tuple[int, Mapping[str, str] | InvalidValue]
"""A line's number with its cells, or with the reason why they cannot be read."""
Rejected = list[tuple[int, str]]


@dataclass(slots=True)
class Report:
    """The result of a file: counts, and each bad row with its line number and the reason."""

    added: int = 0
    there: int = 0
    charged_now: AtOnce = backdating.NOTHING
    """The amount that is due at once for added subscriptions."""
    bad: Rejected = field(default_factory=list)


Judged: TypeAlias = Sequence[tuple[Row[V], Verdict]]


class Kind(NamedTuple, Generic[V]):
    """How rows of one kind are checked, compared and written."""

    prepare: Callable[[Connection, int, Mapping[str, str], datetime], Row[V]]
    read: Callable[[Connection, Sequence[Row[V]], Known], None]
    write: Callable[[Connection, Judged[V], datetime], None]


class Overtaken(Exception):
    """Another session has written some of the same rows since they were read."""


def customers(
    context: Context, lines: Iterable[Line], by: Actor, *, dry_run: bool = False
) -> Generator[Report, None, None]:
    """Add customers, and yield the report after each batch."""

    def prepare(
        _: Connection, line: int, cells: Mapping[str, str], now: datetime
    ) -> Row[NewCustomer]:
        return import_rows.customer(line, cells, now)

    def read(connection: Connection, rows: Sequence[Row[NewCustomer]], known: Known) -> None:
        ids = [row.incoming.id for row in rows]
        known.contents.update(import_rows.compared(statements.known_customers(connection, ids)))
        known.erased.update(statements.erased(connection, ids))

    def write(connection: Connection, rows: Judged[NewCustomer], now: datetime) -> None:
        _expect(statements.add_customers(connection, [row.values for row, _ in rows]), rows)
        recorded = [
            event("customer.created", at=now, by=by, customer_id=row.incoming.id)
            for row, _ in rows
        ]  # fmt: skip
        events.record(connection, recorded)

    yield from _batches(context, lines, Kind(prepare, read, write), dry_run=dry_run)


def subscriptions(
    context: Context, lines: Iterable[Line], by: Actor, *, dry_run: bool = False,
    backdate: bool = False,
) -> Generator[Report, None, None]:  # fmt: skip
    """Add running subscriptions with their anchor, next due date and token; yield reports.

    A new one that was due more than BILLING_BACKDATE_DAYS_MAX days ago is rejected unless
    `backdate`.
    """
    days_max = None if backdate else context.settings.backdate_days_max
    plans: dict[str, Plan] = {}
    with context.database.transaction() as connection:
        installation = engine.installation(connection)

    def prepare(
        connection: Connection, line: int, cells: Mapping[str, str], now: datetime
    ) -> Row[Running]:
        code = (cells.get("plan") or "").strip()
        if code not in plans:
            plans[code] = subscribing.known_plan(connection, code)
        row = import_rows.subscription(line, cells, plans[code], context.vault, now)
        return row if days_max is None else import_rows.not_too_old(row, now, days_max)

    def read(connection: Connection, rows: Sequence[Row[Running]], known: Known) -> None:
        references = [row.incoming.id for row in rows]
        known.contents.update(statements.known_references(connection, references))
        people = [row.incoming.customer for row in rows]
        known.erased.update(statements.erased(connection, people))
        linked = [row.incoming for row in rows if row.token]
        if linked:
            hashes = [each for incoming in linked for each in incoming.token_hashes]
            payers = [incoming.customer for incoming in linked]
            for holder in statements.holders(connection, payers, hashes):
                known.note(holder)

    def write(connection: Connection, rows: Judged[Running], now: datetime) -> None:
        new = [
            (from_outside(installation, "import", row.incoming.id), row, verdict)
            for row, verdict in rows
        ]  # fmt: skip
        added = [(identity, row.values) for identity, row, _ in new]
        _expect(statements.add_subscriptions(connection, added), new)
        said = [_reference(identity, row) for identity, row, _ in new]
        _expect(statements.add_references(connection, said), new)
        linked = [(identity, row) for identity, row, v in new if v.fate is Fate.LINKED]
        wallets = _sealed(context.vault, linked)
        _expect(statements.add_wallets(connection, wallets), linked)
        recorded = [
            event(
                "subscription.imported", at=now, by=by, customer_id=row.incoming.customer,
                subscription_id=identity, reference=row.incoming.id, plan=row.values.plan_code,
                paid_before=row.values.first_paid_at is not None,
            )
            for identity, row, _ in new
        ]  # fmt: skip
        events.record(connection, recorded)

    token_keys.check(context)
    hash_tokens(context)
    yield from _batches(context, lines, Kind(prepare, read, write), dry_run=dry_run)


def imported_as(database: Database, reference: str) -> UUID | None:
    """Return the subscription that was imported with this reference, or None."""
    with database.transaction() as connection:
        return statements.of_reference(connection, reference)


def hash_tokens(context: Context) -> None:
    """Hash tokens that were stored without a hash, or with a hash under an earlier key.

    A token that no key decrypts gets no hash, so an import cannot recognise it.
    """
    after, full = UUID(int=0), True
    while full:
        with context.database.transaction() as connection:
            found = statements.lock_to_hash(connection, context.vault.hash_prefix, after, BATCH)
            hashes: dict[UUID, bytes] = {}
            live: set[bytes] = set()
            for row in found:
                try:
                    value = context.vault.hashes(context.vault.open(row.token_sealed))[0]
                except NotConfigured:
                    continue
                if row.status not in LIVE or value not in live:
                    hashes[row.id] = value
                    live |= {value} if row.status in LIVE else set()
            statements.set_hashes(connection, hashes)
        after, full = (found[-1].id if found else after), len(found) == BATCH


def _batches(
    context: Context, lines: Iterable[Line], kind: Kind[V], *, dry_run: bool
) -> Generator[Report, None, None]:
    """Check a batch while the previous one is written; a row that cannot be written is a bad row.

    The report is also yielded before the first batch, so that the caller has a report when the
    import is interrupted.
    """
    report = Report()
    # A dry run must remember what it did not write.
    memory = Known() if dry_run else None
    written = None
    yield report
    try:
        for batch in _parts(lines):
            now = context.clock.now()
            good, bad = _checked(context, batch, kind, now)
            if written is not None:
                settled, written = written.result(), None
                _count(report, settled)
                yield report
            report.bad += bad
            written = context.desk.submit(_settled, context, kind, good, now, memory)
        if written is not None:
            settled, written = written.result(), None
            _count(report, settled)
    except BaseException:
        # The running write continues in the meantime, and its rows count as added.
        if written is not None:
            with suppress(Exception, KeyboardInterrupt):
                _count(report, written.result())
        raise
    yield report


def _parts(lines: Iterable[Line]) -> Iterator[list[Line]]:
    rest = iter(lines)
    while part := list(islice(rest, BATCH)):
        yield part


def _checked(
    context: Context, batch: Sequence[Line], kind: Kind[V], now: datetime
) -> tuple[list[Row[V]], Rejected]:
    """Split a batch into valid rows, and bad rows with the reason."""
    good: list[Row[V]] = []
    bad: Rejected = []
    with context.database.transaction() as connection:
        named = [
            cells["customer"].strip()
            for _, cells in batch
            if not isinstance(cells, InvalidValue) and cells.get("customer")
        ]
        known = statements.known_customers(connection, [n for n in named if n.isprintable()])
        for number, cells in batch:
            try:
                if isinstance(cells, InvalidValue):
                    raise cells
                if "" in cells:
                    raise InvalidValue("the row has more cells than there are columns")
                if not is_line("".join(cells.values())):
                    raise InvalidValue("a cell has characters that cannot be printed")
                nobody = "customer" in cells and cells["customer"].strip() not in known
                stranger = [f"no customer has the id {cells['customer']!r}"] if nobody else []
                row = _prepared(kind, connection, (number, cells), now, stranger)
                good.append(row)
            except (BillingError, ScheduleError, ValueError, OverflowError) as wrong:
                bad.append((number, str(wrong)))
    return good, bad


def _prepared(
    kind: Kind[V],
    connection: Connection,
    line: tuple[int, Mapping[str, str]],
    now: datetime,
    faults: Sequence[str],
) -> Row[V]:
    """Return the parsed row of a line; raise InvalidValue with all its errors."""
    try:
        row = kind.prepare(connection, *line, now)
    except (BillingError, ScheduleError, ValueError, OverflowError) as wrong:
        raise InvalidValue("; ".join([*faults, str(wrong)])) from None
    if faults:
        raise InvalidValue("; ".join(faults))
    return row


class Settled(NamedTuple):
    """The result of a batch."""

    added: int = 0
    there: int = 0
    bad: Sequence[tuple[int, str]] = ()
    charged_now: AtOnce = backdating.NOTHING


def _settled(
    context: Context, kind: Kind[V], rows: Sequence[Row[V]], now: datetime, memory: Known | None
) -> Settled:
    """Compare a batch with existing rows and write the new ones, unless there is a `memory`."""
    if not rows:
        return Settled()
    for _ in range(ATTEMPTS):
        try:
            return _isolated(context, kind, rows, now, memory)
        except Overtaken:
            continue
    raise IllegalMove("another import adds the same rows at the same time; import the file again")


def _isolated(
    context: Context, kind: Kind[V], rows: Sequence[Row[V]], now: datetime, memory: Known | None
) -> Settled:
    """Write a batch; if that fails, find the rows that fail and report them as bad."""
    rejected: Rejected = []

    def work(part: Sequence[Row[V]]) -> Settled:
        with context.database.transaction() as connection:
            return _sorted(connection, kind, part, now, memory)

    def reject(row: Row[V], error: Exception) -> None:
        why = f"it cannot be written: {held_rows.one_line(error)}"
        rejected.append((row.incoming.line, why))

    parts: list[Settled] = held_rows.isolate(rows, work, reject, held_max=len(rows))
    charged_now = backdating.NOTHING
    for part in parts:
        charged_now = charged_now.plus(part.charged_now)
    return Settled(
        sum(part.added for part in parts),
        sum(part.there for part in parts),
        sorted([*rejected, *(bad for part in parts for bad in part.bad)]),
        charged_now,
    )


def _sorted(
    connection: Connection,
    kind: Kind[V],
    rows: Sequence[Row[V]],
    now: datetime,
    memory: Known | None,
) -> Settled:
    known = Known() if memory is None else memory
    if memory is None:
        statements.be_alone(connection)
    kind.read(connection, rows, known)
    verdicts = sort_out([row.incoming for row in rows], known)
    fates = [verdict.fate for verdict in verdicts]
    new = [
        (row, verdict)
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict.fate in {Fate.ADDED, Fate.LINKED}
    ]
    if memory is None and new:
        kind.write(connection, new, now)
    bad = [
        (row.incoming.line, verdict.reason)
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict.fate is Fate.REJECTED
    ]
    charged_now = backdating.NOTHING
    for row, _ in new:
        charged_now = charged_now.plus(row.charged_now)
    return Settled(len(new), fates.count(Fate.THERE), bad, charged_now)


def _expect(written: int, rows: Sequence[object]) -> None:
    if written != len(rows):
        raise Overtaken


def _count(report: Report, settled: Settled) -> None:
    report.added += settled.added
    report.there += settled.there
    report.bad += settled.bad
    report.charged_now = report.charged_now.plus(settled.charged_now)


def _reference(identity: UUID, row: Row[Running]) -> statements.Reference:
    return statements.Reference(row.incoming.id, identity, row.incoming.content)


def _sealed(
    vault: Vault, rows: Sequence[tuple[UUID, Row[Running]]]
) -> list[tuple[Linked, statements.Sealed]]:
    """Build the wallets of new subscriptions, with ids and encrypted tokens.

    Encrypting them together here takes half the time of doing so in each row's checks.
    """
    no_phone = vault.seal(b"")
    linked = [
        (identity, row.wallet, row.incoming.token_hashes[0], row.token.encode())
        for identity, row in rows
        if row.wallet is not None
    ]
    tokens = [vault.seal(token) for *_, token in linked]
    return [
        (wallet, statements.Sealed(named(identity, "wallet"), token, token_hash, no_phone))
        for (identity, wallet, token_hash, _), token in zip(linked, tokens, strict=True)
    ]
