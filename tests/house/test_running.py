"""Production's parts, run here: a closed Flower, true health checks, and no default to `dev`."""

import http.client
import os
import re
import subprocess
import sys
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet
from flower.urls import handlers  # type: ignore[import-untyped]  # flower has no types
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from billing.local.processes import until
from billing.local.servers import free_port
from tests.forked import Start, forking
from tests.house.test_production import SERVICES
from tests.house.tree import PACKAGES, ROOT, modules
from tests.servers import Servers

LOGIN = "operator:correct horse"
GUARDED = ("/", "/metrics", "/healthcheck", "/api/workers")
OPEN_TO_ALL = {"/static/x", "/logout"}  # style sheets, and a page that says good-bye
LAST_TICK = "INSERT INTO heartbeats (tick, at) VALUES ('open_periods', now() - %s::interval)"


FOR_FLOWER = {"BILLING_REDIS_URL", "FLOWER_BASIC_AUTH", "PATH"}


def engine_environment(redis_url: str, **more: str) -> dict[str, str]:
    """The environment of a process that does not touch the database."""
    programs = str(Path(sys.executable).parent)
    return {
        "PATH": programs + os.pathsep + os.environ["PATH"],
        "BILLING_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "BILLING_REDIS_URL": redis_url,
        "BILLING_TOKEN_KEY": Fernet.generate_key().decode(),
        **more,
    }


def flower_environment(redis_url: str, login: str = LOGIN) -> dict[str, str]:
    """The environment of Flower: no database, no key."""
    every = engine_environment(redis_url, FLOWER_BASIC_AUTH=login)
    return {name: value for name, value in every.items() if name in FOR_FLOWER}


def status(port: int, path: str, method: str = "GET", login: str = "") -> int:
    """Return Flower's status; 0 without an answer."""
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()


@pytest.fixture(scope="module")
def flower(shared_servers: Servers) -> Iterator[int]:
    """Flower as docker-compose.yml starts it, on a free port; its port."""
    redis_url = shared_servers.own_redis()
    port = free_port()
    words = [
        word.replace("--port=5555", f"--port={port}") for word in SERVICES["flower"]["command"]
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", *words, "--address=127.0.0.1"],
        env=flower_environment(redis_url),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert until(lambda: status(port, "/") != 0 or process.poll() is not None, 60)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def paths_of_flower() -> set[str]:
    """One path for each of Flower's handlers."""
    rules = (rule[0] if isinstance(rule, tuple) else rule.regex.pattern for rule in handlers)
    paths = (
        re.sub(r"\(\.[+*]\)|^\.\*", "x", rule.rstrip("$")).removesuffix("/?") for rule in rules
    )
    return {"/" + path.removeprefix("/") for path in paths}


def test_flower_lets_nobody_in_without_the_password(flower: int) -> None:
    """Every page, the two that basic auth forgets among them, is closed to strangers."""
    answers = {
        (method, path): status(flower, path, method)
        for path in paths_of_flower() - OPEN_TO_ALL
        for method in ("GET", "POST")
    }

    assert set(answers.values()) == {401, 404, 405, 415}
    assert {path for (_, path), answer in answers.items() if answer == 404} == {"/x", "/login"}
    # It is no JSON; what may be posted as a form asks for the password.
    assert {method for (method, _), answer in answers.items() if answer == 415} == {"POST"}
    assert answers["POST", "/tasks/datatable"] == 401
    for path in GUARDED:
        assert answers["GET", path] == 401
        assert status(flower, path, login="operator:wrong") == 401


def test_flower_lets_in_who_has_the_password(flower: int) -> None:
    """The password opens pages, API, metrics and health."""
    assert {path: status(flower, path, login=LOGIN) for path in GUARDED} == dict.fromkeys(
        GUARDED, 200
    )


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Import the application of Flower in a process that is forked after Flower's own imports."""
    with forking("import workers.flower", ["flower.app", "flower.api.tasks"]) as made:
        yield made


@pytest.mark.parametrize("login", ["", "operator:", "operator:secret,"])
def test_flower_does_not_start_without_a_password(start: Start, login: str) -> None:
    """A login that would let strangers in is refused with one line."""
    refused = start([], flower_environment("redis://127.0.0.1:1/0", login))

    assert refused.returncode == 1
    assert refused.stderr.startswith("billing: FLOWER_BASIC_AUTH must be name:password")


@pytest.mark.parametrize(("ago", "healthy"), [("1 second", True), ("1 hour", False)])
def test_the_health_of_beat_is_whether_its_ticks_arrive(
    database_url: str, redis_url: str, ago: str, healthy: bool
) -> None:
    """It is read from the database, also when the doctor finds other faults."""
    with psycopg.connect(database_url.replace("+psycopg", "", 1)) as connection:
        connection.execute(LAST_TICK, (ago,))
    environment = engine_environment(redis_url) | {"BILLING_DATABASE_URL": database_url}

    asked = subprocess.run(
        ["sh", "-c", SERVICES["beat"]["healthcheck"]["test"][1]],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (asked.returncode, asked.stderr) == (int(not healthy), "")


def distributions_of_production() -> set[str]:
    """What an installation without extras consists of, by the names of the lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    seen: set[tuple[str, str]] = set()
    while waiting:
        asked = waiting.pop()
        for extra in {"", *asked.extras} - {e for name, e in seen if name == asked.name}:
            seen.add((asked.name, extra))
            needed = map(Requirement, requires(asked.name) or ())
            waiting += [
                one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})
            ]
    return {canonicalize_name(name) for name, _ in seen}


def test_production_needs_nothing_that_only_developers_have(redis_url: str) -> None:
    """Every module can be imported without the packages of the extras."""
    kept = distributions_of_production() | {"ovo-billing"}
    missing = [
        package
        for package, owners in packages_distributions().items()
        if not {canonicalize_name(owner) for owner in owners} & kept
    ]
    names = [module.name.removesuffix(".py").replace("/", ".") for module in modules(*PACKAGES)]
    left_out = ("billing.local", "billing.store.migrations")
    wanted = [name.removesuffix(".__init__") for name in names if not name.startswith(left_out)]
    # Celery asks for these by name, when it connects.
    wanted += ["kombu.transport.redis", "celery.worker", "celery.concurrency.prefork", "psycopg"]
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({missing!r}))\n"
        f"for name in {wanted!r}: importlib.import_module(name)"
    )

    imported = subprocess.run(
        [sys.executable, "-c", code],
        env=engine_environment(redis_url, FLOWER_BASIC_AUTH=LOGIN),
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert imported.returncode == 0, imported.stderr.splitlines()[-1]
