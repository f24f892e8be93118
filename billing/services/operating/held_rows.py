"""Held rows: a row that fails is held, and does not stop the others.

A batch that fails is halved until the failing row is alone. That row is held: it is stored with the
error and an event, skipped by every tick, listed by `billing attention`, and released by an
operator. The check costs nothing until something fails. This module does not know the kind of work.

A row that another session has locked is not a bad row: it is skipped, and stays due.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime
from traceback import walk_tb
from typing import TypeVar
from uuid import UUID

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from billing.domain.errors import BillingError, IllegalMove, NotKnown
from billing.domain.events import SCHEDULER, Actor, Event, event
from billing.logs import Logger, scrub
from billing.services.context import Context
from billing.store.queries import charges, events, holding
from billing.store.queries.holding import Kind, Owner
from billing.store.session import brief_locks, is_deadlock, is_locked
from schedules.walltime import ScheduleError

log = Logger(__name__)

T = TypeVar("T")
R = TypeVar("R")

WHY_MAX = 300
OURS = frozenset({"billing", "schedules", "workers"})
HELD_AT_ONCE_MAX = 20
"""When this many rows fail and fewer succeed, the rows are not the cause: a bug, a wrong key, a
full disk, a locked table."""


_OF_A_ROW = (
    BillingError,
    ScheduleError,
    StatementError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


def is_about_a_row(error: BaseException) -> bool:
    """Whether the error is caused by one row, so that the others may succeed without it.

    A violated constraint or type is caused by a row, and so is a value that is invalid or that no
    key decrypts. An unreachable database, a deadlock, a missing table, a full disk and the end of
    the process affect every row. So does any error that is not listed here.
    """
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError) and not error.connection_invalidated
    return isinstance(error, _OF_A_ROW) and not isinstance(error, OSError)


def one_line(error: BaseException) -> str:
    """Format an error's type and text for people, without values of the row and secrets.

    Of a database error only the primary message is kept, because the detail contains the row.
    """
    cause: BaseException = error
    said = str(error)
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
        diagnosis = getattr(cause, "diag", None)
        said = getattr(diagnosis, "message_primary", None) or str(cause)
    words = " ".join(f"{type(cause).__name__}: {said}".split())
    printable = "".join(letter if letter.isprintable() else "?" for letter in words)
    return scrub(printable)[:WHY_MAX]


def brief(error: BaseException) -> str:
    """Format an error for the log: type, constraint, and our line that raised it; no values.

    A traceback and most texts of errors contain values of the row, and a log cannot be erased.
    """
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    constraint = getattr(getattr(cause, "diag", None), "constraint_name", None)
    place = None
    for frame, line in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] in OURS:
            place = f"at {module}:{line}"
    return " ".join(filter(None, (type(cause).__name__, constraint, place)))


def may_be_a_row(error: BaseException) -> bool:
    """Whether other rows may succeed: a bad row, or one that another session has locked."""
    return is_locked(error) or is_about_a_row(error)


def pass_over(row: object, error: Exception) -> None:
    """Leave a locked row unchanged: a later tick does the work."""
    log.warning("row.locked", row=str(row), error=brief(error))


def isolate(
    ids: Sequence[T],
    work: Callable[[Sequence[T]], R],
    hold: Callable[[T, Exception], object],
    locked: Callable[[T, Exception], object] = pass_over,
    *,
    held_max: int = HELD_AT_ONCE_MAX,
) -> list[R]:
    """Do `work` with all of `ids` together; if that fails, hold the rows that make it fail.

    `work` is one transaction, or safe to repeat. The results are returned, one for each part that
    succeeded. A row is held when it fails in a transaction of its own after an earlier failure,
    alone or in a batch. A row that another session has locked is given to `locked` instead. An
    error that no row causes is raised. So is the next error when `held_max` rows are held or locked
    and fewer succeeded.
    """
    try:
        return [work(ids)]
    except Exception as error:
        if not ids or not may_be_a_row(error):
            raise
        log.warning("batch.failed", rows=len(ids), error=brief(error))
    with brief_locks():
        return _by_halves(ids, work, hold, locked, held_max)


def _by_halves(
    ids: Sequence[T],
    work: Callable[[Sequence[T]], R],
    hold: Callable[[T, Exception], object],
    locked: Callable[[T, Exception], object],
    held_max: int,
) -> list[R]:
    done, held, good = [], 0, 0
    waiting = _halves(ids)
    while waiting:
        part = waiting.pop()
        try:
            done.append(work(part))
            good += len(part)
        except Exception as error:
            if not may_be_a_row(error):
                raise
            if len(part) > 1:
                waiting += _halves(part)
                continue
            if held >= held_max and held > good:
                raise
            (locked if is_locked(error) else hold)(part[0], error)
            held += 1
    return done


def _halves(ids: Sequence[T]) -> list[Sequence[T]]:
    """Return the second half and the first, which is taken first; a single id is retried once."""
    middle = len(ids) // 2
    return [ids[middle:], ids[:middle]] if middle else [ids]


def each(
    context: Context,
    kind: Kind,
    ids: Sequence[UUID],
    work: Callable[[UUID], object],
    *,
    attempts: int = 2,
) -> None:
    """Do `work` with each row in its own transaction; rows that fail are held.

    A row that fails is attempted a second time, unless `work` calls the gateway. For a row that
    another session has locked, the transaction waits briefly, unless `work` calls the gateway; then
    the row is skipped. When many rows fail and fewer succeed, the last error is raised: the rows
    are not the cause.
    """
    held = 0
    for number, row_id in enumerate(ids):
        try:
            with brief_locks() if attempts > 1 else nullcontext():
                _done(work, row_id, attempts)
        except Exception as error:
            if not may_be_a_row(error) or held >= max(HELD_AT_ONCE_MAX, number - held + 1):
                raise
            if is_locked(error):
                pass_over(row_id, error)
            else:
                set_aside(context, kind, row_id, error)
            held += 1


def _done(work: Callable[[UUID], object], row_id: UUID, attempts: int) -> None:
    for left in reversed(range(attempts)):
        try:
            work(row_id)
            return
        except Exception as error:
            if not left or not (is_about_a_row(error) or is_deadlock(error)):
                raise


def holder(context: Context, kind: Kind, **data: object) -> Callable[[UUID, Exception], None]:
    """Return the function that holds a row of this kind; `data` goes into its event."""

    def hold(row_id: UUID, error: Exception) -> None:
        set_aside(context, kind, row_id, error, **data)

    return hold


def set_aside(context: Context, kind: Kind, row_id: UUID, error: Exception, **data: object) -> None:
    """Hold one row in a transaction of its own, with the reason, the instant and an event.

    The reason may contain a value of the row; it is stored and not logged.
    """
    why, now = one_line(error), context.clock.now()
    said = {"kind": kind.value, "id": str(row_id), "error": brief(error)}
    log.warning("row.failed", **said)
    with context.database.transaction() as connection:
        owner = holding.hold(connection, kind, row_id, why, now)
        if owner is not None:
            recorded = _event(f"{kind}.held", kind, owner, SCHEDULER, now, why=why, **data)
            events.record(connection, [recorded])
    if owner is not None:  # otherwise it is held already, or needs no more work
        log.error("row.held", **said, held_at=now.isoformat())


def release(context: Context, kind: Kind, row_id: UUID | None, by: Actor) -> list[UUID]:
    """Release one held row, or all of a kind; the next tick does the due work.

    A contradicted charge is also marked as handled by an operator. Raises
    NotKnown, or IllegalMove when the row is not held.
    """
    now = context.clock.now()
    ids = None if row_id is None else [row_id]
    with context.database.transaction() as connection:
        owners = holding.release(connection, kind, ids)
        if row_id is not None and not owners:
            owner = holding.owner_of(connection, kind, row_id)
            if owner is None:
                raise NotKnown(f"no {kind} has the id {row_id}", hint="see: billing attention")
            if kind is not Kind.CHARGE or not holding.is_contradicted(connection, row_id):
                raise IllegalMove(f"{kind} {row_id} is not held", hint="see: billing attention")
            charges.see_to(connection, row_id)
            owners = [owner]
        recorded = [_event(f"{kind}.released", kind, owner, by, now) for owner in owners]
        events.record(connection, recorded)
    return [owner.id for owner in owners]


def _event(name: str, kind: Kind, owner: Owner, by: Actor, now: datetime, **data: object) -> Event:
    return event(
        name, at=now, by=by, customer_id=owner.customer_id,
        subscription_id=owner.subscription_id, invoice_id=owner.invoice_id,
        charge_id=owner.charge_id, data={kind.value: str(owner.id), **data},
    )  # fmt: skip
