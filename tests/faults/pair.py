"""Two PostgreSQL servers, one a copy of the other, and an address that leads to one of them.

The address is a TCP proxy on the loopback. A switchover as cloud providers do it: the old primary
becomes read-only and stays up, the copy catches up and is promoted, new connections lead there,
and the old ones stay as they were. What runs on the servers is not known here.
"""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import psycopg

from billing.local import servers
from billing.local.ownership import user_for
from billing.local.processes import Crew, Program, until
from billing.local.servers import Server
from tests import prepared

BUSY = """SELECT count(*) FROM pg_stat_activity
    WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""


class Proxy:
    """A loopback port behind which servers change."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """End it and every connection."""
        for one in [self._listener, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.target))
                self._open += [client, server]
                for source, sink in ((client, server), (server, client)):
                    Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Pair:
    """A primary, its copy, and the address that leads to the primary."""

    def __init__(self, old: Server, new: Server, proxy: Proxy) -> None:
        self.old, self.new = old, new
        self.proxy = proxy

    @property
    def url(self) -> str:
        """The address that people have."""
        return f"postgresql://{servers.DATABASE}@127.0.0.1:{self.proxy.port}/{servers.DATABASE}"

    def demote(self) -> None:
        """Make the old primary read-only; it keeps running with all its connections."""
        with psycopg.connect(self.old.url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            admin.execute("SELECT pg_reload_conf()")
            # A transaction is what it was when it began.
            assert until(lambda: value(admin, BUSY) == 0, 20), "a transaction never ended"

    def promote(self) -> None:
        """Let the copy catch up and become the primary; new connections lead to it."""
        with (
            psycopg.connect(self.old.url, autocommit=True) as old,
            psycopg.connect(self.new.url, autocommit=True) as new,
        ):
            end = value(old, "SELECT pg_current_wal_lsn()")
            caught_up = f"SELECT pg_last_wal_replay_lsn() >= '{end}'"
            assert until(lambda: bool(value(new, caught_up)), 20), "the copy never caught up"
            assert value(new, "SELECT pg_promote()")
        self.proxy.target = socket_of(self.new)


def value(connection: psycopg.Connection, statement: str) -> object:
    """The one value of a statement."""
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def socket_of(server: Server) -> Path:
    """A server's Unix socket."""
    [folder] = parse_qs(urlsplit(server.url).query)["host"]
    return Path(folder) / ".s.PGSQL.5432"


@contextmanager
def pairs(crew: Crew, home: Path) -> Iterator[Pair]:
    """A primary with a streaming copy; the crew ends them."""
    prepared.lay(home / "pg1")
    old = servers.start_postgres(crew, home / "pg1", home / "pg1.log", durable=False)
    copy = home / "pg2"
    programs = servers._programs(servers._version(home / "pg1"))
    argv = [str(programs / "pg_basebackup"), "-D", str(copy), "-d", old.url, "-R", "-X", "stream"]
    argv += ["--checkpoint=fast", "--no-sync"]
    child = crew.start(Program("pg_basebackup", argv, home / "copy.log"))
    assert until(lambda: not child.running, 60), "the copy was never made"
    crew.end(child)
    assert child.succeeded, child.last_words()
    (copy / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # the original's, in its data
    user = user_for(home / "pg1", programs)
    if user is not None:
        for path in (copy, *copy.rglob("*")):
            shutil.chown(path, user.uid, user.gid)
    new = servers.start_postgres(crew, copy, home / "pg2.log", durable=False)
    proxy = Proxy(socket_of(old))
    try:
        yield Pair(old, new, proxy)
    finally:
        proxy.close()
