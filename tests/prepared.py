"""A PostgreSQL data folder with an empty, migrated database: made once in a run, and copied.

A test with a server of its own needs no initdb and no migrations then, which take seconds.
"""

import fcntl
import os
import subprocess
from pathlib import Path

import psycopg

from billing.local import servers
from billing.local.processes import Crew
from billing.store import migrate
from tests.servers import FOLDER_VARIABLE


def lay(folder: Path) -> None:
    """Lay a copy where a server is to start; outside of a run of the tests it makes its own."""
    if FOLDER_VARIABLE not in os.environ:
        return
    run = Path(os.environ[FOLDER_VARIABLE])
    made = run / "prepared"
    with (run / "prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    subprocess.run(["cp", "-a", str(made / "postgres"), str(folder)], check=True)


def upgrade(url: str) -> None:
    """Apply missing migrations, and make the installation another one than that of other copies."""
    migrate.upgrade(url)
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute("UPDATE engine SET installation_id = gen_random_uuid()")


def _make(folder: Path) -> None:
    unfinished, crew = folder.with_suffix(".unfinished"), Crew()
    try:
        log = unfinished / "postgres.log"
        server = servers.start_postgres(crew, unfinished / "postgres", log, durable=False)
        migrate.upgrade(server.url.replace("postgresql://", "postgresql+psycopg://", 1))
    finally:
        crew.close()
    unfinished.rename(folder)
