"""The supervisor: what it starts, in which order, and that no process remains."""

import os
import re
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from billing import config
from billing.domain.errors import NotConfigured
from billing.local import programs, servers, watch
from billing.local.processes import running
from billing.local.stack import Stack
from billing.local.watch import Status
from tests import prepared
from tests.forked import Parent
from tests.processes import FAIL, NAP, STUBBORN, Up, parent_of_ups
from tests.servers import Servers
from tests.waits import wait_until

ORDER = ["postgres", "redis", "sandbox", "worker", "webhooks", "beat", "flower"]
FIRST_STARTS = {"starting PostgreSQL", "bringing the database up to date"}
"""What takes long on an empty folder only: elsewhere there are data and tables already."""
SAYS = [
    "starting PostgreSQL", "starting Redis", "starting sandbox",
    "bringing the database up to date", "starting worker", "starting flower",
]  # fmt: skip


@pytest.fixture(scope="module")
def parent() -> Iterator[Parent]:
    """What forks for each `billing up` of this file."""
    made = parent_of_ups()
    yield made
    made.close()


@pytest.fixture
def outside(shared_servers: Servers) -> dict[str, str]:
    """Settings that name everything, so that a stack starts only worker, beat and Flower."""
    return {
        "BILLING_DATABASE_URL": shared_servers.postgres,
        "BILLING_REDIS_URL": shared_servers.redis,
        "BILLING_DOKU_BASE_URL": "http://127.0.0.1:9",
        "BILLING_DOKU_CLIENT_ID": "MCH-TEST",
        "BILLING_DOKU_SECRET_KEY": "SK-test",
    }


def naps(**others: list[str]) -> dict[str, list[str]]:
    """Stand-ins for the three programs, most of which do nothing."""
    return {"worker": NAP, "webhooks": NAP, "beat": NAP, "flower": NAP} | others


def of(stack: Stack, name: str) -> Status:
    """How one child is."""
    return next(status for status in stack.status() if status.name == name)


def test_everything_comes_up_in_order_and_goes_in_the_reverse(state_folder: Path) -> None:
    """Without settings everything starts; afterwards no process and no settings file remain."""
    said: list[str] = []
    with Stack(state_folder, any_ports=True, stand_ins=naps(), say=said.append) as stack:
        assert [status.name for status in stack.status()] == ORDER
        pids = [status.pid for status in stack.status()]
        assert all(status.state == "running" for status in stack.status())
        assert stack.sandbox_url == stack.settings.doku_base_url
        assert stack.environment["BILLING_DATABASE_URL"] == stack.settings.database
        assert all((stack.logs / f"{name}.log").exists() for name in ORDER)
    assert said[-7:] == [f"ending {name}" for name in reversed(ORDER)]
    assert not any(map(psutil.pid_exists, pids))
    assert not (state_folder / "stack.env").exists()


def test_a_second_terminal_finds_the_stack(
    state_folder: Path, outside: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command needs lies in the folder while the stack runs, readable by its owner only."""
    special = {"BILLING_FAULTS": '{"E1": "limit"}', "BILLING_LINK_SUCCESS_URL": "https://a/it's#1"}
    with Stack(state_folder, parts=(), environment=outside | special) as stack:
        monkeypatch.setenv("BILLING_HOME", str(state_folder))
        assert config.load() == stack.settings
        for name in ("stack.env", "token.key"):
            assert stat.S_IMODE((state_folder / name).stat().st_mode) == 0o600


def test_settings_of_the_caller_win_and_reach_the_children(
    state_folder: Path, outside: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test clock that is requested here is on in every child, against the environment."""
    monkeypatch.setenv("BILLING_TEST_CLOCK", "0")
    monkeypatch.setenv("BILLING_TICK_SECONDS", "7")
    extra = {"BILLING_TEST_CLOCK": "1", "TZ": "Asia/Jakarta"}
    with Stack(state_folder, parts=(), environment=outside | extra) as stack:
        assert stack.settings.test_clock
        assert stack.environment["BILLING_TEST_CLOCK"] == "1"
        assert stack.environment["BILLING_TICK_SECONDS"] == "7"
        assert stack.environment["TZ"] == "Asia/Jakarta"
    with pytest.raises(NotConfigured, match="BILLING_TICK_SECONDS"):
        Stack(state_folder, environment={"BILLING_TICK_SECONDS": "soon"})


def test_the_token_key_is_made_once(state_folder: Path, outside: dict[str, str]) -> None:
    """Tokens stored under one start can be read under the next."""
    keys = set()
    for _ in range(2):
        with Stack(state_folder, parts=(), environment=outside) as stack:
            keys.add(stack.settings.token_key.get_secret_value())
    assert len(keys) == 1


def test_services_named_in_settings_are_used_and_not_started(
    state_folder: Path, outside: dict[str, str]
) -> None:
    """With a configured database, Redis and gateway only Celery's programs are started."""
    with Stack(state_folder, environment=outside, any_ports=True, stand_ins=naps()) as stack:
        assert [status.name for status in stack.status()] == [
            "worker",
            "webhooks",
            "beat",
            "flower",
        ]
        assert stack.sandbox_url == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BILLING_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/billing"),
        ("BILLING_REDIS_URL", "redis://:secret@127.0.0.1:1/0"),
    ],
)
def test_a_server_of_ones_own_that_does_not_answer_is_one_line(
    state_folder: Path, outside: dict[str, str], name: str, value: str
) -> None:
    """The line names the setting, and shows no password."""
    with (
        pytest.raises(NotConfigured, match=name) as refused,
        Stack(state_folder, environment=outside | {name: value}, any_ports=True),
    ):
        pass
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_second_stack_in_one_folder_is_refused(
    state_folder: Path, outside: dict[str, str]
) -> None:
    """The line names the running process and its console; the process is not disturbed."""
    with Stack(state_folder, parts=(), environment=outside) as first:
        first._lock.tell("http://127.0.0.1:5557/")
        told = f"already running in {state_folder} (pid {os.getpid()});"
        told += " its console: http://127.0.0.1:5557/"
        with (
            pytest.raises(NotConfigured, match=re.escape(told)),
            Stack(state_folder, parts=(), environment=outside),
        ):
            pass
        assert (state_folder / "stack.env").exists()


