"""The engine as a fixture, with one database and one pretend gateway for all tests of a process.

Each test gets an empty database with open connections. In the shared gateway each makes its own
customers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher

from billing.sandbox import process
from billing.sandbox.process import SandboxProcess
from billing.store import passwords
from billing.store.session import Database
from tests import plans
from tests.integration.engine import Engine, running
from tests.integration.kept import Kept
from tests.integration.races import Hold
from tests.integration.web import Web, serving
from tests.servers import Servers

QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1)
"""A hash takes 25 ms by intent, and hundreds of tests log people in; `test_people` has ours."""


@pytest.fixture(scope="session")
def gateway() -> Iterator[SandboxProcess]:
    """One pretend gateway for the tests of a process."""
    with process.start() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _kept(shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[Kept]:
    with shared_servers.fresh_database(_admin) as url:
        kept = Kept(url, plans.kept(Database(url)))
        yield kept
        kept.close()


@pytest.fixture
def emptied(_kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """The test process's own database, as empty as a new one; passwords are hashed quickly."""
    monkeypatch.setattr(passwords, "_HASHER", QUICK_HASHER)
    _kept.empty()
    return _kept


@pytest.fixture
def engine(emptied: Kept, gateway: SandboxProcess) -> Iterator[Engine]:
    """An engine; afterwards the audit must find nothing, and the ledger must equal the rows."""
    with running(emptied, gateway) as made:
        yield made


@pytest.fixture
def impatient(emptied: Kept, gateway: SandboxProcess) -> Iterator[Engine]:
    """The same, with a client that waits a second for an answer, which is long for most."""
    with running(emptied, gateway, doku_timeout_seconds="1") as made:
        yield made


@pytest.fixture
def other(engine: Engine, gateway: SandboxProcess) -> Iterator[Engine]:
    """A second process of the same engine: connections and threads of its own."""
    second = Engine(engine.url, gateway)
    yield second
    second.close()


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Make a statement wait after its execution, in the first thread that runs it."""

    @contextmanager
    def held(module: Any, name: str) -> Iterator[Event]:
        stands, go_on, plain = Event(), Event(), getattr(module, name)

        def statement(*args: Any) -> Any:
            answer = plain(*args)
            if not stands.is_set():
                stands.set()
                go_on.wait(10)
            return answer

        monkeypatch.setattr(module, name, statement)
        try:
            yield stands
        finally:
            go_on.set()

    return held


@pytest.fixture
def web(engine: Engine, shared_servers: Servers) -> Iterator[Web]:
    """The HTTP interface of the engine, on loopback."""
    with serving(engine, shared_servers.own_redis()) as made:
        yield made
