"""Fixtures that every kind of test may ask for, and the shield against the user's own settings."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from billing.sandbox import process as sandbox_process
from billing.sandbox.process import SandboxProcess
from tests import servers
from tests.servers import Host, Servers

_HOST = pytest.StashKey[Host]()
_LONGEST = (
    "test_storm", "test_up", "test_processes", "test_stories", "test_siege", "test_start",
    "test_storm_bugs", "test_demo", "test_restore", "test_local_stack", "test_secrets",
    "test_redis", "test_postgres", "test_flower", "test_running", "test_answers",
)  # fmt: skip
_LONG = {"faults", "e2e", "integration"}
_LEAKY = ("BILLING_", "SANDBOX_", "FLOWER_", "CELERY_")

# Modules and tests by the thousand live as long as the run; the usual threshold looks through them
# again and again, which was a twentieth of all CPU.
gc.set_threshold(50_000, 20, 20)

# Before any test module is imported: nothing of the person's own set-up may reach the tests.
for _name in [name for name in os.environ if name.startswith(_LEAKY)]:
    del os.environ[_name]

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
    # A shell ignores SIGINT for what it runs in the background, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        config.stash[_HOST] = Host()
    set_hypothesis_home_dir(Path(os.environ[servers.FOLDER_VARIABLE]) / "hypothesis")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the controller started."""
    host = config.stash.get(_HOST, None)
    if host is not None:
        host.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that no test process is left alone with a file."""

    def turn(item: pytest.Item) -> int:
        if item.path.stem in _LONGEST:
            return _LONGEST.index(item.path.stem)
        return len(_LONGEST) + (not _LONG.intersection(item.path.parts))

    items.sort(key=turn)


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


@pytest.fixture
def state_folder() -> Iterator[Path]:
    """A folder with a short path, removed afterwards."""
    with servers.short_folder() as folder:
        yield folder
