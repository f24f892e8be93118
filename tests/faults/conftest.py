"""Fixtures of the faults, and the integration tests' engine where no processes are needed."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.conftest import _kept, emptied, engine, gateway, impatient
from tests.servers import Servers

__all__ = ["_kept", "emptied", "engine", "gateway", "impatient"]


@pytest.fixture(scope="session")
def admin(shared_servers: Servers) -> Iterator[psycopg.Connection]:
    """A connection that makes and drops the databases of storms."""
    with psycopg.connect(shared_servers.url("postgres"), autocommit=True) as connection:
        shared_servers.ensure_template(connection)
        yield connection


@pytest.fixture(scope="module", autouse=True)
def _forked(programs_are_forked: None) -> None:
    """Workers and beats that are killed and started again import once."""
