"""Fixtures that every kind of test may ask for, and the shield against the user's own settings."""

import faulthandler
import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from billing.sandbox import process as sandbox_process
from billing.sandbox.process import SandboxProcess
from tests import forked_programs, inherited, servers
from tests.forked import Parent
from tests.servers import Host, Servers

_HOST = pytest.StashKey[Host]()
_STDERR = pytest.StashKey[int]()
_LONGEST = (
    "test_storm", "test_storm_bugs", "test_up", "test_postgres", "test_paid_time", "test_bench",
    "test_processes", "test_web_fuzz", "test_siege", "test_conservation", "test_redis",
    "test_local_stack", "test_demo", "test_stories", "test_restore", "test_start", "test_lives",
    "test_files_doors", "test_web_refusals", "test_services_erasing", "test_secrets",
    "test_console", "test_running", "test_cli_start", "test_flower", "test_services_breaker",
    "test_local_servers", "test_web_processes", "test_pressure", "test_commands",
)  # fmt: skip
"""By wall time in a run with four jobs; those that use a core and those that mostly wait take
turns, so that both are at work at any time."""
_LONG = {"faults", "e2e", "integration", "property"}
_TIMEOUT_SECONDS = {"faults": 180, "e2e": 180, "bench": 120, "property": 120, "browser": 180}
"""By folder, where it is not pyproject.toml's: on an idle machine the longest without a marker
took 20, 15, 13 and 12 s, and a busy one may need five times as long. With several waits in a test
the wait is to fail first, since its message says more than a stack."""
_LEAKY = ("BILLING_", "SANDBOX_", "FLOWER_", "CELERY_")

# Modules and tests by the thousand live as long as the run; the usual threshold looks through them
# again and again, which was a twentieth of all CPU.
gc.set_threshold(50_000, 20, 20)

# Before any test module is imported: nothing of the person's own set-up may reach the tests.
for _name in [name for name in os.environ if name.startswith(_LEAKY)]:
    del os.environ[_name]
os.environ.pop("COLUMNS", None)

# Else each of some hundred processes would compile the engine for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

hypothesis.settings.register_profile(
    "ovo-billing",
    deadline=None,  # the cores are shared; a slow example is no wrong one
    derandomize=bool(os.environ.get("CI")),
    database=None,  # no folder of examples in the tree
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # as with the deadline
)
hypothesis.settings.load_profile("ovo-billing")


def pytest_configure(config: pytest.Config) -> None:
    """The controller (or the only process) hosts the servers; xdist's workers find them."""
    inherited.reset_signals()
    config.stash[_STDERR] = os.dup(2)  # while nothing is captured
    if not hasattr(config, "workerinput"):
        config.stash[_HOST] = Host()
    set_hypothesis_home_dir(Path(os.environ[servers.FOLDER_VARIABLE]) / "hypothesis")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the controller started."""
    host = config.stash.get(_HOST, None)
    if host is not None:
        host.close()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Generator[None, object, object]:
    """Dump all stacks a moment before the limit: what pytest-timeout says in a worker is lost."""
    if settings.timeout > 0:
        before = max(settings.timeout - 0.5, settings.timeout / 2)
        faulthandler.dump_traceback_later(before, file=item.config.stash[_STDERR])
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> Generator[None, object, object]:
    """The test has ended in time."""
    faulthandler.cancel_dump_traceback_later()
    return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, so that no process is left alone with a file; and time limits."""

    def turn(item: pytest.Item) -> int:
        if item.path.stem in _LONGEST:
            return _LONGEST.index(item.path.stem)
        return len(_LONGEST) + (not _LONG.intersection(item.path.parts))

    items.sort(key=turn)
    for item in items:
        seconds = [_TIMEOUT_SECONDS[part] for part in item.path.parts if part in _TIMEOUT_SECONDS]
        if seconds and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(seconds[-1]))


def pytest_collection_finish() -> None:
    """What was collected is no garbage."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run in an empty folder: a `.env` or `.local` in the tree is not theirs."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("cwd"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def shared_servers() -> Servers:
    """The run's PostgreSQL and Redis."""
    return servers.wanted()


@pytest.fixture(scope="session")
def _admin(shared_servers: Servers) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shared_servers.url("postgres"), autocommit=True) as connection:
        shared_servers.ensure_template(connection)
        yield connection


@pytest.fixture
def database_url(shared_servers: Servers, _admin: psycopg.Connection) -> Iterator[str]:
    """A migrated database of the test's own, as SQLAlchemy's URL; dropped afterwards."""
    with shared_servers.fresh_database(_admin) as url:
        yield url


@pytest.fixture
def redis_url(shared_servers: Servers) -> str:
    """The test process's own logical Redis database, emptied."""
    return shared_servers.own_redis()


@pytest.fixture
def sandbox(state_folder: Path) -> Iterator[SandboxProcess]:
    """A pretend gateway of the test's own: `url`, `client_id`, `secret_key`, `control()`."""
    with sandbox_process.start(state_folder / "sandbox.jsonl") as running:
        yield running


@pytest.fixture(scope="session")
def parent_of_programs() -> Iterator[Parent]:
    """What forks workers, beats and web processes for this test process."""
    parent = forked_programs.parent()
    yield parent
    parent.close()


@pytest.fixture(scope="module")
def programs_are_forked(parent_of_programs: Parent) -> Iterator[None]:
    """The programs of a module's stacks and fleets are forked, which saves a second of each."""
    with forked_programs.forking(parent_of_programs):
        yield


@pytest.fixture
def state_folder() -> Iterator[Path]:
    """A folder with a short path, removed afterwards."""
    with servers.short_folder() as folder:
        yield folder
