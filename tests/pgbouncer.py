"""The real PgBouncer in transaction mode, in front of the tests' PostgreSQL.

It is no Python package: Debian's is used, which `.ci/run` installs. Where it is missing a test says
that it was not run; in CI that is a failure.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from billing.local.ownership import owner_of_new_files, user_for
from billing.local.processes import Crew, Program, until
from billing.local.servers import DATABASE, free_port

MISSING = "not run: PgBouncer is not installed; install it with: apt-get install pgbouncer"
SERVERS = 3
"""Fewer than there are clients, so that each transaction may meet another session."""
CONFIGURATION = """
[databases]
* = host={sockets} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 200
"""


def program() -> Path:
    """Where it is; the asking test is skipped when it is missing, and fails in CI."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("pgbouncer", path=places)
    if found is None:
        if os.environ.get("CI") or os.environ.get("OVO_PGBOUNCER") == "required":
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    return Path(found)


@contextmanager
def pooling(folder: Path, postgres: str) -> Iterator[str]:
    """Start it in front of a server; yields SQLAlchemy's URL of the same database, through it."""
    binary, port = program(), free_port()
    parts = urlsplit(postgres)
    home = folder / "pgbouncer"
    home.mkdir()
    user = user_for(folder / "nothing", binary.parent)
    owner_of_new_files(home, user)
    [sockets] = parse_qs(parts.query)["host"]
    text = CONFIGURATION.format(sockets=sockets, user=DATABASE, port=port, servers=SERVERS)
    (home / "pgbouncer.ini").write_text(text)
    crew = Crew()
    log = folder / "pgbouncer.log"
    argv = [str(binary), str(home / "pgbouncer.ini")]
    child = crew.start(Program("pgbouncer", argv, log, user=user, folder=home))
    try:
        url = f"postgresql://{DATABASE}@127.0.0.1:{port}{parts.path}"
        assert until(lambda: _answers(url) or not child.running, 20), child.last_words()
        assert child.running, child.last_words()
        yield url.replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        crew.close()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
