"""Fixtures of the tests that drive the whole engine in one process."""

import pytest

pytest.register_assert_rewrite("tests.integration.checks", "tests.integration.engine")

from tests.integration.command import _logs_as_before, billing  # noqa: E402 - after
from tests.integration.earlier import empty_url  # noqa: E402 - after
from tests.integration.fixtures import (  # noqa: E402 - after
    _kept,
    emptied,
    engine,
    gateway,
    hold,
    impatient,
    other,
    web,
)

__all__ = [
    "_kept", "_logs_as_before", "billing", "emptied", "empty_url", "engine", "gateway", "hold",
    "impatient", "other", "web",
]  # fmt: skip
