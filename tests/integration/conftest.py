"""Fixtures of the tests that drive the whole engine in one process."""

import pytest

pytest.register_assert_rewrite("tests.integration.engine")

from tests.integration.fixtures import engine, gateway, impatient  # noqa: E402 - after the above

__all__ = ["engine", "gateway", "impatient"]
