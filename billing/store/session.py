"""Sessions: connections to PostgreSQL, and `transaction()`, the only place that commits.

Connections are made after a fork: each process builds its own `Database`. Only this module decides
whether a server is lost or has become read-only. This module knows no table.
"""

import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, local
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from billing.domain.errors import NotConfigured
from billing.store.direct import DirectConnection
from billing.store.statements import text

TRANSACTION = "transaction"
"""PgBouncer's name for a pooler that assigns a server for one transaction only."""
LIMITS = {
    "statement_timeout": "60s",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "120s",
    "timezone": "UTC",
}
LOST = frozenset({"25006", "57P01", "57P02", "57P03"})
"""Read-only transaction, administrator's shutdown, crash, cannot connect now (PostgreSQL, appendix
A): the server was demoted, is stopping or is starting. A new connection may reach another
server."""
_DEMOTED = ("default_transaction_read_only", "in_hot_standby")
"""Since version 14 a server reports these parameters with any answer, when they change."""
_READ_WRITE = "read-write"
_PAUSE_SECONDS = 0.25
IDLE_SECONDS = 0.05
"""A connection that was used more recently is not asked whether it works: it is busy."""
_USED_AT = "used_at"
LOCK_NOT_AVAILABLE, DEADLOCK = "55P03", "40P01"
"""PostgreSQL, appendix A: another session holds a lock too long, or both wait for each other."""
QUERY_CANCELED = "57014"
"""PostgreSQL, appendix A: a statement was ended, mostly because of `statement_timeout`."""
BRIEFLY = "1s"
_SET_BRIEFLY = text(f"SET LOCAL lock_timeout = '{BRIEFLY}'")
_BRIEFLY: ContextVar[bool] = ContextVar("briefly", default=False)


@contextmanager
def brief_locks() -> Iterator[None]:
    """Let transactions that begin inside wait at most one second for a lock.

    For work on one of many rows that a later tick repeats: a session that holds one row for long
    must not delay the other rows.
    """
    token = _BRIEFLY.set(True)
    try:
        yield
    finally:
        _BRIEFLY.reset(token)


def is_locked(error: BaseException) -> bool:
    """Whether a transaction failed because another session holds a lock that it needs."""
    return is_deadlock(error) or _state(error) == LOCK_NOT_AVAILABLE


def is_deadlock(error: BaseException) -> bool:
    """Whether a transaction was ended by a deadlock; it usually succeeds when repeated."""
    return _state(error) == DEADLOCK


def took_too_long(error: BaseException) -> bool:
    """Whether a transaction was ended because a statement exceeded its time limit."""
    return _state(error) == QUERY_CANCELED


def _state(error: BaseException) -> str | None:
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def is_lost(error: BaseException) -> bool:
    """Whether a transaction failed because of its connection or server, and may be repeated.

    An OperationalError is about the server and not about the statement: a broken connection, a
    deadlock, a lock that took too long. A server that became read-only raises an InternalError.
    """
    if not isinstance(error, DBAPIError):
        return False
    code = _state(error)
    return isinstance(error, OperationalError) or error.connection_invalidated or code in LOST