def test_a_lock_file_of_the_dead_is_no_obstacle(
    state_folder: Path, outside: dict[str, str]
) -> None:
    """The lock is the kernel's; the file only says whose it is."""
    (state_folder / "lock").write_text("4194304")
    with Stack(state_folder, parts=(), environment=outside):
        assert (state_folder / "lock").read_text() == str(os.getpid())


@pytest.mark.parametrize("missing", ["BILLING_DOKU_CLIENT_ID", "BILLING_DOKU_SECRET_KEY"])
def test_half_of_the_gateways_access_is_refused_before_anything_is_started(
    state_folder: Path, missing: str, outside: dict[str, str]
) -> None:
    """Only the setting that is missing is named, and no server is started, nor a pretend one."""
    said: list[str] = []
    stack = Stack(
        state_folder, environment={**outside, missing: ""}, any_ports=True, stand_ins=naps(),
        say=said.append,
    )  # fmt: skip
    with pytest.raises(NotConfigured, match=f"{missing} is not set") as refused, stack:
        pass
    assert (
        len(
            {"BILLING_DOKU_CLIENT_ID", "BILLING_DOKU_SECRET_KEY"}
            & set(re.findall(r"BILLING_\w+", str(refused.value)))
        )
        == 1
    )
    assert said == []
    assert stack.status() == []


def test_a_port_in_use_is_refused_before_anything_is_started(
    state_folder: Path, outside: dict[str, str]
) -> None:
    """One line says which port, and which setting moves it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said: list[str] = []
        with (
            pytest.raises(NotConfigured, match=f"port {port} is in use; set BILLING_UP_PORT"),
            Stack(state_folder, environment=outside | {"BILLING_UP_PORT": port}, say=said.append),
        ):
            pass
    assert said == []


@pytest.mark.parametrize("is_new", [True, False])
def test_a_refused_second_stack_leaves_nothing_behind(
    state_folder: Path, outside: dict[str, str], is_new: bool
) -> None:
    """Its own folder is gone again; one that was there keeps the logs of its last run."""
    home = state_folder / "second"
    if not is_new:
        (home / "logs").mkdir(parents=True)
        (home / "logs" / "worker.log").write_text("the last words")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = {"BILLING_UP_PORT": str(taken.getsockname()[1])}
        with pytest.raises(NotConfigured, match="in use"), Stack(home, environment=outside | port):
            pass
    assert home.exists() != is_new
    if not is_new:
        assert (home / "logs" / "worker.log").read_text() == "the last words"
        assert not (home / "logs.before").exists()


def test_a_program_that_does_not_start_is_one_line(
    state_folder: Path, outside: dict[str, str]
) -> None:
    """Its last output is the reason, and the others are ended."""
    stand_ins = naps(worker=FAIL)
    stack = Stack(state_folder, environment=outside, any_ports=True, stand_ins=stand_ins)
    with pytest.raises(NotConfigured, match="worker did not start: out of luck"), stack:
        pass


def test_a_child_that_dies_is_started_again(
    state_folder: Path, outside: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed worker is restarted within moments."""
    monkeypatch.setattr(watch, "LEAST_SECONDS", 0.0)
    with Stack(state_folder, environment=outside, any_ports=True, stand_ins=naps()) as stack:
        killed = of(stack, "worker")
        os.kill(killed.pid, signal.SIGKILL)
        wait_until(lambda: of(stack, "worker").restarts == 1, "the worker is started again")
        wait_until(lambda: of(stack, "worker").state == "running", "the worker runs")
        assert of(stack, "worker").pid != killed.pid


