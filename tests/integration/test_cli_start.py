"""Commands that only read or write rows need no keys, and load only what they use."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked import Start, forking
from tests.integration.engine import KEY, Engine

HEAVY = ("celery", "kombu", "requests", "urllib3", "alembic", "matplotlib", "redis", "fastapi",
         "structlog", "pydantic_settings", "billing.gateway.doku")  # fmt: skip
TABLES = ("sqlmodel", "sqlalchemy.orm")
TREE = Path(__file__).parents[2]
RUN = """
import json, sys
from billing.cli import run
code = run(sys.argv[1:])
sys.stderr.write("\\n" + json.dumps([code, sorted(sys.modules)]))
"""


FIRST = ("billing.cli", "billing.bootstrap", "sqlalchemy.dialects.postgresql.psycopg", "psycopg")
"""What each of these commands imports. A module that must not be loaded is found all the same: the
set that a test sees has these in it."""


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start a command in a process of its own."""
    with forking(RUN, FIRST) as made:
        yield made


def started(
    start: Start, engine: Engine, *words: str, **settings: str
) -> tuple[int, str, set[str]]:
    """Run a command in a process of its own: exit code, its error, and the modules it loaded."""
    environment = {"BILLING_DATABASE_URL": engine.url, "BILLING_TEST_CLOCK": "1"}
    done = start(words, environment | settings)
    error, _, last = done.stderr.rpartition("\n")
    code, modules = json.loads(last)
    return code, error.strip(), set(modules)


READING = [
    ("plan", "list"), ("plan", "show", "P"), ("customer", "list"), ("subscription", "list"),
    ("invoice", "list"), ("charge", "list"), ("wallet", "list"), ("refunds", "list"),
    ("coupon", "list"), ("event", "list"), ("attention",), ("clock", "show"),
    ("forecast", "--until", "2027-01-01"),
]  # fmt: skip
ADDING = [
    ("customer", "create", "cust-1", "--name", "Siti"),
    ("plan", "create", "gold", "--amount", "50000", "--every", "1 month"),
    ("plan", "archive", "P"),
    ("coupon", "create", "TEN", "--percent", "10"),
]
WRITING = [
    ("credit", "give", "CUSTOMER", "--amount", "5000", "--reason", "x"),
    ("subscription", "pause", "ID"),
    ("subscription", "cancel", "ID", "--at", "now"),
    ("stop-charging", "--reason", "x"),
    ("clock", "advance", "1d"),
]


@pytest.mark.parametrize("words", READING + ADDING + WRITING, ids=" ".join)
def test_rows_need_no_keys_and_no_heavy_modules(
    start: Start, engine: Engine, words: tuple[str, ...]
) -> None:
    """Neither DOKU's keys nor the token key; no Celery, HTTP client, migrations or charts."""
    customer, subscription = engine.begun()
    engine.run()
    given = [{"ID": str(subscription), "CUSTOMER": customer}.get(word, word) for word in words]

    code, error, modules = started(start, engine, *given)

    assert (code, error) == (0, "")
    assert [name for name in HEAVY if name in modules] == []
    if words not in WRITING:
        assert [name for name in TABLES if name in modules] == []


LIBRARIES = "import psycopg, pydantic, sqlalchemy.dialects.postgresql.psycopg, typer.main"
OVER_LIBRARIES = 1.6
"""On a busy machine it was 1.3 times what the libraries alone cost; before it was 1.65."""


def processor_seconds(code: str, *words: str, **environment: str) -> float:
    """The processor time of a process; waiting for a core does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", code, *words],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(TREE)} | environment,
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_command_about_rows_costs_little_more_than_its_libraries(engine: Engine) -> None:
    """The bound is relative, since machines differ; it fails when a command loads much more.

    Both are measured by turns, and the least of each counts: other programs on the cores make a
    single process up to twice as dear.
    """
    libraries, commands = [], []
    for _ in range(8):
        libraries.append(processor_seconds(LIBRARIES))
        commands.append(processor_seconds(
            "from billing.cli import main; main()", "customer", "list", "--json",
            BILLING_DATABASE_URL=engine.url,
        ))  # fmt: skip
        if len(commands) > 1 and min(commands) < OVER_LIBRARIES * min(libraries):
            break

    assert min(commands) < OVER_LIBRARIES * min(libraries)


@pytest.mark.parametrize(
    "words",
    [
        ("wallet", "link", "CUSTOMER", "--phone", "6281234567890"),
        ("charge", "resolve", "00000000-0000-0000-0000-000000000000", "--as", "declined",
         "--reason", "x"),
        ("start-charging", "--reason", "x"),
        ("audit", "--gateway"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_command_that_asks_the_gateway_names_the_missing_keys(
    start: Start, engine: Engine, words: tuple[str, ...]
) -> None:
    """One line, before anything is written."""
    customer = engine.customer(linked=False)
    given = [{"CUSTOMER": customer}.get(word, word) for word in words]
    before = engine.rows("SELECT count(*) AS events, (SELECT count(*) FROM wallets) FROM events")

    code, error, _ = started(start, engine, *given, BILLING_TOKEN_KEY=KEY)

    assert code == 1
    assert error.startswith(
        "billing: BILLING_DOKU_CLIENT_ID and BILLING_DOKU_SECRET_KEY are not set;"
    )
    assert len(error.splitlines()) == 1
    assert before == engine.rows(
        "SELECT count(*) AS events, (SELECT count(*) FROM wallets) FROM events"
    )
