"""One PostgreSQL and one Redis for a whole test run, for any number of its processes.

The controller of the run owns them; they start when the first test needs them, so that a run of
unit tests alone starts nothing. Controller and workers share a folder.
"""

import fcntl
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import redis

from billing.local import servers
from billing.local.processes import Crew, until

FOLDER_VARIABLE = "OVO_TESTS_FOLDER"
TEMPLATE = "template_billing"
START_SECONDS = 120.0
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 1 << 29


class Host:
    """The controller's side: owns the servers, and ends them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ovo-tests-", dir=fast_place()))
        os.environ[FOLDER_VARIABLE] = str(self.folder)
        self._over = threading.Event()
        self._crew: Crew | None = None
        self._thread = threading.Thread(target=self._serve, name="test servers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the servers, if any were wanted, and remove their folder."""
        self._over.set()
        self._thread.join()
        if self._crew is not None:
            self._crew.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.environ.pop(FOLDER_VARIABLE, None)

    def _serve(self) -> None:
        while not (self.folder / "wanted").exists():
            if self._over.wait(0.05):
                return
        try:
            told = self._start()
        except Exception as failed:  # noqa: BLE001 - every error must reach the test that asked
            told = {"failed": repr(failed)}
        unfinished = self.folder / "ready.unfinished"
        unfinished.write_text(json.dumps(told))
        unfinished.rename(self.folder / "ready")

    def _start(self) -> dict[str, str]:
        self._crew = crew = Crew()
        crew.remove_at_end(self.folder)  # also when the run is killed: it lies in memory
        logs = self.folder
        postgres = servers.start_postgres(
            crew, self.folder / "postgres", logs / "postgres.log", durable=False
        )
        redis = servers.start_redis(crew, self.folder / "redis", logs / "redis.log", durable=False)
        return {"postgres": postgres.url, "redis": redis.url}


@dataclass(frozen=True)
class Servers:
    """A test process's side: where the servers are."""

    folder: Path
    postgres: str
    redis: str

    def url(self, database: str) -> str:
        """A URL of one database, as psycopg takes it."""
        return self.postgres.replace(f"/{servers.DATABASE}?", f"/{database}?")

    def own_redis(self) -> str:
        """The test process's own logical Redis database, emptied, as a URL."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
        url = f"{self.redis.removesuffix('/0')}/{int(worker.removeprefix('gw')) % 16}"
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url

    @contextmanager
    def fresh_database(self, admin: psycopg.Connection, template: str = TEMPLATE) -> Iterator[str]:
        """Make a migrated, empty database, and drop it afterwards; yields SQLAlchemy's URL.

        With another template it is a copy of that database, to which nobody is connected.
        """
        name = f"test_{uuid4().hex}"
        # From memory to memory copying files is quicker than writing every page to the WAL:
        # about 10 ms against 15.
        until(lambda: not _in_use(admin, template), 5)
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY = file_copy")
        try:
            # A copy is the same installation, as a restored backup is; a new database is not.
            with psycopg.connect(self.url(name)) as connection:
                connection.execute("UPDATE engine SET installation_id = gen_random_uuid()")
            yield _sqlalchemy(self.url(name))
        finally:
            # A backend that is just leaving would cost the DROP a nap of 100 ms.
            until(lambda: not _in_use(admin, name), 0.5)
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def ensure_template(self, admin: psycopg.Connection) -> None:
        """Migrate the database that the others are copied from, unless another process did."""
        from billing.store import migrate

        with (self.folder / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _exists(admin, TEMPLATE):
                return
            unfinished = f"{TEMPLATE}_unfinished"
            admin.execute(f"DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {unfinished}")
            migrate.upgrade(_sqlalchemy(self.url(unfinished)))
            admin.execute(f"ALTER DATABASE {unfinished} ALLOW_CONNECTIONS false")
            until(lambda: not _in_use(admin, unfinished), 5)
            admin.execute(f"ALTER DATABASE {unfinished} RENAME TO {TEMPLATE}")


def wanted() -> Servers:
    """Ask the controller for the servers and wait until they are there."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    (folder / "wanted").touch()
    if not until((folder / "ready").exists, START_SECONDS):
        raise RuntimeError("the test servers did not start")
    told = json.loads((folder / "ready").read_text())
    if "failed" in told:
        raise RuntimeError(f"the test servers did not start: {told['failed']}")
    return Servers(folder, told["postgres"], told["redis"])


def _sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _exists(admin: psycopg.Connection, database: str) -> bool:
    query = "SELECT FROM pg_database WHERE datname = %s"
    return admin.execute(query, (database,)).fetchone() is not None


def _in_use(admin: psycopg.Connection, database: str) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE datname = %s"
    return admin.execute(query, (database,)).fetchone() is not None


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path: pytest's own is too long for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="ovo-", dir=fast_place() or "/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def fast_place() -> Path | None:
    """Memory, where there is enough of it: a fresh database then costs 25 ms and not up to 500."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
        free = shutil.disk_usage(_MEMORY).free
        return _MEMORY if free >= _MEMORY_NEEDED else None
    return None
