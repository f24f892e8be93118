"""Fixtures of the tests that drive the whole engine in one process."""

import pytest

pytest.register_assert_rewrite("tests.integration.checks", "tests.integration.engine")

from tests.integration.command import _logs_as_before, billing  # noqa: E402 - after
from tests.integration.fixtures import engine, gateway, hold, impatient, other  # noqa: E402 - after

__all__ = ["_logs_as_before", "billing", "engine", "gateway", "hold", "impatient", "other"]