def engine_of(
    url: str, *, pooler: str = "", limits: Mapping[str, str] = LIMITS, **options: Any
) -> Engine:
    """Make an engine that drops lost connections, and whose errors contain no values.

    Behind a transaction pooler a server session is shared: no startup options, no prepared
    statements, and the limits are set in each transaction.
    """
    engine = create_engine(url, hide_parameters=True, **options)
    asked = engine.url.query
    given: dict[str, Any] = {"connect_timeout": 10, "target_session_attrs": _READ_WRITE}
    given = {name: value for name, value in given.items() if name not in asked}
    if pooler == TRANSACTION:
        given["prepare_threshold"] = None
    elif limits:
        words = [f"-c {name}={value}" for name, value in limits.items()]
        # The last option counts: an option in the URL must not make a web thread wait longer.
        last = [f"-c lock_timeout={BRIEFLY}"] if limits.get("lock_timeout") == BRIEFLY else []
        given["options"] = " ".join([*words, *_texts(asked.get("options")), *last])

    def add(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters.update(given)

    event.listen(engine, "do_connect", add)
    event.listen(engine, "connect", _require_utf8, insert=True)  # before SQLAlchemy reads anything
    if pooler == TRANSACTION and limits:
        event.listen(engine, "begin", _limit(limits))
    event.listen(engine, "handle_error", _end_if_lost)
    if asked.get("target_session_attrs", _READ_WRITE) in {_READ_WRITE, "primary"}:
        event.listen(engine, "checkout", _refuse_a_demoted_server)
    return engine


def plain_engine(url: str, *, pooler: str = "") -> Engine:
    """Make an engine for migrations: no pooled connection, no statement timeout."""
    return engine_of(url, pooler=pooler, limits={}, poolclass=NullPool)


def _texts(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value or ()


def _limit(limits: Mapping[str, str]) -> Callable[[Connection], None]:
    settings = ", ".join(f"set_config('{name}', '{limits[name]}', true)" for name in limits)

    def at_begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT {settings}")

    return at_begin


def _end_if_lost(context: ExceptionContext) -> None:
    """Make the pool drop this connection and all older ones."""
    if getattr(context.original_exception, "sqlstate", None) in LOST:
        context.is_disconnect = True


def _require_utf8(connection: Any, _record: Any) -> None:
    """Refuse a database that stores text in another encoding: names could not be stored."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in {"UTF8", None}:
        raise NotConfigured(
            f"the PostgreSQL database has the encoding {encoding}, and UTF8 is needed;"
            " make another one: createdb --encoding UTF8 --template template0 NAME"
        )


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED_AT] = monotonic()


def _ping_if_idle(engine: Engine) -> Callable[[Any, Any, Any], None]:
    """Ask the server whether a connection still works, unless it did a moment ago.

    A server that ended the connection meanwhile made its socket readable; this sends no query.
    """

    def at_checkout(connection: Any, record: Any, _proxy: Any) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is None:
            return  # it is new
        if monotonic() - used_at < IDLE_SECONDS and not _has_news(connection):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError(str(type(error).__name__)) from error

    return at_checkout


def _has_news(connection: Any) -> bool:
    news = select.poll()
    news.register(connection.fileno(), select.POLLIN)
    return bool(news.poll(0))


def _refuse_a_demoted_server(connection: Any, _record: Any, _proxy: Any) -> None:
    """Drop a pooled connection to a read-only server; this sends no query."""
    status = connection.info.parameter_status
    if any(status(name) == "on" for name in _DEMOTED):
        raise InvalidatePoolError("the server has become read-only")


class Database:
    """A pool of connections to one PostgreSQL database.

    The server applies the statement timeouts, so that neither a lock nor a broken network blocks a
    worker without end; they are far above what any statement here needs.
    """

    def __init__(
        self, url: str, *, pool_size: int = 5, pooler: str = "", briefly: bool = False
    ) -> None:
        """Open no connection yet.

        `briefly`: each transaction waits at most one second for a lock, as in `brief_locks`. The
        limit is set when a connection is opened, so that no transaction needs a statement for it.
        """
        self._is_brief = briefly
        self._engine = engine_of(
            url,
            pooler=pooler,
            limits=LIMITS | {"lock_timeout": BRIEFLY} if briefly else LIMITS,
            pool_size=pool_size,
            max_overflow=5,
            # The connection used last has its statements prepared and planned.
            pool_use_lifo=True,
        )
        event.listen(self._engine, "checkin", _note_use)
        event.listen(self._engine, "checkout", _ping_if_idle(self._engine), insert=True)
        self._own = local()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit everything that was done inside, or nothing.

        After an error at the commit itself it is unknown whether the commit happened; callers that
        moved money read again instead of assuming.
        """
        with DirectConnection(self._engine) as connection, connection.begin():
            if _BRIEFLY.get() and not self._is_brief:
                connection.execute(_SET_BRIEFLY)
            outer, self._own.connection = self._connection(), connection
            try:
                yield connection
            finally:
                self._own.connection = outer

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read in this thread's open transaction, or in a new one when there is none.

        A thread that holds one connection must not wait for a second one: behind a pooler, all
        connections may be held by threads that do the same, and all would wait without end.
        """
        connection = self._connection()
        if connection is not None:
            yield connection
            return
        with self.transaction() as connection:
            yield connection

    def _connection(self) -> Connection | None:
        return getattr(self._own, "connection", None)

    def await_server(self, seconds: float) -> None:
        """Wait at most `seconds` until a server accepts writes; the next transaction shows whether.

        A switchover takes seconds; without a wait, work in that time fails at once.
        """
        deadline, pause = monotonic() + seconds, Event()
        while not self._answers() and monotonic() < deadline:
            pause.wait(_PAUSE_SECONDS)

    def _answers(self) -> bool:
        try:
            with self._engine.connect():
                return True
        except SQLAlchemyError:
            return False

    def check(self) -> None:
        """Raise NotConfigured with one line when the database cannot be reached."""
        try:
            with self._engine.connect():
                pass
        except DBAPIError as error:
            cause = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
            bare = self._engine.url.difference_update_query(("password", "sslpassword"))
            where = bare.render_as_string(hide_password=True)
            raise NotConfigured(
                f"cannot reach PostgreSQL at {where}: {cause}; check BILLING_DATABASE_URL"
            ) from None

    def dispose(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


class Joined(Database):
    """A database whose every transaction is one that is open already.

    What is done inside is committed, or rolled back, together with the rest of that transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._open = connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield the open transaction; its owner commits it."""
        yield self._open

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield the open transaction."""
        yield self._open