def test_an_embedded_server_that_dies_comes_back_where_it_was(
    state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The children keep their settings: its address and its data stay the same."""
    prepared.lay(state_folder / "postgres")
    monkeypatch.setattr(watch, "LEAST_SECONDS", 0.0)
    with Stack(state_folder, parts=(), any_ports=True) as stack:
        for name in ("postgres", "redis", "sandbox"):
            os.kill(of(stack, name).pid, signal.SIGKILL)
        wait_until(lambda: all(status.restarts for status in stack.status()), "all are started")
        database, broker = stack.settings.database, stack.settings.redis
        wait_until(lambda: servers.postgres_problem(database) is None, "PostgreSQL answers")
        wait_until(lambda: servers.redis_problem(broker) is None, "Redis answers")


def test_a_child_that_keeps_dying_is_given_up(
    state_folder: Path, outside: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five restarts in a minute a line says so; the other programs continue."""
    monkeypatch.setattr(watch, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.02)
    said: list[str] = []
    stand_ins = naps(beat=["sh", "-c", "sleep 0.3; echo tired; exit 1"])
    with Stack(
        state_folder, environment=outside, any_ports=True, stand_ins=stand_ins, say=said.append
    ) as stack:
        wait_until(lambda: of(stack, "beat").state == "given up", "beat is given up")
        assert of(stack, "worker").state == "running"
    assert sum(line == "beat died and is started again: tired" for line in said) == 5
    assert any(re.match("beat died 5 times in a minute and is left alone: tired", x) for x in said)


def test_children_of_children_are_ended_too(state_folder: Path, outside: dict[str, str]) -> None:
    """A pool whose processes ignore SIGTERM is killed when the grace is over."""
    stack = Stack(
        state_folder, environment=outside, any_ports=True, stand_ins=naps(worker=STUBBORN)
    )
    with stack:
        leader = psutil.Process(of(stack, "worker").pid)
        wait_until(lambda: len(leader.children(recursive=True)) == 3, "the pool is full")
        pool = leader.children(recursive=True)
        stack.hurry()
    assert not any(map(running, pool))


def test_a_stack_outside_the_main_thread_works(state_folder: Path, outside: dict[str, str]) -> None:
    """Only the signals are missing there."""
    names: list[str] = []

    def run() -> None:
        with Stack(state_folder, environment=outside, any_ports=True, stand_ins=naps()) as stack:
            names.extend(status.name for status in stack.status())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert names == ["worker", "webhooks", "beat", "flower"]


@pytest.mark.parametrize("line", SAYS)
def test_a_sigterm_while_starting_leaves_nothing(
    parent: Parent, state_folder: Path, line: str
) -> None:
    """A signal at any moment ends in order all that was started by then."""
    if line not in FIRST_STARTS:
        prepared.lay(state_folder / "postgres")
    with Up(parent, state_folder, os.environ) as up:
        up.until_it_says(line)
        up.send(signal.SIGTERM)
        assert up.end() == 0
        assert up.said[-1] == "down"
        assert up.left() == []
    assert not (state_folder / "stack.env").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_way_of_ending_it_leaves_nothing(
    parent: Parent, state_folder: Path, outside: dict[str, str], number: signal.Signals
) -> None:
    """Ctrl-C, `kill` and a closed terminal are the same."""
    with Up(parent, state_folder, os.environ | outside) as up:
        up.until_it_says("up")
        up.send(number)
        assert up.end() == 0
        assert up.left() == []


def test_a_second_signal_hurries_the_end(
    parent: Parent, state_folder: Path, outside: dict[str, str]
) -> None:
    """A second Ctrl-C does not wait for a worker that does not end."""
    with Up(parent, state_folder, os.environ | outside, STUBBORN) as up:
        up.until_it_says("up")
        up.send(signal.SIGINT)
        up.until_it_says("ending flower")
        up.send(signal.SIGINT)
        assert up.end(seconds=0.8 * programs.WARM_SECONDS) == 0, "before the worker's grace ends"
        assert up.left() == []


def test_a_killed_supervisor_leaves_nothing_and_the_next_one_goes_on(
    parent: Parent, state_folder: Path
) -> None:
    """The guard ends everything within seconds; another start waits for it."""
    prepared.lay(state_folder / "postgres")
    with Up(parent, state_folder, os.environ) as up:
        up.until_it_says("up")
        assert len(up.left()) > 6
        up.send(signal.SIGKILL)
        with Stack(state_folder, any_ports=True, stand_ins=naps()) as stack:
            assert {status.state for status in stack.status()} == {"running"}
        assert up.nothing_is_left(seconds=1)
