"""The engine as a fixture, and one pretend gateway for all tests of a process.

Tests share the gateway and do not meet there: each makes customers of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest

from billing.sandbox import process
from billing.sandbox.process import SandboxProcess
from tests.integration.engine import Engine, running
from tests.integration.races import Hold


@pytest.fixture(scope="session")
def gateway() -> Iterator[SandboxProcess]:
    """One pretend gateway for the tests of a process."""
    with process.start() as sandbox:
        yield sandbox


@pytest.fixture
def engine(database_url: str, gateway: SandboxProcess) -> Iterator[Engine]:
    """An engine; afterwards the audit must find nothing, and the ledger must equal the rows."""
    with running(database_url, gateway) as made:
        yield made


@pytest.fixture
def impatient(database_url: str, gateway: SandboxProcess) -> Iterator[Engine]:
    """The same, with a client that waits a third of a second for an answer."""
    with running(database_url, gateway, doku_timeout_seconds="0.3") as made:
        yield made


@pytest.fixture
def other(engine: Engine, gateway: SandboxProcess) -> Iterator[Engine]:
    """A second process of the same engine: connections and threads of its own."""
    second = Engine(engine.url, gateway)
    yield second
    second.close()


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Make a statement stand still after its work, in the first thread that comes."""

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
