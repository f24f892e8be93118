"""Where and how often faults happen: kills between any two steps, lost commits, other processes.

It wraps the database, the pool of threads and the gateway from outside; the engine is unchanged.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any, ParamSpec, Self, TypeVar

import psycopg
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from billing.domain.outcomes import SealedPayment
from billing.services.collecting.dispatch import Wire
from billing.services.collecting.settling import News
from billing.services.context import Context
from billing.store.session import Database
from tests import plans

T = TypeVar("T")
P = ParamSpec("P")

KILLS = {
    "before begin": 0.004, "before statement": 0.0012, "after statement": 0.0012,
    "before commit": 0.007, "after commit": 0.009, "before call": 0.012, "after call": 0.02,
    "between groups": 0.02, "between tasks": 0.01,
}  # fmt: skip
CUTS = {"before begin": 0.002, "before commit": 0.005, "after commit": 0.006}
"""The connection breaks: the caller learns of an error, and not whether the commit happened."""
MEDDLING = {"before begin": 0.012, "before statement": 0.003, "before call": 0.06,
            "after call": 0.08, "between groups": 0.05}  # fmt: skip
"""Another process does something at this very moment."""
IMPATIENCE = "5ms"
"""How long the other process waits for a lock: whoever holds it cannot let go meanwhile."""


class Crash(BaseException):  # not Exception: nothing in the process may catch a kill
    """The process is killed at this point."""


class Chaos:
    """Decides at each point whether the process dies, loses its connection, or others act."""

    def __init__(self, rng: Random) -> None:
        self.on = False
        self.heat = 1.0
        self.met: Counter[str] = Counter()
        self.meddle: Callable[[], None] = lambda: None
        self.meddling: Mapping[str, float] = MEDDLING
        self._rng = rng

    def point(self, place: str) -> None:
        """Pass a point between two steps, or do not."""
        if not self.on:
            return
        roll = self._rng.random()
        killed = KILLS.get(place, 0) * self.heat
        cut = killed + CUTS.get(place, 0) * self.heat
        if roll < killed:
            self.met[f"killed {place}"] += 1
            raise Crash(place)
        if roll < cut:
            self.met[f"cut {place}"] += 1
            raise OperationalError(f"cut {place}", {}, ConnectionError(place))
        if roll > 1 - self.meddling.get(place, 0):
            self.meddle()


class StormDatabase(Database):
    """The engine's database, with points before and after everything it does."""

    def __init__(self, url: str, chaos: Chaos, *, impatient: bool) -> None:
        super().__init__(url, pool_size=2)
        self._chaos = chaos
        self.rewrite: Callable[[str], str] = lambda statement: statement
        if impatient:
            event.listen(self._engine, "connect", _lose_patience)
        # At the driver's cursor, and not by SQLAlchemy's listeners: with one of those no statement
        # would go straight to the driver, as it does for workers.
        event.listen(self._engine, "connect", self._with_points)
        # Whether it is idle is a matter of real time; an idle one is never lost here.
        self._engine.dialect.do_ping = lambda _connection: True  # type: ignore[method-assign]

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Like the engine's, with points around the begin and the commit."""
        self._chaos.point("before begin")
        with super().transaction() as connection:
            yield connection
            self._chaos.point("before commit")
        self._chaos.point("after commit")

    def _with_points(self, connection: psycopg.Connection[Any], _record: Any) -> None:
        chaos, database = self._chaos, self

        class Pointed(psycopg.Cursor[Any]):
            """A cursor with points before and after each statement."""

            def execute(self, query: Any, *values: Any, **options: Any) -> Self:
                chaos.point("before statement")
                super().execute(database.rewrite(query), *values, **options)
                chaos.point("after statement")
                return self

            def executemany(self, query: Any, *values: Any, **options: Any) -> None:
                chaos.point("before statement")
                super().executemany(database.rewrite(query), *values, **options)
                chaos.point("after statement")

        plans.keep(connection)
        connection.cursor_factory = Pointed


def _lose_patience(connection: Any, _record: Any) -> None:
    connection.execute(f"SET lock_timeout = '{IMPATIENCE}'")
    connection.commit()


class Lazy(Future[T]):
    """A call that runs when its result is requested, in the requesting thread."""

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__()
        self._call = call

    def happen(self) -> None:
        """Make the call, once. What kills it kills the process, as it would in a thread."""
        if not self.done():
            self.set_result(self._call())

    def result(self, timeout: float | None = None) -> T:
        """The call's result."""
        self.happen()
        return super().result(timeout)


class LazyPool(Executor):
    """The pool of threads, without threads."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Remember a call."""
        return Lazy(lambda: fn(*args, **kwargs))


class Desk(Executor):
    """The thread beside, without a thread: what it is given happens at once."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run it. A kill ends the process; an error is raised where the result is requested."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as an executor does
            done.set_exception(error)
        return done


class StormWire(Wire):
    """The wire, without threads: some calls happen, and of some the answers have come."""

    def __init__(self, context: Context, chaos: Chaos, rng: Random) -> None:
        super().__init__(context)
        self._chaos = chaos
        self._rng = rng
        self._calls: list[Lazy[News]] = []

    def put(self, payments: Sequence[SealedPayment]) -> None:
        """Remember the calls."""
        self._put += len(payments)
        self._calls += [Lazy(partial(self._news, payment)) for payment in payments]

    def wait(self, most: int, seconds: float | None = None) -> int:
        """Let some calls happen, and some of those that have be answered."""
        self._chaos.point("between groups")
        for call in self._rng.sample(self._calls, self._rng.randint(1, len(self._calls))):
            call.happen()
        happened = [call for call in self._calls if call.done()]
        told = self._rng.sample(happened, self._rng.randint(1, len(happened)))
        self._calls = [call for call in self._calls if call not in told]
        self._answers += [call.result() for call in told]
        return len(self._answers)
