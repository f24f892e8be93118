"""Bounded waits, and their message when the limit is reached.

A wait names its condition, and its message shows what was due, leased and queued at the end. It
does not know which process should have done the work.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import IO, Any

import redis
from sqlalchemy import Connection, text

from billing import bootstrap
from billing.services.context import LEASE_SECONDS
from billing.store.session import Database

WAIT_SECONDS = 40.0
"""Long for a machine that is busy with other things, and shorter than a lease: work that stands
still because a lease was not given back is a failure and not a slow test."""
assert WAIT_SECONDS < LEASE_SECONDS
ROWS_MAX = 8
QUEUE_SECONDS = 2.0

_DUE = (
    ("subscriptions", "next_due_at"), ("subscriptions", "cancel_at"),
    ("subscriptions", "pause_at"), ("subscriptions", "resume_at"),
    ("invoices", "next_attempt_at"), ("charges", "next_check_at"),
    ("refunds", "next_attempt_at"), ("wallets", "next_attempt_at"),
)  # fmt: skip
_LEASED = ("invoices", "charges", "refunds", "wallets")


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    seconds: float = WAIT_SECONDS,
    state: Callable[[], str] = lambda: "",
    pause_seconds: float = 0.05,
) -> None:
    """Wait until a condition holds; AssertionError with `what` and the state when it never did."""
    pause, deadline = threading.Event(), monotonic() + seconds
    while not condition():
        if monotonic() >= deadline:
            raise AssertionError(f"{what}: not so after {seconds:g} s\n{state()}".rstrip())
        pause.wait(pause_seconds)


def state_of(database: Database, broker_url: str | None = None) -> str:
    """What is due, leased and on the wire in a database, and queued at a broker, for a message."""
    with database.transaction() as connection:
        lines = [*_due(connection), *_leased(connection), *_on_the_wire(connection)]
    if broker_url is not None:
        lines.append(_queued(broker_url))
    return "\n".join(lines)


def _due(connection: Connection) -> Iterable[str]:
    now = _one(connection, "SELECT clock_at FROM engine")
    yield f"the test clock: {now}; real time: {_one(connection, 'SELECT clock_timestamp()')}"
    for table, column in _DUE:
        statement = (
            f"SELECT id, {column} AS at FROM {table} WHERE {column} <="
            " coalesce((SELECT clock_at FROM engine), clock_timestamp()) ORDER BY 2, 1"
        )
        yield from _rows(connection, statement, f"due: {table}.{column}")


def _leased(connection: Connection) -> Iterable[str]:
    for table in _LEASED:
        statement = (
            f"SELECT id, leased_until AS at FROM {table} WHERE leased_until > clock_timestamp()"
            " ORDER BY 2, 1"
        )
        yield from _rows(connection, statement, f"leased: {table} until")


def _on_the_wire(connection: Connection) -> Iterable[str]:
    for table, column in (("charges", "sent_at"), ("refunds", "created_at")):
        statement = (
            f"SELECT id, {column} AS at FROM {table} WHERE status = 'in_flight' ORDER BY 2, 1"
        )
        yield from _rows(connection, statement, f"in flight: {table} since")


def _rows(connection: Connection, statement: str, what: str) -> Iterable[str]:
    found = connection.execute(text(statement)).all()
    for row in found[:ROWS_MAX]:
        yield f"{what} {row.at}: {row.id}"
    if len(found) > ROWS_MAX:
        yield f"{what} …: {len(found) - ROWS_MAX} more"


def _one(connection: Connection, statement: str) -> Any:
    return connection.execute(text(statement)).scalar_one()


def _queued(url: str) -> str:
    """Return the length of each queue, or why it is not known."""
    bound = {"socket_timeout": QUEUE_SECONDS, "socket_connect_timeout": QUEUE_SECONDS}
    try:
        with redis.Redis.from_url(url, **bound) as broker:
            lengths = {name: broker.llen(name) for name in bootstrap.QUEUES}
            return f"queued: {lengths}, fetched and not done: {broker.hlen('unacked')}"
    except redis.RedisError as failed:
        return f"queued: unknown, for Redis says {failed!r}"


class Lines:
    """The output of a process, read in a thread, so that no reader waits without a limit."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        self._stream = stream
        self._thread = threading.Thread(target=self._read, name="lines", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(ValueError):  # closed by the reader
            for line in self._stream:
                self.lines.append(line.rstrip("\n"))

    @property
    def ended(self) -> bool:
        """Whether the process has closed its end, and everything is read."""
        return not self._thread.is_alive()

    def await_line(self, holds: Callable[[str], bool], what: str, seconds: float) -> None:
        """Wait for a matching line; AssertionError when there is none in time or at the end."""

        def seen() -> bool:
            return any(holds(line) for line in list(self.lines))

        wait_until(lambda: seen() or self.ended, what, seconds=seconds, state=self.__str__)
        assert seen(), f"{what}: it ended without\n{self}"

    def await_end(self, seconds: float) -> list[str]:
        """Wait for the end of the output, and return all lines of it."""
        wait_until(lambda: self.ended, "the end of its output", seconds=seconds, state=self.__str__)
        return self.lines

    def __str__(self) -> str:
        return "it said: " + "\n         ".join(self.lines or ["nothing"])
