"""The `billing` command in this process, with a test's engine."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billing import cli
from tests.commands import logs_as_before
from tests.integration.engine import KEY, Engine

Billing = Callable[..., Any]
MORE = re.compile(r"more: add --after ([A-Za-z0-9_-]+)\n")
"""What a list says on stderr when there is another page."""


def environment(engine: Engine) -> dict[str, str]:
    """The settings of an engine, as variables."""
    return {
        "BILLING_DATABASE_URL": engine.url,
        "BILLING_DOKU_BASE_URL": engine.gateway.url,
        "BILLING_DOKU_CLIENT_ID": engine.gateway.client_id,
        "BILLING_DOKU_SECRET_KEY": engine.gateway.secret_key,
        "BILLING_TOKEN_KEY": KEY,
        "BILLING_TEST_CLOCK": "1",
        "LOGNAME": "operator",  # the user whose name is the actor of the events
    }


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    with logs_as_before():
        yield


@pytest.fixture
def billing(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    _logs_as_before: None,
) -> Billing:
    """Run a command with --json and return its document; the exit code has to be `code`."""
    for name, value in environment(engine).items():
        monkeypatch.setenv(name, value)

    def run(*words: object, code: int = 0, people: bool = False) -> Any:
        capsys.readouterr()
        given = [str(word) for word in words] + ([] if people else ["--json"])
        assert cli.run(given) == code, capsys.readouterr().err
        printed = capsys.readouterr()
        if code:
            assert printed.err.count("\n") == (1 if printed.err else 0)
            return printed.err or json.loads(printed.out)
        assert MORE.sub("", printed.err) == ""
        return printed.out if people else json.loads(printed.out)

    return run
