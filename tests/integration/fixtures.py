"""The engine as a fixture, and one pretend gateway for all tests of a process.

Tests share the gateway and do not meet there: each makes customers of its own.
"""

from collections.abc import Iterator

import pytest

from billing.sandbox import process
from billing.sandbox.process import SandboxProcess
from tests.integration.engine import Engine, running


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
