"""The `billing` command in the process of a test, which saves a second of starting it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

import pytest
import structlog

from billing import cli


@contextmanager
def logs_as_before() -> Iterator[None]:
    """A command configures logging for its own process; here the process continues."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def command(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command line; its exit code, output and errors."""
    with (
        pytest.MonkeyPatch.context() as patch,
        logs_as_before(),
        redirect_stdout(StringIO()) as said,
        redirect_stderr(StringIO()) as complained,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        code = cli.run(words)
    return code, said.getvalue(), complained.getvalue()
